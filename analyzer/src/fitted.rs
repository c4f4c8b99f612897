//! Detectors that are fitted to a sample of frames rather than counted: all that such a model must do is fit and score.
//!
//! What is learned is a bounded sample of frames ([`FrameSample`]), and that is also what is stored and merged: models are fitted anew where
//! a profile is loaded, to the same bits, so that nothing in a file must be believed but calls. Held-out scores come from cross-fitting:
//! every frame of the sample is scored by models that were fitted to the other parts of it.
//!
//! Several models may share a sample ([`Combination::MeanOfPValues`]): the scores of each become p-values among frames that behave
//! alike ([`crate::vector::local_calibration`]), and the mean of these is what the frame is judged by.

use std::{
    any::Any,
    fmt::Debug,
    sync::{Arc, OnceLock},
};

use rastro_model::Reason;
use serde::{Deserialize, Serialize};

use crate::{
    alphabet::{Alphabet, Symbol},
    detector::{BREAK, Detector, Frame, FrameJudge, Judge, RawScale, WindowStatistics, alike},
    registry::ModelSpec,
    vector::{
        FrameScore,
        call_mix::call_mix,
        frame_sample::{FrameSample, FrameSampleContent},
        local_calibration::{HeldOutFrame, LocalCalibration, mean_p_value},
    },
};

/// Decides which frames are kept where there are too many.
const SEED: u64 = 0;

/// A model fitted to frames.
pub(crate) trait FrameModel: Debug + Send + Sync {
    /// Appends its scores of a frame, the higher the stranger. All are finite.
    fn scores(&self, calls: &[Symbol], scores: &mut Vec<f64>);
}

impl<Model: FrameScore + Debug + Send + Sync> FrameModel for Model {
    fn scores(&self, calls: &[Symbol], scores: &mut Vec<f64>) {
        scores.push(self.score(calls));
    }
}

/// A kind of model.
#[derive(Debug)]
pub(crate) struct Member {
    /// What each of its scores is called.
    pub(crate) scores: &'static [&'static str],
    /// Fits one.
    pub(crate) fit: fn(&ModelSpec, &FrameSample) -> Box<dyn FrameModel>,
}

/// How the scores of the members become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Combination {
    /// There is one score.
    Single,
    /// −ln of the mean of the scores' p-values.
    MeanOfPValues,
}

/// What is fitted, and how.
#[derive(Debug)]
pub(crate) struct Fitting {
    pub(crate) members: &'static [Member],
    pub(crate) combination: Combination,
    pub(crate) scale: RawScale,
    /// Most different frames of the sample.
    pub(crate) frames: usize,
    /// Parts of the cross-fitting.
    pub(crate) folds: u64,
}

/// A detector that is fitted.
#[derive(Debug, Clone)]
pub(crate) struct Fitted {
    spec: ModelSpec,
    fitting: &'static Fitting,
    sample: FrameSample,
    /// For each frame of the sample every score that it got without being known; empty until [`Detector::finish`].
    held_out: Vec<Vec<f64>>,
    models: OnceLock<Arc<Models>>,
}

/// Models fitted to everything, and what makes p-values of their scores.
#[derive(Debug)]
struct Models {
    members: Vec<Box<dyn FrameModel>>,
    /// Number of held-out frames.
    held_out: f64,
    names: Vec<&'static str>,
    calibration: Option<LocalCalibration>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    sample: FrameSampleContent,
    held_out: Vec<Vec<f64>>,
}

impl Fitted {
    /// One that knows nothing.
    pub(crate) fn new(spec: &ModelSpec, fitting: &'static Fitting) -> Self {
        Self {
            spec: spec.clone(),
            fitting,
            sample: FrameSample::new(SEED, fitting.frames),
            held_out: Vec::new(),
            models: OnceLock::new(),
        }
    }

