//! `rastro eval`: how well detectors tell attacks from normal, on labelled recordings.

mod file_segments;
mod input;
mod layout;
mod plot;
mod recordings;
mod report;
mod stored;
mod traces;

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use rastro_agent::RecordingKind;
use rastro_analyzer::{
    DETECTORS, ModelSpec,
    evaluation::{
        Evaluation, EvaluationOptions, TraceSets, evaluate_learners, evaluate_recordings, evaluate_with,
    },
    vector::supervised::{LEARNERS, LearnerInfo},
};
use tokio::runtime::Runtime;

use super::Context;
use crate::{
    args::EvalArgs,
    output::{self, progress, text},
};
use input::{Input, Inputs};
use layout::Unit;
use recordings::{Recording, RecordingSet};

/// Detectors where none is named.
const DEFAULT_DETECTORS: [&str; 3] = ["ensemble", "stide:n=6", "bosc:w=10"];

/// The name that stands for every detector.
const ALL: &str = "all";

pub(super) fn eval(runtime: &Runtime, context: &Context, arguments: &EvalArgs) -> anyhow::Result<ExitCode> {
    let (models, learners) = contestants(&arguments.detector)?;
    let kind = arguments.format.as_deref().map(RecordingKind::named).transpose().context("`--format`")?;
    for output in [&arguments.plot, &arguments.html].into_iter().flatten() {
        check_folder(output)?;
    }
    let inputs = Inputs::of(runtime, context, arguments)?;
    let options = EvaluationOptions {
        seed: arguments.seed,
        folds: arguments.folds,
        resamples: arguments.resamples,
        ..EvaluationOptions::default()
    };
    let evaluation = match inputs.unit {
        Unit::Trace => {
            let sets = trace_sets(runtime, context, &inputs, kind.as_ref())?;
            if let Some(part) = sets.stranger() {
                anyhow::bail!(
                    "no call of the {part} traces occurs in the traces to train on: names of calls are compared with numbers; \
                     take both from files, or replay both with the same --table"
                );
            }
            let bar = progress::items(0, "evaluating");
            let progress = |done, total| {
                bar.set_length(total);
                bar.set_position(done);
            };
            let mut evaluation = evaluate_with(&sets, &models, &options, &progress)?;
            evaluation.detectors.extend(evaluate_learners(&sets, &learners, &options, &progress)?);
            bar.finish_and_clear();
            evaluation
        }
        Unit::Recording if models.is_empty() => {
            anyhow::bail!(
                "learners from labels ({}) judge traces, not recordings: give --unit trace",
                learners.iter().map(|learner| learner.name).collect::<Vec<_>>().join(", ")
            );
        }
        Unit::Recording => by_recording(runtime, context, inputs, kind, &models, &options)?,
    };
    print(arguments, &evaluation)
}

/// Refuses a file that could not be written once everything is measured, which may take hours.
fn check_folder(output: &Path) -> anyhow::Result<()> {
    let folder = match output.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let cannot = || format!("cannot write `{}`", output.display());
    anyhow::ensure!(!output.is_dir(), "{}: it is a folder; name a file in it", cannot());
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK)
        .with_context(|| format!("{} into `{}`", cannot(), folder.display()))
}

/// The detectors and the learners from labels that are named; `all` stands for all of both, with their defaults.
fn contestants(names: &[String]) -> anyhow::Result<(Vec<ModelSpec>, Vec<&'static LearnerInfo>)> {
    let (mut models, mut learners): (Vec<ModelSpec>, Vec<&LearnerInfo>) = (Vec::new(), Vec::new());
    let defaults: Vec<String> = DEFAULT_DETECTORS.map(str::to_owned).to_vec();
    for name in if names.is_empty() { &defaults } else { names } {
        let named: Vec<&str> = if name == ALL {
            let detectors = DETECTORS.iter().map(|info| info.name);
            detectors.chain(LEARNERS.iter().map(|learner| learner.name)).collect()
        } else {
            vec![name.as_str()]
        };
        for text in named {
            if let Some(learner) = LEARNERS.iter().find(|learner| learner.name == text) {
                if !learners.iter().any(|known| known.name == learner.name) {
                    learners.push(learner);
                }
                continue;
            }
            let spec = ModelSpec::parse(text).with_context(|| {
                let learners = LEARNERS.iter().map(|learner| format!("`{}`", learner.name));
                let learners = learners.collect::<Vec<_>>().join(", ");
                format!(
                    "`--detector {text}` (beside detectors, there are {learners} from labels, and `{ALL}`)"
                )
            })?;
            if !models.contains(&spec) {
                models.push(spec);
            }
        }
    }
    Ok((models, learners))
}

fn trace_sets(
    runtime: &Runtime,
    context: &Context,
    inputs: &Inputs,
    kind: Option<&RecordingKind>,
) -> anyhow::Result<TraceSets> {
    let bytes = |input: &Input| match input {
        Input::File(file) => std::fs::metadata(&file.path).map_or(0, |metadata| metadata.len()),
        Input::Stored(_) => 0,
    };
    let bar = progress::bytes(inputs.inputs.iter().map(bytes).sum(), "reading");
    let mut sets = TraceSets::new();
    for input in &inputs.inputs {
        match input {
            Input::File(file) => {
                let left_out = traces::add_file(file, kind, &bar, &mut sets)?;
                if left_out > 0 && !context.quiet {
                    eprintln!(
                        "{}: {} lines are no events and were left out",
                        file.path.display(),
                        text::count(left_out)
                    );
                }
            }
            Input::Stored(dataset) => {
                let store = inputs.store()?;
                runtime.block_on(dataset.add_traces(store.as_ref(), &mut sets))?;
            }
        }
    }
    bar.finish_and_clear();
    Ok(sets)
}

fn by_recording(
    runtime: &Runtime,
    context: &Context,
    inputs: Inputs,
    kind: Option<RecordingKind>,
    models: &[ModelSpec],
    options: &EvaluationOptions,
) -> anyhow::Result<Evaluation> {
    let mut recordings = Vec::new();
    for input in inputs.inputs {
        match input {
            Input::File(file) => recordings.push(Recording::File(file)),
            Input::Stored(dataset) => {
                recordings.extend(dataset.containers().into_iter().map(Recording::Stored));
            }
        }
    }
    let store = inputs.store.map(|store| (store, runtime.handle().clone()));
    let set = RecordingSet::new(recordings, kind, store);
    let bar = progress::items(0, "evaluating");
    let frame = context.config.analyzer.frame;
    let evaluation = evaluate_recordings(&set, models, frame, options, &|done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .map_err(|error| match error {
        rastro_analyzer::evaluation::RecordingsError::Read(error) => error,
        error => anyhow::anyhow!("{error}"),
    })?;
    bar.finish_and_clear();
    Ok(evaluation)
}

fn print(arguments: &EvalArgs, evaluation: &Evaluation) -> anyhow::Result<ExitCode> {
    let write = |path: &Option<PathBuf>, content: &dyn Fn() -> String| match path {
        Some(path) => {
            std::fs::write(path, content()).with_context(|| format!("cannot write `{}`", path.display()))
        }
        None => Ok(()),
    };
    write(&arguments.plot, &|| report::picture(evaluation))?;
    write(&arguments.html, &|| report::page(evaluation, arguments.seed))?;
    if arguments.json {
        output::json(&report::json(evaluation))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(report::tables(evaluation))?;
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
