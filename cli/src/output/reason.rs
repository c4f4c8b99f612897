//! Reasons as sentences.

use std::fmt::Write;

use rastro_model::Reason;

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
                let _ = write!(line, "; the nearest known one differs by {distance} calls");
            }
        }
        Reason::RareCall { name, times, trained: 0, arguments, .. } => {
            let _ = write!(line, "{name} was never called in training");
            repeated(&mut line, *times);
            with_arguments(&mut line, arguments.as_deref());
        }
        Reason::RareCall { name, times, trained, arguments, .. } => {
            let _ = write!(line, "{name} is rare: {} times in training", text::count(*trained));
            repeated(&mut line, *times);
            with_arguments(&mut line, arguments.as_deref());
        }
        other => {
            let _ = write!(line, "{other:?}");
        }
    }
    text::printable(&line)
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
}