    /// Reads [`Detector::encode`]'s bytes.
    pub(crate) fn decode(
        spec: &ModelSpec,
        fitting: &'static Fitting,
        bytes: &[u8],
        alphabet: usize,
    ) -> Result<Self, String> {
        let (stored, rest): (Stored, _) = postcard::take_from_bytes(bytes)
            .map_err(|error| format!("its frames cannot be read: {error}"))?;
        if !rest.is_empty() {
            return Err("bytes follow its frames".to_owned());
        }
        let sample = FrameSample::from_content(stored.sample, alphabet)?;
        if sample.distinct() > fitting.frames {
            return Err("it has too many frames".to_owned());
        }
        let scores = fitting.names().count();
        let is_sound = stored
            .held_out
            .iter()
            .all(|of_frame| of_frame.len() == scores && of_frame.iter().all(|score| score.is_finite()));
        if !is_sound || (!stored.held_out.is_empty() && stored.held_out.len() != sample.distinct()) {
            return Err("its held-out scores do not match its frames".to_owned());
        }
        let held_out = stored.held_out;
        Ok(Self { spec: spec.clone(), fitting, sample, held_out, models: OnceLock::new() })
    }

    fn fit(&self, sample: &FrameSample) -> Vec<Box<dyn FrameModel>> {
        self.fitting.members.iter().map(|member| (member.fit)(&self.spec, sample)).collect()
    }

    /// Scores of every frame of the sample by models that did not see it; the mean, where it lies in several parts.
    fn cross_fit(&self) -> Vec<Vec<f64>> {
        let frames: Vec<&[Symbol]> = self.sample.frames().map(|(calls, _)| calls).collect();
        let mut sums = vec![vec![0.0; self.fitting.names().count()]; frames.len()];
        for fold in self.sample.folds(self.fitting.folds) {
            if fold.held_out.is_empty() {
                continue;
            }
            let members = self.fit(&fold.fit);
            for (number, count) in fold.held_out {
                for (sum, score) in sums[number].iter_mut().zip(scores(&members, frames[number])) {
                    *sum += score * count as f64;
                }
            }
        }
        for (sums, (_, count)) in sums.iter_mut().zip(self.sample.frames()) {
            for sum in sums {
                *sum /= count as f64;
            }
        }
        sums
    }

    fn models(&self) -> Arc<Models> {
        let fit = || {
            let calibration = (self.fitting.combination == Combination::MeanOfPValues).then(|| {
                let held_out = self.sample.frames().zip(&self.held_out);
                let held_out = held_out
                    .map(|((calls, count), scores)| HeldOutFrame {
                        mix: call_mix(calls),
                        scores: scores.clone(),
                        count,
                    })
                    .collect();
                LocalCalibration::new(held_out, self.fitting.names().count())
            });
            let calibration = calibration.and_then(|made| {
                made.inspect_err(|error| tracing::warn!(%error, "models are not calibrated")).ok()
            });
            let members = self.fit(&self.sample);
            let held_out = self.sample.frames().map(|(_, count)| count as f64).sum();
            Arc::new(Models { members, held_out, names: self.fitting.names().collect(), calibration })
        };
        Arc::clone(self.models.get_or_init(fit))
    }
}

impl Fitting {
    /// One model that gives one score.
    pub(crate) const fn single(member: &'static [Member; 1], scale: RawScale) -> Self {
        Self { members: member, combination: Combination::Single, scale, frames: 4096, folds: 5 }
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.members.iter().flat_map(|member| member.scores.iter().copied())
    }
}

fn scores(members: &[Box<dyn FrameModel>], calls: &[Symbol]) -> Vec<f64> {
    let mut scores = Vec::with_capacity(members.len() + 1);
    for member in members {
        member.scores(calls, &mut scores);
    }
    scores
}

impl Models {
    fn p_values(&self, calls: &[Symbol]) -> Option<Vec<f64>> {
        let calibration = self.calibration.as_ref()?;
        Some(calibration.p_values(calls, &scores(&self.members, calls)))
    }

