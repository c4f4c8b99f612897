//! ROC curves in characters, for terminals.

use rastro_analyzer::roc::Roc;

/// Characters of the plot's inside.
const WIDTH: usize = 60;
const HEIGHT: usize = 20;

/// The curves, each with the letter of its place; the lower left corner is (0, 0).
pub(super) fn roc(curves: &[(&str, &Roc)]) -> String {
    let mut grid = vec![vec![' '; WIDTH + 1]; HEIGHT + 1];
    for (column, row) in (0..=WIDTH).map(|column| (column, column * HEIGHT / WIDTH)) {
        grid[row][column] = '·';
    }
    // The first curve is drawn last: it lies on top.
    for (letter, (_, roc)) in letters().zip(curves).collect::<Vec<_>>().into_iter().rev() {
        for (column, rate) in (0..=WIDTH).map(|column| (column, column as f64 / WIDTH as f64)) {
            let detected = roc.detection_rate_at(rate);
            let row = ((detected * HEIGHT as f64).round() as usize).min(HEIGHT);
            grid[row][column] = letter;
        }
    }
    let mut lines = vec![String::new(), "detection rate".to_owned()];
    for (row, characters) in grid.iter().enumerate().rev() {
        let label = if row % 5 == 0 { format!("{:.2}", row as f64 / HEIGHT as f64) } else { String::new() };
        lines.push(format!("{label:>5} │{}", characters.iter().collect::<String>().trim_end()));
    }
    lines.push(format!("      └{}", "─".repeat(WIDTH + 1)));
    lines.push(format!("       0{:>half$}{:>half$}  false-alarm rate", "0.5", "1", half = WIDTH / 2));
    lines.extend(
        letters()
            .zip(curves)
            .map(|(letter, (name, roc))| format!("       {letter}  {name} (AUC {:.3})", roc.auc)),
    );
    lines.join("\n")
}

fn letters() -> impl Iterator<Item = char> {
    ('a'..='z').chain(std::iter::repeat('*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_curve_runs_along_the_top() {
        let perfect = Roc::of(&[0.0, 0.0], &[1.0]).unwrap();
        let blind = Roc::of(&[1.0, 0.0], &[1.0, 0.0]).unwrap();
        let plot = roc(&[("stide:n=6", &perfect), ("bosc:w=10", &blind)]);
        let lines: Vec<_> = plot.lines().collect();
        assert_eq!(lines[2], format!(" 1.00 │{}", "a".repeat(61)));
        assert!(lines[12].starts_with(" 0.50 │") && lines[12].contains("bbbbb"), "{plot}");
        assert!(plot.contains("b  bosc:w=10 (AUC 0.500)"), "{plot}");
    }
}
