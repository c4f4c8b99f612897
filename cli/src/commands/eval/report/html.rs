//! Everything as one page that needs no other file and no network.

use std::fmt::Write as _;

use rastro_analyzer::evaluation::{Accuracy, Evaluation, HeldOutFrom, Interval};

use super::{
    FEW_DISTINCT, MANY_CALLS, MEANING, between, millions, name, percent, percent_between, size, sizes,
    svg::{escaped, figures},
};
use crate::output::text;

const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222;background:#fff}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
.wide{overflow-x:auto}th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}\
th{font-weight:600;border-bottom:2px solid #999}td:first-child,th:first-child{text-align:left}small{display:block;color:#666}\
tr.trivial td{color:#666;font-style:italic}svg{max-width:100%;height:auto}li{margin:.3rem 0}\
.kinds td:nth-child(3),.kinds th:nth-child(3){text-align:left}\
.curves{display:flex;flex-wrap:wrap;gap:1rem}.curves svg{flex:1 1 20rem;min-width:0;max-width:30rem}\
.legend{display:flex;flex-wrap:wrap;gap:0 1.5rem;padding:0;list-style:none}.legend li{white-space:nowrap}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}th,td{border-color:#3a3a3a}th{border-bottom-color:#777}\
small,tr.trivial td{color:#a5a5a5}.paper{fill:#181818}.grid{stroke:#333}.curves text{fill:#ddd}.curve{filter:brightness(1.5)}}";

/// The page; `seed` is told so that it can be made again.
pub(in crate::commands::eval) fn page(evaluation: &Evaluation, seed: u64) -> String {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Rastro: evaluation of detectors</title><style>{STYLE}</style></head><body>\n\
         <h1>Evaluation of detectors</h1>\n<ul>"
    );
    for (part, size) in sizes(evaluation) {
        let _ = write!(html, "<li>{part}: {size}</li>");
    }
    let _ = writeln!(html, "<li>seed {seed}: the same traces and seed give the same figures</li></ul>");
    html.push_str(&figures(evaluation));
    accuracies(&mut html, evaluation);
    costs(&mut html, evaluation);
    kinds(&mut html, evaluation);
    html.push_str("<h2>What the figures mean</h2>\n<ul>");
    for meaning in MEANING {
        let _ = write!(html, "<li>{}</li>", escaped(meaning));
    }
    let _ = write!(html, "</ul>\n<p>Made by rastro {}.</p>\n</body></html>\n", env!("CARGO_PKG_VERSION"));
    html
}

fn open_table(html: &mut String, title: &str, class: &str, columns: &[&str]) {
    let _ = write!(html, "<h2>{title}</h2>\n<div class=\"{class}\"><table><thead><tr>");
    for column in columns {
        let _ = write!(html, "<th>{column}</th>");
    }
    html.push_str("</tr></thead><tbody>\n");
}

fn close_table(html: &mut String) {
    html.push_str("</tbody></table></div>\n");
}

/// A cell with a figure and, below it, between which bounds it lies.
fn cell(html: &mut String, figure: &str, below: Option<String>) {
    let _ = write!(html, "<td>{}", escaped(figure));
    if let Some(below) = below {
        let _ = write!(html, "<small>{}</small>", escaped(&below));
    }
    html.push_str("</td>");
}

fn accuracies(html: &mut String, evaluation: &Evaluation) {
    let columns = ["detector", "AUC", "AP", "DR@0.1 %", "DR@1 %", "DR@5 %", "DR@10 %", "DR@15 %", "DR@20 %"];
    open_table(html, "How well attacks are told from normal", "wide", &columns);
    for measured in &evaluation.detectors {
        accuracy_row(html, "", &name(measured), &measured.accuracy);
    }
    accuracy_row(html, " class=\"trivial\"", &format!("({FEW_DISTINCT})"), &evaluation.trivial);
    accuracy_row(html, " class=\"trivial\"", &format!("({MANY_CALLS})"), &evaluation.trivial_length);
    close_table(html);
}

fn accuracy_row(html: &mut String, class: &str, name: &str, accuracy: &Accuracy) {
    let _ = write!(html, "<tr{class}>");
    cell(html, name, None);
    let intervals = accuracy.intervals.as_ref();
    cell(html, &format!("{:.3}", accuracy.roc.auc), intervals.map(|all| between(&all.auc)));
    let precision = intervals.map(|all| between(&all.average_precision));
    cell(html, &format!("{:.3}", accuracy.roc.average_precision), precision);
    for (place, (_, rate)) in accuracy.detection_rates.iter().enumerate() {
        let interval: Option<&Interval> = intervals.and_then(|all| all.detection_rates.get(place));
        cell(html, &percent(*rate), interval.map(percent_between));
    }
    html.push_str("</tr>\n");
}

fn costs(html: &mut String, evaluation: &Evaluation) {
    let columns = [
        "detector",
        "set for 1 %: FAR",
        "DR",
        "own threshold",
        "calls to detect",
        "trains/s",
        "scores/s",
        "model",
        "profile",
        "windows",
    ];
    open_table(html, "What a threshold really gives, and what it costs", "wide", &columns);
    for measured in &evaluation.detectors {
        html.push_str("<tr>");
        cell(html, &name(measured), None);
        match &measured.realised {
            Some(realised) => {
                let from = match realised.held_out_from {
                    HeldOutFrom::CrossValidation => "cross-validation",
                    HeldOutFrom::SeparateTraces => "separate traces",
                };
                let below = format!("{}, {from}", percent_between(&realised.false_alarm_interval));
                cell(html, &percent(realised.false_alarm_rate), Some(below));
                cell(html, &percent(realised.detection_rate), None);
            }
            None => html.push_str("<td>-</td><td>-</td>"),
        }
        let own = measured.own_threshold.map_or_else(
            || "-".to_owned(),
            |own| format!("FAR {}, DR {}", percent(own.false_alarm_rate), percent(own.detection_rate)),
        );
        cell(html, &own, None);
        let delay = measured.delay.map_or_else(
            || "-".to_owned(),
            |delay| format!("{} ({})", delay.median_calls, delay.ninetieth_percentile_calls),
        );
        cell(html, &delay, None);
        cell(html, &millions(measured.training_calls_per_second), None);
        cell(html, &millions(measured.scoring_calls_per_second), None);
        cell(html, &size(measured.model_bytes), None);
        cell(html, &size(measured.profile_bytes), None);
        cell(html, &text::count(measured.distinct), None);
        html.push_str("</tr>\n");
    }
    close_table(html);
}

fn kinds(html: &mut String, evaluation: &Evaluation) {
    if evaluation.detectors.iter().all(|measured| measured.accuracy.kinds.is_empty()) {
        return;
    }
    let columns = ["kind of attack", "traces", "detector", "AUC", "AP", "DR@1 %", "DR@10 %", "DR@20 %"];
    open_table(html, "By kind of attack", "wide kinds", &columns);
    for measured in &evaluation.detectors {
        for kind in &measured.accuracy.kinds {
            html.push_str("<tr>");
            cell(html, &kind.kind, None);
            cell(html, &text::count(kind.traces), None);
            cell(html, &name(measured), None);
            let intervals = kind.intervals.as_ref();
            cell(html, &format!("{:.3}", kind.auc), intervals.map(|all| between(&all.auc)));
            cell(html, &format!("{:.3}", kind.average_precision), None);
            for place in [1, 3, 5] {
                let Some((_, rate)) = kind.detection_rates.get(place) else { continue };
                let interval: Option<&Interval> = intervals.and_then(|all| all.detection_rates.get(place));
                cell(html, &percent(*rate), interval.map(percent_between));
            }
            html.push_str("</tr>\n");
        }
    }
    close_table(html);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::eval::report::sample;

    #[test]
    fn the_page_is_complete_in_itself() {
        let html = page(&sample::evaluation(), 7);
        for outside in ["src=", "href=", "@import", "url(", "<script", "<link"] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(html.contains("seed 7") && html.contains("shell.") && !html.contains('\x1b'));
        for tag in ["table", "tr", "td", "ul", "svg", "div"] {
            let open = html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
            assert_eq!(open, html.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        assert!(html.contains("prefers-color-scheme:dark") && html.matches("class=\"paper\"").count() == 2);
        // The picture has a snapshot of its own.
        let (before, rest) = html.split_once("<div class=\"curves\">").unwrap();
        let (_, after) = rest.split_once("</div>").unwrap();
        insta::assert_snapshot!(format!("{before}…{after}"));
    }
}