    fn raw(&self, calls: &[Symbol]) -> f64 {
        match self.p_values(calls) {
            Some(p_values) => raw_of(&p_values, self.held_out),
            None => scores(&self.members, calls).first().copied().unwrap_or_default(),
        }
    }
}

/// A p-value that is so many times smaller than held-out data can show is beyond it, however its extrapolation may err.
const FAR_BEYOND: f64 = 100.0;

/// How strange a frame with these p-values is, where `held_out` normal frames are known: −ln of their mean, and where most of them lie far
/// beyond all that was held out, by how far the middle one does. (The mean alone is never smaller than a share of its largest part: a single
/// member that sees nothing would keep any frame from being as rare as a budget of one alarm a day asks for.)
fn raw_of(p_values: &[f64], held_out: f64) -> f64 {
    let mut sorted = p_values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(1.0);
    let beyond = -(middle * (held_out + 1.0) * FAR_BEYOND).ln();
    beyond.max(0.0) - mean_p_value(p_values).ln()
}

impl Detector for Fitted {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn learn_frame(&mut self, frame: &Frame<'_>) {
        if !frame.is_fresh {
            return;
        }
        self.sample.learn(frame.calls);
        self.held_out.clear();
        self.models = OnceLock::new();
    }

    fn finish(&mut self) {
        if self.held_out.is_empty() {
            self.held_out = self.cross_fit();
            self.models = OnceLock::new();
        }
    }

    fn judge(&self, _alphabet: usize) -> Judge {
        // Before it is finished nothing is said: to fit after every block that is learned would be most of the work of training.
        let models = (!self.held_out.is_empty()).then(|| self.models());
        Judge::Frames(Box::new(FittedJudge { models }))
    }

    fn scale(&self) -> RawScale {
        self.fitting.scale
    }

    fn held_out(&self) -> Option<Vec<(f64, u64)>> {
        let counts = self.sample.frames().map(|(_, count)| count);
        if self.fitting.combination == Combination::Single || self.held_out.is_empty() {
            let raw = self.held_out.iter().map(|scores| scores.first().copied().unwrap_or_default());
            return Some(raw.zip(counts).collect());
        }
        let models = self.models();
        let raw = self.sample.frames().zip(&self.held_out).map(|((calls, _), scores)| {
            models
                .calibration
                .as_ref()
                .map_or(0.0, |made| raw_of(&made.p_values(calls, scores), models.held_out))
        });
        Some(raw.zip(counts).collect())
    }

    fn statistics(&self) -> WindowStatistics {
        self.sample.statistics()
    }

    fn merge(&mut self, other: &dyn Detector, symbols: &[Symbol]) -> bool {
        let Some(other) = alike(self, other) else { return false };
        self.sample.merge(&other.sample, symbols);
        self.held_out.clear();
        self.models = OnceLock::new();
        true
    }

    fn encode(&self) -> Vec<u8> {
        let stored = Stored { sample: self.sample.to_content(), held_out: self.held_out.clone() };
        postcard::to_stdvec(&stored).unwrap_or_default()
    }

    fn boxed_clone(&self) -> Box<dyn Detector> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
struct FittedJudge {
    models: Option<Arc<Models>>,
}

impl FrameJudge for FittedJudge {
    fn score(&self, frame: &Frame<'_>) -> f64 {
        let is_empty = frame.calls.iter().all(|&call| call == BREAK);
        self.models.as_ref().filter(|_| !is_empty).map_or(0.0, |models| models.raw(frame.calls))
    }

    fn opinions(&self, frame: &Frame<'_>, _alphabet: &Alphabet) -> Option<Reason> {
        let models = self.models.as_ref()?;
        let p_values = models.p_values(frame.calls)?;
        let one_in = p_values.iter().map(|p| (1.0 / p).round() as u64);
        let members = models.names.iter().map(|&name| name.to_owned()).zip(one_in).collect();
        Some(Reason::Opinions { members })
    }
}
