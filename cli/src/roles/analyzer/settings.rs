//! How to analyse, from the configuration.

use std::time::Duration;

use anyhow::Context as _;
use rastro_analyzer::{LearnerOptions, ModelSpec, ScoringOptions, TrainingOptions};

use crate::config::{Config, Learning};

/// How to analyse.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Models to train.
    pub(crate) models: Vec<ModelSpec>,
    /// Most calls of a frame.
    pub(crate) frame: u32,
    /// Budget of false alarms a container a day.
    pub(crate) false_alarms_per_day: f64,
    /// Alarming frames this close together are one alarm.
    pub(crate) alarm_gap: Duration,
    /// What to do without a profile.
    pub(crate) learning: Learning,
    /// When learning is complete.
    pub(crate) completeness: f64,
    /// … and after how many calls,
    pub(crate) learning_min_calls: u64,
    /// … over how long a time.
    pub(crate) learning_min_time: Duration,
}

impl Settings {
    /// As configured.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let analyzer = &config.analyzer;
        Ok(Self {
            models: model_specs(&analyzer.detectors, &analyzer.windows)?,
            frame: analyzer.frame,
            false_alarms_per_day: analyzer.false_alarms_per_day,
            alarm_gap: analyzer.alarm_gap,
            learning: analyzer.learning,
            completeness: analyzer.completeness,
            learning_min_calls: analyzer.learning_min_calls,
            learning_min_time: analyzer.learning_min_time,
        })
    }

    /// How to score, with `models` of the profile (all of them, if empty).
    pub(crate) fn scoring(&self, models: Vec<ModelSpec>) -> ScoringOptions {
        ScoringOptions {
            models,
            frame: self.frame,
            false_alarms_per_day: self.false_alarms_per_day,
            alarm_gap_ns: i64::try_from(self.alarm_gap.as_nanos()).unwrap_or(i64::MAX),
            ..ScoringOptions::default()
        }
    }

    /// How to learn live.
    pub(crate) fn learner(&self) -> LearnerOptions {
        LearnerOptions {
            training: self.training(),
            completeness: self.completeness,
            min_calls: self.learning_min_calls,
            min_time_ns: i64::try_from(self.learning_min_time.as_nanos()).unwrap_or(i64::MAX),
        }
    }

    /// How to train.
    pub(crate) fn training(&self) -> TrainingOptions {
        TrainingOptions { models: self.models.clone(), frame: self.frame }
    }
}

/// Models that detectors and window sizes make: a detector with parameters of its own stands for itself, a bare name is taken with
/// every size, or once if it has none. However often a model is named, it is there once.
pub(crate) fn model_specs(detectors: &[String], windows: &[u32]) -> anyhow::Result<Vec<ModelSpec>> {
    let mut models: Vec<ModelSpec> = Vec::new();
    for detector in detectors {
        let spec = ModelSpec::parse(detector)?;
        let of_detector = if detector.contains(':') || windows.is_empty() {
            vec![spec]
        } else {
            let sizes = windows.iter().map(|&window| spec.with_window(window));
            sizes.collect::<Result<_, _>>().with_context(|| format!("detector `{detector}`"))?
        };
        for model in of_detector {
            if !models.contains(&model) {
                models.push(model);
            }
        }
    }
    Ok(models)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detector_without_windows_is_one_model_and_one_with_windows_is_one_a_size() {
        let names = |detectors: &[&str]| -> Vec<String> {
            let detectors: Vec<String> = detectors.iter().map(ToString::to_string).collect();
            model_specs(&detectors, &[6, 10]).unwrap().iter().map(ToString::to_string).collect()
        };
        assert_eq!(names(&["stide", "stide:n=10", "stide:n=3"]), ["stide:n=6", "stide:n=10", "stide:n=3"]);
        for detector in ["markov", "graph", "ensemble", "knn", "arguments"] {
            assert_eq!(names(&[detector]).len(), 1, "{detector}");
        }
    }
}
