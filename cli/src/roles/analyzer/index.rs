//! Analysis of one index, a page of segments at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use rastro_analyzer::{Learner, Scorer};
use rastro_model::{Alarm, ProfileRef, SegmentScores, StreamId};
use rastro_store::{AnalysisBatch, Columns, Store, StoredSegment};

use super::{
    LIVE, Settings,
    state::{StoredAnalysis, StoredWorkload, StreamCounts},
    workload::{Profiles, name_of},
};
use crate::{commands::to_store, config::Learning};

/// Calls that are read, scored and written at a time.
const PAGE_CALLS: usize = 100_000;

/// The analysis of an index.
pub(super) struct IndexAnalysis {
    store: Arc<dyn Store>,
    settings: Arc<Settings>,
    index: String,
    place: u64,
    work: Work,
    profiles: Profiles,
}

/// What is worked on a blocking thread.
#[derive(Default)]
struct Work {
    counts: BTreeMap<StreamId, StreamCounts>,
    workloads: BTreeMap<String, Workload>,
}

/// What is done with the calls of a workload.
enum Workload {
    /// They are compared with its profile.
    Detecting(Box<Scorer>),
    /// It has no profile: they are told how novel they are, and learned.
    Learning(Box<Learner>),
}

impl IndexAnalysis {
    /// Takes up the analysis of `index` where it was left.
    pub(super) async fn open(
        store: Arc<dyn Store>,
        settings: Arc<Settings>,
        index: &str,
    ) -> anyhow::Result<Self> {
        let mut analysis = Self {
            store,
            settings,
            index: index.to_owned(),
            place: 0,
            work: Work::default(),
            profiles: Profiles::default(),
        };
        if let Some((place, state)) = analysis.store.place(LIVE, index).await? {
            analysis.place = place;
            analysis.restore(StoredAnalysis::decode(&state)?).await?;
        }
        Ok(analysis)
    }

    async fn restore(&mut self, stored: StoredAnalysis) -> anyhow::Result<()> {
        self.work.counts = stored.counts;
        for (name, workload) in stored.workloads {
            let restored = match workload {
                StoredWorkload::Detecting { profile, state } => {
                    // A profile that was deleted meanwhile is no error: the workload is then one without a profile.
                    let Ok(read) = self.profiles.read(self.store.as_ref(), &profile).await else { continue };
                    let mut scorer = Scorer::new(read, profile.version, self.settings.scoring(Vec::new()))?;
                    scorer
                        .restore(&state)
                        .map(|()| Workload::Detecting(Box::new(scorer)))
                        .map_err(anyhow::Error::from)
                }
                StoredWorkload::Learning { state } => Learner::restore(self.settings.learner(), &state)
                    .map(|learner| Workload::Learning(Box::new(learner)))
                    .map_err(anyhow::Error::from),
            };
            match restored {
                Ok(workload) => drop(self.work.workloads.insert(name, workload)),
                Err(error) => {
                    tracing::warn!(workload = name, %error, "the analysis goes on without what came before");
                }
            }
        }
        Ok(())
    }

    /// Place up to which everything is scored.
    pub(super) const fn place(&self) -> u64 {
        self.place
    }

    /// Scores the next page and writes what came of it; false if there is none.
    pub(super) async fn step(&mut self) -> anyhow::Result<bool> {
        let page = self.store.segments(&self.index, self.place, PAGE_CALLS, Columns::All).await?;
        let Some(last) = page.last() else { return Ok(false) };
        let place = last.place;
        let newest_read_ns = page.iter().map(|stored| stored.segment.read_ns).max().unwrap_or(0);
        self.choose_profiles(&page).await?;
        let begun = Instant::now();
        let mut work = std::mem::take(&mut self.work);
        let (work, scores, alarms) = tokio::task::spawn_blocking(move || {
            let (scores, alarms) = work.score(&page);
            (work, scores, alarms)
        })
        .await
        .context("scoring has panicked")?;
        self.work = work;
        metrics::histogram!("rastro_analyzer_score_seconds").record(begun.elapsed().as_secs_f64());
        metrics::counter!("rastro_analyzer_alarms_total").increment(alarms.len() as u64);
        let state = self.work.stored().encode()?;
        let batch = AnalysisBatch {
            job: LIVE.to_owned(),
            index: self.index.clone(),
            scores,
            alarms,
            place: Some((place, state)),
        };
        self.store.write_analysis(&batch).await?;
        let delay_seconds = now_ns().saturating_sub(newest_read_ns).max(0) as f64 / 1e9;
        metrics::histogram!("rastro_analyzer_delay_seconds").record(delay_seconds);
        metrics::gauge!("rastro_analyzer_lag_seconds").set(delay_seconds);
        for alarm in &batch.alarms {
            tracing::warn!(target: "rastro::alarm", id = %alarm.id, score = alarm.score, container = alarm.container.id, "{}", alarm.message);
        }
        self.place = place;
        self.publish_learned().await?;
        Ok(true)
    }

