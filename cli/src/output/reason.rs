//! Reasons as sentences.

use std::fmt::Write;

use rastro_model::{CallFigure, FigureExtent, Reason};

use super::text;

/// One line about why a frame scored as it did. Names come from containers: control characters are made harmless.
pub(crate) fn sentence(reason: &Reason) -> String {
    let mut line = String::new();
    match reason {
        Reason::UnseenSequence { calls, times, thread, process, nearest, distance, .. } => {
            let _ =
                write!(line, "{}never-seen sequence {}", who(process.as_deref(), *thread), calls.join(" "));
            repeated(&mut line, *times);
            if nearest.is_some() {
                let _ = write!(line, "; the nearest known one differs in {distance} of {}", calls.len());
            }
        }
        Reason::UnseenBag { calls, times, thread, process, nearest, distance, .. } => {
            let bag: Vec<String> = calls
                .iter()
                .map(|(name, count)| if *count == 1 { name.clone() } else { format!("{name}×{count}") })
                .collect();
            let _ = write!(line, "{}never-seen mixture {}", who(process.as_deref(), *thread), bag.join(" "));
            repeated(&mut line, *times);
            if nearest.is_some() {
                let _ = write!(
                    line,
                    "; the nearest known one differs by {}",
                    text::counted((*distance).into(), "call")
                );
            }
        }
        Reason::RareCall { name, times, trained: 0, arguments, .. } => {
            let _ = write!(line, "{name} was never called in training");
            repeated(&mut line, *times);
            with_arguments(&mut line, arguments.as_deref());
        }
        Reason::RareCall { name, times, trained, arguments, .. } => {
            let _ = write!(line, "{name} is rare: {} in training", text::counted(*trained, "time"));
            repeated(&mut line, *times);
            with_arguments(&mut line, arguments.as_deref());
        }
        Reason::UnusualOutcome {
            name,
            outcome,
            times,
            calls,
            trained_times,
            trained_calls,
            arguments,
            ..
        } => {
            let ended = match outcome.as_str() {
                "failure" => "failed".to_owned(),
                "success" => "succeeded".to_owned(),
                error => format!("failed with {error}"),
            };
            let _ = write!(line, "{name} {ended} {times} of {calls} times; in training ");
            if *trained_times == 0 {
                let _ = write!(line, "never in {} times", text::count(*trained_calls));
            } else {
                let share = 100.0 * *trained_times as f64 / (*trained_calls).max(1) as f64;
                let _ = write!(
                    line,
                    "{} of {} times ({})",
                    text::count(*trained_times),
                    text::count(*trained_calls),
                    percent(share)
                );
            }
            with_arguments(&mut line, arguments.as_deref());
        }
        Reason::UnusualFigure { name, figure, extent, value, usual_low, usual_high, calls, .. } => {
            let of = if name.is_empty() { String::new() } else { format!("{name}: ") };
            let which = match (extent, calls) {
                (_, 1) => "",
                (FigureExtent::Median, _) => "median ",
                _ => "highest ",
            };
            let _ = write!(line, "{of}{which}{} {}", figure_name(*figure), figure_value(*figure, *value));
            if *calls > 1 {
                let _ = write!(line, " of {calls} calls");
            }
            let (low, high) = (figure_value(*figure, *usual_low), figure_value(*figure, *usual_high));
            let _ = if low == high {
                write!(line, "; in training {low}")
            } else {
                write!(line, "; in training {low} to {high}")
            };
        }
        Reason::UnseenPath { name, path, shape, shapes, trained, .. } => {
            let _ = write!(line, "{name} of {path}");
            if path != shape {
                let _ = write!(line, ", a path like {shape}");
            }
            let _ = write!(line, ", as never in {} times in training", text::count(*trained));
            if *shapes > 1 {
                let _ = write!(line, " (and {} other such)", shapes - 1);
            }
        }
        Reason::RareSequence { calls, times, trained, thread, process, .. } => {
            let _ = write!(line, "{}rare sequence {}", who(process.as_deref(), *thread), calls.join(" "));
            repeated(&mut line, *times);
            let _ = write!(line, "; {} times in training", text::count(*trained));
        }
        Reason::StrangeCalls { calls, thread, process, score, score_without, .. } => {
            let _ = write!(
                line,
                "{}strange together: {}; without these calls the score would be {score_without} instead of {score}",
                who(process.as_deref(), *thread),
                calls.join(" ")
            );
        }
        Reason::Opinions { members } => {
            let members: Vec<String> = members
                .iter()
                .map(|(name, one_in)| format!("{name}: one in {}", text::count(*one_in)))
                .collect();
            let _ = write!(line, "as strange among normal frames that behave alike: {}", members.join(", "));
        }
        Reason::UnexpectedCall { calls, millibits, thread, process, expected, .. } => {
            let (last, before) =
                calls.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
            let _ = write!(line, "{}{last} was not expected", who(process.as_deref(), *thread));
            if !before.is_empty() {
                let _ = write!(line, " after {}", before.join(" "));
            }
            let _ = write!(line, " ({}.{} bits)", millibits / 1000, millibits % 1000 / 100);
            if let Some(expected) = expected {
                let _ = write!(line, "; most expected was {expected}");
            }
        }
        other => {
            let _ = write!(line, "{other:?}");
        }
    }
    text::printable(&line)
}

