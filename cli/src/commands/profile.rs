//! `rastro profile`: look at profiles and move them around.

mod diff;
mod reference;
#[cfg(test)]
mod sample;
mod show;
mod transfer;

use std::process::ExitCode;

use super::Context;
use crate::{
    args::ProfileAction,
    output::{self, text},
};

pub(crate) use reference::{ProfileReference, to_store};

pub(super) async fn profile(context: &Context, action: ProfileAction) -> anyhow::Result<ExitCode> {
    match action {
        ProfileAction::List { json } => list(context, json).await?,
        ProfileAction::Show { profile, json } => show::show(context, &profile, json).await?,
        ProfileAction::Diff { before, after, fail_on, json } => {
            return diff::diff(context, &before, &after, fail_on.as_deref(), json).await;
        }
        ProfileAction::Merge { profiles, into, json } => {
            transfer::merge(context, &profiles, &into, json).await?;
        }
        ProfileAction::Export { profile, output } => transfer::export(context, &profile, &output).await?,
        ProfileAction::Import { file, name, json } => {
            transfer::import(context, &file, name.as_deref(), json).await?;
        }
        ProfileAction::Delete { profile, json } => delete(context, &profile, json).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(context: &Context, json: bool) -> anyhow::Result<()> {
    let profiles = context.store_to_read().await?.profiles().await?;
    if json {
        return output::json(&profiles);
    }
    if profiles.is_empty() {
        return output::line("no profiles yet: `rastro train DATASET` makes one");
    }
    let mut table = output::table(["PROFILE", "MODELS", "CALLS", "BYTES", "STORED"]);
    for summary in &profiles {
        table.add_row([
            text::printable(&format!("{}@{}", summary.profile.name, summary.profile.version)),
            summary.models.join(" "),
            text::count(summary.calls),
            text::count(summary.bytes),
            text::time(summary.created_ns),
        ]);
    }
    output::line(table.to_string().trim_end())
}

async fn delete(context: &Context, profile: &str, json: bool) -> anyhow::Result<()> {
    let reference = ProfileReference::parse(profile)?;
    let deleted = context.store_to_write().await?.delete_profile(&reference.name, reference.version).await?;
    if deleted == 0 {
        anyhow::bail!("no profile `{reference}`; `rastro profile list` lists what there is");
    }
    if json {
        return output::json(&serde_json::json!({
            "name": reference.name, "version": reference.version, "deleted": deleted,
        }));
    }
    let versions = if deleted == 1 { "version" } else { "versions" };
    output::line(format!("deleted {deleted} {versions} of `{}`", text::printable(&reference.name)))
}
