//! `rastro datasets`: what is stored.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
};

use anyhow::bail;

use super::Context;
use crate::{
    args::{DatasetsAction, DatasetsArgs},
    output::{self, text},
};

pub(super) async fn datasets(context: &Context, arguments: DatasetsArgs) -> anyhow::Result<ExitCode> {
    match arguments.action {
        Some(DatasetsAction::Delete { dataset, yes }) => delete(context, &dataset, yes).await,
        None => list(context, arguments.json).await,
    }
}

async fn list(context: &Context, json: bool) -> anyhow::Result<ExitCode> {
    let datasets = context.store_to_read().await?.datasets().await?;
    if json {
        output::json(&datasets)?;
        return Ok(ExitCode::SUCCESS);
    }
    if datasets.is_empty() {
        output::line("no datasets yet: `rastro replay FILE` or `rastro run` makes one")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table =
        output::table(["DATASET", "INDEX", "CONTAINERS", "CALLS", "BYTES/CALL", "FROM", "TO", "ALARMS"]);
    for dataset in &datasets {
        for index in &dataset.indices {
            table.add_row([
                dataset.name.clone(),
                index.name.clone(),
                text::count(index.containers.len() as u64),
                text::count(index.calls),
                format!("{:.2}", index.bytes as f64 / index.calls.max(1) as f64),
                text::time(index.start_ns),
                text::time(index.end_ns),
                text::count(index.alarms),
            ]);
        }
    }
    output::line(table.to_string().trim_end())?;
    for dataset in &datasets {
        let calls: u64 = dataset.indices.iter().map(|index| index.calls).sum();
        let unfinished = dataset.tally.calls_stored.saturating_sub(calls);
        if unfinished > 0 {
            output::line(format!(
                "{}: {} more had begun and not returned; they are stored beside the others and are in no window",
                dataset.name,
                text::counted(unfinished, "call")
            ))?;
        }
    }
    for dataset in datasets.iter().filter(|dataset| dataset.lost_bytes > 0 || dataset.lost_lines > 0) {
        output::line(format!(
            "{}: {} lines ({} bytes) are known to be lost",
            dataset.name,
            text::count(dataset.lost_lines),
            text::count(dataset.lost_bytes)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn delete(context: &Context, dataset: &str, yes: bool) -> anyhow::Result<ExitCode> {
    let store = context.store_to_write().await?;
    let Some(summary) = store.datasets().await?.into_iter().find(|summary| summary.name == dataset) else {
        bail!("no dataset `{dataset}`; `rastro datasets` lists what there is");
    };
    let calls: u64 = summary.indices.iter().map(|index| index.calls).sum();
    if !yes {
        if !std::io::stdin().is_terminal() {
            bail!("deleting {} calls of `{dataset}` needs a yes: add --yes", text::count(calls));
        }
        eprint!("delete {} calls of `{dataset}` with their scores and alarms? [y/N] ", text::count(calls));
        std::io::stderr().flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        if !matches!(answer.trim(), "y" | "Y" | "yes") {
            output::line("nothing was deleted")?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    let before = store.size().await?;
    store.delete_dataset(dataset).await?;
    let freed = before.saturating_sub(store.size().await?);
    output::line(format!(
        "deleted `{dataset}`: {} calls, {} bytes freed",
        text::count(calls),
        text::count(freed)
    ))?;
    Ok(ExitCode::SUCCESS)
}
