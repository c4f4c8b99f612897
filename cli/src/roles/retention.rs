//! Removing what has been kept for long enough.

use std::{sync::Arc, time::Duration};

use rastro_store::{Retention, Store};
use tokio_util::sync::CancellationToken;

/// How often ages and sizes are looked at.
const INTERVAL: Duration = Duration::from_mins(5);

/// Keeps the store within the policy until `shutdown`.
pub(super) async fn keep(store: Arc<dyn Store>, policy: Retention, shutdown: CancellationToken) {
    if policy.keeps_everything() {
        return;
    }
    loop {
        match store.retain(&policy).await {
            Ok(report) => {
                metrics::counter!("rastro_retention_indices_total").increment(report.removed.len() as u64);
                metrics::counter!("rastro_retention_dead_letters_total").increment(report.dead_letters);
                if !report.removed.is_empty() || report.dead_letters > 0 {
                    tracing::debug!(
                        indices = ?report.removed, dead_letters = report.dead_letters, bytes = report.bytes,
                        "removed what was kept for long enough"
                    );
                }
            }
            Err(error) => tracing::warn!(%error, "what is too old or too much cannot be removed now"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}
