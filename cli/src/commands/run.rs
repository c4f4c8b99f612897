//! `rastro run` and the roles alone: work until told to stop.

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use super::Context;
use crate::roles::Pipeline;
pub(super) use crate::roles::Roles;

pub(super) async fn run(context: &Context, roles: Roles) -> anyhow::Result<ExitCode> {
    let _ownership = context.data_dir.own(roles.name(), &roles.parts(&context.config))?;
    let config = &context.config;
    if roles.agent {
        std::fs::create_dir_all(config.log_dir())
            .with_context(|| format!("cannot create the folder `{}`", config.log_dir().display()))?;
    }
    let mut pipeline = Pipeline::start(context, roles).await?;
    tracing::info!(
        role = roles.name(),
        data_dir = %context.data_dir.root().display(),
        logs = ?pipeline.include(),
        "running; Ctrl-C stops"
    );
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let outcome = tokio::select! {
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
        failure = pipeline.failure() => Err(failure),
    };
    tracing::info!("stopping");
    pipeline.stop().await;
    outcome.map(|()| ExitCode::SUCCESS)
}
