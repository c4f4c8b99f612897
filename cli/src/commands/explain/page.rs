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
        lines.extend([String::new(), format!("The calls around it cannot be shown: {}", text::printable(why))]);
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
            counted(alarm.frames, "alarming frame")
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
        Some(distance) => format!("  the nearest known one differs in {}", counted(distance, "place")),
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

fn counted(count: u32, what: &str) -> String {
    format!("{} {what}{}", text::count(count.into()), if count == 1 { "" } else { "s" })
}