fn figure_name(figure: CallFigure) -> &'static str {
    match figure {
        CallFigure::ArgumentCount => "number of arguments",
        CallFigure::ArgumentLength => "length of arguments",
        CallFigure::BytesMoved => "number of bytes",
        CallFigure::LatencyNs => "latency",
        CallFigure::PauseNs => "pause before the call",
        CallFigure::IntervalNs => "time from call to call",
        _ => "figure",
    }
}

fn figure_value(figure: CallFigure, value: u64) -> String {
    match figure {
        CallFigure::LatencyNs | CallFigure::PauseNs | CallFigure::IntervalNs => match value {
            0..10_000 => format!("{} ns", text::count(value)),
            10_000..10_000_000 => format!("{} µs", text::count(value / 1_000)),
            10_000_000..10_000_000_000 => format!("{} ms", text::count(value / 1_000_000)),
            _ => format!("{} s", text::count(value / 1_000_000_000)),
        },
        _ => text::count(value),
    }
}

/// A share as people read it: two digits that say something.
fn percent(share: f64) -> String {
    match share {
        10.0.. => format!("{share:.0} %"),
        0.1..10.0 => format!("{share:.1} %"),
        _ => "below 0.1 %".to_owned(),
    }
}

fn who(process: Option<&str>, thread: Option<i64>) -> String {
    match (process, thread) {
        (Some(process), Some(thread)) => format!("{process} (thread {thread}): "),
        (Some(process), None) => format!("{process}: "),
        (None, Some(thread)) => format!("thread {thread}: "),
        (None, None) => String::new(),
    }
}

fn repeated(line: &mut String, times: u32) {
    if times > 1 {
        let _ = write!(line, " ({times} times)");
    }
}

fn with_arguments(line: &mut String, arguments: Option<&str>) {
    if let Some(arguments) = arguments.map(str::trim).filter(|arguments| !arguments.is_empty()) {
        let _ = write!(line, ", first with {arguments}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_told_with_its_thread_and_its_nearest() {
        let reason = Reason::UnseenSequence {
            calls: vec!["dup2".into(), "execve".into()],
            ends_at: 7,
            times: 3,
            thread: Some(12),
            process: Some("sh\x1b[31m".into()),
            nearest: Some(vec!["dup2".into(), "close".into()]),
            distance: 1,
        };
        assert_eq!(
            sentence(&reason),
            "sh.[31m (thread 12): never-seen sequence dup2 execve (3 times); the nearest known one differs in 1 of 2"
        );
    }

    #[test]
    fn a_call_that_never_occurred_is_told_with_its_arguments() {
        let reason = Reason::RareCall {
            name: "ptrace".into(),
            call: 0,
            times: 1,
            trained: 0,
            arguments: Some(" request=16 ".into()),
        };
        assert_eq!(sentence(&reason), "ptrace was never called in training, first with request=16");
    }

    #[test]
    fn an_unusual_outcome_is_told_with_its_share_in_training() {
        let reason = |outcome: &str, trained_times: u64| Reason::UnusualOutcome {
            name: "openat".into(),
            outcome: outcome.into(),
            call: 3,
            times: 12,
            calls: 14,
            trained_times,
            trained_calls: 1500,
            arguments: Some("name=/etc/shadow".into()),
        };
        assert_eq!(
            sentence(&reason("failure", 30)),
            "openat failed 12 of 14 times; in training 30 of 1,500 times (2.0 %), first with name=/etc/shadow"
        );
        assert_eq!(
            sentence(&reason("EACCES", 0)),
            "openat failed with EACCES 12 of 14 times; in training never in 1,500 times, first with name=/etc/shadow"
        );
    }

    #[test]
    fn an_unusual_figure_is_told_with_its_unit_and_what_is_usual() {
        let reason = Reason::UnusualFigure {
            name: "read".into(),
            figure: CallFigure::LatencyNs,
            extent: FigureExtent::Median,
            value: 15_000_000,
            usual_low: 900,
            usual_high: 20_000,
            call: 0,
            calls: 9,
        };
        assert_eq!(sentence(&reason), "read: median latency 15 ms of 9 calls; in training 900 ns to 20 µs");
    }

    #[test]
    fn an_unseen_path_is_made_harmless() {
        let reason = Reason::UnseenPath {
            name: "execve".into(),
            path: "/tmp/\u{1b}[2Jx".into(),
            shape: "/tmp/x".into(),
            call: 0,
            shapes: 2,
            trained: 40,
        };
        assert_eq!(
            sentence(&reason),
            "execve of /tmp/.[2Jx, a path like /tmp/x, as never in 40 times in training (and 1 other such)"
        );
    }

    #[test]
    fn an_unexpected_call_is_told_with_what_was_expected() {
        let reason = Reason::UnexpectedCall {
            calls: vec!["read".into(), "execve".into()],
            ends_at: 5,
            millibits: 12_340,
            thread: None,
            process: None,
            expected: Some("write".into()),
        };
        assert_eq!(
            sentence(&reason),
            "execve was not expected after read (12.3 bits); most expected was write"
        );
    }
}
