//! An evaluation as tables and as JSON.

use rastro_analyzer::evaluation::{Accuracy, Evaluation};
use serde_json::{Map, Value, json};

use crate::output::{self, text};

/// Name of the trivial score.
const TRIVIAL: &str = "few distinct calls";

/// Detection rates as an object with the false-alarm rates as keys.
fn rates(rates: &[(f64, f64)]) -> Value {
    let members: Map<_, _> =
        rates.iter().map(|(rate, detected)| (rate.to_string(), json!(detected))).collect();
    Value::Object(members)
}

fn accuracy(accuracy: &Accuracy) -> Map<String, Value> {
    let by_kind: Map<_, _> = accuracy
        .kinds
        .iter()
        .map(|kind| {
            let value = json!({
                "traces": kind.traces, "auc": kind.auc, "detection_rate": rates(&kind.detection_rates),
            });
            (kind.kind.clone(), value)
        })
        .collect();
    let points: Vec<_> = std::iter::once([0.0, 0.0])
        .chain(accuracy.roc.points.iter().map(|point| [point.false_alarm_rate, point.detection_rate]))
        .collect();
    let mut members = Map::new();
    members.insert("auc".to_owned(), json!(accuracy.roc.auc));
    members.insert("detection_rate".to_owned(), rates(&accuracy.detection_rates));
    members.insert("by_kind".to_owned(), Value::Object(by_kind));
    members.insert("roc".to_owned(), json!(points));
    members
}

/// Everything, as scripts read it; `auc` and `detection_rate` at the top are the first detector's.
pub(super) fn json(evaluation: &Evaluation) -> Value {
    let results: Vec<Value> = evaluation
        .detectors
        .iter()
        .map(|measured| {
            let mut members = accuracy(&measured.accuracy);
            members.insert("detector".to_owned(), json!(measured.detector));
            members.insert("training_calls_per_second".to_owned(), json!(measured.training_calls_per_second));
            members.insert("scoring_calls_per_second".to_owned(), json!(measured.scoring_calls_per_second));
            members.insert("profile_bytes".to_owned(), json!(measured.profile_bytes));
            members.insert("distinct".to_owned(), json!(measured.distinct));
            members.insert("unseen_mass".to_owned(), json!(measured.unseen_mass));
            Value::Object(members)
        })
        .collect();
    let mut trivial = accuracy(&evaluation.trivial);
    trivial.insert("score".to_owned(), json!(TRIVIAL));
    let size = |(traces, calls): (u64, u64)| json!({ "traces": traces, "calls": calls });
    let first = evaluation.detectors.first().map(|measured| &measured.accuracy);
    json!({
        "auc": first.map(|first| first.roc.auc),
        "detection_rate": first.map(|first| rates(&first.detection_rates)),
        "results": results,
        "trivial": trivial,
        "train": size(evaluation.train),
        "normal": size(evaluation.normal),
        "attack": size(evaluation.attack),
    })
}

/// Everything, as people read it.
pub(super) fn tables(evaluation: &Evaluation) -> String {
    let size = |(traces, calls): (u64, u64)| {
        format!("{} traces of {} calls", text::count(traces), text::count(calls))
    };
    let mut lines = vec![
        format!("trained on {}", size(evaluation.train)),
        format!("normal     {}", size(evaluation.normal)),
        format!("attack     {}", size(evaluation.attack)),
        String::new(),
    ];
    let mut table = output::table([
        "DETECTOR", "AUC", "DR@0.1%", "DR@1%", "DR@5%", "DR@10%", "DR@15%", "DR@20%", "TRAINS/S", "SCORES/S",
        "PROFILE", "WINDOWS",
    ]);
    for measured in &evaluation.detectors {
        let mut row = vec![measured.detector.clone()];
        row.extend(figures(measured.accuracy.roc.auc, &measured.accuracy.detection_rates));
        row.push(millions(measured.training_calls_per_second));
        row.push(millions(measured.scoring_calls_per_second));
        row.push(format!("{} B", text::count(measured.profile_bytes)));
        row.push(text::count(measured.distinct));
        table.add_row(row);
    }
    let mut row = vec![format!("({TRIVIAL})")];
    row.extend(figures(evaluation.trivial.roc.auc, &evaluation.trivial.detection_rates));
    row.resize(12, String::new());
    table.add_row(row);
    lines.push(table.to_string());
    let with_kinds = evaluation.detectors.iter().filter(|measured| !measured.accuracy.kinds.is_empty());
    let mut kinds = output::table([
        "ATTACK", "TRACES", "DETECTOR", "AUC", "DR@0.1%", "DR@1%", "DR@5%", "DR@10%", "DR@15%", "DR@20%",
    ]);
    for measured in with_kinds {
        for kind in &measured.accuracy.kinds {
            let mut row =
                vec![text::printable(&kind.kind), text::count(kind.traces), measured.detector.clone()];
            row.extend(figures(kind.auc, &kind.detection_rates));
            kinds.add_row(row);
        }
    }
    if !kinds.is_empty() {
        lines.extend([String::new(), kinds.to_string()]);
    }
    lines.push("\nDR@x: share of the attack traces that alarm where x of the normal ones do; a trace's score is the share of its \
                windows never seen in training".to_owned());
    lines.join("\n").lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn figures(auc: f64, rates: &[(f64, f64)]) -> Vec<String> {
    let rates = rates.iter().map(|(_, detected)| format!("{:.1} %", 100.0 * detected));
    std::iter::once(format!("{auc:.3}")).chain(rates).collect()
}

fn millions(per_second: f64) -> String {
    format!("{:.1} M", per_second / 1e6)
}

#[cfg(test)]
mod tests {
    use rastro_analyzer::{
        ModelSpec,
        evaluation::{Part, TraceSets, evaluate},
    };

    use super::*;

    fn evaluation() -> Evaluation {
        let mut sets = TraceSets::new();
        for _ in 0..4 {
            sets.add(Part::Train, ["open", "read", "write", "close"].repeat(5), None);
            sets.add(Part::Normal, ["open", "read", "write", "close"].repeat(3), None);
            sets.add(Part::Attack, ["open", "execve", "read", "close"].repeat(3), Some("shell\x1b"));
        }
        let models = [ModelSpec::parse("stide:n=3").unwrap(), ModelSpec::parse("bosc:w=4").unwrap()];
        evaluate(&sets, &models, 1, &|_, _| {}).unwrap()
    }

    #[test]
    fn the_top_repeats_the_first_detector() {
        let value = json(&evaluation());
        assert_eq!(value["auc"], 1.0);
        assert_eq!(value["auc"], value["results"][0]["auc"]);
        let keys: Vec<_> = value["detection_rate"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["0.001", "0.01", "0.05", "0.1", "0.15", "0.2"]);
        assert_eq!(value["results"][1]["detector"], "bosc:w=4");
        assert_eq!(value["results"][0]["roc"][0], json!([0.0, 0.0]));
        assert_eq!(value["results"][0]["by_kind"]["shell\x1b"]["traces"], 4);
        assert!(value["trivial"]["auc"].is_number());
    }

    #[test]
    fn a_table_has_a_row_for_every_detector_and_kind() {
        let page = tables(&evaluation());
        let row = page.lines().find(|line| line.contains("stide:n=3")).unwrap();
        assert_eq!(
            row.split_whitespace().take(4).collect::<Vec<_>>(),
            ["stide:n=3", "1.000", "100.0", "%"],
            "{page}"
        );
        assert!(page.contains("(few distinct calls)"));
        assert!(page.contains("shell.") && !page.contains('\x1b'), "{page}");
    }
}
