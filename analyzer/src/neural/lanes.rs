//! Sequences laid side by side for training.
//!
//! A step of training reads one call in each of many lanes at once. A lane holds sequences one behind the other; where one begins, what is
//! remembered of the one before is forgotten.

use super::random::Random;

/// One step: for each lane what is read, what should be expected next, how much that counts, and whether a sequence begins.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Step {
    pub(crate) inputs: Vec<u32>,
    pub(crate) targets: Vec<u32>,
    /// 0 where a lane has ended.
    pub(crate) weights: Vec<f32>,
    pub(crate) begins: Vec<bool>,
}

/// A sequence of calls by place in the vocabulary, and how often it occurred.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sequence {
    pub(crate) calls: Vec<u32>,
    pub(crate) times: f32,
}

/// Lays sequences into `lanes` lanes, in random order, each sequence into the lane that is the shortest so far. `begin` is read before
/// the first call of a sequence; a share `blinded` of the other inputs is read as `unknown`, so that calls not known mean something.
pub(crate) fn lay(
    sequences: &[Sequence],
    lanes: usize,
    (begin, unknown): (u32, u32),
    blinded: f64,
    random: &mut Random,
) -> Vec<Step> {
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    random.shuffle(&mut order);
    let mut lengths = vec![0usize; lanes];
    let mut steps: Vec<Step> = Vec::new();
    for sequence in order {
        let Sequence { calls, times } = &sequences[sequence];
        let lane = (0..lanes).min_by_key(|&lane| lengths[lane]).unwrap_or(0);
        let first = lengths[lane];
        lengths[lane] += calls.len();
        while steps.len() < lengths[lane] {
            steps.push(Step {
                inputs: vec![begin; lanes],
                targets: vec![0; lanes],
                weights: vec![0.0; lanes],
                begins: vec![false; lanes],
            });
        }
        for (place, &call) in calls.iter().enumerate() {
            let step = &mut steps[first + place];
            step.begins[lane] = place == 0;
            step.inputs[lane] = match place {
                0 => begin,
                _ if random.unit() < blinded => unknown,
                _ => calls[place - 1],
            };
            step.targets[lane] = call;
            step.weights[lane] = *times;
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_a_target_once_behind_the_call_before_it() {
        let sequences: Vec<Sequence> = (0..17)
            .map(|number| Sequence {
                calls: (0..=number).map(|place| number * 100 + place).collect(),
                times: number as f32 + 1.0,
            })
            .collect();
        let steps = lay(&sequences, 4, (9000, 9001), 0.0, &mut Random::new(1));
        let mut targets = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            for lane in 0..4 {
                if step.weights[lane] == 0.0 {
                    continue;
                }
                let target = step.targets[lane];
                targets.push(target);
                assert!((step.weights[lane] - (target / 100 + 1) as f32).abs() < 1e-6);
                assert_eq!(step.begins[lane], target % 100 == 0);
                let before = if target % 100 == 0 { 9000 } else { steps[number - 1].targets[lane] };
                assert_eq!(step.inputs[lane], before);
            }
        }
        targets.sort_unstable();
        let mut expected: Vec<u32> = sequences.iter().flat_map(|sequence| sequence.calls.clone()).collect();
        expected.sort_unstable();
        assert_eq!(targets, expected);
        assert!(steps.len() <= 153 / 4 + 17, "{}", steps.len());
    }

    #[test]
    fn a_share_of_inputs_is_blinded() {
        let sequences = vec![Sequence { calls: vec![1; 10_000], times: 1.0 }];
        let steps = lay(&sequences, 1, (8, 9), 0.02, &mut Random::new(1));
        let blinded = steps.iter().filter(|step| step.inputs[0] == 9).count();
        assert!((100..300).contains(&blinded), "{blinded}");
    }
}
