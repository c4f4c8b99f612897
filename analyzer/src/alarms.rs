//! From frames that alarm to alarms: frames of one container close together in time are one alarm, which grows.

use std::fmt::Write;

use rastro_model::{Alarm, AlarmId, FrameScore, Reason, Segment, SegmentScores};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::containers::{ContainerKey, Onset};

/// Most alarms that may still grow.
const MAX_OPEN: usize = 4096;

/// Longest name in a message, characters.
const MAX_NAME: usize = 48;

/// The latest alarm of each container, as long as it may still grow.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alarms {
    open: FxHashMap<ContainerKey, Alarm>,
}

/// What alarms are made with, beside the scores.
pub(crate) struct Context<'a> {
    /// Frames that alarm within this time of one another are one alarm, nanoseconds.
    pub(crate) gap_ns: i64,
    /// Calls that the profile was trained on.
    pub(crate) trained_calls: u64,
    /// For each model and frame: where its burst began.
    pub(crate) onsets: &'a [Vec<Option<Onset>>],
}

/// [`Alarms`] as they are stored: sorted, alarms as JSON (they have tagged parts, which only a self-describing format holds).
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredAlarms {
    open: Vec<(ContainerKey, String)>,
}

impl Alarms {
    /// The alarms that the frames of a segment raise or make grow.
    pub(crate) fn update(
        &mut self,
        segment: &Segment,
        scores: &[SegmentScores],
        context: &Context<'_>,
    ) -> Vec<Alarm> {
        let key = ContainerKey::of(segment);
        let mut touched: Vec<Alarm> = Vec::new();
        let mut open = self.open.remove(&key);
        let frames = scores.iter().map(|scores| scores.frames.len()).max().unwrap_or(0);
        let mut changed = false;
        for place in 0..frames {
            for (model_place, model) in scores.iter().enumerate() {
                let Some(frame) = model.frames.get(place).filter(|frame| frame.alarm) else { continue };
                let too_late = |alarm: &Alarm| frame.start_ns.saturating_sub(alarm.end_ns) > context.gap_ns;
                if open.as_ref().is_some_and(too_late) {
                    touched.extend(open.take().filter(|_| changed));
                }
                if let Some(alarm) = &mut open {
                    grow(alarm, segment, model, frame, context.trained_calls);
                } else {
                    let onset = context.onsets.get(model_place).and_then(|onsets| *onsets.get(place)?);
                    open = Some(begin(segment, model, frame, onset, context));
                }
                changed = true;
            }
        }
        if let Some(alarm) = open {
            if changed {
                touched.push(alarm.clone());
            }
            let last_ns = segment.calls.time_ns.last().copied().unwrap_or(alarm.end_ns);
            if last_ns.saturating_sub(alarm.end_ns) <= context.gap_ns {
                self.open.insert(key, alarm);
                self.close_the_oldest();
            }
        }
        touched
    }

    /// Containers that have gone take no memory for ever: where too many alarms are open, the one that grew longest ago is closed.
    fn close_the_oldest(&mut self) {
        if self.open.len() > MAX_OPEN {
            let oldest =
                self.open.iter().min_by_key(|(key, alarm)| (alarm.end_ns, *key)).map(|(key, _)| key.clone());
            if let Some(key) = oldest {
                self.open.remove(&key);
            }
        }
    }

    pub(crate) fn to_stored(&self) -> StoredAlarms {
        let mut open: Vec<(ContainerKey, String)> = self
            .open
            .iter()
            .map(|(key, alarm)| (key.clone(), serde_json::to_string(alarm).unwrap_or_default()))
            .collect();
        open.sort_unstable();
        StoredAlarms { open }
    }

    pub(crate) fn from_stored(stored: StoredAlarms) -> Result<Self, String> {
        let read = |(key, text): (ContainerKey, String)| {
            serde_json::from_str(&text).map(|alarm| (key, alarm)).map_err(|error| error.to_string())
        };
        Ok(Self { open: stored.open.into_iter().map(read).collect::<Result<_, _>>()? })
    }
}

