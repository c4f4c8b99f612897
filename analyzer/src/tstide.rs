//! t-STIDE: sequences of calls that were never, or hardly ever, seen.
//!
//! C. Warrender, S. Forrest, B. Pearlmutter, "Detecting intrusions using system calls: alternative data models", IEEE Symposium on
//! Security and Privacy, 1999: STIDE with a threshold, so that a sequence that made up too small a share of training counts as a
//! mismatch. An intrusion that was in the training data by accident does not become normal by it. All the rest is STIDE's.

use crate::{
    registry::{DetectorInfo, ParameterInfo},
    stide::Stide,
};

/// Its line of the table.
pub(crate) const INFO: DetectorInfo = DetectorInfo {
    name: "tstide",
    title: "t-STIDE: sequences never or hardly ever seen",
    description: "As STIDE, but a sequence that made up less than `rare` per cent of training counts as unseen too (Warrender, Forrest \
                  and Pearlmutter 1999).",
    parameters: &[
        ParameterInfo::whole("n", 6, (2, Stide::MAX_WINDOW as u32))
            .or(&["window", "w"])
            .about("length of a sequence, calls"),
        ParameterInfo::real("rare", 0.001, (0.0, 10.0))
            .about("sequences below this share of training are rare, per cent"),
    ],
    maker: crate::stide::INFO.maker,
};

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use crate::{
        alphabet::Symbol,
        detector::{Expectation, verdict},
        registry::ModelSpec,
    };

    proptest! {
        #[test]
        fn a_sequence_is_unseen_if_it_is_rarer_than_the_threshold(
            training in proptest::collection::vec(0u16..3, 3..300),
            calls in proptest::collection::vec(0u16..3, 3..60),
            rare in 0u32..10,
        ) {
            let mut detector = ModelSpec::parse(&format!("tstide:n=3,rare={rare}")).unwrap().create();
            detector.learn(&training, 0);
            let mut verdicts = vec![9; calls.len()];
            detector.judge(3).as_calls().unwrap().judge(&calls, 0, &mut verdicts);
            let mut counts: HashMap<&[Symbol], usize> = HashMap::new();
            for window in training.windows(3) {
                *counts.entry(window).or_default() += 1;
            }
            let least = f64::from(rare) / 100.0 * training.windows(3).count() as f64;
            for (window, verdict) in calls.windows(3).zip(&verdicts[2..]) {
                let count = counts.get(window).copied().unwrap_or(0);
                let is_known = count > 0 && count as f64 >= least;
                prop_assert_eq!(*verdict == verdict::KNOWN, is_known);
                let told = detector.expectation(window);
                let is_asked = rare > 0;
                prop_assert_eq!(told, (count > 0 && is_asked).then_some(Expectation::Rare { trained: count as u64 }));
            }
        }
    }

    #[test]
    fn an_attack_that_was_in_the_training_data_once_is_still_seen() {
        let mut training: Vec<Symbol> = [0, 1, 2, 3].repeat(50_000);
        training.extend([7, 8, 9, 7, 8, 9]);
        let unseen = |spec: &str| {
            let mut detector = ModelSpec::parse(spec).unwrap().create();
            detector.learn(&training, 0);
            detector.judge(10).trace_score(&[7, 8, 9, 7, 8, 9])
        };
        assert!(unseen("stide:n=3") < 0.01 && unseen("tstide:n=3") > 0.99);
    }
}
