//! Conservation as a metric: what became of every line that is stored, and whether the two sums close.
//!
//! The figures come from the store's ledgers, not from what this process remembers: they are right after any restart, and whatever
//! another process wrote is in them.

use std::{sync::Arc, time::Duration};

use rastro_broker::Broker;
use rastro_model::Tally;
use rastro_store::Store;
use tokio_util::sync::CancellationToken;

/// How often the ledgers are read: a look at a file of one's own costs next to nothing, sums over a server's indices cost more.
pub(super) const OF_FILE: Duration = Duration::from_secs(5);

/// The same of a server.
pub(super) const OF_SERVER: Duration = Duration::from_secs(30);

/// Sets the gauges now and then until `shutdown`.
pub(super) async fn watch(
    store: Option<Arc<dyn Store>>,
    broker: Option<Arc<dyn Broker>>,
    interval: Duration,
    shutdown: CancellationToken,
) {
    loop {
        if let Err(error) = measure(store.as_deref(), broker.as_deref()).await {
            tracing::debug!(error = %format!("{error:#}"), "conservation could not be measured");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(interval) => {}
        }
    }
}

async fn measure(store: Option<&dyn Store>, broker: Option<&dyn Broker>) -> anyhow::Result<()> {
    if let Some(broker) = broker {
        // Asking for the depth is what makes the broker tell it (`rastro_broker_queue_…`).
        let depth = broker.depth().await?;
        metrics::gauge!("rastro_broker_queue_limit_bytes").set(depth.limit_bytes as f64);
    }
    match store {
        Some(store) => measure_store(store).await,
        None => Ok(()),
    }
}

async fn measure_store(store: &dyn Store) -> anyhow::Result<()> {
    let datasets = store.datasets().await?;
    let tally: Tally = datasets.iter().map(|dataset| dataset.tally).sum();
    let lost_lines: u64 = datasets.iter().map(|dataset| dataset.lost_lines).sum();
    let lost_bytes: u64 = datasets.iter().map(|dataset| dataset.lost_bytes).sum();
    for (name, value) in [
        ("rastro_store_lines_read", tally.lines_read),
        ("rastro_store_events_parsed", tally.events_parsed),
        ("rastro_store_dead_letters", tally.dead_letters),
        ("rastro_store_calls_stored", tally.calls_stored),
        ("rastro_store_events_folded", tally.events_folded),
        ("rastro_store_events_not_calls", tally.events_not_calls),
        ("rastro_store_calls_lost", tally.calls_lost),
        ("rastro_store_lost_lines", lost_lines),
        ("rastro_store_lost_bytes", lost_bytes),
        ("rastro_store_bytes", store.size().await?),
        ("rastro_conservation_closed", u64::from(tally.is_closed())),
    ] {
        metrics::gauge!(name).set(value as f64);
    }
    Ok(())
}
