//! Why a frame has its score.
//!
//! Reasons are for an analyst: the sequence with which the burst began comes first, then calls never seen, then other sequences that do
//! not overlap with those already named, then rare calls.

use rastro_model::{Reason, Segment};
use rustc_hash::FxHashMap;

use crate::{
    alphabet::{Alphabet, Symbol},
    containers::Walk,
    detector::{Detector, verdict},
    profile::Profile,
};

/// Most reasons of a frame.
const MAX_REASONS: usize = 5;

/// Most unseen windows that are named.
const MAX_WINDOWS: usize = 3;

/// A call is rare if it made up less than this share of training.
const RARE_SHARE: f64 = 1e-4;

/// Known windows that the nearest one is looked for among; where more are known, looking costs more than it tells.
const MAX_KNOWN: u64 = 1 << 16;

/// Different unseen windows of one frame that are told apart.
const MAX_DIFFERENT: usize = 4096;

/// What is needed to explain frames of a segment by one model.
pub(crate) struct Explainer<'a> {
    pub(crate) profile: &'a Profile,
    /// The profile's names and those met since.
    pub(crate) alphabet: &'a Alphabet,
    pub(crate) detector: &'a dyn Detector,
    pub(crate) segment: &'a Segment,
    pub(crate) walk: &'a Walk,
    /// Which model of the walk.
    pub(crate) model: usize,
}

/// How much to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// The unseen window with which the burst began.
    FirstWindow,
    /// Everything.
    Full,
}

/// One unseen window of a frame.
struct Unseen {
    first_call: u32,
    run: u32,
    times: u32,
}

