//! `rastro replay`: recordings through the whole trail, as if they happened now.
//!
//! Each replay writes its logs into a folder of its own, so that its streams, and with them its counts, are its own. The folder
//! stays until everything in it is stored and scored: a replay that is killed is carried on by the same command.

mod report;
mod workspace;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use anyhow::{Context as _, bail};
use rastro_agent::{LogWriter, LogWriterConfig, RecordingOptions, ReplayPlan, ReplayReport, Speed, WhenFull};

use super::Context;
use crate::{
    args::{ReplayArgs, Table},
    data_dir::Part,
    output::{self, progress},
    roles::{Pipeline, Roles, agent, glob_of},
};
use workspace::Workspace;

pub(super) async fn replay(context: &Context, arguments: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let dataset = arguments.dataset.clone().unwrap_or_else(|| context.config.dataset.name.clone());
    rastro_model::dataset::check_name(&dataset).context("`--dataset`")?;
    let (options, speed) = (options(arguments, &dataset)?, speed(&arguments.speed)?);
    let plan = ReplayPlan::new(&arguments.files, options, speed)?;
    let _ownership = context.data_dir.own("replay", &[Part::Embedded, Part::Checkpoint])?;
    let workspace = Workspace::open(&context.data_dir, plan.identity())?;
    let mut pipeline =
        Pipeline::start_replay(context, Roles::BEHIND_LOGS, vec![glob_of(workspace.logs())?]).await?;

    let cancel = Arc::new(AtomicBool::new(false));
    let mut writing = tokio::task::spawn_blocking({
        let writer = LogWriter::open(
            &workspace.logs(),
            LogWriterConfig {
                when_full: WhenFull::Wait,
                keep_files: 0,
                ..agent::writer_config(&context.config)
            },
        )?
        .with_shipped(agent::shipped(&context.data_dir));
        let cancel = Arc::clone(&cancel);
        let quiet = context.quiet;
        move || write(&plan, writer, &cancel, quiet)
    });
    let written = tokio::select! {
        written = &mut writing => written?,
        failure = pipeline.failure() => {
            cancel.store(true, Ordering::Relaxed);
            pipeline.stop().await;
            return Err(failure);
        }
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("cannot listen for Ctrl-C")?;
            cancel.store(true, Ordering::Relaxed);
            writing.await?
        }
    };
    let written = match written {
        Ok(written) => written,
        Err(error) => {
            // What was written before the error is as good as ever, and is not left for another command to find.
            let drained =
                if arguments.no_drain { pipeline.shipped().await } else { pipeline.drained().await };
            pipeline.stop().await;
            if drained.is_err() || workspace.log_files()?.is_empty() {
                return Err(error);
            }
            let place = if arguments.no_drain { "in the queue for" } else { "stored in" };
            bail!("{}; the lines before that are {place} dataset `{dataset}`", crate::sentence(&error));
        }
    };
    if written.cancelled {
        pipeline.stop().await;
        bail!("interrupted after {} lines; the same command carries on from there", written.lines);
    }

    if arguments.no_drain {
        pipeline.shipped().await?;
        pipeline.stop().await;
        if arguments.json {
            output::json(&serde_json::json!({ "dataset": dataset, "lines_queued": written.lines }))?;
        } else if !context.quiet {
            eprintln!("{} lines are in the queue; `rastro run` stores and scores them", written.lines);
        }
        return Ok(ExitCode::SUCCESS);
    }
    pipeline.drained().await?;
    report::keep_labels(&pipeline, &written, &dataset).await?;
    let report = report::Report::collect(context, &pipeline, &workspace, &written, &dataset, begun).await?;
    pipeline.stop().await;
    // In this order: whoever has seen no report can run the same command again, and nothing is stored twice.
    report.print(context, arguments.json)?;
    workspace.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn options(arguments: &ReplayArgs, dataset: &str) -> anyhow::Result<RecordingOptions> {
    Ok(RecordingOptions {
        kind: arguments.format.as_deref().map(rastro_agent::RecordingKind::named).transpose()?,
        dataset: Some(dataset.to_owned()),
        image: arguments.image.clone(),
        table: arguments.table.map(|table| match table {
            Table::I386 => rastro_model::syscall::Architecture::I386,
            Table::X8664 => rastro_model::syscall::Architecture::X86_64,
            Table::Aarch64 => rastro_model::syscall::Architecture::Aarch64,
        }),
        date: arguments.date.clone(),
        ..RecordingOptions::default()
    })
}

fn speed(text: &str) -> anyhow::Result<Speed> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    match text.parse::<f64>() {
        Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed::Times(times)),
        _ => bail!("`--speed {text}`: expected a number above 0 (1 is as it happened), or max"),
    }
}

/// Writes the recordings into the logs; blocks.
fn write(
    plan: &ReplayPlan,
    mut writer: LogWriter,
    cancel: &AtomicBool,
    quiet: bool,
) -> anyhow::Result<ReplayReport> {
    let bar = if quiet {
        indicatif::ProgressBar::hidden()
    } else {
        progress::bytes(plan.total_bytes(), "replaying")
    };
    let mut watch = |progress: rastro_agent::Progress| bar.set_position(progress.done_bytes);
    let report = rastro_agent::replay(plan, &mut writer, &mut watch, cancel)?;
    bar.finish_and_clear();
    Ok(report)
}
