//! What commands print: tables for people, JSON for programs, colours where wanted.

pub(crate) mod frames;
pub(crate) mod progress;
pub(crate) mod reason;
pub(crate) mod text;

use std::io::{IsTerminal, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// Whether standard output may be coloured: it is a terminal and `NO_COLOR` is not set.
pub(crate) fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A table without frames, as wide as the terminal.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if !std::io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table.set_header(header);
    table
}

/// Prints a line to standard output. A reader that has gone away (`| head`) ends the program in silence.
pub(crate) fn line(text: impl std::fmt::Display) -> anyhow::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")?;
    Ok(())
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    // As an I/O error it stays one: a reader that has gone away is recognised by it.
    serde_json::to_writer_pretty(&mut output, value).map_err(std::io::Error::from)?;
    writeln!(output)?;
    Ok(())
}
