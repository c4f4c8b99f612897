//! Training: segments in, a profile out.
//!
//! Every segment is first scored by what is known already, then kept until a block is full, then learned
//! (`calibration` says why). Training can be continued on a profile that exists.

use rastro_model::Segment;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{
    alphabet::Symbol,
    calibration::HeldOut,
    containers::{ContainerKey, Containers, StoredContainers, Walk, is_walkable},
    detector::Judge,
    novelty::FrameNovelty,
    profile::{MAX_GROWTH_POINTS, Profile},
    profile_file::{Effort, ProfileError},
    registry::{ModelSpec, default_models},
    sequences::Run,
};

/// Calls that wait to be learned: one in this many of those learned, …
const BLOCK_SHARE: u64 = 8;
/// … between these bounds.
const BLOCK_CALLS: std::ops::RangeInclusive<u64> = 1024..=1 << 20;

/// Most frames whose raw scores are kept for calibration; beyond it the older half goes.
const MAX_FRAMES: usize = 1 << 23;

/// Most containers whose time span is told apart, for the rate of frames.
const MAX_SPANS: usize = 65_536;

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingOptions {
    /// The models to train.
    pub models: Vec<ModelSpec>,
    /// Most calls of a frame.
    pub frame: u32,
}

impl Default for TrainingOptions {
    fn default() -> Self {
        Self { models: default_models(), frame: crate::engine::DEFAULT_FRAME }
    }
}

/// How far training is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TrainingProgress {
    /// Calls seen.
    pub calls: u64,
    /// Different windows of the widest model.
    pub distinct: u64,
    /// 1 − the probability that the next window of the widest model is a new one.
    pub completeness: f64,
    /// Time of the first call, nanoseconds since the epoch.
    pub start_ns: i64,
    /// Time of the last call, nanoseconds since the epoch.
    pub end_ns: i64,
}

/// Makes a profile.
#[derive(Debug)]
pub struct Trainer {
    profile: Profile,
    frame: usize,
    judges: Vec<Judge>,
    longest_window: usize,
    containers: Containers,
    walk: Walk,
    /// Segments scored and not yet learned.
    pending: Vec<PendingRuns>,
    pending_calls: u64,
    learned_calls: u64,
    /// Raw levels of the frames scored so far, in order, for each model.
    levels: Vec<Vec<u16>>,
    /// How many calls were learned when so many frames had been scored.
    blocks: Vec<(u64, usize)>,
    /// Calls and held-out frames of the profile that training went on from.
    resumed_calls: u64,
    resumed_held_out: Vec<HeldOut>,
    spans: FxHashMap<ContainerKey, (i64, i64)>,
}

/// Runs of a segment that wait to be learned.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct PendingRuns {
    calls: Vec<Symbol>,
    runs: Vec<Run>,
}

impl Trainer {
    /// Starts a new profile.
    pub fn new(name: &str, options: &TrainingOptions) -> Self {
        Self::on(Profile::empty(name, &options.models), options.frame)
    }

    /// Goes on with a profile: it learns more, and what comes is held out against what it knows.
    pub fn resume(profile: Profile, frame: u32) -> Self {
        Self::on(profile, frame)
    }

    fn on(mut profile: Profile, frame: u32) -> Self {
        let resumed_held_out =
            profile.models.iter_mut().map(|model| std::mem::take(&mut model.held_out)).collect::<Vec<_>>();
        let learned_calls = profile.training.calls;
        let mut trainer = Self {
            longest_window: profile
                .models
                .iter()
                .map(|model| model.detector.spec().window())
                .max()
                .unwrap_or(2)
                .max(2) as usize,
            frame: frame.max(1) as usize,
            judges: Vec::new(),
            containers: Containers::default(),
            walk: Walk::default(),
            pending: Vec::new(),
            pending_calls: 0,
            learned_calls,
            levels: vec![Vec::new(); profile.models.len()],
            blocks: vec![(learned_calls, 0)],
            resumed_calls: learned_calls,
            resumed_held_out,
            spans: FxHashMap::default(),
            profile,
        };
        trainer.make_judges();
        trainer
    }

    fn make_judges(&mut self) {
        let alphabet = self.profile.alphabet.len();
        self.judges = self.profile.models.iter().map(|model| model.detector.judge(alphabet)).collect();
    }

    /// Learns a segment. Segments of one stream must come in order.
    pub fn learn(&mut self, segment: &Segment) {
        self.learn_frames(segment);
    }

