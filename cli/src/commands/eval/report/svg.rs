//! ROC curves as a picture: once over the whole range, once with false-alarm rates on a logarithmic scale, because only the low ones can be
//! lived with.

use std::fmt::Write as _;

use rastro_analyzer::{evaluation::Evaluation, roc::Roc};

use super::curves;

/// Colours that people who confuse red and green tell apart (M. Okabe and K. Ito, 2008).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f6000"];
/// The curves beyond the colours are told apart by their dashes.
const DASHES: [&str; 4] = ["", "7 3", "2 3", "9 3 2 3"];
const GREY: &str = "#767676";

/// Side of a panel, and where its corner is.
const SIDE: f64 = 400.0;
const LEFT: f64 = 62.0;
const TOP: f64 = 34.0;
/// From one panel's left edge to the other's.
const STEP: f64 = SIDE + 90.0;
const LEGEND_LINE: f64 = 20.0;
/// Lowest false-alarm rate of the logarithmic panel.
const LOWEST: f64 = 0.001;

#[derive(Clone, Copy)]
enum Scale {
    Linear,
    Logarithmic,
}

impl Scale {
    /// How far to the right a false-alarm rate is, 0 to 1.
    fn place(self, rate: f64) -> f64 {
        match self {
            Self::Linear => rate,
            Self::Logarithmic => (rate.max(LOWEST) / LOWEST).ln() / (1.0 / LOWEST).ln(),
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Linear => "all false-alarm rates",
            Self::Logarithmic => "low false-alarm rates (logarithmic)",
        }
    }

    const fn ticks(self) -> &'static [(f64, &'static str)] {
        match self {
            Self::Linear => &[
                (0.0, "0"),
                (0.1, "0.1"),
                (0.2, "0.2"),
                (0.4, "0.4"),
                (0.6, "0.6"),
                (0.8, "0.8"),
                (1.0, "1"),
            ],
            Self::Logarithmic => &[
                (0.001, "0.1 %"),
                (0.003, "0.3 %"),
                (0.01, "1 %"),
                (0.03, "3 %"),
                (0.1, "10 %"),
                (0.2, "20 %"),
                (0.5, "50 %"),
                (1.0, "100 %"),
            ],
        }
    }
}

