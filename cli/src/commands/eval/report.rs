//! An evaluation as others read it: tables, JSON, a picture, a page.

mod html;
mod json;
mod svg;
mod tables;

#[cfg(test)]
mod sample;

pub(super) use html::page;
pub(super) use json::json;
pub(super) use svg::picture;
pub(super) use tables::tables;

use rastro_analyzer::{
    evaluation::{Evaluation, Interval, Measured},
    roc::Roc,
};

use crate::output::text;

/// Names of the trivial scores.
const FEW_DISTINCT: &str = "few distinct calls";
const MANY_CALLS: &str = "many calls";

/// Every curve with its name: the detectors', then the trivial ones, whose names are in brackets.
fn curves(evaluation: &Evaluation) -> Vec<(String, &Roc)> {
    let of_detectors = evaluation.detectors.iter().map(|measured| (name(measured), &measured.accuracy.roc));
    let trivial = [(FEW_DISTINCT, &evaluation.trivial), (MANY_CALLS, &evaluation.trivial_length)];
    of_detectors
        .chain(trivial.into_iter().map(|(name, accuracy)| (format!("({name})"), &accuracy.roc)))
        .collect()
}

/// What was evaluated on, one line a part.
fn sizes(evaluation: &Evaluation) -> Vec<(&'static str, String)> {
    let size = |(traces, calls): (u64, u64)| {
        format!("{} of {}", text::counted(traces, "trace"), text::counted(calls, "call"))
    };
    let mut sizes = vec![("trained on", size(evaluation.train))];
    if evaluation.calibrate.0 > 0 {
        sizes.push(("thresholds", size(evaluation.calibrate)));
    }
    sizes.push(("normal", size(evaluation.normal)));
    sizes.push(("attack", size(evaluation.attack)));
    sizes
}

/// The name of what was measured; what learned from labels is named so.
fn name(measured: &Measured) -> String {
    let supervised = if measured.supervised { " [supervised]" } else { "" };
    format!("{}{supervised}", measured.detector)
}

/// A size, where there is one.
fn size(bytes: u64) -> String {
    if bytes == 0 { "-".to_owned() } else { format!("{} B", text::count(bytes)) }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn percent_between(interval: &Interval) -> String {
    format!("{:.1}–{:.1}", 100.0 * interval.low, 100.0 * interval.high)
}

fn between(interval: &Interval) -> String {
    format!("{:.3}–{:.3}", interval.low, interval.high)
}

fn millions(per_second: f64) -> String {
    format!("{:.1} M", per_second / 1e6)
}

/// What the columns mean, for people.
const MEANING: [&str; 6] = [
    "DR@x: share of the attacks that alarm where x of the normal ones do, by the best threshold in hindsight; AP: average precision; below \
     each figure its 95 % interval (bootstrap over traces)",
    "SET FOR 1 %: what a threshold gives that was set before the test, on training traces held out in turn (cross-validation) or on separate \
     normal ones; FAR and DR are the shares of normal and of attacks that really alarm",
    "CALLS TO DETECT: after how many calls half (nine of ten) of the detected attacks alarm for good, at 10 % false alarms",
    "no parameter was chosen by normal or attack traces of the test: detectors have the parameters that their names tell, or their defaults",
    "[supervised]: learned from labelled attacks too; every trace is scored by a model of the other folds of a cross-validation over whole \
     traces (copies of a trace lie in one fold), so this is no rival of the others but what could be reached",
    "(in brackets): scores that know nothing of order; where they do well, the data are easier than they look",
];