    /// Learns a segment and gives the frames of each model as they were before it was learned.
    pub(crate) fn learn_frames(&mut self, segment: &Segment) -> Vec<Vec<FrameNovelty>> {
        if !is_walkable(segment) {
            tracing::warn!(segment = %segment.id, "segment with inconsistent columns is not learned");
            return vec![Vec::new(); self.judges.len()];
        }
        let calls = &segment.calls;
        if calls.is_empty() {
            return vec![Vec::new(); self.judges.len()];
        }
        let symbols: Vec<Symbol> =
            calls.kinds.iter().map(|kind| self.profile.alphabet.learn(&kind.name)).collect();
        self.note(segment, &symbols);
        let state = self.containers.enter(segment);
        let judges: Vec<&Judge> = self.judges.iter().collect();
        let frames = self.walk.walk(segment, &symbols, &judges, self.longest_window, self.frame, state);
        for ((levels, model), frames) in self.levels.iter_mut().zip(&self.profile.models).zip(&frames) {
            let scale = model.detector.scale();
            levels.extend(frames.iter().map(|frame| scale.level(frame.raw) as u16));
        }
        if self.judges.iter().any(|judge| judge.as_frames().is_some()) {
            self.walk.frames(segment).visit(|frame| {
                for model in &mut self.profile.models {
                    model.detector.learn_frame(frame);
                }
            });
        }
        if self.levels.first().is_some_and(|levels| levels.len() > MAX_FRAMES) {
            self.forget_old_frames();
        }
        self.pending
            .push(PendingRuns { calls: self.walk.runs.calls.clone(), runs: self.walk.runs.all.clone() });
        self.pending_calls += calls.len() as u64;
        if self.pending_calls
            >= (self.learned_calls / BLOCK_SHARE).clamp(*BLOCK_CALLS.start(), *BLOCK_CALLS.end())
        {
            self.learn_pending();
        }
        frames
    }

    /// Counts what a segment holds.
    fn note(&mut self, segment: &Segment, symbols: &[Symbol]) {
        let calls = &segment.calls;
        self.profile.call_counts.resize(self.profile.alphabet.len(), 0);
        let mut by_kind = vec![0u64; symbols.len()];
        for &kind in &calls.kind {
            by_kind[usize::from(kind)] += 1;
        }
        for (&symbol, count) in symbols.iter().zip(by_kind) {
            if let Some(sum) = self.profile.call_counts.get_mut(usize::from(symbol)) {
                *sum += count;
            }
        }
        let start_ns = calls.time_ns.iter().copied().min().unwrap_or(0);
        let end_ns = calls.time_ns.iter().copied().max().unwrap_or(0);
        self.profile.note_source(segment, start_ns, end_ns);
        let training = &mut self.profile.training;
        if training.segments == 0 {
            training.start_ns = start_ns;
            training.end_ns = end_ns;
        }
        training.start_ns = training.start_ns.min(start_ns);
        training.end_ns = training.end_ns.max(end_ns);
        training.calls += calls.len() as u64;
        training.segments += 1;
        training.lossy_segments += u64::from(segment.gap.is_some());
        training.frames += calls.len().div_ceil(self.frame) as u64;
        if self.spans.len() < MAX_SPANS {
            let span = self.spans.entry(ContainerKey::of(segment)).or_insert((start_ns, start_ns));
            let before = span.1.saturating_sub(span.0);
            *span = (span.0.min(start_ns), span.1.max(end_ns));
            let grown = span.1.saturating_sub(span.0).saturating_sub(before);
            training.container_ns = training.container_ns.saturating_add(grown.max(0) as u64);
        }
    }

    fn forget_old_frames(&mut self) {
        let half = MAX_FRAMES / 2;
        for levels in &mut self.levels {
            levels.drain(..half);
        }
        for (_, frames) in &mut self.blocks {
            *frames = frames.saturating_sub(half);
        }
    }

    fn learn_pending(&mut self) {
        for model in &mut self.profile.models {
            for pending in &self.pending {
                for run in &pending.runs {
                    model.detector.learn(&pending.calls[run.range.clone()], run.context);
                }
            }
            let statistics = model.detector.statistics();
            model.growth.push((statistics.windows, statistics.distinct));
            if model.growth.len() > MAX_GROWTH_POINTS {
                // Every second point goes; the last one stays.
                let last = model.growth.len() - 1;
                let mut place = 0;
                model.growth.retain(|_| {
                    place += 1;
                    place % 2 == 0 || place - 1 == last
                });
            }
        }
        self.pending.clear();
        // A level that rose out of ignorance would say nothing of what is known now.
        self.containers.forget_levels();
        self.learned_calls += self.pending_calls;
        self.pending_calls = 0;
        self.blocks.push((self.learned_calls, self.levels.first().map_or(0, Vec::len)));
        self.make_judges();
    }

    /// Name of the profile.
    pub fn name(&self) -> &str {
        &self.profile.name
    }

    /// The models that are trained.
    pub fn models(&self) -> Vec<ModelSpec> {
        self.profile.models()
    }

    /// How far training is. Calls of the block that is not full yet are not counted as learned.
    pub fn progress(&self) -> TrainingProgress {
        let statistics = self.profile.widest_statistics();
        let training = &self.profile.training;
        TrainingProgress {
            calls: training.calls,
            distinct: statistics.distinct,
            completeness: 1.0 - statistics.unseen_mass(),
            start_ns: training.start_ns,
            end_ns: training.end_ns,
        }
    }

