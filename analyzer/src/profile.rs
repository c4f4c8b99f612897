//! Profiles: what is known of a workload.

use rastro_model::{Container, Segment};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    alphabet::{Alphabet, Symbol},
    calibration::{Budget, Calibration, HeldOut},
    detector::{Detector, WindowStatistics},
    registry::ModelSpec,
};

/// Most sources that a profile names one by one.
pub(crate) const MAX_SOURCES: usize = 1024;

/// Points of a growth curve that are kept.
pub(crate) const MAX_GROWTH_POINTS: usize = 64;

/// What is known of a workload: the calls it makes, what each detector learned of their order, and how novel it is to itself.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Name: the image, or a name given.
    pub name: String,
    /// When it was made, nanoseconds since the epoch.
    pub created_ns: i64,
    pub(crate) alphabet: Alphabet,
    /// How often each call of the alphabet occurred.
    pub(crate) call_counts: Vec<u64>,
    pub(crate) models: Vec<Model>,
    pub(crate) training: Training,
    pub(crate) sources: Vec<Source>,
}

/// One detector of a profile.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) detector: Box<dyn Detector>,
    pub(crate) held_out: HeldOut,
    /// Windows learned and different ones among them, as training went on.
    pub(crate) growth: Vec<(u64, u64)>,
}

/// What a profile was trained on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Training {
    /// Calls.
    pub calls: u64,
    /// Segments.
    pub segments: u64,
    /// Segments before which something was lost.
    pub lossy_segments: u64,
    /// Frames.
    pub frames: u64,
    /// Time from first to last call, summed over containers, nanoseconds.
    pub container_ns: u64,
    /// Time of the first call, nanoseconds since the epoch.
    pub start_ns: i64,
    /// Time of the last call, nanoseconds since the epoch.
    pub end_ns: i64,
}

/// Something that fed a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Dataset.
    pub dataset: String,
    /// Index of the dataset.
    pub index: String,
    /// Node.
    pub node: String,
    /// Id of the container.
    pub container: String,
    /// Its image, where known; empty where not.
    pub image: String,
    /// Calls.
    pub calls: u64,
    /// Time of the first call, nanoseconds since the epoch.
    pub start_ns: i64,
    /// Time of the last call, nanoseconds since the epoch.
    pub end_ns: i64,
}

/// What two profiles do not share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProfileDiff {
    /// Calls that only the second knows, with their counts, the most frequent first.
    pub new_calls: Vec<(String, u64)>,
    /// Calls that only the first knows, with their counts, the most frequent first.
    pub vanished_calls: Vec<(String, u64)>,
    /// The models of both, compared.
    pub models: Vec<ModelDiff>,
    /// Models that only one of them has, as specifications.
    pub not_in_both: Vec<String>,
}

/// What two profiles' models of one specification do not share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelDiff {
    /// The specification.
    pub model: String,
    /// Number of windows that both know.
    pub shared: u64,
    /// Number of windows that only the second knows.
    pub new: u64,
    /// Number of windows that only the first knows.
    pub vanished: u64,
    /// Windows that only the second knows with their counts, the most frequent first, up to the limit asked for.
    pub new_windows: Vec<(Vec<String>, u64)>,
    /// Windows that only the first knows with their counts, likewise.
    pub vanished_windows: Vec<(Vec<String>, u64)>,
}

impl Profile {
    /// A profile that knows nothing.
    pub(crate) fn empty(name: &str, models: &[ModelSpec]) -> Self {
        let models = models
            .iter()
            .map(|spec| Model { detector: spec.create(), held_out: HeldOut::default(), growth: Vec::new() })
            .collect();
        Self {
            name: name.to_owned(),
            created_ns: 0,
            alphabet: Alphabet::default(),
            call_counts: Vec::new(),
            models,
            training: Training::default(),
            sources: Vec::new(),
        }
    }

    /// Specifications of its models.
    pub fn models(&self) -> Vec<ModelSpec> {
        self.models.iter().map(|model| model.detector.spec().clone()).collect()
    }

    /// What it was trained on.
    pub fn training(&self) -> &Training {
        &self.training
    }

    /// What fed it, in order of first appearance.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// How often the call of that name occurred in training.
    pub fn call_count(&self, name: &str) -> u64 {
        self.alphabet.symbol(name).map_or(0, |symbol| self.count_of(symbol))
    }

    /// Every call that occurred in training with its count, the most frequent first.
    pub fn calls(&self) -> Vec<(&str, u64)> {
        let names = self.alphabet.names().iter().map(String::as_str);
        let mut calls: Vec<_> = names.zip(self.call_counts.iter().copied()).collect();
        calls.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        calls
    }

