//! Why a frame has its score.
//!
//! Reasons are for an analyst: the sequence with which the burst began comes first, then calls never seen, then other sequences that do
//! not overlap with those already named, then rare calls.

use rastro_model::{Reason, Segment};
use rustc_hash::FxHashMap;

use crate::{
    alphabet::{Alphabet, Symbol},
    calibration::Calibration,
    containers::Walk,
    detector::{CallJudge, Detector, Expectation, Frame, FrameJudge, FrameSource, Judge},
    occlusion::culprit,
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
    pub(crate) judge: &'a Judge,
    pub(crate) calibration: &'a Calibration,
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
        let judge = match self.judge {
            Judge::Calls(judge) => judge.as_ref(),
            Judge::Frames(judge) => return self.reasons_of_frame(judge.as_ref(), calls),
        };
        if detail == Detail::FirstWindow {
            return self.unseen_windows(judge, calls, begin, 1);
        }
        let mut windows = self.unseen_windows(judge, calls.clone(), begin, MAX_WINDOWS).into_iter();
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

    /// Why a judge of frames finds the frame of these calls strange.
    fn reasons_of_frame(&self, judge: &dyn FrameJudge, calls: std::ops::Range<usize>) -> Vec<Reason> {
        let frames = self.walk.frames(self.segment);
        let window = frames.window(calls.end);
        let source = FrameSource {
            segment: self.segment,
            symbols: &self.walk.symbols,
            start: calls.start,
            end: calls.end,
        };
        let frame = Frame { calls: &window.calls, is_fresh: false, source: Some(source) };
        let mut reasons = judge.reasons(&frame, self.alphabet);
        if reasons.is_empty() {
            let score = |raw: f64| self.calibration.score(raw.max(0.0)).round() as u32;
            let found = culprit(judge, &window.calls, self.calibration.raw_threshold());
            reasons.extend(found.map(|culprit| {
                // What lies before the segment is as near as its first call.
                let places = &window.places[culprit.calls.clone()];
                let first_call = places.iter().copied().flatten().next().unwrap_or(calls.start as u32);
                let thread = self.thread_of(first_call as usize);
                Reason::StrangeCalls {
                    calls: self.names(&window.calls[culprit.calls.clone()]),
                    first_call,
                    thread: thread.id,
                    process: thread.process_name.clone(),
                    score: score(judge.score(&frame)),
                    score_without: score(culprit.raw_without),
                }
            }));
            reasons.extend(self.rare_calls(calls.clone()).into_iter().take(2));
        }
        reasons.truncate(MAX_REASONS);
        reasons.extend(judge.opinions(&frame, self.alphabet));
        reasons
    }

    fn thread_of(&self, call: usize) -> &rastro_model::Thread {
        &self.segment.calls.threads[self.segment.calls.thread[call] as usize]
    }

    /// The window that ends with a call; a shorter one where less is known of its thread.
    fn window_at(&self, call: usize) -> &[Symbol] {
        let runs = &self.walk.runs;
        let place = runs.place[call] as usize;
        let width = self.detector.spec().window() as usize;
        let begin = runs.all[runs.run[call] as usize].range.start;
        &runs.calls[(place + 1).saturating_sub(width).max(begin)..=place]
    }

    fn unseen_windows(
        &self,
        judge: &dyn CallJudge,
        calls: std::ops::Range<usize>,
        begin: u32,
        most: usize,
    ) -> Vec<Reason> {
        let steps = judge.steps();
        let forgets_order = self.detector.forgets_order();
        let mut different: FxHashMap<Vec<Symbol>, Unseen> = FxHashMap::default();
        for call in calls {
            let verdict = self.walk.verdicts[self.model][self.walk.runs.place[call] as usize];
            if steps[usize::from(verdict)] <= 0 {
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
        let thread = self.thread_of(call);
        let (ends_at, times, process) = (unseen.first_call, unseen.times, thread.process_name.clone());
        match self.detector.expectation(window) {
            Some(Expectation::Rare { trained }) => {
                let calls = self.names(window);
                return Reason::RareSequence { calls, ends_at, times, trained, thread: thread.id, process };
            }
            Some(Expectation::Improbable { one_in, expected }) => {
                return Reason::UnexpectedCall {
                    calls: self.names(window),
                    ends_at,
                    millibits: ((one_in.max(1) as f64).log2() * 1000.0).round() as u64,
                    thread: thread.id,
                    process,
                    expected: expected.map(|symbol| self.alphabet.name(symbol).to_owned()),
                };
            }
            None => {}
        }
        let known = self.detector.statistics().distinct;
        let nearest = if known <= MAX_KNOWN { self.detector.nearest(window) } else { None };
        let (nearest, distance) =
            nearest.map_or((None, window.len() as u32), |(nearest, distance)| (Some(nearest), distance));
        if self.detector.forgets_order() {
            Reason::UnseenBag {
                calls: self.bag(window),
                ends_at,
                times,
                thread: thread.id,
                process,
                nearest: nearest.map(|nearest| self.bag(&nearest)),
                distance,
            }
        } else {
            Reason::UnseenSequence {
                calls: self.names(window),
                ends_at,
                times,
                thread: thread.id,
                process,
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
