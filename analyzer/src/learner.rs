//! Learning live, where a workload has no profile yet.
//!
//! A [`Learner`] scores every frame by what it knows so far and then learns it. These scores are figures of novelty (the share of
//! unseen windows, in per cent), flagged as `learning`, and never alarm. When the profile is complete enough, has seen enough calls and
//! enough time, it is published and a [`crate::Scorer`] takes over.

use rastro_model::{ProfileRef, Segment, SegmentScores};

use crate::{
    calibration::THRESHOLD,
    engine::frame_of,
    novelty::FrameNovelty,
    profile::Profile,
    training::{Trainer, TrainingOptions, TrainingProgress, TrainingStateError},
};

/// When learning is complete.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnerOptions {
    /// How to train.
    pub training: TrainingOptions,
    /// Completeness that must be reached ([`TrainingProgress::completeness`]), …
    pub completeness: f64,
    /// … after at least so many calls, …
    pub min_calls: u64,
    /// … over at least so long a time of the events, nanoseconds.
    pub min_time_ns: i64,
}

impl Default for LearnerOptions {
    fn default() -> Self {
        Self {
            training: TrainingOptions::default(),
            completeness: 0.999,
            min_calls: 100_000,
            min_time_ns: 3_600_000_000_000,
        }
    }
}

/// Learns a workload while it runs.
#[derive(Debug)]
pub struct Learner {
    trainer: Trainer,
    options: LearnerOptions,
    reference: ProfileRef,
}

impl Learner {
    /// Starts to learn a profile of that name.
    pub fn new(name: &str, options: LearnerOptions) -> Self {
        let trainer = Trainer::new(name, &options.training);
        Self { trainer, options, reference: ProfileRef { name: name.to_owned(), version: 0 } }
    }

    /// Goes on where [`Learner::state`] was taken.
    pub fn restore(options: LearnerOptions, state: &[u8]) -> Result<Self, TrainingStateError> {
        let trainer = Trainer::from_state(state, &options.training)?;
        let reference = ProfileRef { name: trainer.name().to_owned(), version: 0 };
        Ok(Self { trainer, options, reference })
    }

    /// Scores a segment by what is known so far, and learns it. Segments of one stream must come in order.
    pub fn observe(&mut self, segment: &Segment) -> Vec<SegmentScores> {
        let novelties = self.trainer.learn_frames(segment);
        let frame = self.options.training.frame.max(1) as usize;
        self.trainer
            .models()
            .iter()
            .zip(novelties)
            .map(|(spec, novelties)| SegmentScores {
                segment: segment.id,
                detector: spec.detector().to_owned(),
                window: spec.window(),
                profile: self.reference.clone(),
                threshold: THRESHOLD,
                frames: novelties
                    .iter()
                    .enumerate()
                    .map(|(place, novelty)| {
                        let mut scored = frame_of(segment, place, frame, novelty, share(novelty));
                        scored.alarm = false;
                        scored.learning = true;
                        scored
                    })
                    .collect(),
            })
            .collect()
    }

    /// How far learning is.
    pub fn progress(&self) -> TrainingProgress {
        self.trainer.progress()
    }

    /// Whether everything that was asked for has been reached.
    pub fn is_complete(&self) -> bool {
        let progress = self.progress();
        progress.calls >= self.options.min_calls
            && progress.end_ns.saturating_sub(progress.start_ns) >= self.options.min_time_ns
            && progress.completeness >= self.options.completeness
    }

    /// The profile.
    pub fn finish(self, created_ns: i64) -> Profile {
        self.trainer.finish(created_ns)
    }

    /// Everything that is known so far. It is as large as the profile will be and costs as much to write.
    pub fn state(&self) -> Vec<u8> {
        self.trainer.state()
    }
}

/// Share of the windows of a frame that are unseen, per cent.
fn share(novelty: &FrameNovelty) -> f64 {
    100.0 * f64::from(novelty.unseen) / f64::from(novelty.windows.max(1))
}
