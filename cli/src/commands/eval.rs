//! `rastro eval`: how well detectors tell attacks from normal, on labelled recordings.

mod plot;
mod report;
mod traces;

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Context as _;
use rastro_agent::RecordingKind;
use rastro_analyzer::{
    ModelSpec,
    evaluation::{Part, TraceSets, evaluate},
};

use super::Context;
use crate::{
    args::EvalArgs,
    output::{self, progress, text},
};

/// Detectors where none is named.
const DEFAULT_DETECTORS: [&str; 2] = ["stide:n=6", "bosc:w=10"];

pub(super) fn eval(context: &Context, arguments: &EvalArgs) -> anyhow::Result<ExitCode> {
    let names: Vec<&str> = if arguments.detector.is_empty() {
        DEFAULT_DETECTORS.to_vec()
    } else {
        arguments.detector.iter().map(String::as_str).collect()
    };
    let models = names
        .iter()
        .map(|name| ModelSpec::parse(name).with_context(|| format!("`--detector {name}`")))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let kind = arguments.format.as_deref().map(RecordingKind::named).transpose().context("`--format`")?;
    let parts = [
        (Part::Train, &arguments.train),
        (Part::Normal, &arguments.normal),
        (Part::Attack, &arguments.attack),
    ];
    let files = parts.iter().flat_map(|(part, files)| files.iter().map(|file| (*part, file)));
    let total: u64 =
        files.clone().map(|(_, file)| std::fs::metadata(file).map_or(0, |metadata| metadata.len())).sum();
    let bar = progress::bytes(total, "reading");
    let mut sets = TraceSets::new();
    for (part, file) in files {
        let read = traces::read(file, kind.as_ref(), &bar)?;
        if read.lines_without_event > 0 && !context.quiet {
            eprintln!(
                "{}: {} lines are no events and were left out",
                file.display(),
                text::count(read.lines_without_event)
            );
        }
        read.add_to(&mut sets, part);
    }
    bar.finish_and_clear();
    let bar = progress::items(0, "evaluating");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let evaluation = evaluate(&sets, &models, cores, &|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    if arguments.json {
        output::json(&report::json(&evaluation))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(report::tables(&evaluation))?;
    if std::io::stdout().is_terminal() {
        let curves: Vec<_> = evaluation
            .detectors
            .iter()
            .map(|measured| (measured.detector.as_str(), &measured.accuracy.roc))
            .collect();
        output::line(plot::roc(&curves))?;
    }
    Ok(ExitCode::SUCCESS)
}
