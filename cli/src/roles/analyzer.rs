//! The analyzer's role: every index of the store, segment by segment, to scores and alarms, with the place kept.
//!
//! The place in an index and everything that the scorers remember there are written together with the scores, all or nothing.
//! So a restart scores nothing twice and misses nothing, and a score never depends on where a restart fell.

mod index;
mod settings;
mod state;
mod workload;

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use rastro_store::{Store, StoreError};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use index::IndexAnalysis;
pub(crate) use settings::{Settings, model_specs};
pub(crate) use state::{StreamCounts, live_counts};
pub(crate) use workload::{Profiles, name_of as workload_name};

/// Name of the analysis that follows the data as it comes.
pub(crate) const LIVE: &str = "live";

/// How long to wait for new segments before looking again.
const WAIT: Duration = Duration::from_secs(1);

/// Pause before a write is tried again that found the disk full or the store busy.
const RETRY: Duration = Duration::from_secs(1);

/// How far the role is, in passes over all indices.
#[derive(Debug, Clone, Copy, Default)]
struct Passes {
    /// Passes begun.
    begun: u64,
    /// The last pass that found nothing to do.
    idle: u64,
}

/// Speaks with the role.
#[derive(Debug, Clone)]
pub(crate) struct AnalyzerHandle {
    passes: watch::Receiver<Passes>,
    wake: Arc<Notify>,
}

impl AnalyzerHandle {
    /// Waits until everything that is stored now is scored.
    pub(crate) async fn caught_up(&self) -> anyhow::Result<()> {
        let mut passes = self.passes.clone();
        let begun = passes.borrow().begun;
        self.wake.notify_one();
        passes
            .wait_for(|passes| passes.idle > begun)
            .await
            .map_err(|_| anyhow!("the analyzer ended before everything was scored"))?;
        Ok(())
    }
}

/// The role, and what speaks with it.
pub(crate) fn role(
    store: Arc<dyn Store>,
    config: &Config,
    shutdown: CancellationToken,
) -> anyhow::Result<(AnalyzerHandle, impl Future<Output = anyhow::Result<()>> + Send + use<>)> {
    let settings = Arc::new(Settings::new(config)?);
    let (sender, passes) = watch::channel(Passes::default());
    let wake = Arc::new(Notify::new());
    let handle = AnalyzerHandle { passes, wake: Arc::clone(&wake) };
    Ok((handle, run(store, settings, sender, wake, shutdown)))
}

async fn run(
    store: Arc<dyn Store>,
    settings: Arc<Settings>,
    passes: watch::Sender<Passes>,
    wake: Arc<Notify>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let mut analyses: HashMap<String, IndexAnalysis> = HashMap::new();
    loop {
        passes.send_modify(|passes| passes.begun += 1);
        let mut is_idle = true;
        for name in index_names(store.as_ref()).await? {
            if !analyses.contains_key(&name) {
                let analysis = IndexAnalysis::open(Arc::clone(&store), Arc::clone(&settings), &name).await?;
                analyses.insert(name.clone(), analysis);
            }
            let Some(analysis) = analyses.get_mut(&name) else { continue };
            loop {
                if shutdown.is_cancelled() {
                    return Ok(());
                }
                match analysis.step().await {
                    Ok(true) => is_idle = false,
                    Ok(false) => break,
                    Err(error) if is_transient(&error) => {
                        tracing::warn!(error = %format!("{error:#}"), "scores cannot be written now; trying again");
                        // What was scored and not written is scored again from the place that was.
                        analyses.remove(&name);
                        is_idle = false;
                        tokio::select! {
                            () = shutdown.cancelled() => return Ok(()),
                            () = tokio::time::sleep(RETRY) => {}
                        }
                        break;
                    }
                    Err(error) => return Err(error).with_context(|| format!("analysis of `{name}`")),
                }
            }
        }
        if is_idle {
            passes.send_modify(|passes| passes.idle = passes.begun);
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = store.wait_for_segments(WAIT) => {}
                () = wake.notified() => {}
            }
        }
    }
}

async fn index_names(store: &dyn Store) -> anyhow::Result<Vec<String>> {
    let datasets = store.datasets().await?;
    Ok(datasets.into_iter().flat_map(|dataset| dataset.indices).map(|index| index.name).collect())
}

fn is_transient(error: &anyhow::Error) -> bool {
    error.downcast_ref::<StoreError>().is_some_and(StoreError::is_transient)
}
