//! A detector on trial: the one place where evaluation touches detectors.

use crate::{
    alphabet::{Alphabet, Symbol},
    detector::{Judge, WindowStatistics, verdict},
    profile::Profile,
    registry::ModelSpec,
};

/// A trained detector.
pub(crate) struct Contender {
    profile: Profile,
    judge: Box<dyn Judge>,
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
        }
        let judge = detector.judge(alphabet.len());
        Self { profile, judge }
    }

    /// Score of a whole trace: the share of its windows that are unseen; 0 for a trace that is too short for a window.
    pub(crate) fn score(&self, trace: &[Symbol]) -> f64 {
        let mut verdicts = vec![0; trace.len()];
        self.judge.judge(trace, 0, &mut verdicts);
        let (mut windows, mut unseen) = (0u64, 0u64);
        for &verdict in &verdicts {
            windows += u64::from(verdict != verdict::NO_WINDOW);
            unseen += u64::from(verdict == verdict::UNSEEN);
        }
        if windows == 0 { 0.0 } else { unseen as f64 / windows as f64 }
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
