//! `rastro migrate`: the store's layout brought up to that of this Rastro.

use std::process::ExitCode;

use rastro_store::elastic::ElasticStore;
use serde_json::json;

use super::Context;
use crate::{
    args::MigrateArgs,
    output,
    roles::store::{Access, elastic_config, open},
};

pub(super) async fn migrate(context: &Context, arguments: &MigrateArgs) -> anyhow::Result<ExitCode> {
    if context.config.store.is_embedded() {
        // Opening is all there is to do: it brings older tables up to date, and refuses newer ones.
        let access = if arguments.dry_run { Access::Read } else { Access::Change };
        open(&context.config, &context.data_dir, access).await?;
        let store = context.data_dir.store().display().to_string();
        if arguments.json {
            output::json(&json!({ "store": store, "dry_run": arguments.dry_run, "changes": [] }))?;
        } else {
            output::line(format!("`{store}` has the layout of this Rastro"))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let changes = ElasticStore::migrate(elastic_config(&context.config), arguments.dry_run).await?;
    if arguments.json {
        let changes: Vec<_> = changes
            .iter()
            .map(|change| json!({ "what": change.what, "from": change.from, "to": change.to }))
            .collect();
        output::json(&json!({
            "store": context.config.store.urls, "dry_run": arguments.dry_run, "changes": changes,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if changes.is_empty() {
        output::line("every index and template has the layout of this Rastro")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = output::table(["WHAT", "FROM", "TO"]);
    for change in &changes {
        let from = change.from.map_or_else(|| "-".to_owned(), |version| version.to_string());
        table.add_row([change.what.clone(), from, change.to.to_string()]);
    }
    output::line(table.to_string().trim_end())?;
    output::line(if arguments.dry_run {
        "nothing was changed; without --dry-run this is done"
    } else {
        "done"
    })?;
    Ok(ExitCode::SUCCESS)
}
