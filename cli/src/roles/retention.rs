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
        // What goes is told by the store.
        if let Err(error) = store.retain(&policy).await {
            tracing::warn!(%error, "what is too old or too much cannot be removed now");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}
