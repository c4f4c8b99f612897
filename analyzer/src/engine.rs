//! Scoring: segments in, scores and alarms out, with the place kept.

use std::sync::Arc;

use rastro_model::{Alarm, FrameScore, ProfileRef, Segment, SegmentScores};
use serde::{Deserialize, Serialize};

use crate::{
    alarms::{Alarms, Context, StoredAlarms},
    alphabet::{Alphabet, Symbol},
    calibration::{Calibration, THRESHOLD},
    containers::{ContainerState, Containers, Onset, StoredContainers, Walk, is_walkable},
    detector::Judge,
    explain::{Detail, Explainer},
    novelty::FrameNovelty,
    profile::Profile,
    registry::ModelSpec,
};

/// Calls of a frame where nothing else is said.
pub const DEFAULT_FRAME: u32 = 256;

/// Names that a scorer learns beyond those of its profile, so that explanations can name them.
const MAX_NEW_NAMES: usize = 1024;

/// Frames of one segment and model that are explained for their scores, beside those in which a burst began. A container cannot make
/// explaining the main work.
const MAX_EXPLAINED: usize = 4;

/// How to score.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoringOptions {
    /// Models of the profile to score with; all of them, if empty.
    pub models: Vec<ModelSpec>,
    /// Most calls of a frame.
    pub frame: u32,
    /// Budget of false alarms a container a day, all models together.
    pub false_alarms_per_day: f64,
    /// Frames that alarm in one container within this time of one another are one alarm, nanoseconds.
    pub alarm_gap_ns: i64,
    /// Score from which on frames are explained. The first unseen window of a burst is named whatever the score of its frame is,
    /// because what follows may raise an alarm. Infinity explains nothing.
    pub explain_from: f64,
}

impl Default for ScoringOptions {
    fn default() -> Self {
        Self {
            models: Vec::new(),
            frame: DEFAULT_FRAME,
            false_alarms_per_day: 1.0,
            alarm_gap_ns: 60_000_000_000,
            explain_from: THRESHOLD / 2.0,
        }
    }
}

/// A scorer that cannot be made, or a state that is not its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScorerError {
    /// The profile was not trained with a model that was asked for.
    #[error("profile `{profile}` has no model `{model}`, it has {known}; train it with `--detector {model}`")]
    NoModel {
        /// The profile.
        profile: String,
        /// The model.
        model: String,
        /// The models that it has.
        known: String,
    },
    /// State bytes that cannot be read.
    #[error("the analyzer's state cannot be read ({0}); score the index again from its beginning")]
    State(String),
    /// State of another profile, of other models or of another frame size.
    #[error(
        "the analyzer's state belongs to {found}, not to {expected}; score the index again from its beginning"
    )]
    OtherState {
        /// What it belongs to.
        found: String,
        /// What this scorer is.
        expected: String,
    },
}

/// Scores segments with a profile.
///
/// Segments of one stream must come in order. Scores depend on nothing but the profile, the options and the segments of the same
/// stream and container in the same index: live and offline they are the same to the last bit.
#[derive(Debug)]
pub struct Scorer {
    profile: Arc<Profile>,
    reference: ProfileRef,
    options: ScoringOptions,
    models: Vec<ScoredModel>,
    /// Names of the profile, then new ones.
    alphabet: Alphabet,
    longest_window: usize,
    containers: Containers,
    alarms: Alarms,
    walk: Walk,
    /// For each model and frame of the segment scored last: where the burst began that the frame belongs to.
    onsets: Vec<Vec<Option<Onset>>>,
}

#[derive(Debug)]
struct ScoredModel {
    /// Place in the profile.
    place: usize,
    spec: ModelSpec,
    judge: Judge,
    calibration: Calibration,
}

#[derive(Serialize, Deserialize)]
struct StoredScorer {
    identity: String,
    new_names: Vec<String>,
    containers: StoredContainers,
    alarms: StoredAlarms,
}