/// An alarm begins where its burst began, if that was not long ago; its id names the frame that raised it.
fn begin(
    segment: &Segment,
    scores: &SegmentScores,
    frame: &FrameScore,
    onset: Option<Onset>,
    context: &Context<'_>,
) -> Alarm {
    let place = (segment.id, frame.first_call);
    let onset = onset.filter(|onset| frame.start_ns.saturating_sub(onset.start_ns) <= context.gap_ns);
    Alarm {
        id: AlarmId(format!("{}-{}", segment.id, frame.first_call)),
        index: segment.index.clone(),
        dataset: segment.dataset.clone(),
        node: segment.node.clone(),
        container: segment.container.clone(),
        profile: scores.profile.clone(),
        detector: scores.detector.clone(),
        window: scores.window,
        score: frame.score,
        threshold: scores.threshold,
        frames: 1,
        peak: place,
        first: onset.map_or(place, |onset| (onset.segment, onset.first_call)),
        start_ns: onset.map_or(frame.start_ns, |onset| onset.start_ns.min(frame.start_ns)),
        end_ns: frame.end_ns,
        lossy: frame.lossy,
        reasons: frame.reasons.clone(),
        message: message(segment, scores, frame, context.trained_calls),
    }
}

/// Where two frames score the same, the earlier one stays the peak: it is nearer to the cause.
fn grow(
    alarm: &mut Alarm,
    segment: &Segment,
    scores: &SegmentScores,
    frame: &FrameScore,
    trained_calls: u64,
) {
    alarm.frames += 1;
    alarm.start_ns = alarm.start_ns.min(frame.start_ns);
    alarm.end_ns = alarm.end_ns.max(frame.end_ns);
    alarm.lossy |= frame.lossy;
    if frame.score > alarm.score {
        alarm.score = frame.score;
        alarm.threshold = scores.threshold;
        alarm.detector.clone_from(&scores.detector);
        alarm.window = scores.window;
        alarm.peak = (segment.id, frame.first_call);
        alarm.reasons.clone_from(&frame.reasons);
        alarm.message = message(segment, scores, frame, trained_calls);
    }
}

/// One line for people.
fn message(segment: &Segment, scores: &SegmentScores, frame: &FrameScore, trained_calls: u64) -> String {
    let container = &segment.container;
    let mut text = harmless(&segment.node);
    match &container.name {
        Some(name) => {
            let _ = write!(text, " {} ({})", harmless(name), harmless(&container.id));
        }
        None => {
            let _ = write!(text, " {}", harmless(&container.id));
        }
    }
    text.push_str(": ");
    let trained = grouped(trained_calls);
    let who = |process: &Option<String>, thread: &Option<i64>| match (process, thread) {
        (Some(process), _) => harmless(process),
        (None, Some(thread)) => format!("thread {thread}"),
        (None, None) => "it".to_owned(),
    };
    match frame.reasons.first() {
        Some(Reason::UnseenSequence { calls, process, thread, .. }) => {
            let calls: Vec<String> = calls.iter().map(|name| harmless(name)).collect();
            let who = who(process, thread);
            let _ = write!(
                text,
                "{who} made a sequence never seen in {trained} calls of training: {}",
                calls.join(" ")
            );
        }
        Some(Reason::UnseenBag { calls, process, thread, .. }) => {
            let calls: Vec<String> =
                calls.iter().map(|(name, count)| format!("{count}x {}", harmless(name))).collect();
            let who = who(process, thread);
            let _ = write!(
                text,
                "{who} made a mix of calls never seen in {trained} calls of training: {}",
                calls.join(", ")
            );
        }
        Some(Reason::RareCall { name, times, trained: seen, .. }) => {
            let _ = write!(
                text,
                "call {} {times} times, {} times in {trained} calls of training",
                harmless(name),
                grouped(*seen)
            );
        }
        _ => {
            let _ = write!(text, "novel behaviour, compared with {trained} calls of training");
        }
    }
    let _ = write!(text, "; {} unseen windows of {} in {} calls", frame.unseen, scores.window, frame.calls);
    if frame.lossy {
        text.push_str("; calls were lost just before");
    }
    text
}

/// A name that a container may have chosen, as it may stand in a line for people: no control characters, none that turn the direction of
/// writing or are invisible, and not too long.
pub(crate) fn harmless(name: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
    };
    let mut shown: String =
        name.chars().take(MAX_NAME).map(|c| if is_harmful(c) { '.' } else { c }).collect();
    if name.chars().nth(MAX_NAME).is_some() {
        shown.push('…');
    }
    shown
}

/// 48210 as `48,210`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_write_to_the_terminal() {
        assert_eq!(harmless("sh\u{1b}[31m\n\u{202e}x"), "sh.[31m..x");
        assert_eq!(harmless("näme 日本"), "näme 日本");
        assert_eq!(harmless(&"a".repeat(100)).chars().count(), MAX_NAME + 1);
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (48_210, "48,210"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
    }
}
