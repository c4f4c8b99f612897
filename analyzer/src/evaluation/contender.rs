//! A detector on trial: the one place where evaluation touches detectors.

use crate::{
    alphabet::{Alphabet, Symbol},
    detector::{Frame, Judge, WindowStatistics},
    profile::Profile,
    registry::ModelSpec,
};

/// A trained detector.
pub(crate) struct Contender {
    profile: Profile,
    judge: Judge,
}

impl Contender {
    /// Trains `spec` on whole traces.
    pub(crate) fn train<'t>(
        spec: &ModelSpec,
        alphabet: &Alphabet,
        traces: impl IntoIterator<Item = &'t Vec<Symbol>>,
    ) -> Self {
        let mut profile = Profile::empty("evaluation", std::slice::from_ref(spec));
        profile.alphabet = alphabet.clone();
        profile.call_counts = vec![0; alphabet.len()];
        let detector = &mut profile.models[0].detector;
        for trace in traces {
            detector.learn(trace, 0);
            detector.learn_frame(&Frame::of_trace(trace));
        }
        detector.finish();
        let judge = detector.judge(alphabet.len());
        Self { profile, judge }
    }

    /// Score of a whole trace, as the detector defines it.
    pub(crate) fn score(&self, trace: &[Symbol]) -> f64 {
        self.judge.trace_score(trace)
    }

    /// Scores of the traces that it learned, each by a fit that did not see it, where it makes such fits itself.
    pub(crate) fn held_out(&self) -> Option<Vec<f64>> {
        let scores = self.profile.models[0].detector.held_out()?;
        Some(
            scores
                .into_iter()
                .flat_map(|(score, count)| std::iter::repeat_n(score, count as usize))
                .collect(),
        )
    }

    /// How much it learned.
    pub(crate) fn statistics(&self) -> WindowStatistics {
        self.profile.models[0].detector.statistics()
    }

    /// Size of the model as it is written, before compression.
    pub(crate) fn model_bytes(&self) -> u64 {
        self.profile.models[0].detector.encode().len() as u64
    }

    /// Size of a profile file with this model alone.
    pub(crate) fn profile_bytes(&self) -> u64 {
        self.profile.to_bytes().len() as u64
    }
}
