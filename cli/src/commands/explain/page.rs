//! An explanation as people read it. Every text that a container may have chosen is made harmless.

use owo_colors::OwoColorize;

use super::{Explanation, ModelScore, context::ContextCall, findings::Finding};
use crate::output::text;

/// Characters of arguments that are shown.
const MAX_ARGUMENTS: usize = 100;

pub(super) fn page(explanation: &Explanation, colours: bool) -> String {
    let bold = |text: &str| if colours { text.bold().to_string() } else { text.to_owned() };
    let mut lines = vec![bold(&text::printable(&explanation.alarm.message)), String::new()];
    head(explanation, &mut lines);
    if let Some(first) = &explanation.first {
        lines.push(String::new());
        finding(first, colours, &mut lines);
    }
    if !explanation.reasons.is_empty() {
        let place = if explanation.peak_frame.is_empty() { "" } else { " (at the highest score)" };
        lines.extend([String::new(), bold(&format!("Reasons{place}"))]);
        lines.extend(explanation.reasons.iter().map(|sentence| format!("  - {}", sentence.text)));
    }
    if !explanation.context.is_empty() {
        lines.extend([String::new(), bold("Calls around the first unusual one (marked >)")]);
        lines.extend(explanation.context.iter().map(|call| context_line(call, colours)));
    }
    if let Some(why) = &explanation.context_missing {
        lines.extend([
            String::new(),
            format!("The calls around it cannot be shown: {}", text::printable(why)),
        ]);
    }
    lines.extend([String::new(), bold("What to do next")]);
    for step in &explanation.next {
        lines.push(format!("  {}", step.command));
        lines.push(format!("      {}", step.purpose));
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

fn head(explanation: &Explanation, lines: &mut Vec<String>) {
    let alarm = &explanation.alarm;
    let name = alarm.container.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    let image = alarm.container.image.as_deref().unwrap_or("unknown");
    let mut fact = |name: &str, value: String| lines.push(format!("  {name:<11}{}", text::printable(&value)));
    fact("alarm", alarm.id.to_string());
    fact("container", format!("{}{name}, image {image}", alarm.container.id));
    fact("node", alarm.node.clone());
    fact(
        "time",
        format!(
            "{} to {} UTC, {}",
            text::time(alarm.start_ns),
            text::time(alarm.end_ns),
            text::counted(alarm.frames.into(), "alarming frame")
        ),
    );
    fact(
        "score",
        format!(
            "{:.1} of 100 (alarms from {:.1} on) by {} over windows of {} calls, against profile {}@{}",
            alarm.score,
            alarm.threshold,
            alarm.detector,
            alarm.window,
            alarm.profile.name,
            alarm.profile.version
        ),
    );
    for model in &explanation.first_frame {
        fact("at first", model_line(model));
    }
    for model in &explanation.peak_frame {
        fact("at worst", model_line(model));
    }
    fact("index", alarm.index.clone());
    if alarm.lossy {
        fact("caution", "calls were lost here: some windows join calls that were not neighbours".to_owned());
    }
}

fn model_line(model: &ModelScore) -> String {
    format!(
        "{} over {} calls: {:.1}{}, {} of {} windows never seen, in calls {} to {} of the segment",
        model.detector,
        model.window,
        model.score,
        if model.alarm { " (alarms)" } else { "" },
        text::count(model.unseen.into()),
        text::count(model.windows.into()),
        model.first_call,
        model.first_call.saturating_add(model.calls.saturating_sub(1)),
    )
}

fn finding(finding: &Finding, colours: bool, lines: &mut Vec<String>) {
    let who = match (&finding.process, finding.thread) {
        (Some(process), Some(thread)) => format!(", by {process} (thread {thread})"),
        (Some(process), None) => format!(", by {process}"),
        (None, Some(thread)) => format!(", by thread {thread}"),
        (None, None) => String::new(),
    };
    let kind = if finding.is_ordered { "sequence" } else { "mixture of calls" };
    let times = if finding.times > 1 { format!(", {} times", finding.times) } else { String::new() };
    let title = text::printable(&format!("First {kind} never seen in training{who}{times}"));
    lines.push(if colours { title.bold().to_string() } else { title });
    let width = finding.calls.iter().map(|call| call.name.chars().count()).max().unwrap_or(0).min(40);
    for (place, call) in finding.calls.iter().enumerate() {
        let name = text::printable(&call.name);
        let line = match (&call.known, call.known_count) {
            (Some(known), _) => format!(
                "  {:>3}  {name:<width$}  ← the nearest known has {}",
                place + 1,
                text::printable(known)
            ),
            (None, Some(known)) => {
                format!("  {:>3}× {name:<width$}  ← the nearest known has {known}×", call.count)
            }
            (None, None) if finding.is_ordered => format!("  {:>3}  {name}", place + 1),
            (None, None) => format!("  {:>3}× {name}", call.count),
        };
        let differs = call.known.is_some() || call.known_count.is_some() || finding.distance.is_none();
        lines.push(if colours && differs { line.red().to_string() } else { line });
    }
    lines.push(match finding.distance {
        Some(distance) => {
            format!("  the nearest known one differs in {}", text::counted(distance.into(), "place"))
        }
        None => "  nothing like it is known".to_owned(),
    });
}

fn context_line(call: &ContextCall, colours: bool) -> String {
    // Of the time, what is behind the day: it stands above.
    let time = call.time.split_once('T').map_or("-", |(_, time)| time.trim_end_matches('Z'));
    let time: String = time.chars().take(15).collect();
    let id = call.thread.or(call.process).map(|id| format!("/{id}")).unwrap_or_default();
    let who = format!("{}{id}", call.process_name.as_deref().unwrap_or("-"));
    let result = match (call.result, call.error) {
        (Some(result), Some(error)) => format!("{result} {error}"),
        (Some(result), None) => result.to_string(),
        (None, _) => String::new(),
    };
    let arguments = text::printable(call.arguments.as_deref().unwrap_or(""));
    let cut: String = arguments.chars().take(MAX_ARGUMENTS).collect();
    let more = if cut.len() < arguments.len() { "…" } else { "" };
    let line = format!(
        "{} {time:<15} {:<20} {:<18} {result:<12} {cut}{more}",
        if call.unusual { '>' } else { ' ' },
        text::printable(&who),
        text::printable(&call.name),
    );
    if colours && call.unusual { line.red().to_string() } else { line }
}

#[cfg(test)]
mod tests {
    use rastro_model::{Alarm, AlarmId, Container, Position, ProfileRef, Reason, SegmentId, StreamId};

    use super::*;
    use crate::{
        commands::explain::{Sentence, next_steps},
        output::reason,
    };

    /// An alarm in which everything that a container may name holds an escape sequence.
    fn explanation() -> Explanation {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let place = (SegmentId { stream: StreamId(1), start: Position::new(0, 287), part: 0 }, 256);
        let reasons = vec![
            Reason::UnseenSequence {
                calls: names(&["dup2", "dup2", "execve"]),
                ends_at: 300,
                times: 2,
                thread: Some(7),
                process: Some("sh\x1b[2J".to_owned()),
                nearest: Some(names(&["dup2", "close", "execve"])),
                distance: 1,
            },
            Reason::RareCall {
                name: "ptrace".to_owned(),
                call: 301,
                times: 1,
                trained: 0,
                arguments: Some("request=16\x07".to_owned()),
            },
        ];
        let alarm = Alarm {
            id: AlarmId("0000000000000001-0-287-0-256".to_owned()),
            index: "shop-2026.11.21".to_owned(),
            dataset: "shop".to_owned(),
            node: "worker-1".to_owned(),
            container: Container {
                id: "0123456789ab".to_owned(),
                name: Some("web\x1b]0;x\x07".to_owned()),
                image: Some("it's\nshop:1".to_owned()),
            },
            profile: ProfileRef { name: "it's\nshop:1".to_owned(), version: 2 },
            detector: "stide".to_owned(),
            window: 3,
            score: 97.25,
            threshold: 50.0,
            frames: 1,
            peak: place,
            first: place,
            start_ns: 1_795_251_948_556_871_000,
            end_ns: 1_795_251_949_809_565_000,
            lossy: true,
            reasons: reasons.clone(),
            message: "worker-1 web (0123456789ab): sh made a sequence never seen\x1b[31m".to_owned(),
        };
        let call = |name: &str, unusual| ContextCall {
            time: "2026-11-21T09:05:48.556871000Z".to_owned(),
            thread: Some(7),
            process: Some(6),
            process_name: Some("sh\x1b[2J".to_owned()),
            name: name.to_owned(),
            result: Some(-2),
            error: Some("ENOENT"),
            arguments: Some(format!("filename=/bin/\u{9b}31m{}", "x".repeat(200))),
            unusual,
        };
        Explanation {
            start: text::rfc3339(alarm.start_ns),
            end: text::rfc3339(alarm.end_ns),
            first_frame: vec![ModelScore {
                detector: "stide".to_owned(),
                window: 3,
                profile: alarm.profile.clone(),
                first_call: 256,
                calls: 256,
                windows: 250,
                unseen: 37,
                raw: 0.8,
                score: 97.25,
                threshold: 50.0,
                alarm: true,
            }],
            peak_frame: Vec::new(),
            first: Finding::of(&reasons[0]),
            reasons: reasons
                .into_iter()
                .map(|reason| Sentence { text: reason::sentence(&reason), reason })
                .collect(),
            context: vec![call("read", false), call("execve", true)],
            context_missing: None,
            next: next_steps(&alarm, true),
            alarm,
        }
    }

    #[test]
    fn a_page_tells_what_happened_and_what_to_do() {
        insta::assert_snapshot!(page(&explanation(), false));
    }

    #[test]
    fn nothing_that_a_container_named_reaches_the_terminal_raw() {
        let plain = page(&explanation(), false);
        assert!(!plain.chars().any(|c| c.is_control() && c != '\n'), "{plain:?}");
        // In colours the only escape sequences are those of the colours.
        let coloured = page(&explanation(), true);
        let rest = ["\x1b[1m", "\x1b[31m", "\x1b[39m", "\x1b[0m"]
            .iter()
            .fold(coloured, |text, colour| text.replace(colour, ""));
        assert_eq!(rest, plain);
    }
}