/// The picture, complete in itself.
pub(in crate::commands::eval) fn picture(evaluation: &Evaluation) -> String {
    let curves = curves(evaluation);
    let height = TOP + SIDE + 62.0 + LEGEND_LINE * curves.len().div_ceil(2) as f64;
    let width = LEFT + STEP + SIDE + 22.0;
    let mut svg = open(width, height, "Detection rate by false-alarm rate");
    for (left, scale) in [(LEFT, Scale::Linear), (LEFT + STEP, Scale::Logarithmic)] {
        panel(&mut svg, left, scale, &curves);
    }
    for (place, (name, roc)) in curves.iter().enumerate() {
        let (colour, dash) = stroke(place, name);
        let x = if place % 2 == 0 { LEFT } else { LEFT + STEP };
        let y = TOP + SIDE + 60.0 + LEGEND_LINE * (place / 2) as f64;
        let _ = writeln!(
            svg,
            "<path d=\"M{x} {line}h30\" stroke=\"{colour}\" stroke-width=\"2.5\" stroke-dasharray=\"{dash}\"/>\
             <text x=\"{text}\" y=\"{y}\" fill=\"#222222\">{name}, AUC {auc:.3}</text>",
            line = y - 4.0,
            text = x + 38.0,
            name = escaped(name),
            auc = roc.auc,
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// The same for a page: each panel a picture of its own, so that a narrow page can put one below the other, and the names as a list.
pub(super) fn figures(evaluation: &Evaluation) -> String {
    let curves = curves(evaluation);
    let mut html = "<div class=\"curves\">\n".to_owned();
    for scale in [Scale::Linear, Scale::Logarithmic] {
        html += &open(LEFT + SIDE + 22.0, TOP + SIDE + 46.0, scale.title());
        panel(&mut html, LEFT, scale, &curves);
        html += "</svg>\n";
    }
    html += "</div>\n<ul class=\"legend\">\n";
    for (place, (name, roc)) in curves.iter().enumerate() {
        let (colour, dash) = stroke(place, name);
        let _ = writeln!(
            html,
            "<li><svg viewBox=\"0 0 30 10\" width=\"30\" height=\"10\" aria-hidden=\"true\"><path class=\"curve\" d=\"M0 5h30\" \
             stroke=\"{colour}\" stroke-width=\"2.5\" stroke-dasharray=\"{dash}\"/></svg> {name}, AUC {auc:.3}</li>",
            name = escaped(name),
            auc = roc.auc,
        );
    }
    html += "</ul>\n";
    html
}

/// The beginning of a picture, on white paper. A page that is read in the dark finds what to recolour by its class.
fn open(width: f64, height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\">\n<title>{title}</title>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    )
}

/// Colour and dashes of a curve: the trivial ones, in brackets, are grey.
fn stroke(place: usize, name: &str) -> (&'static str, &'static str) {
    if name.starts_with('(') {
        return (GREY, DASHES[1 + place % 2]);
    }
    (COLOURS[place % COLOURS.len()], DASHES[place / COLOURS.len() % DASHES.len()])
}

/// One panel with its curves.
fn panel(svg: &mut String, left: f64, scale: Scale, curves: &[(String, &Roc)]) {
    axes(svg, left, scale);
    for (place, (name, roc)) in curves.iter().enumerate() {
        let (colour, dash) = stroke(place, name);
        let path = path(roc, left, scale);
        let _ = writeln!(
            svg,
            "<path class=\"curve\" d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\" \
             stroke-dasharray=\"{dash}\"/>"
        );
    }
}

/// Frame, grid, ticks and names of the axes.
fn axes(svg: &mut String, left: f64, scale: Scale) {
    let title = scale.title();
    let bottom = TOP + SIDE;
    for &(rate, label) in scale.ticks() {
        let x = left + SIDE * scale.place(rate);
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#e3e3e3\"/>\
             <text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\" fill=\"#444444\">{label}</text>",
            y = bottom + 16.0
        );
    }
    for step in 0..=5 {
        let rate = f64::from(step) / 5.0;
        let y = bottom - SIDE * rate;
        let right = left + SIDE;
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\" stroke=\"#e3e3e3\"/>\
             <text x=\"{x}\" y=\"{middle:.1}\" text-anchor=\"end\" fill=\"#444444\">{rate:.1}</text>",
            x = left - 6.0,
            middle = y + 4.0
        );
    }
    // Guessing: as many attacks as normal ones alarm.
    let mut chance = String::new();
    for step in 0..=60 {
        let rate = match scale {
            Scale::Linear => f64::from(step) / 60.0,
            Scale::Logarithmic => LOWEST.powf(1.0 - f64::from(step) / 60.0),
        };
        let command = if step == 0 { 'M' } else { 'L' };
        let _ = write!(chance, "{command}{:.1} {:.1}", left + SIDE * scale.place(rate), bottom - SIDE * rate);
    }
    let _ = writeln!(
        svg,
        "<path d=\"{chance}\" fill=\"none\" stroke=\"#b5b5b5\" stroke-dasharray=\"1 4\"/>\
         <rect x=\"{left}\" y=\"{TOP}\" width=\"{SIDE}\" height=\"{SIDE}\" fill=\"none\" stroke=\"#888888\"/>\
         <text x=\"{middle}\" y=\"{above}\" text-anchor=\"middle\" fill=\"#222222\" font-size=\"13\">{title}</text>\
         <text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\" fill=\"#222222\">false-alarm rate</text>\
         <text transform=\"translate({aside} {half}) rotate(-90)\" text-anchor=\"middle\" fill=\"#222222\">detection rate</text>",
        middle = left + SIDE / 2.0,
        above = TOP - 12.0,
        below = bottom + 34.0,
        aside = left - 40.0,
        half = TOP + SIDE / 2.0,
    );
}

/// Points of a curve where many scores are equal: between two thresholds it is a straight line, which on a logarithmic scale is bent.
fn bent(from: (f64, f64), to: (f64, f64)) -> impl Iterator<Item = (f64, f64)> {
    const PARTS: u32 = 24;
    let begin = from.0.max(LOWEST);
    let parts = if to.0 > begin && to.1 > from.1 { PARTS } else { 0 };
    (0..parts).map(move |part| {
        let rate = begin * (to.0 / begin).powf(f64::from(part) / f64::from(PARTS));
        (rate, from.1 + (to.1 - from.1) * (rate - from.0) / (to.0 - from.0))
    })
}

/// The steps of a curve, as far as a picture can show them.
fn path(roc: &Roc, left: f64, scale: Scale) -> String {
    let mut path = String::new();
    let mut last = (f64::NAN, f64::NAN);
    let mut points = vec![(0.0, 0.0)];
    for point in &roc.points {
        let to = (point.false_alarm_rate, point.detection_rate);
        if let (Scale::Logarithmic, Some(&from)) = (scale, points.last()) {
            points.extend(bent(from, to));
        }
        points.push(to);
    }
    for (false_alarm_rate, detection_rate) in points {
        let x = left + SIDE * scale.place(false_alarm_rate);
        let y = TOP + SIDE * (1.0 - detection_rate);
        let is_seen = (x - last.0).abs() >= 0.4 || (y - last.1).abs() >= 0.4;
        if path.is_empty() {
            let _ = write!(path, "M{x:.1} {y:.1}");
        } else if is_seen || (false_alarm_rate >= 1.0 && detection_rate >= 1.0) {
            let _ = write!(path, "L{x:.1} {y:.1}");
        } else {
            continue;
        }
        last = (x, y);
    }
    path
}

/// Text that is safe in XML and HTML.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in crate::output::text::printable(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::eval::report::sample;

    #[test]
    fn a_picture_names_every_curve_and_keeps_its_shape() {
        let svg = picture(&sample::evaluation());
        for name in ["stide:n=3, AUC 1.000", "bosc:w=4, AUC 1.000", "(few distinct calls), AUC"] {
            assert!(svg.contains(name), "{svg}");
        }
        assert_eq!(svg.matches("<svg").count(), 1);
        assert_eq!(svg.matches('<').count(), svg.matches('>').count());
        insta::assert_snapshot!(svg);
    }

    #[test]
    fn a_rate_of_a_tenth_lies_two_thirds_to_the_right_on_the_logarithmic_scale() {
        assert!((Scale::Logarithmic.place(0.1) - 2.0 / 3.0).abs() < 1e-9);
        assert!(
            Scale::Logarithmic.place(0.0).abs() < 1e-9 && (Scale::Logarithmic.place(1.0) - 1.0).abs() < 1e-9
        );
    }

    #[test]
    fn where_scores_are_equal_the_logarithmic_curve_is_that_of_the_linear_panel() {
        let points: Vec<_> = bent((0.0, 0.0), (0.1, 0.2)).collect();
        assert_eq!(points.first(), Some(&(LOWEST, 2.0 * LOWEST)));
        assert!(points.iter().all(|(rate, detected)| (detected - 2.0 * rate).abs() < 1e-12), "{points:?}");
        assert!(points.is_sorted_by(|a, b| a.0 < b.0) && points.iter().all(|point| point.0 < 0.1));
        assert_eq!(bent((0.1, 0.2), (0.1, 0.4)).count() + bent((0.1, 0.2), (0.3, 0.2)).count(), 0);
        assert_eq!(bent((0.0, 0.0), (0.0005, 0.2)).count(), 0);
    }

    #[test]
    fn names_cannot_end_the_element_that_they_are_in() {
        assert_eq!(escaped("</text><script>\"'&\x1b"), "&lt;/text&gt;&lt;script&gt;&quot;&#39;&amp;.");
    }
}