impl Scorer {
    /// A scorer with `profile` at `version`.
    pub fn new(profile: Arc<Profile>, version: u32, options: ScoringOptions) -> Result<Self, ScorerError> {
        let trained = profile.models();
        let wanted = if options.models.is_empty() { trained.clone() } else { options.models.clone() };
        let mut models: Vec<ScoredModel> = Vec::with_capacity(wanted.len());
        for spec in &wanted {
            if models.iter().any(|model| model.spec == *spec) {
                continue;
            }
            let place =
                trained.iter().position(|known| known == spec).ok_or_else(|| ScorerError::NoModel {
                    profile: profile.name.clone(),
                    model: spec.to_string(),
                    known: trained.iter().map(|spec| format!("`{spec}`")).collect::<Vec<_>>().join(", "),
                })?;
            models.push(ScoredModel {
                place,
                spec: spec.clone(),
                judge: profile.models[place].detector.judge(profile.alphabet.len()),
                calibration: profile.calibration(place, options.false_alarms_per_day, wanted.len()),
            });
        }
        Ok(Self {
            reference: ProfileRef { name: profile.name.clone(), version },
            alphabet: profile.alphabet.clone(),
            longest_window: models.iter().map(|model| model.spec.window()).max().unwrap_or(2).max(2) as usize,
            containers: Containers::default(),
            alarms: Alarms::default(),
            walk: Walk::default(),
            onsets: Vec::new(),
            models,
            options,
            profile,
        })
    }

    /// The profile and its version.
    pub fn profile(&self) -> &ProfileRef {
        &self.reference
    }

    /// Scores a segment: one entry a model.
    pub fn score_segment(&mut self, segment: &Segment) -> Vec<SegmentScores> {
        let is_usable = is_walkable(segment);
        if !is_usable {
            tracing::warn!(segment = %segment.id, "segment with inconsistent columns is not scored");
        }
        let limit = self.profile.alphabet.len() + MAX_NEW_NAMES;
        let symbols: Vec<Symbol> =
            segment.calls.kinds.iter().map(|kind| self.alphabet.intern(&kind.name, limit)).collect();
        let frame = self.options.frame.max(1) as usize;
        let mut novelties = vec![Vec::new(); self.models.len()];
        self.onsets.clear();
        if is_usable && !segment.calls.is_empty() {
            let judges: Vec<&Judge> = self.models.iter().map(|model| &model.judge).collect();
            let state = self.containers.enter(segment);
            novelties = self.walk.walk(segment, &symbols, &judges, self.longest_window, frame, state);
            self.onsets = onsets_of(segment, frame, &novelties, state);
        }
        let mut scores: Vec<SegmentScores> = Vec::with_capacity(self.models.len());
        for (model, novelties) in self.models.iter().zip(&novelties) {
            let frames = novelties.iter().enumerate().map(|(place, novelty)| {
                let score = model.calibration.score(novelty.raw);
                frame_of(segment, place, frame, novelty, score)
            });
            scores.push(SegmentScores {
                segment: segment.id,
                detector: model.spec.detector().to_owned(),
                window: model.spec.window(),
                profile: self.reference.clone(),
                threshold: THRESHOLD,
                frames: frames.collect(),
            });
        }
        for (model, (scores, novelties)) in scores.iter_mut().zip(&novelties).enumerate() {
            self.explain(segment, model, novelties, &mut scores.frames);
        }
        scores
    }

    fn explain(
        &self,
        segment: &Segment,
        model: usize,
        novelties: &[FrameNovelty],
        frames: &mut [FrameScore],
    ) {
        if self.options.explain_from.is_infinite() {
            return;
        }
        let mut explained: Vec<usize> =
            (0..frames.len()).filter(|&frame| frames[frame].score >= self.options.explain_from).collect();
        explained.sort_by(|&a, &b| frames[b].score.total_cmp(&frames[a].score).then(a.cmp(&b)));
        explained.truncate(MAX_EXPLAINED);
        // The first suspicious frame, where its burst began, and where the one began that may lead to an alarm later: an alarm
        // may turn out to begin with any of them.
        let last_begin =
            |frames: &[FrameNovelty]| frames.iter().rposition(|novelty| novelty.begins.is_some());
        if let Some(first) = frames.iter().position(|frame| frame.score >= self.options.explain_from) {
            explained.push(first);
            explained.extend(last_begin(&novelties[..=first]));
        }
        explained.extend(last_begin(novelties));
        explained.sort_unstable();
        explained.dedup();
        let explainer = Explainer {
            profile: &self.profile,
            alphabet: &self.alphabet,
            detector: self.profile.models[self.models[model].place].detector.as_ref(),
            judge: &self.models[model].judge,
            calibration: &self.models[model].calibration,
            segment,
            walk: &self.walk,
            model,
        };
        for place in explained {
            let frame = &mut frames[place];
            let (begin, detail) = if frame.score >= self.options.explain_from {
                (novelties[place].peak_begins, Detail::Full)
            } else {
                (novelties[place].begins, Detail::FirstWindow)
            };
            let first = frame.first_call as usize;
            let calls = first..first + frame.calls as usize;
            frame.reasons = explainer.reasons(calls, begin.unwrap_or(frame.first_call), detail);
        }
    }

