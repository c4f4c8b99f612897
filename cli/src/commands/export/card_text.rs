//! The data card as Markdown.

use std::fmt::Write;

use super::card::DataCard;
use crate::output::text;

/// Names of calls that the card lists; `datacard.json` has all of them.
const LISTED_NAMES: usize = 30;

/// The card as people read it. Names come from containers: what could break out of a table is made harmless.
pub(super) fn markdown(card: &DataCard) -> String {
    let mut page = String::new();
    render(card, &mut page).unwrap_or_else(|std::fmt::Error| page.clear());
    page
}

fn render(card: &DataCard, page: &mut String) -> std::fmt::Result {
    writeln!(page, "# Dataset `{}`\n", inline(&card.dataset))?;
    writeln!(
        page,
        "{} of {} on {}, recorded from {} to {}. One row a call, in the order in which calls \
         returned within each recording. Written by {} on {} as {}; `datacard.json` holds this card for programs.\n",
        text::counted(card.rows, "system call"),
        text::counted(card.containers.len() as u64, "container"),
        text::counted(card.nodes.len() as u64, "node"),
        or_unknown(&card.from),
        or_unknown(&card.to),
        card.tool,
        card.exported,
        card.form,
    )?;
    writeln!(
        page,
        "## Files\n\n| file | index | rows | bytes | from | to | SHA-256 |\n|---|---|---:|---:|---|---|---|"
    )?;
    for index in &card.indices {
        writeln!(
            page,
            "| `{}` | {} | {} | {} | {} | {} | `{}` |",
            inline(&index.file.file),
            inline(&index.name),
            text::count(index.rows),
            text::count(index.file.bytes),
            or_unknown(&index.from),
            or_unknown(&index.to),
            index.file.sha256,
        )?;
    }
    conservation(card, page)?;
    writeln!(page, "\n## Containers\n\n| id | name | image |\n|---|---|---|")?;
    for container in &card.containers {
        writeln!(
            page,
            "| `{}` | {} | {} |",
            inline(&container.id),
            inline(container.name.as_deref().unwrap_or("")),
            inline(container.image.as_deref().unwrap_or("")),
        )?;
    }
    let nodes: Vec<_> = card.nodes.iter().map(|node| inline(node)).collect();
    let architectures: Vec<_> = card.architectures.iter().map(|name| inline(name)).collect();
    writeln!(page, "\nNodes: {}. Architectures: {}.", nodes.join(", "), architectures.join(", "))?;
    writeln!(page, "\n## Labels\n\n| label | rows |\n|---|---:|")?;
    for (label, rows) in &card.labels {
        writeln!(page, "| {} | {} |", inline(label), text::count(*rows))?;
    }
    writeln!(page, "| (none) | {} |", text::count(card.unlabelled_rows))?;
    writeln!(page, "\n## System calls\n\n| call | rows |\n|---|---:|")?;
    for count in card.systemcalls.iter().take(LISTED_NAMES) {
        writeln!(page, "| `{}` | {} |", inline(&count.name), text::count(count.rows))?;
    }
    if card.systemcalls.len() > LISTED_NAMES {
        writeln!(page, "\n{} more stand in `datacard.json`.", card.systemcalls.len() - LISTED_NAMES)?;
    }
    if !card.columns.is_empty() {
        writeln!(page, "\n## Columns\n\n| column | form | unit | meaning |\n|---|---|---|---|")?;
        for column in &card.columns {
            writeln!(page, "| `{}` | {} | {} | {} |", column.name, column.form, column.unit, column.meaning)?;
        }
    }
    writeln!(
        page,
        "\n## Categories\n\n| `systemcall_type` | `systemcall_type_name` | rows |\n|---:|---|---:|"
    )?;
    for category in &card.categories {
        writeln!(page, "| {} | {} | {} |", category.number, category.name, text::count(category.rows))?;
    }
    if !card.notes.is_empty() {
        writeln!(page, "\n## Notes\n")?;
        for note in &card.notes {
            writeln!(page, "- {note}")?;
        }
    }
    Ok(())
}

fn conservation(card: &DataCard, page: &mut String) -> std::fmt::Result {
    let tally = &card.tally;
    let verdict = |holds: bool| if holds { "holds" } else { "**does not hold**" };
    writeln!(
        page,
        "\n## Where every line went\n\n\
         - {} lines read = {} events + {} lines that were none ({})\n\
         - {} events = {} calls + {} enter events carried by their exits + {} events that are no calls + {} calls lost ({})\n\
         - {} of the calls had begun and not returned; they are in no row",
        text::count(tally.lines_read),
        text::count(tally.events_parsed),
        text::count(tally.dead_letters),
        verdict(card.conservation.lines_are_accounted_for),
        text::count(tally.events_parsed),
        text::count(tally.calls_stored),
        text::count(tally.events_folded),
        text::count(tally.events_not_calls),
        text::count(tally.calls_lost),
        verdict(card.conservation.events_are_accounted_for),
        text::count(card.conservation.calls_without_a_row),
    )?;
    let lost = &card.lost;
    if lost.bytes == 0 && lost.lines == 0 && lost.gaps.is_empty() {
        writeln!(page, "- nothing is known to be lost before it was read")
    } else {
        let gaps: Vec<_> =
            lost.gaps.iter().map(|(reason, count)| format!("{} × {reason}", text::count(*count))).collect();
        writeln!(
            page,
            "- known to be lost before it was read: {} lines, {} bytes (gaps: {})",
            text::count(lost.lines),
            text::count(lost.bytes),
            if gaps.is_empty() { "none in a segment".to_owned() } else { gaps.join(", ") },
        )
    }
}

fn or_unknown(time: &str) -> &str {
    if time.is_empty() { "(unknown)" } else { time }
}

/// Text inside a table cell or between backticks.
fn inline(name: &str) -> String {
    let safe = text::printable(name);
    safe.chars()
        .map(|character| match character {
            '|' => '¦',
            '`' => '\'',
            '<' => '‹',
            '>' => '›',
            '[' => '(',
            ']' => ')',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_cell() {
        assert_eq!(inline("a|b`c\n# d<img src=x>[x](y)"), "a¦b'c.# d‹img src=x›(x)(y)");
    }
}
