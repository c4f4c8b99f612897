//! The analyzer's role: every index of the store, segment by segment, to scores and alarms, with the place kept.
//!
//! The place in an index and everything that the scorers remember there are written together with the scores, all or nothing.
//! So a restart scores nothing twice and misses nothing, and a score never depends on where a restart fell.
//!
//! Several analyzers on one store share its indices (see `claims`). What a store cannot do for now is tried again, with growing
//! pauses, for as long as it takes.

mod claims;
mod index;
mod settings;
mod state;
mod workload;

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::anyhow;
use rastro_store::{Columns, Store, StoreError};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::patience::Pauses;
use crate::config::Config;
use claims::Claims;
use index::IndexAnalysis;
pub(crate) use settings::{Settings, model_specs};
pub(crate) use state::{StreamCounts, live_counts};
pub(crate) use workload::{Profiles, name_of as workload_name};

/// Name of the analysis that follows the data as it comes.
pub(crate) const LIVE: &str = "live";

/// How long to wait for new segments before looking again.
const WAIT: Duration = Duration::from_secs(1);

/// The same while someone waits for everything to be scored.
const SHORT_WAIT: Duration = Duration::from_millis(50);

/// How long one index is worked on before the others get their turn.
const TURN: Duration = Duration::from_secs(1);

/// How long claims may take to be given up at the end.
const RELEASE_LIMIT: Duration = Duration::from_secs(3);

/// How far the role is, in passes over all indices.
#[derive(Debug, Clone, Copy, Default)]
struct Passes {
    /// Passes begun.
    begun: u64,
    /// The last pass that found everything scored.
    idle: u64,
}

/// Speaks with the role.
#[derive(Debug, Clone)]
pub(crate) struct AnalyzerHandle {
    passes: watch::Receiver<Passes>,
    wake: Arc<Notify>,
    /// How many wait for everything to be scored.
    waiting: Arc<AtomicUsize>,
}

impl AnalyzerHandle {
    /// Waits until everything that is stored now is scored.
    pub(crate) async fn caught_up(&self) -> anyhow::Result<()> {
        let mut passes = self.passes.clone();
        let begun = passes.borrow().begun;
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.wake.notify_one();
        let is_scored = passes.wait_for(|passes| passes.idle > begun).await.map(drop);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        is_scored.map_err(|_| anyhow!("the analyzer ended before everything was scored"))
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
    let (wake, waiting) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let handle = AnalyzerHandle { passes, wake: Arc::clone(&wake), waiting: Arc::clone(&waiting) };
    let role = Role {
        claims: Claims::new(Arc::clone(&store), &config.node()),
        store,
        settings,
        analyses: HashMap::new(),
        passes: sender,
        wake,
        waiting,
        shutdown,
    };
    Ok((handle, role.run()))
}

struct Role {
    store: Arc<dyn Store>,
    settings: Arc<Settings>,
    claims: Claims,
    analyses: HashMap<String, IndexAnalysis>,
    passes: watch::Sender<Passes>,
    wake: Arc<Notify>,
    waiting: Arc<AtomicUsize>,
    shutdown: CancellationToken,
}

/// What a look at indices came to.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    /// There was something to do.
    had_work: bool,
    /// Everything that is stored is scored, here or elsewhere; it is looked at elsewhere only while someone waits for it.
    is_complete: bool,
}

impl Role {
    async fn run(mut self) -> anyhow::Result<()> {
        let outcome = self.work().await;
        let _ = tokio::time::timeout(RELEASE_LIMIT, self.claims.release_all()).await;
        outcome
    }