    /// The profile.
    pub fn finish(mut self, created_ns: i64) -> Profile {
        self.learn_pending();
        let half = self.profile.training.calls.div_ceil(2);
        // The frames scored when half of everything was known.
        let first = self
            .blocks
            .iter()
            .find(|(learned, _)| *learned >= half)
            .map_or(usize::MAX, |&(_, frames)| frames);
        for ((model, levels), resumed) in
            self.profile.models.iter_mut().zip(&self.levels).zip(self.resumed_held_out)
        {
            model.detector.finish();
            if let Some(scores) = model.detector.held_out() {
                model.held_out = HeldOut::of_raw(&scores, &model.detector.scale());
                continue;
            }
            model.held_out = HeldOut::of(levels.iter().skip(first).map(|&level| u32::from(level)));
            if self.resumed_calls >= half {
                model.held_out.add(&resumed);
            }
        }
        self.profile.created_ns = created_ns;
        self.profile
    }

    /// Everything that is known so far. [`Trainer::from_state`] takes it up.
    pub fn state(&self) -> Vec<u8> {
        let mut spans: Vec<_> = self.spans.iter().map(|(key, span)| (key.clone(), *span)).collect();
        spans.sort_unstable();
        let stored = StoredTrainer {
            profile: self.profile.to_bytes_with(Effort::State),
            frame: self.frame,
            containers: self.containers.to_stored(),
            pending: self.pending.clone(),
            pending_calls: self.pending_calls,
            learned_calls: self.learned_calls,
            levels: self.levels.clone(),
            blocks: self.blocks.clone(),
            resumed_calls: self.resumed_calls,
            resumed_held_out: self.resumed_held_out.clone(),
            spans,
        };
        postcard::to_stdvec(&stored).unwrap_or_default()
    }

    /// Goes on where [`Trainer::state`] was taken with the same options.
    pub fn from_state(state: &[u8], options: &TrainingOptions) -> Result<Self, TrainingStateError> {
        let stored: StoredTrainer =
            postcard::from_bytes(state).map_err(|error| TrainingStateError::Unreadable(error.to_string()))?;
        let profile = Profile::from_bytes(&stored.profile)?;
        if profile.models() != options.models || stored.frame != options.frame.max(1) as usize {
            return Err(TrainingStateError::OtherOptions);
        }
        let alphabet = profile.alphabet.len();
        let is_sound = stored.levels.len() == profile.models.len()
            && stored.resumed_held_out.len() == profile.models.len()
            && stored.pending.iter().all(|pending| pending.is_sound(alphabet));
        if !is_sound {
            return Err(TrainingStateError::Unreadable("its parts do not fit together".to_owned()));
        }
        let mut trainer = Self::on(profile, options.frame);
        // The judges must know what those of the saved trainer knew: what was learned, with the names of then. A name met since
        // then is in no window, so it is unseen either way.
        trainer.containers = Containers::from_stored(stored.containers);
        trainer.pending = stored.pending;
        trainer.pending_calls = stored.pending_calls;
        trainer.learned_calls = stored.learned_calls;
        trainer.levels = stored.levels;
        trainer.blocks = stored.blocks;
        trainer.resumed_calls = stored.resumed_calls;
        trainer.resumed_held_out = stored.resumed_held_out;
        trainer.spans = stored.spans.into_iter().collect();
        Ok(trainer)
    }
}

impl PendingRuns {
    fn is_sound(&self, alphabet: usize) -> bool {
        self.calls.iter().all(|&symbol| usize::from(symbol) < alphabet)
            && self.runs.iter().all(|run| {
                run.range.start <= run.range.end
                    && run.range.end <= self.calls.len()
                    && run.context <= run.range.end - run.range.start
            })
    }
}

/// A [`Trainer`] as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredTrainer {
    profile: Vec<u8>,
    frame: usize,
    containers: StoredContainers,
    pending: Vec<PendingRuns>,
    pending_calls: u64,
    learned_calls: u64,
    levels: Vec<Vec<u16>>,
    blocks: Vec<(u64, usize)>,
    resumed_calls: u64,
    resumed_held_out: Vec<HeldOut>,
    spans: Vec<(ContainerKey, (i64, i64))>,
}

/// State bytes that training cannot go on from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingStateError {
    /// They cannot be read.
    #[error("the learner's state cannot be read ({0}); learn again from the beginning of the index")]
    Unreadable(String),
    /// The profile in it cannot be read.
    #[error("the learner's state cannot be used: {0}")]
    Profile(#[from] ProfileError),
    /// They belong to other models or another frame size.
    #[error(
        "the learner's state belongs to other detectors or frames; learn again from the beginning of the index"
    )]
    OtherOptions,
}
