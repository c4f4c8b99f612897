//! `rastro alarms`: what was found, the most recent first.

use std::process::ExitCode;

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
    let alarms = context.store_to_read().await?.alarms(&query).await?;
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
            "{}  {score}  {}{}  {}",
            text::time(alarm.start_ns),
            alarm.id,
            if alarm.lossy { "  (calls were lost here)" } else { "" },
            text::printable(&alarm.message),
        ))?;
    }
    if !context.quiet {
        eprintln!("{} alarms; `rastro explain ID` tells why", alarms.len());
    }
    Ok(ExitCode::SUCCESS)
}
