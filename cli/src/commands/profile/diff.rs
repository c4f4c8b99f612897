//! `rastro profile diff`: what one profile knows that the other does not.

use rastro_analyzer::ProfileDiff;
use serde_json::json;

use super::{Context, ProfileReference};
use crate::output::{self, text};

/// Windows that are listed for each model and side.
const LISTED_WINDOWS: usize = 10;

pub(super) async fn diff(context: &Context, before: &str, after: &str, json: bool) -> anyhow::Result<()> {
    let store = context.store_to_read().await?;
    let (before_reference, before) = ProfileReference::parse(before)?.load(store.as_ref()).await?;
    let (after_reference, after) = ProfileReference::parse(after)?.load(store.as_ref()).await?;
    let diff = before.diff(&after, LISTED_WINDOWS);
    if json {
        return output::json(
            &json!({ "before": before_reference, "after": after_reference, "difference": diff }),
        );
    }
    let name = |reference: &rastro_model::ProfileRef| {
        text::printable(&format!("{}@{}", reference.name, reference.version))
    };
    output::line(page(&diff, &name(&before_reference), &name(&after_reference)).join("\n"))
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
    fn a_page_lists_what_came_and_what_went() {
        let before = sample::profile("shop", &["read", "write", "poll"]);
        let after = sample::profile("shop", &["read", "write", "execve\x1b"]);
        insta::assert_snapshot!(page(&before.diff(&after, 2), "shop@1", "shop@2").join("\n"));
        let same = page(&before.diff(&before, 2), "shop@1", "shop@1").join("\n");
        assert!(same.contains("both know the same calls") && same.contains("0 new, 0 vanished"), "{same}");
    }
}