impl Explainer<'_> {
    /// Reasons for the frame of these calls, the strongest first. The burst began at call `begin`.
    pub(crate) fn reasons(&self, calls: std::ops::Range<usize>, begin: u32, detail: Detail) -> Vec<Reason> {
        if detail == Detail::FirstWindow {
            return self.unseen_windows(calls, begin, 1);
        }
        let mut windows = self.unseen_windows(calls.clone(), begin, MAX_WINDOWS).into_iter();
        let (never, rare): (Vec<_>, Vec<_>) = self
            .rare_calls(calls)
            .into_iter()
            .partition(|reason| matches!(reason, Reason::RareCall { trained: 0, .. }));
        let mut reasons: Vec<Reason> = windows.next().into_iter().collect();
        reasons.extend(never.into_iter().take(2));
        reasons.extend(windows);
        reasons.extend(rare);
        reasons.truncate(MAX_REASONS);
        reasons
    }

    fn window_at(&self, call: usize) -> &[Symbol] {
        let place = self.walk.runs.place[call] as usize;
        let width = self.detector.spec().window() as usize;
        &self.walk.runs.calls[place + 1 - width..=place]
    }

    fn unseen_windows(&self, calls: std::ops::Range<usize>, begin: u32, most: usize) -> Vec<Reason> {
        let forgets_order = self.detector.forgets_order();
        let mut different: FxHashMap<Vec<Symbol>, Unseen> = FxHashMap::default();
        for call in calls {
            if self.walk.verdicts[self.model][self.walk.runs.place[call] as usize] != verdict::UNSEEN {
                continue;
            }
            let run = self.walk.runs.run[call];
            let mut window = self.window_at(call).to_vec();
            if forgets_order {
                window.sort_unstable();
            }
            let is_full = different.len() >= MAX_DIFFERENT;
            match different.entry(window) {
                std::collections::hash_map::Entry::Occupied(mut seen) => seen.get_mut().times += 1,
                std::collections::hash_map::Entry::Vacant(new) if !is_full => {
                    new.insert(Unseen { first_call: call as u32, run, times: 1 });
                }
                std::collections::hash_map::Entry::Vacant(_) => {}
            }
        }
        let mut ranked: Vec<Unseen> = different.into_values().collect();
        ranked.sort_unstable_by_key(|unseen| (unseen.first_call < begin, unseen.first_call));
        if ranked.len() > 1 {
            ranked[1..].sort_unstable_by_key(|unseen| (std::cmp::Reverse(unseen.times), unseen.first_call));
        }
        let mut chosen: Vec<&Unseen> = Vec::new();
        for unseen in &ranked {
            if chosen.len() < most && !chosen.iter().any(|other| self.overlap(other, unseen)) {
                chosen.push(unseen);
            }
        }
        chosen.into_iter().map(|unseen| self.window_reason(unseen)).collect()
    }

    /// Whether two windows of one thread share calls.
    fn overlap(&self, a: &Unseen, b: &Unseen) -> bool {
        let place = |unseen: &Unseen| self.walk.runs.place[unseen.first_call as usize];
        a.run == b.run && place(a).abs_diff(place(b)) < self.detector.spec().window()
    }

    fn window_reason(&self, unseen: &Unseen) -> Reason {
        let call = unseen.first_call as usize;
        let window = self.window_at(call);
        let known = self.detector.statistics().distinct;
        let nearest = if known <= MAX_KNOWN { self.detector.nearest(window) } else { None };
        let thread = &self.segment.calls.threads[self.segment.calls.thread[call] as usize];
        let (nearest, distance) =
            nearest.map_or((None, window.len() as u32), |(nearest, distance)| (Some(nearest), distance));
        if self.detector.forgets_order() {
            Reason::UnseenBag {
                calls: self.bag(window),
                ends_at: unseen.first_call,
                times: unseen.times,
                thread: thread.id,
                process: thread.process_name.clone(),
                nearest: nearest.map(|nearest| self.bag(&nearest)),
                distance,
            }
        } else {
            Reason::UnseenSequence {
                calls: self.names(window),
                ends_at: unseen.first_call,
                times: unseen.times,
                thread: thread.id,
                process: thread.process_name.clone(),
                nearest: nearest.map(|nearest| self.names(&nearest)),
                distance,
            }
        }
    }

    fn names(&self, window: &[Symbol]) -> Vec<String> {
        window.iter().map(|&symbol| self.alphabet.name(symbol).to_owned()).collect()
    }

    fn bag(&self, window: &[Symbol]) -> Vec<(String, u32)> {
        let mut counts = std::collections::BTreeMap::new();
        for &symbol in window {
            *counts.entry(self.alphabet.name(symbol).to_owned()).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }

    /// Calls of the frame that are rare in the profile, the rarest first.
    fn rare_calls(&self, calls: std::ops::Range<usize>) -> Vec<Reason> {
        struct Rare {
            trained: u64,
            first: usize,
            times: u32,
        }
        let columns = &self.segment.calls;
        let total = self.profile.training().calls.max(1) as f64;
        let mut rare: FxHashMap<u16, Option<Rare>> = FxHashMap::default();
        for call in calls.clone() {
            let kind = columns.kind[call];
            let entry = rare.entry(kind).or_insert_with(|| {
                let trained = self.profile.call_count(&columns.kinds[usize::from(kind)].name);
                (trained as f64 / total < RARE_SHARE).then_some(Rare { trained, first: call, times: 0 })
            });
            if let Some(rare) = entry {
                rare.times += 1;
            }
        }
        let mut by_name: FxHashMap<&str, Rare> = FxHashMap::default();
        for (kind, rare) in rare {
            // One name may be several kinds: its category depends on the descriptor.
            let Some(rare) = rare else { continue };
            let entry = by_name.entry(&columns.kinds[usize::from(kind)].name).or_insert(Rare {
                trained: rare.trained,
                first: usize::MAX,
                times: 0,
            });
            entry.times += rare.times;
            entry.first = entry.first.min(rare.first);
        }
        let mut rare: Vec<_> = by_name.into_iter().collect();
        rare.sort_unstable_by_key(|(_, rare)| (rare.trained, rare.first));
        rare.truncate(MAX_REASONS);
        rare.into_iter()
            .map(|(name, rare)| Reason::RareCall {
                name: name.to_owned(),
                call: rare.first as u32,
                times: rare.times,
                trained: rare.trained,
                arguments: self.arguments_of(rare.first),
            })
            .collect()
    }

    fn arguments_of(&self, call: usize) -> Option<String> {
        let details = &self.segment.details;
        let place = details.binary_search_by_key(&(call as u32), |detail| detail.call).ok()?;
        Some(details[place].arguments.clone())
    }
}