    pub(crate) fn count_of(&self, symbol: Symbol) -> u64 {
        self.call_counts.get(usize::from(symbol)).copied().unwrap_or(0)
    }

    /// How complete it is: 1 − the probability that the next window of its widest model is a new one, by Good and Turing.
    pub fn completeness(&self) -> f64 {
        1.0 - self.widest_statistics().unseen_mass()
    }

    /// What the model with the longest windows has learned; of several, the one that knows the most different ones.
    pub(crate) fn widest_statistics(&self) -> WindowStatistics {
        let of_model = |model: &Model| (model.detector.spec().window(), model.detector.statistics());
        let widest = self
            .models
            .iter()
            .map(of_model)
            .max_by_key(|(window, statistics)| (*window, statistics.distinct));
        widest.map(|(_, statistics)| statistics).unwrap_or_default()
    }

    /// Frames a container a day in the training data; `None` where it tells no times.
    pub fn frames_per_day(&self) -> Option<f64> {
        (self.training.container_ns > 0)
            .then(|| self.training.frames as f64 * 86_400e9 / self.training.container_ns as f64)
    }

    /// How each of its models is calibrated where `models` of them share a budget of so many false alarms a container a day.
    pub fn calibration(&self, model: usize, false_alarms_per_day: f64, models: usize) -> Calibration {
        let budget = Budget { per_day: false_alarms_per_day, frames_per_day: self.frames_per_day(), models };
        let model = &self.models[model];
        Calibration::new(&model.held_out, &model.detector.scale(), &budget)
    }

    /// Learns what `other` knows: the counts are those of training on both. Models that only one of them has are
    /// dropped, since half of what was seen is not in them; if none is left, `None`.
    pub fn merged(&self, other: &Self, name: &str) -> Option<Self> {
        let mut merged = self.clone();
        name.clone_into(&mut merged.name);
        merged.created_ns = self.created_ns.max(other.created_ns);
        let symbols: Vec<Symbol> =
            other.alphabet.names().iter().map(|name| merged.alphabet.learn(name)).collect();
        merged.call_counts.resize(merged.alphabet.len(), 0);
        for (&symbol, &count) in symbols.iter().zip(&other.call_counts) {
            if let Some(sum) = merged.call_counts.get_mut(usize::from(symbol)) {
                *sum = sum.saturating_add(count);
            }
        }
        merged.models.retain_mut(|model| {
            let Some(others) =
                other.models.iter().find(|other| other.detector.spec() == model.detector.spec())
            else {
                return false;
            };
            model.held_out.add(&others.held_out);
            model.growth.clear();
            let is_merged = model.detector.merge(others.detector.as_ref(), &symbols);
            model.detector.finish();
            if let Some(scores) = model.detector.held_out() {
                model.held_out = HeldOut::of_raw(&scores, &model.detector.scale());
            }
            is_merged
        });
        let (ours, theirs) = (&self.training, &other.training);
        merged.training = Training {
            calls: ours.calls.saturating_add(theirs.calls),
            segments: ours.segments.saturating_add(theirs.segments),
            lossy_segments: ours.lossy_segments.saturating_add(theirs.lossy_segments),
            frames: ours.frames.saturating_add(theirs.frames),
            container_ns: ours.container_ns.saturating_add(theirs.container_ns),
            start_ns: ours.start_ns.min(theirs.start_ns),
            end_ns: ours.end_ns.max(theirs.end_ns),
        };
        for source in &other.sources {
            merged.add_source(source.clone());
        }
        (!merged.models.is_empty()).then_some(merged)
    }

    /// What `after` knows that this one does not, and the reverse; at most `limit` windows a model and side are listed.
    pub fn diff(&self, after: &Self, limit: usize) -> ProfileDiff {
        let only_in = |left: &Self, right: &Self| -> Vec<(String, u64)> {
            left.calls()
                .into_iter()
                .filter(|&(name, count)| count > 0 && right.call_count(name) == 0)
                .map(|(name, count)| (name.to_owned(), count))
                .collect()
        };
        let mut models = Vec::new();
        let mut not_in_both = Vec::new();
        for model in &self.models {
            match after.models.iter().find(|other| other.detector.spec() == model.detector.spec()) {
                Some(other) => models.push(diff_models((self, model), (after, other), limit)),
                None => not_in_both.push(model.detector.spec().to_string()),
            }
        }
        let ours = self.models();
        not_in_both
            .extend(after.models().iter().filter(|spec| !ours.contains(spec)).map(ToString::to_string));
        ProfileDiff {
            new_calls: only_in(after, self),
            vanished_calls: only_in(self, after),
            models,
            not_in_both,
        }
    }

