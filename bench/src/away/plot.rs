//! A small plot of lines over time as SVG.

use std::{collections::BTreeMap, fmt::Write as _};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 34.0;

/// Told apart by people who see no difference between red and green (Okabe and Ito 2008).
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// A time that is shaded.
pub(super) struct Span {
    pub(super) name: &'static str,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// What is drawn.
pub(super) struct Plot<'plot> {
    pub(super) title: String,
    pub(super) unit: &'plot str,
    /// By name: seconds and value, in order of time.
    pub(super) lines: &'plot BTreeMap<String, Vec<(f64, f64)>>,
    pub(super) spans: &'plot [Span],
}

impl Plot<'_> {
    pub(super) fn to_svg(&self) -> String {
        let points = || self.lines.values().flatten();
        let longest = points().map(|point| point.0).fold(1.0, f64::max);
        let highest = points().map(|point| point.1).fold(1.0, f64::max) * 1.1;
        let x = |seconds: f64| LEFT + seconds / longest * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BOTTOM - value / highest * (HEIGHT - TOP - BOTTOM);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"16\" font-size=\"14\">{}</text>\n",
            self.title
        );
        // Writing into a string does not fail.
        for span in self.spans {
            let (from, to) = (x(span.from), x(span.to));
            let _ = writeln!(
                svg,
                "<rect x=\"{from:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"#eee\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#555\">{}</text>",
                to - from,
                HEIGHT - TOP - BOTTOM,
                from + 4.0,
                TOP + 14.0,
                span.name
            );
        }
        let step = step(highest);
        let mut value = 0.0;
        while value <= highest {
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{2:.1}\" y2=\"{2:.1}\" stroke=\"#ccc\"/>\
                 <text x=\"{1:.1}\" y=\"{3:.1}\" text-anchor=\"end\">{value}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y(value),
                y(value) + 4.0,
            );
            value += step;
        }
        for number in 0..=5 {
            let seconds = longest / 5.0 * f64::from(number);
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{seconds:.0} s</text>",
                x(seconds),
                HEIGHT - BOTTOM + 18.0
            );
        }
        let _ = writeln!(svg, "<text x=\"4\" y=\"{TOP}\">{}</text>", self.unit);
        for (number, (name, line)) in self.lines.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let path: Vec<String> =
                line.iter().map(|&(seconds, value)| format!("{:.1},{:.1}", x(seconds), y(value))).collect();
            let last = line.last().map_or(0.0, |point| point.1);
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name} {last:.0}</text>",
                path.join(" "),
                WIDTH - RIGHT + 6.0,
                TOP + 14.0 + 16.0 * number as f64
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// A round distance between marks, four to ten of them.
fn step(highest: f64) -> f64 {
    let power = 10_f64.powf((highest / 10.0).log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| highest / step <= 10.0)
        .unwrap_or(highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_few() {
        for (highest, wanted) in [(10.0, 1.0), (37.0, 5.0), (120.0, 20.0), (512.0, 100.0), (1.1, 0.2)] {
            assert!((step(highest) - wanted).abs() < 1e-9, "{highest}: {}", step(highest));
        }
    }

    #[test]
    fn every_line_and_span_is_drawn() {
        let lines = BTreeMap::from([
            ("shipper".to_owned(), vec![(0.0, 10.0), (60.0, 20.0)]),
            ("transformer".to_owned(), vec![(0.0, 40.0), (60.0, 30.0)]),
        ]);
        let spans = [Span { name: "away", from: 10.0, to: 30.0 }];
        let svg = Plot { title: "t".to_owned(), unit: "MiB", lines: &lines, spans: &spans }.to_svg();
        assert_eq!(svg.matches("<polyline").count(), 2);
        for text in ["away</text>", "shipper 20</text>", "transformer 30</text>", "60 s</text>"] {
            assert!(svg.contains(text), "{text}");
        }
    }
}
