//! From segments to runs: the calls of each thread, one after the other, with what came before them.
//!
//! This is the one place that knows of threads, of cuts and of gaps. A segment interleaves the calls of many threads and was cut
//! where a chunk happened to end; what a detector sees is, for every thread, its last calls before the segment and then its calls in
//! the segment. Hence windows of cut segments are those of the uncut stream, for every detector.
//!
//! A thread's sequence ends with `exit` or `exit_group`: what follows under the same number is another thread. Where the source gives
//! no thread ids, all calls of the container are one sequence without end.

use std::ops::Range;

use rastro_model::Segment;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::alphabet::Symbol;

/// Longest window of any detector.
pub(crate) const MAX_WINDOW: usize = 64;

/// Most threads that are remembered of one container. Beyond it the quarter that was quiet longest is forgotten: their next windows
/// begin anew.
pub(crate) const MAX_THREADS: usize = 16_384;

/// What is remembered of one thread between segments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ThreadState {
    /// Its last calls, oldest first; at most one less than the longest window.
    pub(crate) history: Vec<Symbol>,
    /// Its novelty level for each model ([`crate::novelty`]).
    pub(crate) levels: Vec<u32>,
    /// Number of the segment that it was last seen in.
    last_seen: u64,
}

/// The threads of one container.
#[derive(Debug, Clone, Default)]
pub(crate) struct Threads {
    states: FxHashMap<Option<i64>, ThreadState>,
    segments: u64,
}

/// No run has begun.
const NONE: u32 = u32::MAX;

/// The runs of one segment. Made once a segment and reused for the next one.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// All runs, one behind the other, each with its context in front.
    pub(crate) calls: Vec<Symbol>,
    /// The runs.
    pub(crate) all: Vec<Run>,
    /// For each call of the segment: where it lies in `calls`.
    pub(crate) place: Vec<u32>,
    /// For each call of the segment: which of `runs` it belongs to.
    pub(crate) run: Vec<u32>,
}

/// Consecutive calls of one thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The thread.
    pub(crate) thread: Option<i64>,
    /// Where context and calls lie in [`Runs::calls`].
    pub(crate) range: Range<usize>,
    /// How many of them are context.
    pub(crate) context: usize,
    /// The run begins where an earlier segment left the thread, so its levels go on.
    pub(crate) continues: bool,
    /// The run ends with the end of the thread.
    pub(crate) ends: bool,
}

impl Runs {
    /// Fills in the runs of `segment`. `symbols` translates its kinds.
    pub(crate) fn gather(&mut self, segment: &Segment, symbols: &[Symbol], threads: &Threads) {
        let calls = &segment.calls;
        self.calls.clear();
        self.all.clear();
        self.place.clear();
        self.run.clear();
        let ends: Vec<bool> =
            calls.kinds.iter().map(|kind| matches!(kind.name.as_str(), "exit" | "exit_group")).collect();
        let any_end = ends.contains(&true);
        // First pass: which run each call belongs to, and how long the runs are. Entries of the dictionary that name one thread
        // (its process changed its name) share a run.
        let mut shared: FxHashMap<Option<i64>, usize> = FxHashMap::default();
        let owner: Vec<usize> = calls
            .threads
            .iter()
            .enumerate()
            .map(|(place, thread)| *shared.entry(thread.id).or_insert(place))
            .collect();
        let mut current = vec![NONE; calls.threads.len()];
        let mut begun = vec![false; calls.threads.len()];
        self.run.reserve(calls.len());
        for (&thread, &kind) in calls.thread.iter().zip(&calls.kind) {
            let owner = owner[thread as usize];
            let mut run = current[owner];
            if run == NONE {
                run = self.all.len() as u32;
                current[owner] = run;
                let id = calls.threads[owner].id;
                let known = if begun[owner] { None } else { threads.states.get(&id) };
                begun[owner] = true;
                self.all.push(Run {
                    thread: id,
                    range: 0..0,
                    context: known.map_or(0, |state| state.history.len()),
                    continues: known.is_some(),
                    ends: false,
                });
            }
            self.run.push(run);
            let this = &mut self.all[run as usize];
            this.range.end += 1;
            if any_end && ends[usize::from(kind)] && this.thread.is_some() {
                this.ends = true;
                current[owner] = NONE;
            }
        }
        // Lay the runs out one behind the other, contexts first.
        let mut next = 0;
        for run in &mut self.all {
            let length = run.context + run.range.end;
            run.range = next..next + length;
            next += length;
        }
        self.calls.resize(next, 0);
        for run in &self.all {
            if let Some(state) = threads.states.get(&run.thread).filter(|_| run.continues) {
                self.calls[run.range.start..run.range.start + run.context].copy_from_slice(&state.history);
            }
        }
        // Second pass: every call to its place.
        let mut fill: Vec<u32> = self.all.iter().map(|run| (run.range.start + run.context) as u32).collect();
        self.place.reserve(calls.len());
        for (&run, &kind) in self.run.iter().zip(&calls.kind) {
            let place = &mut fill[run as usize];
            self.calls[*place as usize] = symbols[usize::from(kind)];
            self.place.push(*place);
            *place += 1;
        }
    }
}

impl Threads {
    /// Remembers where the runs of a segment left their threads, as far as windows of up to `longest_window` calls need it.
    /// `levels` gives the novelty levels of a run.
    pub(crate) fn remember(
        &mut self,
        runs: &Runs,
        longest_window: usize,
        levels: impl Fn(usize) -> Vec<u32>,
    ) {
        self.segments += 1;
        for (place, run) in runs.all.iter().enumerate() {
            if run.ends {
                self.states.remove(&run.thread);
                continue;
            }
            let calls = &runs.calls[run.range.clone()];
            let state = self.states.entry(run.thread).or_default();
            state.history.clear();
            state.history.extend_from_slice(&calls[calls.len().saturating_sub(longest_window - 1)..]);
            state.levels = levels(place);
            state.last_seen = self.segments;
        }
        if self.states.len() > MAX_THREADS {
            let mut ages: Vec<_> = self.states.iter().map(|(id, state)| (state.last_seen, *id)).collect();
            ages.sort_unstable();
            for (_, id) in &ages[..self.states.len() - MAX_THREADS * 3 / 4] {
                self.states.remove(id);
            }
        }
    }

    /// Calls were lost: no window may join what came before with what follows.
    pub(crate) fn forget_histories(&mut self) {
        for state in self.states.values_mut() {
            state.history.clear();
        }
    }

    /// Number of threads.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    /// Novelty begins anew.
    pub(crate) fn forget_levels(&mut self) {
        for state in self.states.values_mut() {
            state.levels.fill(0);
        }
    }

    /// What is remembered of a thread.
    pub(crate) fn get(&self, thread: Option<i64>) -> Option<&ThreadState> {
        self.states.get(&thread)
    }

    /// All threads, in an order that depends on nothing but them.
    pub(crate) fn to_sorted(&self) -> (u64, Vec<(Option<i64>, ThreadState)>) {
        let mut threads: Vec<_> = self.states.iter().map(|(id, state)| (*id, state.clone())).collect();
        threads.sort_unstable_by_key(|(id, _)| *id);
        (self.segments, threads)
    }

    /// The threads that [`Threads::to_sorted`] gave.
    pub(crate) fn from_sorted(segments: u64, threads: Vec<(Option<i64>, ThreadState)>) -> Self {
        Self { states: threads.into_iter().collect(), segments }
    }
}
