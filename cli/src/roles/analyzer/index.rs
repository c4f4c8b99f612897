//! Analysis of one index, a page of segments at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use anyhow::Context as _;
use rastro_analyzer::Scorer;
use rastro_model::{Alarm, ProfileRef, SegmentScores, StreamId};
use rastro_store::{AnalysisBatch, Columns, Store, StoredSegment};

use super::{
    LIVE, Settings,
    state::{StoredAnalysis, StoredWorkload, StreamCounts},
    workload::{Profiles, name_of},
};

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
    scorers: BTreeMap<String, Scorer>,
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
            let StoredWorkload::Detecting { profile, state } = workload else { continue };
            // A profile that was deleted meanwhile is no error: the workload is then one without a profile.
            let Ok(read) = self.profiles.read(self.store.as_ref(), &profile).await else { continue };
            let mut scorer = Scorer::new(read, profile.version, self.settings.scoring(Vec::new()))?;
            match scorer.restore(&state) {
                Ok(()) => drop(self.work.scorers.insert(name, scorer)),
                Err(error) => tracing::warn!(workload = name, %error, "scoring goes on without what came before"),
            }
        }
        Ok(())
    }

    /// Scores the next page and writes what came of it; false if there is none.
    pub(super) async fn step(&mut self) -> anyhow::Result<bool> {
        let page = self.store.segments(&self.index, self.place, PAGE_CALLS, Columns::All).await?;
        let Some(last) = page.last() else { return Ok(false) };
        let place = last.place;
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
        for alarm in &batch.alarms {
            tracing::warn!(id = %alarm.id, score = alarm.score, container = alarm.container.id, "{}", alarm.message);
        }
        self.place = place;
        Ok(true)
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
            let current = self.work.scorers.get(name).map(Scorer::profile);
            if current == chosen.as_ref() {
                continue;
            }
            match chosen {
                Some(reference) => {
                    let profile = self.profiles.read(self.store.as_ref(), &reference).await?;
                    let scorer =
                        Scorer::new(profile, reference.version, self.settings.scoring(Vec::new()))?;
                    tracing::info!(workload = name, profile = reference.name, version = reference.version, "detecting");
                    self.work.scorers.insert(name.to_owned(), scorer);
                }
                None => drop(self.work.scorers.remove(name)),
            }
        }
        Ok(())
    }
}

impl Work {
    fn score(&mut self, page: &[StoredSegment]) -> (Vec<SegmentScores>, Vec<Alarm>) {
        let (mut all_scores, mut all_alarms) = (Vec::new(), Vec::<Alarm>::new());
        for StoredSegment { segment, .. } in page {
            let Some(scorer) = self.scorers.get_mut(name_of(segment)) else { continue };
            let scores = scorer.score_segment(segment);
            for alarm in scorer.alarms(segment, &scores) {
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
        let detecting = self.scorers.iter().map(|(name, scorer)| {
            let workload =
                StoredWorkload::Detecting { profile: scorer.profile().clone(), state: scorer.state() };
            (name.clone(), workload)
        });
        StoredAnalysis { counts: self.counts.clone(), workloads: detecting.collect() }
    }
}
