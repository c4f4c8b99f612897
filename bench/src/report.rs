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
        let figure = Figure {
            name: name.to_owned(),
            value,
            unit,
            against: format!("{peer}: {}", short(peer_value)),
            ratio,
        };
        if !self.json {
            println!(
                "{:<72} {:>9} {:<13} {:>7} × {}",
                figure.name,
                short(value),
                unit,
                short(ratio),
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
        v if v >= 1.0 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_short_and_keeps_what_matters() {
        for (value, text) in [
            (0.0, "0.00"),
            (0.0346, "0.035"),
            (2.5, "2.50"),
            (134.4, "134"),
            (48_200.0, "48.2 k"),
            (3_120_000.0, "3.12 M"),
            (93_291_758_000.0, "93.29 G"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn a_ratio_is_the_figure_by_its_peer() {
        let mut report = Report::new(true);
        report.add("a", 3.0, "s", "b", 1.5);
        let json = serde_json::to_value(&report.figures).unwrap();
        assert_eq!(
            json,
            serde_json::json!([{"name": "a", "value": 3.0, "unit": "s", "against": "b: 1.50", "ratio": 2.0}])
        );
    }
}
