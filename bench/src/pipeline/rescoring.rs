//! Scoring again what lies in Elasticsearch.

use std::{process::Command, time::Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::{Bench, storing::stored_calls};
use crate::{Settings, report::Report, shipping::write_log};

/// The aim for ten million calls, seconds.
const AIM_SECONDS: f64 = 5.0;

pub(super) fn run(bench: &mut Bench, settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    // A profile from a small recording, learned in a data directory of its own and carried over.
    let folder = bench.rig.parts.folder.clone();
    let training = folder.join("training.log");
    write_log(&training, 41, crate::trail::TRAINING_CALLS, 10_000)?;
    let (data_dir, file) = (folder.join("training"), folder.join("bench.profile"));
    let text = |path: &std::path::Path| path.display().to_string();
    crate::process::rastro(
        &settings.rastro,
        &data_dir,
        &["replay", &text(&training), "--dataset", "training", "--drain", "--json"],
    )?;
    let trained = crate::process::rastro(&settings.rastro, &data_dir, &["train", "training", "--json"])?;
    ensure!(!trained.answer.is_null(), "nothing was learned");
    let export = ["profile", "export", "bench", "--output", &text(&file)];
    let mut command = Command::new(&settings.rastro);
    run_to_end(command.arg("--data-dir").arg(&data_dir).args(export))?;
    run_to_end(&mut bench.rig.client(&["profile", "import", &text(&file)]))?;

    let calls = stored_calls(settings);
    for (name, detectors) in
        [("STIDE n=6", &["--detector", "stide", "--window", "6"][..]), ("four models", &[])]
    {
        let mut arguments = vec!["score", "bench", "--dry-run", "--json"];
        arguments.extend(detectors);
        let begun = Instant::now();
        let printed = run_to_end(&mut bench.rig.client(&arguments))?;
        let time = begun.elapsed();
        let answer: Value = serde_json::from_slice(&printed).context("`rastro score` printed no JSON")?;
        let scored = answer["calls"].as_u64().with_context(|| format!("no `calls` in {answer}"))?;
        ensure!(scored == calls, "{scored} of {calls} calls were scored");
        report.add(
            &format!("pipeline: {calls} calls in Elasticsearch scored again, {name}"),
            time.as_secs_f64(),
            "s",
            "aim",
            AIM_SECONDS * calls as f64 / 1e7,
        );
    }
    Ok(())
}

fn run_to_end(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output = command.output().context("cannot run `rastro`")?;
    ensure!(
        output.status.success(),
        "{:?} failed: {}",
        command.get_args().collect::<Vec<_>>(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}