    /// Publishes the profiles that are complete; from the next page on their workloads are compared with them.
    async fn publish_learned(&mut self) -> anyhow::Result<()> {
        if self.settings.learning != Learning::Auto {
            return Ok(());
        }
        let complete: Vec<String> = self
            .work
            .workloads
            .iter()
            .filter(|(_, workload)| matches!(workload, Workload::Learning(learner) if learner.is_complete()))
            .map(|(name, _)| name.clone())
            .collect();
        for name in complete {
            let Some(Workload::Learning(learner)) = self.work.workloads.remove(&name) else { continue };
            let profile = learner.finish(now_ns());
            let version = self.store.put_profile(&to_store(&profile)).await?;
            tracing::info!(
                profile = name,
                version,
                calls = profile.training().calls,
                completeness = profile.completeness(),
                "learned; detecting from now on"
            );
        }
        Ok(())
    }

    /// Sees to it that every workload of the page has a scorer with the profile that is the latest now.
    async fn choose_profiles(&mut self, page: &[StoredSegment]) -> anyhow::Result<()> {
        self.profiles.refresh(self.store.as_ref()).await?;
        let mut done: BTreeSet<String> = BTreeSet::new();
        for StoredSegment { segment, .. } in page {
            let name = name_of(segment);
            if !done.insert(name.to_owned()) {
                continue;
            }
            let chosen: Option<ProfileRef> = self.profiles.choose(segment);
            let is_as_chosen = match (self.work.workloads.get(name), &chosen) {
                (Some(Workload::Detecting(scorer)), Some(chosen)) => scorer.profile() == chosen,
                (Some(Workload::Learning(_)), None) => true,
                _ => false,
            };
            if is_as_chosen {
                continue;
            }
            let workload = match chosen {
                Some(reference) => {
                    let profile = self.profiles.read(self.store.as_ref(), &reference).await?;
                    let scorer = Scorer::new(profile, reference.version, self.settings.scoring(Vec::new()))?;
                    tracing::info!(
                        workload = name,
                        profile = reference.name,
                        version = reference.version,
                        "detecting"
                    );
                    Workload::Detecting(Box::new(scorer))
                }
                None => {
                    tracing::info!(workload = name, "no profile yet: learning");
                    Workload::Learning(Box::new(Learner::new(name, self.settings.learner())))
                }
            };
            self.work.workloads.insert(name.to_owned(), workload);
        }
        Ok(())
    }
}

impl Work {
    fn score(&mut self, page: &[StoredSegment]) -> (Vec<SegmentScores>, Vec<Alarm>) {
        let (mut all_scores, mut all_alarms) = (Vec::new(), Vec::<Alarm>::new());
        for StoredSegment { segment, .. } in page {
            let (scores, alarms) = match self.workloads.get_mut(name_of(segment)) {
                Some(Workload::Detecting(scorer)) => {
                    let scores = scorer.score_segment(segment);
                    let alarms = scorer.alarms(segment, &scores);
                    (scores, alarms)
                }
                Some(Workload::Learning(learner)) => (learner.observe(segment), Vec::new()),
                None => continue,
            };
            for alarm in alarms {
                // An alarm that grows within a page is written once, as it stands at the end.
                all_alarms.retain(|earlier| earlier.id != alarm.id);
                all_alarms.push(alarm);
            }
            let mut counts = StreamCounts::default();
            counts.add(&scores);
            *self.counts.entry(segment.id.stream).or_default() += counts;
            metrics::counter!("rastro_analyzer_segments_total").increment(1);
            metrics::counter!("rastro_analyzer_windows_total").increment(counts.windows);
            metrics::counter!("rastro_analyzer_frames_total").increment(counts.frames);
            all_scores.extend(scores);
        }
        (all_scores, all_alarms)
    }

    fn stored(&self) -> StoredAnalysis {
        let workloads = self.workloads.iter().map(|(name, workload)| {
            let stored = match workload {
                Workload::Detecting(scorer) => {
                    StoredWorkload::Detecting { profile: scorer.profile().clone(), state: scorer.state() }
                }
                Workload::Learning(learner) => StoredWorkload::Learning { state: learner.state() },
            };
            (name.clone(), stored)
        });
        StoredAnalysis { counts: self.counts.clone(), workloads: workloads.collect() }
    }
}

fn now_ns() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
}
