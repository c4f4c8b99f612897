//! `rastro profile diff`: what one profile knows that the other does not.

use std::process::ExitCode;

use anyhow::Context as _;
use rastro_analyzer::ProfileDiff;
use regex::Regex;
use serde_json::json;

use super::{Context, ProfileReference};
use crate::output::{self, text};

/// Windows that are listed for each model and side.
const LISTED_WINDOWS: usize = 10;

/// Ends a comparison that found a call it was told to fail on; other failures have other codes.
const FOUND: u8 = 3;

pub(super) async fn diff(
    context: &Context,
    before: &str,
    after: &str,
    fail_on: Option<&str>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let fail_on = fail_on.map(Regex::new).transpose().context("`--fail-on`")?;
    let store = context.store_to_read().await?;
    let (before_reference, before) = ProfileReference::parse(before)?.load(store.as_ref()).await?;
    let (after_reference, after) = ProfileReference::parse(after)?.load(store.as_ref()).await?;
    let diff = before.diff(&after, LISTED_WINDOWS);
    let refused = fail_on.as_ref().map(|pattern| refused(&diff, pattern)).unwrap_or_default();
    let code = if refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FOUND) };
    if json {
        output::json(&json!({
            "before": before_reference,
            "after": after_reference,
            "drift": drifts(&diff),
            "refused": refused.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            "difference": diff,
        }))?;
        return Ok(code);
    }
    let name = |reference: &rastro_model::ProfileRef| {
        text::printable(&format!("{}@{}", reference.name, reference.version))
    };
    output::line(page(&diff, &name(&before_reference), &name(&after_reference)).join("\n"))?;
    for (name, count) in &refused {
        eprintln!("refused: {} is new ({} times)", text::printable(name), text::count(*count));
    }
    Ok(code)
}

/// New calls that the pattern matches anywhere in their names.
fn refused<'d>(diff: &'d ProfileDiff, pattern: &Regex) -> Vec<&'d (String, u64)> {
    diff.new_calls.iter().filter(|(name, _)| pattern.is_match(name)).collect()
}

/// For each model that both have and that knows windows: the share of the second's windows that are new.
fn drifts(diff: &ProfileDiff) -> serde_json::Map<String, serde_json::Value> {
    let drift = |model: &rastro_analyzer::profile::ModelDiff| share(model.new, model.shared + model.new);
    diff.models
        .iter()
        .filter_map(|model| drift(model).map(|drift| (model.model.clone(), json!(drift))))
        .collect()
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn page(diff: &ProfileDiff, before: &str, after: &str) -> Vec<String> {
    let mut lines = vec![format!("from {before} to {after}")];
    let mut calls = |sign: char, what: &str, calls: &[(String, u64)]| {
        if !calls.is_empty() {
            lines.push(format!("\n{what}:"));
        }
        lines.extend(calls.iter().map(|(name, count)| {
            format!("  {sign} {} ({} times)", text::printable(name), text::count(*count))
        }));
    };
    calls('+', "new calls", &diff.new_calls);
    calls('-', "calls that vanished", &diff.vanished_calls);
    if diff.new_calls.is_empty() && diff.vanished_calls.is_empty() {
        lines.push("\nboth know the same calls".to_owned());
    }
    for model in &diff.models {
        lines.push(format!(
            "\n{}: {} windows known to both, {} new, {} vanished",
            model.model,
            text::count(model.shared),
            text::count(model.new),
            text::count(model.vanished),
        ));
        if let Some(drift) = share(model.new, model.shared + model.new) {
            lines.push(format!("  drift {:.1} %: so many of the later windows are new", 100.0 * drift));
        }
        windows('+', &model.new_windows, model.new, &mut lines);
        windows('-', &model.vanished_windows, model.vanished, &mut lines);
    }
    if !diff.not_in_both.is_empty() {
        lines.push(format!("\nmodels that only one of them has: {}", diff.not_in_both.join(", ")));
    }
    lines
}

fn windows(sign: char, windows: &[(Vec<String>, u64)], total: u64, lines: &mut Vec<String>) {
    let listed = |(calls, count): &(Vec<String>, u64)| {
        format!("  {sign} {} ({} times)", text::printable(&calls.join(" ")), text::count(*count))
    };
    lines.extend(windows.iter().map(listed));
    let more = total.saturating_sub(windows.len() as u64);
    if more > 0 {
        lines.push(format!("  {sign} … and {} more", text::count(more)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::profile::sample;

    #[test]
    fn only_new_calls_are_refused() {
        let before = sample::profile("shop", &["read", "write", "connect"]);
        let after = sample::profile("shop", &["read", "write", "connect", "execveat", "ptrace"]);
        let diff = before.diff(&after, 0);
        let names = |pattern: &str| {
            let refused = refused(&diff, &Regex::new(pattern).unwrap());
            let mut names: Vec<String> = refused.into_iter().map(|(name, _)| name.clone()).collect();
            names.sort();
            names
        };
        assert_eq!(names("execve|ptrace|connect"), ["execveat", "ptrace"]);
        assert_eq!(names("^(execve|ptrace)$"), ["ptrace"]);
        assert!(names("write").is_empty());
        assert_eq!(drifts(&before.diff(&before, 0))["stide:n=6"], json!(0.0));
    }

    #[test]
    fn a_page_lists_what_came_and_what_went() {
        let before = sample::profile("shop", &["read", "write", "poll"]);
        let after = sample::profile("shop", &["read", "write", "execve\x1b"]);
        insta::assert_snapshot!(page(&before.diff(&after, 2), "shop@1", "shop@2").join("\n"));
        let same = page(&before.diff(&before, 2), "shop@1", "shop@1").join("\n");
        assert!(same.contains("both know the same calls") && same.contains("0 new, 0 vanished"), "{same}");
    }
}
