//! How well scores tell attacks from normal, all of them and by kind.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    EvaluationOptions, NoTraces,
    bootstrap::{Intervals, intervals},
};
use crate::roc::Roc;

/// How well scores tell attacks from normal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Accuracy {
    /// The curve with its areas.
    pub roc: Roc,
    /// Detection rates, by false-alarm rate.
    pub detection_rates: Vec<(f64, f64)>,
    /// How far these may be off, where it was asked for.
    pub intervals: Option<Intervals>,
    /// The same for each kind of attack, where kinds are known, by name.
    pub kinds: Vec<KindAccuracy>,
}

/// How well one kind of attack is told from normal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KindAccuracy {
    /// The kind.
    pub kind: String,
    /// Its traces.
    pub traces: u64,
    /// Area under its curve.
    pub auc: f64,
    /// Average precision among its traces and all normal ones.
    pub average_precision: f64,
    /// Its detection rates, by false-alarm rate.
    pub detection_rates: Vec<(f64, f64)>,
    /// How far these may be off, where it was asked for.
    pub intervals: Option<Intervals>,
}

impl Accuracy {
    /// Of these scores; `kinds` holds the places of each kind's attacks.
    pub(crate) fn of(
        normal: &[f64],
        attack: &[f64],
        kinds: &BTreeMap<&str, Vec<usize>>,
        options: &EvaluationOptions,
    ) -> Result<Self, NoTraces> {
        let roc = |attack: &[f64]| Roc::of(normal, attack).ok_or(NoTraces { missing: "comparable" });
        let intervals =
            |attack: &[f64]| intervals(normal, attack, options.resamples, options.seed, options.cores);
        let kinds = kinds
            .iter()
            .map(|(kind, places)| {
                let scores: Vec<f64> = places.iter().map(|&place| attack[place]).collect();
                let roc = roc(&scores)?;
                Ok(KindAccuracy {
                    kind: (*kind).to_owned(),
                    traces: scores.len() as u64,
                    auc: roc.auc,
                    average_precision: roc.average_precision,
                    detection_rates: roc.detection_rates(),
                    intervals: intervals(&scores),
                })
            })
            .collect::<Result<_, _>>()?;
        let roc = roc(attack)?;
        Ok(Self { detection_rates: roc.detection_rates(), intervals: intervals(attack), roc, kinds })
    }
}
