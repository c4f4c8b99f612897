//! What is printed: a table as it grows, or JSON at the end.

use std::io::Write;

use serde::Serialize;

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figure {
    /// What was measured.
    pub(crate) name: String,
    /// How much.
    pub(crate) value: f64,
    /// Of what.
    pub(crate) unit: &'static str,
    /// The peer or limit that was measured in the same run, with its figure.
    pub(crate) against: String,
    /// `value` divided by the peer's figure.
    pub(crate) ratio: f64,
}

/// Figures as they come.
pub(crate) struct Report {
    json: bool,
    figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, figures: Vec::new() }
    }

    /// Adds a figure with its peer.
    pub(crate) fn add(&mut self, name: &str, value: f64, unit: &'static str, peer: &str, peer_value: f64) {
        let ratio = value / peer_value;
        let figure =
            Figure { name: name.to_owned(), value, unit, against: format!("{peer}: {}", short(peer_value)), ratio };
        if !self.json {
            println!(
                "{:<52} {:>12} {:<14} {:>9.2} × {}",
                figure.name,
                short(value),
                unit,
                ratio,
                figure.against
            );
        }
        self.figures.push(figure);
    }

    /// Prints the list, where JSON is wanted.
    pub(crate) fn finish(&self) -> anyhow::Result<()> {
        if self.json {
            let mut output = std::io::stdout().lock();
            serde_json::to_writer_pretty(&mut output, &self.figures)?;
            writeln!(output)?;
        }
        Ok(())
    }
}

/// A figure with three or four significant digits.
fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 1e9 => format!("{:.2} G", value / 1e9),
        v if v >= 1e6 => format!("{:.2} M", value / 1e6),
        v if v >= 1e4 => format!("{:.1} k", value / 1e3),
        v if v >= 100.0 => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}
