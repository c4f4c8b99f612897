//! `/metrics`, `/healthz` and `/readyz` on a loopback port.

use std::{io::ErrorKind, sync::OnceLock, time::Duration};

use anyhow::Context;
use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Health;
use crate::config::ObservabilityConfig;

/// Bounds of the duration histograms, seconds.
const DURATION_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The process's metrics; the first call installs the recorder.
pub(crate) fn recorder() -> anyhow::Result<PrometheusHandle> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets(DURATION_BUCKETS)
        .context("histogram buckets")?
        .install_recorder()
        .context("metrics recorder")?;
    Ok(HANDLE.get_or_init(|| handle).clone())
}

#[derive(Clone)]
struct Shared {
    metrics: PrometheusHandle,
    health: Health,
}

/// The listening server.
pub(crate) struct Server {
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// As [`start`](Self::start), but does without where another process has the port that nobody chose: who replays two recordings at a time
    /// wants both replayed.
    pub(crate) async fn start_if_free(
        config: &ObservabilityConfig,
        health: Health,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Option<Self>> {
        let started = Self::start(config, health, shutdown).await;
        let is_taken = |error: &anyhow::Error| {
            error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::AddrInUse)
        };
        match started {
            Err(error) if is_taken(&error) && config.listen == ObservabilityConfig::default().listen => {
                tracing::warn!(address = %config.listen, "another process serves metrics there; this one serves none");
                Ok(None)
            }
            started => started,
        }
    }

    /// Listens as configured; `None` where it is switched off.
    pub(crate) async fn start(
        config: &ObservabilityConfig,
        health: Health,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Option<Self>> {
        let metrics = recorder()?;
        if !config.enabled {
            return Ok(None);
        }
        let listener = TcpListener::bind(config.listen).await.with_context(|| {
            format!(
                "cannot listen on {} for metrics: choose another with `observability.listen` (port 0 takes a free one), \
                 or switch it off with `observability.enabled = false`",
                config.listen
            )
        })?;
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "metrics are served without credentials on an address that is not loopback");
        }
        tracing::info!(url = %format!("http://{address}/metrics"), "metrics and health");
        let upkeep = metrics.clone();
        let router = Router::new()
            .route("/metrics", get(|State(shared): State<Shared>| async move { shared.metrics.render() }))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .with_state(Shared { metrics, health });
        let task = tokio::spawn(async move {
            let served = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
            tokio::select! {
                outcome = served => if let Err(error) = outcome {
                    tracing::error!(%error, "metrics server ended");
                },
                () = async {
                    loop {
                        tokio::time::sleep(Duration::from_secs(5)).await;
                        upkeep.run_upkeep();
                    }
                } => {}
            }
        });
        Ok(Some(Self { task }))
    }

    /// Waits until it has ended after the shutdown.
    pub(crate) async fn finish(self) {
        // A client that keeps its connection open must not keep us.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.task).await;
    }
}

async fn healthz(State(shared): State<Shared>) -> impl IntoResponse {
    let status = if shared.health.is_alive() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(shared.health.roles()))
}

async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    let status = if shared.health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(shared.health.roles()))
}
