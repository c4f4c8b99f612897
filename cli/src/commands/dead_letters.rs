//! `rastro dead-letters`: lines that were no event, with the reason.

use std::process::ExitCode;

use serde_json::json;

use super::Context;
use crate::{args::DeadLettersArgs, output};

pub(super) async fn dead_letters(context: &Context, arguments: &DeadLettersArgs) -> anyhow::Result<ExitCode> {
    let store = context.store_to_read().await?;
    let letters = store.dead_letters(&arguments.dataset, arguments.number).await?;
    if arguments.json {
        let documents: Vec<_> = letters
            .iter()
            .map(|letter| {
                json!({
                    "stream": letter.stream, "line": letter.line, "position": letter.position,
                    "reason": letter.reason, "text": String::from_utf8_lossy(&letter.text),
                })
            })
            .collect();
        output::json(&documents)?;
        return Ok(ExitCode::SUCCESS);
    }
    if letters.is_empty() {
        output::line(format!("no dead letters in `{}`", arguments.dataset))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = output::table(["STREAM", "LINE", "OFFSET", "REASON", "TEXT"]);
    for letter in &letters {
        let text: String = String::from_utf8_lossy(&letter.text).chars().take(60).collect();
        table.add_row([
            letter.stream.to_string(),
            letter.line.to_string(),
            letter.position.to_string(),
            output::text::printable(&letter.reason),
            output::text::printable(&text),
        ]);
    }
    output::line(table.to_string().trim_end())?;
    let datasets = store.datasets().await?;
    let known = datasets.iter().find(|known| known.name == arguments.dataset);
    let all = known.map_or(0, |known| known.tally.dead_letters);
    if !context.quiet && all > letters.len() as u64 {
        eprintln!(
            "the oldest {} of {}; -n shows more",
            output::text::count(letters.len() as u64),
            output::text::count(all)
        );
    }
    Ok(ExitCode::SUCCESS)
}
