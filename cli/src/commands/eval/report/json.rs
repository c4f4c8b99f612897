//! Everything, as scripts read it.

use rastro_analyzer::evaluation::{Accuracy, Evaluation, Interval, Intervals, Measured};
use serde_json::{Map, Value, json};

use super::{FEW_DISTINCT, MANY_CALLS};

/// The evaluation; `auc` and `detection_rate` at the top are the first detector's.
pub(in crate::commands::eval) fn json(evaluation: &Evaluation) -> Value {
    let size = |(traces, calls): (u64, u64)| json!({ "traces": traces, "calls": calls });
    let first = evaluation.detectors.first().map(|measured| &measured.accuracy);
    let trivial = |name: &str, scored: &Accuracy| {
        let mut members = accuracy(scored);
        members.insert("score".to_owned(), json!(name));
        Value::Object(members)
    };
    json!({
        "auc": first.map(|first| first.roc.auc),
        "average_precision": first.map(|first| first.roc.average_precision),
        "detection_rate": first.map(|first| rates(&first.detection_rates)),
        "results": evaluation.detectors.iter().map(measured).collect::<Vec<_>>(),
        "trivial": trivial(FEW_DISTINCT, &evaluation.trivial),
        "trivial_length": trivial(MANY_CALLS, &evaluation.trivial_length),
        "train": size(evaluation.train),
        "calibrate": size(evaluation.calibrate),
        "normal": size(evaluation.normal),
        "attack": size(evaluation.attack),
    })
}

fn measured(measured: &Measured) -> Value {
    let mut members = accuracy(&measured.accuracy);
    let mut insert = |key: &str, value: Value| {
        members.insert(key.to_owned(), value);
    };
    insert("detector", json!(measured.detector));
    insert("supervised", json!(measured.supervised));
    insert("realised", json!(measured.realised));
    insert("own_threshold", json!(measured.own_threshold));
    insert("calls_to_detect", json!(measured.delay));
    insert("training_calls_per_second", json!(measured.training_calls_per_second));
    insert("scoring_calls_per_second", json!(measured.scoring_calls_per_second));
    insert("model_bytes", json!(measured.model_bytes));
    insert("profile_bytes", json!(measured.profile_bytes));
    insert("distinct", json!(measured.distinct));
    insert("unseen_mass", json!(measured.unseen_mass));
    Value::Object(members)
}

fn accuracy(accuracy: &Accuracy) -> Map<String, Value> {
    let by_kind: Map<_, _> = accuracy
        .kinds
        .iter()
        .map(|kind| {
            let value = json!({
                "traces": kind.traces,
                "auc": kind.auc,
                "average_precision": kind.average_precision,
                "detection_rate": rates(&kind.detection_rates),
                "interval": kind.intervals.as_ref().map(|of_kind| intervals(of_kind, &kind.detection_rates)),
            });
            (kind.kind.clone(), value)
        })
        .collect();
    let points: Vec<_> = std::iter::once([0.0, 0.0])
        .chain(accuracy.roc.points.iter().map(|point| [point.false_alarm_rate, point.detection_rate]))
        .collect();
    let of_all = accuracy.intervals.as_ref().map(|of_all| intervals(of_all, &accuracy.detection_rates));
    let members = json!({
        "auc": accuracy.roc.auc,
        "average_precision": accuracy.roc.average_precision,
        "detection_rate": rates(&accuracy.detection_rates),
        "interval": of_all,
        "by_kind": by_kind,
        "roc": points,
    });
    match members {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Detection rates as an object with the false-alarm rates as keys.
fn rates(rates: &[(f64, f64)]) -> Value {
    rates.iter().map(|(rate, detected)| (rate.to_string(), json!(detected))).collect::<Map<_, _>>().into()
}

/// 95 % intervals, each as its two bounds.
fn intervals(intervals: &Intervals, detection_rates: &[(f64, f64)]) -> Value {
    let pair = |interval: &Interval| json!([interval.low, interval.high]);
    let rates: Map<_, _> = detection_rates
        .iter()
        .zip(&intervals.detection_rates)
        .map(|((rate, _), interval)| (rate.to_string(), pair(interval)))
        .collect();
    json!({
        "auc": pair(&intervals.auc),
        "average_precision": pair(&intervals.average_precision),
        "detection_rate": rates,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::eval::report::sample;

    #[test]
    fn the_top_repeats_the_first_detector() {
        let value = json(&sample::evaluation());
        assert_eq!(value["auc"], 1.0);
        assert_eq!(value["auc"], value["results"][0]["auc"]);
        let keys: Vec<_> = value["detection_rate"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["0.001", "0.01", "0.05", "0.1", "0.15", "0.2"]);
        assert_eq!(value["results"][1]["detector"], "bosc:w=4");
        assert_eq!(value["results"][0]["roc"][0], json!([0.0, 0.0]));
        assert_eq!(value["results"][0]["by_kind"]["shell\x1b"]["traces"], 4);
        assert_eq!(value["results"][0]["interval"]["auc"], json!([1.0, 1.0]));
        assert_eq!(value["results"][0]["realised"]["held_out_from"], "cross_validation");
        assert!(value["results"][0]["calls_to_detect"]["median_calls"].is_number());
        assert!(value["trivial"]["auc"].is_number() && value["trivial_length"]["auc"].is_number());
    }
}
