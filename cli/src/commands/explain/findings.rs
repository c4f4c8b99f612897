//! The first unusual thing, call by call beside the nearest known.

use rastro_model::{Reason, Segment};
use rastro_store::StoredScores;
use serde::Serialize;

/// A sequence or bag that the profile has never seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) thread: Option<i64>,
    pub(super) process: Option<String>,
    pub(super) times: u32,
    /// Whether the order of the calls matters.
    pub(super) is_ordered: bool,
    pub(super) calls: Vec<Compared>,
    /// In how many calls the nearest known one differs; `None` where no known one was found.
    pub(super) distance: Option<u32>,
}

/// One call of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Compared {
    pub(super) name: String,
    /// How often it occurs; 1 in a sequence.
    pub(super) count: u32,
    /// What the nearest known one has here, where it differs.
    pub(super) known: Option<String>,
    /// How often the nearest known bag has it, where it differs.
    pub(super) known_count: Option<u32>,
}

impl Finding {
    /// What `reason` names; `None` for a rare call, which is no sequence.
    pub(super) fn of(reason: &Reason) -> Option<Self> {
        match reason {
            Reason::UnseenSequence { calls, times, thread, process, nearest, distance, .. } => {
                let known = |place: usize| nearest.as_ref().and_then(|nearest| nearest.get(place));
                let calls = calls.iter().enumerate().map(|(place, name)| Compared {
                    name: name.clone(),
                    count: 1,
                    known: known(place).filter(|known| *known != name).cloned(),
                    known_count: None,
                });
                Some(Self {
                    thread: *thread,
                    process: process.clone(),
                    times: *times,
                    is_ordered: true,
                    calls: calls.collect(),
                    distance: nearest.as_ref().map(|_| *distance),
                })
            }
            Reason::UnseenBag { calls, times, thread, process, nearest, distance, .. } => {
                let known = nearest.as_deref().unwrap_or_default();
                let count_of = |bag: &[(String, u32)], name: &str| {
                    bag.iter().find(|(other, _)| other == name).map_or(0, |(_, count)| *count)
                };
                let differs = |count: u32, known: u32| (nearest.is_some() && count != known).then_some(known);
                let ours = calls.iter().map(|(name, count)| Compared {
                    name: name.clone(),
                    count: *count,
                    known: None,
                    known_count: differs(*count, count_of(known, name)),
                });
                let missing =
                    known.iter().filter(|(name, _)| count_of(calls, name) == 0).map(|(name, count)| {
                        Compared { name: name.clone(), count: 0, known: None, known_count: Some(*count) }
                    });
                Some(Self {
                    thread: *thread,
                    process: process.clone(),
                    times: *times,
                    is_ordered: false,
                    calls: ours.chain(missing).collect(),
                    distance: nearest.as_ref().map(|_| *distance),
                })
            }
            _ => None,
        }
    }
}

/// The reason with which the alarm began: of the frame's models the one with the highest score that names a sequence, else one
/// that names a bag, else a rare call. A model's reasons begin with the first unseen window of the thread that has the most.
pub(super) fn first_reason(scores: &[StoredScores], first_call: u32) -> Option<Reason> {
    let frames = scores.iter().filter_map(|stored| {
        let frame = stored.scores.frames.iter().find(|frame| frame.first_call == first_call)?;
        Some((frame.score, stored.scores.window, strongest(&frame.reasons)?))
    });
    let best = frames.min_by(|a, b| rank(a.2).cmp(&rank(b.2)).then(b.0.total_cmp(&a.0)).then(a.1.cmp(&b.1)));
    best.map(|(_, _, reason)| reason.clone())
}

/// The first reason of the kind that tells most.
pub(super) fn strongest(reasons: &[Reason]) -> Option<&Reason> {
    reasons.iter().min_by_key(|reason| rank(reason))
}

fn rank(reason: &Reason) -> u8 {
    match reason {
        Reason::UnseenSequence { .. } => 0,
        Reason::UnseenBag { .. } => 1,
        _ => 2,
    }
}

/// The call of the segment at which `reason` shows.
pub(super) fn call_of(reason: &Reason) -> Option<u32> {
    match reason {
        Reason::UnseenSequence { ends_at, .. }
        | Reason::UnseenBag { ends_at, .. }
        | Reason::UnexpectedCall { ends_at, .. } => Some(*ends_at),
        Reason::RareCall { call, .. }
        | Reason::UnusualOutcome { call, .. }
        | Reason::UnusualFigure { call, .. }
        | Reason::UnseenPath { call, .. } => Some(*call),
        _ => None,
    }
}

/// Gives a rare call the arguments that its segment kept.
pub(super) fn fill_arguments(reason: &mut Reason, segment: &Segment) {
    if let Reason::RareCall { call, arguments: arguments @ None, .. } = reason {
        let kept = segment.details.binary_search_by_key(call, |detail| detail.call).ok();
        *arguments = kept.map(|place| segment.details[place].arguments.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bag_is_compared_count_by_count() {
        let bag = |calls: &[(&str, u32)]| {
            calls.iter().map(|&(name, count)| (name.to_owned(), count)).collect::<Vec<_>>()
        };
        let reason = Reason::UnseenBag {
            calls: bag(&[("dup2", 2), ("read", 4)]),
            ends_at: 9,
            times: 1,
            thread: None,
            process: None,
            nearest: Some(bag(&[("close", 1), ("dup2", 1), ("read", 4)])),
            distance: 1,
        };
        let finding = Finding::of(&reason).unwrap();
        let counts: Vec<_> =
            finding.calls.iter().map(|call| (call.name.as_str(), call.count, call.known_count)).collect();
        assert_eq!(counts, [("dup2", 2, Some(1)), ("read", 4, None), ("close", 0, Some(1))]);
    }
}