    /// The alarms that `scores`, which [`Scorer::score_segment`] gave for `segment`, raise or make grow.
    pub fn alarms(&mut self, segment: &Segment, scores: &[SegmentScores]) -> Vec<Alarm> {
        let context = Context {
            gap_ns: self.options.alarm_gap_ns,
            trained_calls: self.profile.training().calls,
            onsets: &self.onsets,
        };
        self.alarms.update(segment, scores, &context)
    }

    /// What a state must have in common with this scorer.
    fn identity(&self) -> String {
        let models: Vec<String> = self.models.iter().map(|model| model.spec.to_string()).collect();
        format!(
            "{}@{}, {}, frame {}",
            self.reference.name,
            self.reference.version,
            models.join(" "),
            self.options.frame
        )
    }

    /// Everything that the scorer remembers between segments. [`Scorer::restore`] takes it up.
    pub fn state(&self) -> Vec<u8> {
        let stored = StoredScorer {
            identity: self.identity(),
            new_names: self.alphabet.names()[self.profile.alphabet.len()..].to_vec(),
            containers: self.containers.to_stored(),
            alarms: self.alarms.to_stored(),
        };
        postcard::to_stdvec(&stored).unwrap_or_default()
    }

    /// Goes on where `state` was taken.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), ScorerError> {
        let stored: StoredScorer =
            postcard::from_bytes(state).map_err(|error| ScorerError::State(error.to_string()))?;
        if stored.identity != self.identity() {
            return Err(ScorerError::OtherState { found: stored.identity, expected: self.identity() });
        }
        let alarms = Alarms::from_stored(stored.alarms).map_err(ScorerError::State)?;
        let mut alphabet = self.profile.alphabet.clone();
        let limit = alphabet.len() + MAX_NEW_NAMES;
        for name in &stored.new_names {
            alphabet.intern(name, limit);
        }
        self.alphabet = alphabet;
        self.containers = Containers::from_stored(stored.containers);
        self.alarms = alarms;
        Ok(())
    }
}

/// For each model and frame where its burst began; `state` keeps the present one for the next segment.
fn onsets_of(
    segment: &Segment,
    frame: usize,
    novelties: &[Vec<FrameNovelty>],
    state: &mut ContainerState,
) -> Vec<Vec<Option<Onset>>> {
    state.onsets.resize(novelties.len(), None);
    let onset_at = |place: usize| Onset {
        segment: segment.id,
        first_call: (place * frame) as u32,
        start_ns: segment.calls.time_ns[place * frame],
    };
    let of_model = |(novelties, current): (&Vec<FrameNovelty>, &mut Option<Onset>)| {
        let frames = novelties.iter().enumerate().map(|(place, novelty)| {
            let of_peak = if novelty.peak_begins.is_some() { Some(onset_at(place)) } else { *current };
            if novelty.begins.is_some() {
                *current = Some(onset_at(place));
            }
            of_peak
        });
        frames.collect()
    };
    novelties.iter().zip(&mut state.onsets).map(of_model).collect()
}

/// The score of frame number `place`.
pub(crate) fn frame_of(
    segment: &Segment,
    place: usize,
    frame: usize,
    novelty: &FrameNovelty,
    score: f64,
) -> FrameScore {
    let first = place * frame;
    let last = (first + frame).min(segment.calls.len()) - 1;
    FrameScore {
        first_call: first as u32,
        calls: (last - first + 1) as u32,
        windows: novelty.windows,
        unseen: novelty.unseen,
        raw: novelty.raw,
        score,
        alarm: score >= THRESHOLD,
        lossy: place == 0 && segment.gap.is_some(),
        learning: false,
        start_ns: segment.calls.time_ns[first],
        end_ns: segment.calls.time_ns[last],
        reasons: Vec::new(),
    }
}
