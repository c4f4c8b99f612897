//! Everything, as people read it.

use rastro_analyzer::evaluation::{Accuracy, Evaluation, HeldOutFrom, Intervals};

use super::{
    FEW_DISTINCT, MANY_CALLS, MEANING, between, millions, name, percent, percent_between, size, sizes,
};
use crate::output::{self, text};

/// The tables, one below the other.
pub(in crate::commands::eval) fn tables(evaluation: &Evaluation) -> String {
    let mut lines: Vec<String> =
        sizes(evaluation).into_iter().map(|(part, size)| format!("{part:<11}{size}")).collect();
    lines.extend([String::new(), accuracies(evaluation)]);
    lines.extend([String::new(), costs(evaluation)]);
    if let Some(kinds) = kinds(evaluation) {
        lines.extend([String::new(), kinds]);
    }
    lines.push(String::new());
    lines.extend(MEANING.iter().map(|&meaning| meaning.to_owned()));
    lines.join("\n").lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn accuracies(evaluation: &Evaluation) -> String {
    let mut table =
        output::table(["DETECTOR", "AUC", "AP", "DR@0.1%", "DR@1%", "DR@5%", "DR@10%", "DR@15%", "DR@20%"]);
    let mut add = |name: String, accuracy: &Accuracy| {
        table.add_row([vec![name], figures(accuracy)].concat());
        if let Some(intervals) = &accuracy.intervals {
            table.add_row([vec![String::new()], bounds(intervals)].concat());
        }
    };
    for measured in &evaluation.detectors {
        add(name(measured), &measured.accuracy);
    }
    add(format!("({FEW_DISTINCT})"), &evaluation.trivial);
    add(format!("({MANY_CALLS})"), &evaluation.trivial_length);
    table.to_string()
}

fn figures(accuracy: &Accuracy) -> Vec<String> {
    let areas = [accuracy.roc.auc, accuracy.roc.average_precision].map(|area| format!("{area:.3}"));
    areas.into_iter().chain(accuracy.detection_rates.iter().map(|(_, rate)| percent(*rate))).collect()
}

fn bounds(intervals: &Intervals) -> Vec<String> {
    let areas = [between(&intervals.auc), between(&intervals.average_precision)];
    areas.into_iter().chain(intervals.detection_rates.iter().map(percent_between)).collect()
}

fn costs(evaluation: &Evaluation) -> String {
    let by_recording = evaluation.detectors.iter().any(|measured| measured.own_threshold.is_some());
    let own = if by_recording { "OWN THRESHOLD" } else { "" };
    let mut table = output::table([
        "DETECTOR",
        "SET FOR 1 %: FAR",
        "DR",
        own,
        "CALLS TO DETECT",
        "TRAINS/S",
        "SCORES/S",
        "MODEL",
        "PROFILE",
        "WINDOWS",
    ]);
    for measured in &evaluation.detectors {
        let (false_alarms, detected) = measured.realised.map_or_else(
            || ("-".to_owned(), "-".to_owned()),
            |realised| {
                let from = match realised.held_out_from {
                    HeldOutFrom::CrossValidation => "",
                    HeldOutFrom::SeparateTraces => " (separate)",
                };
                let interval = percent_between(&realised.false_alarm_interval);
                let false_alarms = format!("{} [{interval}]{from}", percent(realised.false_alarm_rate));
                (false_alarms, percent(realised.detection_rate))
            },
        );
        let own = measured.own_threshold.map_or_else(String::new, |own| {
            format!("FAR {}, DR {}", percent(own.false_alarm_rate), percent(own.detection_rate))
        });
        let delay = measured.delay.map_or_else(
            || "-".to_owned(),
            |delay| {
                let (half, most) = (delay.median_calls, delay.ninetieth_percentile_calls);
                format!("{} ({})", text::count(half), text::count(most))
            },
        );
        table.add_row([
            name(measured),
            false_alarms,
            detected,
            own,
            delay,
            millions(measured.training_calls_per_second),
            millions(measured.scoring_calls_per_second),
            size(measured.model_bytes),
            size(measured.profile_bytes),
            text::count(measured.distinct),
        ]);
    }
    table.to_string()
}

/// Figures by kind of attack; `None` where no kind is known.
fn kinds(evaluation: &Evaluation) -> Option<String> {
    let mut table = output::table([
        "ATTACK", "TRACES", "DETECTOR", "AUC", "95 %", "AP", "DR@0.1%", "DR@1%", "DR@5%", "DR@10%", "DR@15%",
        "DR@20%",
    ]);
    for measured in &evaluation.detectors {
        for kind in &measured.accuracy.kinds {
            let mut row = vec![text::printable(&kind.kind), text::count(kind.traces), name(measured)];
            row.push(format!("{:.3}", kind.auc));
            row.push(kind.intervals.as_ref().map_or_else(String::new, |intervals| between(&intervals.auc)));
            row.push(format!("{:.3}", kind.average_precision));
            row.extend(kind.detection_rates.iter().map(|(_, rate)| percent(*rate)));
            table.add_row(row);
        }
    }
    (!table.is_empty()).then(|| table.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::eval::report::sample;

    #[test]
    fn a_table_has_a_row_for_every_detector_and_kind() {
        let page = tables(&sample::evaluation());
        let row = page.lines().find(|line| line.contains("stide:n=3")).unwrap();
        assert_eq!(
            row.split_whitespace().take(4).collect::<Vec<_>>(),
            ["stide:n=3", "1.000", "1.000", "100.0"],
            "{page}"
        );
        assert!(page.contains("(few distinct calls)") && page.contains("(many calls)"));
        assert!(page.contains("shell.") && !page.contains('\x1b'), "{page}");
        insta::assert_snapshot!(page);
    }
}
