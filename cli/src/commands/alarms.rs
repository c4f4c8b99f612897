//! `rastro alarms`: what was found, the most recent first.

use std::process::ExitCode;

use anyhow::bail;
use owo_colors::OwoColorize;
use rastro_store::AlarmQuery;

use super::Context;
use crate::{
    args::AlarmsArgs,
    output::{self, text},
};

pub(super) async fn alarms(context: &Context, arguments: &AlarmsArgs) -> anyhow::Result<ExitCode> {
    let query = AlarmQuery {
        dataset: arguments.dataset.clone(),
        job: Some(arguments.scoring.clone()),
        container: arguments.container.clone(),
        limit: arguments.number,
    };
    let store = context.store_to_read().await?;
    if let Some(dataset) = &arguments.dataset
        && !store.datasets().await?.iter().any(|known| known.name == *dataset)
    {
        bail!("no dataset `{dataset}`; `rastro datasets` lists what there is");
    }
    let alarms = store.alarms(&query).await?;
    if arguments.json {
        output::json(&alarms)?;
        return Ok(ExitCode::SUCCESS);
    }
    if alarms.is_empty() {
        output::line("no alarms")?;
        return Ok(ExitCode::SUCCESS);
    }
    let colours = output::colours();
    for alarm in &alarms {
        let score = format!("{:5.1}", alarm.score);
        let score = if colours { score.red().bold().to_string() } else { score };
        output::line(format!(
            "{:<23}  {score}  {}{}  {}",
            text::time(alarm.start_ns),
            alarm.id,
            if alarm.lossy { "  (calls were lost here)" } else { "" },
            text::printable(&alarm.message),
        ))?;
    }
    if !context.quiet {
        eprintln!("{}; `rastro explain ID` tells why", text::counted(alarms.len() as u64, "alarm"));
    }
    Ok(ExitCode::SUCCESS)
}