    /// Pass after pass until the end.
    async fn work(&mut self) -> anyhow::Result<()> {
        let mut pauses = Pauses::new();
        while !self.shutdown.is_cancelled() {
            self.passes.send_modify(|passes| passes.begun += 1);
            let is_awaited = self.waiting.load(Ordering::Relaxed) > 0;
            let outcome = match self.pass(is_awaited).await {
                Ok(outcome) => outcome,
                Err(error) if is_transient(&error) => {
                    metrics::counter!("rastro_analyzer_store_retries_total").increment(1);
                    tracing::warn!(error = %format!("{error:#}"), "the store does not work now; trying again");
                    tokio::select! {
                        () = self.shutdown.cancelled() => return Ok(()),
                        () = tokio::time::sleep(pauses.next()) => {}
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            pauses = Pauses::new();
            if outcome.is_complete {
                self.passes.send_modify(|passes| passes.idle = passes.begun);
            }
            if !outcome.had_work {
                let wait = if is_awaited && !outcome.is_complete { SHORT_WAIT } else { WAIT };
                tokio::select! {
                    () = self.shutdown.cancelled() => return Ok(()),
                    () = self.store.wait_for_segments(wait) => {}
                    () = self.wake.notified() => {}
                }
            }
        }
        Ok(())
    }

    /// One look at every index.
    async fn pass(&mut self, is_awaited: bool) -> anyhow::Result<Outcome> {
        let names = self.store.index_names().await?;
        let there: HashSet<&str> = names.iter().map(String::as_str).collect();
        self.analyses.retain(|name, _| there.contains(name.as_str()));
        self.claims.keep(|name| there.contains(name));
        let mut pass = Outcome { had_work: false, is_complete: true };
        for name in &names {
            if self.shutdown.is_cancelled() {
                break;
            }
            match self.look_at(name, is_awaited).await {
                Ok(outcome) => {
                    pass.had_work |= outcome.had_work;
                    pass.is_complete &= outcome.is_complete;
                }
                Err(error) if is_superseded(&error) => {
                    tracing::info!(index = name, "another analyzer has gone on with this index");
                    metrics::counter!("rastro_analyzer_superseded_total").increment(1);
                    self.analyses.remove(name);
                    self.claims.lost(name);
                    pass.is_complete = false;
                }
                Err(error) => {
                    // What was scored and not written is scored again from the place that was.
                    self.analyses.remove(name);
                    return Err(error.context(format!("analysis of `{name}`")));
                }
            }
        }
        metrics::gauge!("rastro_analyzer_indices").set(self.analyses.len() as f64);
        Ok(pass)
    }

    /// Works on an index for as long as there is something to do and it is ours.
    async fn look_at(&mut self, name: &str, is_awaited: bool) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome { had_work: false, is_complete: true };
        let begun = Instant::now();
        loop {
            if !self.claims.take(name, is_awaited).await? {
                self.analyses.remove(name);
                if is_awaited && self.claims.is_others(name) {
                    outcome.is_complete = is_scored(self.store.as_ref(), name).await?;
                }
                return Ok(outcome);
            }
            let analysis = match self.analyses.entry(name.to_owned()) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let (store, settings) = (Arc::clone(&self.store), Arc::clone(&self.settings));
                    place.insert(IndexAnalysis::open(store, settings, name).await?)
                }
            };
            if !analysis.step().await? {
                let place = analysis.place();
                if self.claims.rest(name, place).await {
                    self.analyses.remove(name);
                }
                return Ok(outcome);
            }
            self.claims.worked(name);
            outcome.had_work = true;
            if self.shutdown.is_cancelled() || begun.elapsed() >= TURN {
                outcome.is_complete = false;
                return Ok(outcome);
            }
        }
    }
}

/// Whether nothing is stored behind the place that was reached in an index.
async fn is_scored(store: &dyn Store, index: &str) -> anyhow::Result<bool> {
    let place = store.place(LIVE, index).await?.map_or(0, |(place, _)| place);
    Ok(store.segments(index, place, 1, Columns::Sequence).await?.is_empty())
}

fn is_transient(error: &anyhow::Error) -> bool {
    error.downcast_ref::<StoreError>().is_some_and(StoreError::is_transient)
}

fn is_superseded(error: &anyhow::Error) -> bool {
    // An index that is gone between being listed and being read was removed by someone else: nothing to go on with either.
    matches!(
        error.downcast_ref::<StoreError>(),
        Some(StoreError::Superseded { .. } | StoreError::NotFound { kind: "index", .. })
    )
}