    /// What `rastro profile show` shows, with calibrations for the budget given.
    pub fn to_json(&self, false_alarms_per_day: f64) -> Value {
        let models: Vec<Value> = self
            .models
            .iter()
            .enumerate()
            .map(|(place, model)| {
                let statistics = model.detector.statistics();
                let calibration = self.calibration(place, false_alarms_per_day, self.models.len());
                json!({
                    "model": model.detector.spec().to_string(),
                    "detector": model.detector.spec().detector(),
                    "window": model.detector.spec().window(),
                    "windows": statistics.windows,
                    "distinct": statistics.distinct,
                    "singletons": statistics.singletons,
                    "refused": statistics.refused,
                    "completeness": 1.0 - statistics.unseen_mass(),
                    "held_out_frames": model.held_out.frames,
                    "held_out_highest": model.held_out.highest(&model.detector.scale()),
                    "raw_threshold": calibration.raw_threshold(),
                    "calibration": calibration.describe(),
                    "growth": model.growth,
                    "note": model.detector.note(),
                })
            })
            .collect();
        json!({
            "name": self.name,
            "created_ns": self.created_ns,
            "completeness": self.completeness(),
            "training": self.training,
            "frames_per_container_per_day": self.frames_per_day(),
            "calls": self.calls(),
            "models": models,
            "sources": self.sources,
        })
    }

    /// Notes that `segment` fed the profile.
    pub(crate) fn note_source(&mut self, segment: &Segment, start_ns: i64, end_ns: i64) {
        let Container { id, image, .. } = &segment.container;
        self.add_source(Source {
            dataset: segment.dataset.clone(),
            index: segment.index.clone(),
            node: segment.node.clone(),
            container: id.clone(),
            image: image.clone().unwrap_or_default(),
            calls: segment.calls.len() as u64,
            start_ns,
            end_ns,
        });
    }

    fn add_source(&mut self, source: Source) {
        let same = |known: &&mut Source| {
            known.index == source.index
                && known.container == source.container
                && known.node == source.node
                && known.image == source.image
        };
        let is_full = self.sources.len() >= MAX_SOURCES;
        let known = self.sources.iter_mut().rev().find(same);
        match known {
            Some(known) => {
                known.calls = known.calls.saturating_add(source.calls);
                known.start_ns = known.start_ns.min(source.start_ns);
                known.end_ns = known.end_ns.max(source.end_ns);
            }
            None if is_full => {}
            None => self.sources.push(source),
        }
    }
}

/// Compares two models of one specification, window by window.
fn diff_models(before: (&Profile, &Model), after: (&Profile, &Model), limit: usize) -> ModelDiff {
    // Windows are compared in the symbols of `before`; names that only `after` knows are numbered behind them.
    let mut alphabet = before.0.alphabet.clone();
    let symbols: Vec<Symbol> = after.0.alphabet.names().iter().map(|name| alphabet.learn(name)).collect();
    let forgets_order = before.1.detector.forgets_order();
    let mut of_after = rustc_hash::FxHashMap::default();
    after.1.detector.visit_windows(&mut |window, count| {
        let mut window: Vec<Symbol> = window.iter().map(|&symbol| symbols[usize::from(symbol)]).collect();
        if forgets_order {
            window.sort_unstable();
        }
        of_after.insert(window, count);
    });
    let mut vanished = Vec::new();
    let mut shared = 0;
    before.1.detector.visit_windows(&mut |window, count| {
        if of_after.remove(window).is_some() {
            shared += 1;
        } else {
            vanished.push((window.to_vec(), count));
        }
    });
    let listed = |mut windows: Vec<(Vec<Symbol>, u64)>| -> Vec<(Vec<String>, u64)> {
        windows.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        windows.truncate(limit);
        let names =
            |window: &[Symbol]| window.iter().map(|&symbol| alphabet.name(symbol).to_owned()).collect();
        windows.iter().map(|(window, count)| (names(window), *count)).collect()
    };
    ModelDiff {
        model: before.1.detector.spec().to_string(),
        shared,
        new: of_after.len() as u64,
        vanished: vanished.len() as u64,
        new_windows: listed(of_after.into_iter().collect()),
        vanished_windows: listed(vanished),
    }
}
