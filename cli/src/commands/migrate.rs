//! `rastro migrate`: the store's layout brought up to that of this Rastro.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use rastro_store::{Migration, elastic::ElasticStore, embedded::EmbeddedStore};
use serde_json::{Value, json};

use super::Context;
use crate::{args::MigrateArgs, output, roles::store::elastic_config};

pub(super) async fn migrate(context: &Context, arguments: &MigrateArgs) -> anyhow::Result<ExitCode> {
    let is_trial = arguments.dry_run;
    let (store, up_to_date, changes) = if context.config.store.is_embedded() {
        let name = context.data_dir.store().display().to_string();
        (json!(name), format!("`{name}` has the layout of this Rastro"), embedded(context, is_trial).await?)
    } else {
        let changes = ElasticStore::migrate(elastic_config(&context.config), is_trial).await?;
        let up_to_date = "every index and template has the layout of this Rastro".to_owned();
        (json!(context.config.store.urls), up_to_date, changes)
    };
    if arguments.json {
        let changes: Vec<Value> = changes
            .iter()
            .map(|change| json!({ "what": change.what, "from": change.from, "to": change.to }))
            .collect();
        output::json(&json!({ "store": store, "dry_run": is_trial, "changes": changes }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if changes.is_empty() {
        output::line(up_to_date)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = output::table(["WHAT", "FROM", "TO"]);
    for change in &changes {
        let from = change.from.map_or_else(|| "-".to_owned(), |version| version.to_string());
        table.add_row([change.what.clone(), from, change.to.to_string()]);
    }
    output::line(table.to_string().trim_end())?;
    output::line(if is_trial { "nothing was changed; without --dry-run this is done" } else { "done" })?;
    Ok(ExitCode::SUCCESS)
}

async fn embedded(context: &Context, is_trial: bool) -> anyhow::Result<Vec<Migration>> {
    let path = context.data_dir.store();
    if !path.try_exists().with_context(|| format!("cannot look for `{}`", path.display()))? {
        bail!(
            "nothing is stored in `{}` yet, so there is nothing to migrate (another folder: --data-dir)",
            context.data_dir.root().display()
        );
    }
    let migrated = tokio::task::spawn_blocking(move || EmbeddedStore::migrate(&path, is_trial));
    Ok(migrated.await??)
}
