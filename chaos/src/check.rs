//! Whether what was written is stored and scored, each once.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

/// A stored segment, as far as it is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFact {
    /// Identity.
    pub id: String,
    /// Id of its container.
    pub container: String,
    /// The event number of each call.
    pub numbers: Vec<u64>,
}

/// A stored score of a frame of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameFact {
    /// Identity of its segment.
    pub segment: String,
    /// Detector and window size.
    pub model: String,
    /// First call of the frame, counted in the segment.
    pub first_call: u32,
    /// Number of its calls.
    pub calls: u32,
}

/// What the store was found to hold.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Every segment.
    pub segments: Vec<SegmentFact>,
    /// Every score of the live analysis.
    pub frames: Vec<FrameFact>,
}

/// What came out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Calls that were written into log files.
    pub calls_written: u64,
    /// Calls in all segments.
    pub calls_stored: u64,
    /// Written calls that are in no segment.
    pub calls_lost: u64,
    /// Calls that are in more than one segment (or twice in one), counted as often as they are too many.
    pub duplicates: u64,
    /// Calls that nobody has written.
    pub calls_unknown: u64,
    /// Calls of a segment that no frame of a model covers, summed over models.
    pub scores_missing: u64,
    /// Calls of a segment that more than one frame of the same model covers, summed over models.
    pub scores_duplicate: u64,
    /// Frames about segments that are not there.
    pub scores_unknown: u64,
}

impl Verdict {
    /// Whether nothing is lost, doubled, missing or made up.
    pub const fn is_exact(&self) -> bool {
        self.calls_lost == 0
            && self.duplicates == 0
            && self.calls_unknown == 0
            && self.scores_missing == 0
            && self.scores_duplicate == 0
            && self.scores_unknown == 0
    }
}

/// Counts. Container `c` has written the calls numbered 1 to `written[c]`.
pub fn check(facts: &Facts, written: &BTreeMap<String, u64>, models: &[String]) -> Verdict {
    let mut verdict = Verdict { calls_written: written.values().sum(), ..Verdict::default() };
    count_calls(facts, written, &mut verdict);
    count_scores(facts, models, &mut verdict);
    verdict
}

fn count_calls(facts: &Facts, written: &BTreeMap<String, u64>, verdict: &mut Verdict) {
    let mut seen: BTreeMap<&str, Vec<bool>> =
        written.iter().map(|(container, &count)| (container.as_str(), vec![false; count as usize])).collect();
    for segment in &facts.segments {
        verdict.calls_stored += segment.numbers.len() as u64;
        let container = seen.get_mut(segment.container.as_str());
        let mut nobody = Vec::new();
        let container = container.unwrap_or(&mut nobody);
        for &number in &segment.numbers {
            match number.checked_sub(1).and_then(|place| container.get_mut(place as usize)) {
                Some(was_seen) if *was_seen => verdict.duplicates += 1,
                Some(was_seen) => *was_seen = true,
                None => verdict.calls_unknown += 1,
            }
        }
    }
    verdict.calls_lost = seen.values().flatten().filter(|&&was_seen| !was_seen).count() as u64;
}

fn count_scores(facts: &Facts, models: &[String], verdict: &mut Verdict) {
    let mut frames: HashMap<(&str, &str), Vec<(u32, u32)>> = HashMap::new();
    for frame in &facts.frames {
        frames.entry((&frame.segment, &frame.model)).or_default().push((frame.first_call, frame.calls));
    }
    // A segment that is there twice (under one identity) is found by its calls; its scores are looked for once.
    let mut looked_at = HashSet::new();
    for segment in &facts.segments {
        if !looked_at.insert(segment.id.as_str()) {
            continue;
        }
        let calls = segment.numbers.len() as u64;
        for model in models {
            let mut spans = frames.remove(&(segment.id.as_str(), model.as_str())).unwrap_or_default();
            spans.sort_unstable();
            let (mut covered_to, mut covered) = (0_u64, 0_u64);
            for (first, count) in spans {
                let (first, end) = (u64::from(first), u64::from(first) + u64::from(count));
                verdict.scores_duplicate += covered_to.min(end).saturating_sub(first);
                covered += end.saturating_sub(first.max(covered_to));
                covered_to = covered_to.max(end);
            }
            verdict.scores_missing += calls.saturating_sub(covered);
        }
    }
    verdict.scores_unknown = frames.values().map(|frames| frames.len() as u64).sum();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(id: &str, numbers: impl IntoIterator<Item = u64>) -> SegmentFact {
        SegmentFact { id: id.to_owned(), container: "c".to_owned(), numbers: numbers.into_iter().collect() }
    }

    fn frame(segment: &str, first_call: u32, calls: u32) -> FrameFact {
        FrameFact { segment: segment.to_owned(), model: "stide:6".to_owned(), first_call, calls }
    }

    fn verdict(segments: Vec<SegmentFact>, frames: Vec<FrameFact>) -> Verdict {
        let written = BTreeMap::from([("c".to_owned(), 10)]);
        check(&Facts { segments, frames }, &written, &["stide:6".to_owned()])
    }

    fn sound() -> (Vec<SegmentFact>, Vec<FrameFact>) {
        let segments = vec![segment("a", 1..=6), segment("b", 7..=10)];
        (segments, vec![frame("a", 4, 2), frame("a", 0, 4), frame("b", 0, 4)])
    }

    #[test]
    fn everything_once_is_exact() {
        let (segments, frames) = sound();
        let verdict = verdict(segments, frames);
        assert_eq!((verdict.calls_written, verdict.calls_stored), (10, 10));
        assert!(verdict.is_exact(), "{verdict:?}");
    }

    #[test]
    fn a_lost_call_is_found_even_if_another_one_makes_up_the_number() {
        let (mut segments, frames) = sound();
        segments[1].numbers[0] = 6;
        let verdict = verdict(segments, frames);
        assert_eq!((verdict.calls_stored, verdict.calls_lost, verdict.duplicates), (10, 1, 1));
    }

    #[test]
    fn a_call_that_nobody_wrote_is_found() {
        let (mut segments, frames) = sound();
        segments.push(segment("d", [11]));
        assert_eq!(verdict(segments.clone(), frames.clone()).calls_unknown, 1);
        segments[2] = SegmentFact { container: "other".to_owned(), ..segment("d", [0, 1]) };
        assert_eq!(verdict(segments, frames).calls_unknown, 2);
    }

    #[test]
    fn scores_that_lack_overlap_or_belong_to_nothing_are_found() {
        let (segments, mut frames) = sound();
        frames.remove(0);
        assert_eq!(verdict(segments.clone(), frames.clone()).scores_missing, 2);
        frames.push(frame("a", 3, 3));
        let found = verdict(segments.clone(), frames.clone());
        assert_eq!((found.scores_missing, found.scores_duplicate), (0, 1));
        frames.push(frame("e", 0, 1));
        assert_eq!(verdict(segments, frames).scores_unknown, 1);
    }
}
