//! The line with which an alarm is told.
//!
//! Names of processes and containers are chosen by whoever may be the intruder: nothing in the line can move a cursor, change a colour
//! or turn the direction of writing.

use std::fmt::Write;

use rastro_model::{FrameScore, Reason, Segment, SegmentScores};

/// Longest name in a message, characters.
const MAX_NAME: usize = 48;

/// One line for people: node, container and what is unusual.
pub(crate) fn message(
    segment: &Segment,
    scores: &SegmentScores,
    frame: &FrameScore,
    trained_calls: u64,
) -> String {
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
        Some(Reason::RareSequence { calls, process, thread, trained: seen, .. }) => {
            let calls: Vec<String> = calls.iter().map(|name| harmless(name)).collect();
            let who = who(process, thread);
            let _ = write!(
                text,
                "{who} made a sequence seen {} times in {trained} calls of training: {}",
                grouped(*seen),
                calls.join(" ")
            );
        }
        Some(Reason::UnexpectedCall { calls, process, thread, .. }) => {
            let calls: Vec<String> = calls.iter().map(|name| harmless(name)).collect();
            let who = who(process, thread);
            let _ = write!(
                text,
                "{who} made a call that was not to be expected after {trained} calls of training: {}",
                calls.join(" ")
            );
        }
        Some(Reason::StrangeCalls { calls, process, thread, .. }) => {
            let calls: Vec<String> = calls.iter().map(|name| harmless(name)).collect();
            let who = who(process, thread);
            let _ = write!(
                text,
                "{who} made calls that are strange together, compared with {trained} calls of training: {}",
                calls.join(" ")
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
pub(crate) fn grouped(number: u64) -> String {
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
