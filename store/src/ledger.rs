//! What the store knows of a stream beyond its segments: how chunks follow one another, and which enter events still wait for
//! their exits.
//!
//! Pure: the tables that hold these things are elsewhere.

use std::collections::{HashMap, HashSet};

use rastro_model::{Gap, GapReason, Position, Segment, segment::flag};
use serde::{Deserialize, Serialize};

/// Most enter events that are kept waiting in one stream. Beyond it the oldest are given up: they stay stored calls that never
/// returned, which keeps both sums of the tally.
pub const MAX_OPEN: usize = 65_536;

/// Where a stream stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct End {
    /// End of the last chunk.
    pub position: Position,
    /// Number of the line behind it.
    pub next_line: u64,
}

/// Where a chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it starts.
    pub start: Position,
    /// Where it ends.
    pub end: Position,
    /// `end` of the chunk before it.
    pub previous: Position,
    /// Number of its first line.
    pub first_line: u64,
}

/// How a chunk follows on what is known of its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// It is known already.
    Duplicate,
    /// It follows, with this gap in front.
    Next(Option<Gap>),
    /// A part of it is known already; chunks never change their borders, so something is badly wrong.
    Overlap,
}

impl End {
    /// What to do with a chunk at `extent` that brings a gap of its own or none.
    pub fn step(self, extent: Extent, own_gap: Option<&Gap>) -> Step {
        if extent.end <= self.position && self != Self::default() {
            return Step::Duplicate;
        }
        if extent.start < self.position {
            return Step::Overlap;
        }
        if extent.previous == self.position {
            return Step::Next(own_gap.cloned());
        }
        let lines = extent.first_line.saturating_sub(self.next_line);
        let hole =
            Gap { bytes: self.bytes_before(extent.start), lines: Some(lines), reason: GapReason::Queue };
        Step::Next(Some(match own_gap {
            None => hole,
            // Both lie before this chunk. What was lost of the log itself keeps its reason; the sums hold all of it.
            Some(own) => Gap {
                bytes: own.bytes.saturating_add(hole.bytes),
                lines: if lines == 0 {
                    own.lines
                } else {
                    Some(own.lines.unwrap_or(0).saturating_add(lines))
                },
                reason: own.reason,
            },
        }))
    }

    /// Bytes from here to `start` that can be counted: how long the generations in between were, nobody knows any more.
    const fn bytes_before(self, start: Position) -> u64 {
        if start.generation == self.position.generation {
            start.offset.saturating_sub(self.position.offset)
        } else {
            start.offset
        }
    }
}

/// What two gaps one behind the other are together.
pub fn joined(earlier: Option<Gap>, later: Option<Gap>) -> Option<Gap> {
    match (earlier, later) {
        (Some(earlier), Some(later)) => Some(Gap {
            bytes: earlier.bytes.saturating_add(later.bytes),
            lines: match (earlier.lines, later.lines) {
                (None, None) => None,
                (one, other) => Some(one.unwrap_or(0).saturating_add(other.unwrap_or(0))),
            },
            reason: later.reason,
        }),
        (earlier, later) => earlier.or(later),
    }
}

/// An enter event that waits for its exit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenEnter {
    /// Name of the call.
    pub name: String,
    /// Thread id, where known.
    pub thread: Option<i64>,
    /// Row of the dataset whose tally counts it.
    pub dataset: i64,
}

/// The enter events of a stream that wait for their exits, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenEnters {
    waiting: Vec<OpenEnter>,
}

/// What one chunk says about enters and exits across its borders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Crossings {
    /// Exits whose enter lies in an earlier chunk if anywhere: by thread, names with counts. Of a known thread only those before
    /// its first enter in this chunk: entering another call leaves the earlier one unfinished.
    exits: HashMap<Option<i64>, HashMap<String, u64>>,
    /// Threads that entered a call in this chunk.
    entered: HashSet<i64>,
    /// Enters that are still open at the end of the chunk, in their order.
    open: Vec<(String, Option<i64>)>,
}

impl Crossings {
    /// Those of the segments of one chunk.
    pub fn of(segments: &[Segment]) -> Self {
        let mut crossings = Self::default();
        let mut threads: HashMap<i64, ThreadEnters> = HashMap::new();
        for unfinished in segments.iter().flat_map(|segment| &segment.unfinished) {
            if let Some(id) = unfinished.thread {
                let thread = threads.entry(id).or_default();
                thread.first =
                    Some(thread.first.map_or(unfinished.time_ns, |first| first.min(unfinished.time_ns)));
            }
        }
        for segment in segments {
            crossings.add_exits(segment, &mut threads);
        }

        let mut place_of: HashMap<i64, usize> = HashMap::new();
        for unfinished in segments.iter().flat_map(|segment| &segment.unfinished) {
            if let Some(id) = unfinished.thread {
                let left_open = threads.get(&id).and_then(|thread| thread.last_paired);
                if left_open.is_some_and(|time| time >= unfinished.time_ns) {
                    continue;
                }
                if let Some(&place) = place_of.get(&id) {
                    let earlier: &mut (String, _) = &mut crossings.open[place];
                    earlier.0.clone_from(&unfinished.name);
                    continue;
                }
                place_of.insert(id, crossings.open.len());
            }
            crossings.open.push((unfinished.name.clone(), unfinished.thread));
        }
        crossings.entered = threads
            .into_iter()
            .filter(|(_, thread)| thread.first.is_some() || thread.last_paired.is_some())
            .map(|(id, _)| id)
            .collect();
        crossings
    }

    /// Looks for the exits of one segment whose enter may lie in an earlier chunk.
    fn add_exits(&mut self, segment: &Segment, threads: &mut HashMap<i64, ThreadEnters>) {
        let calls = &segment.calls;
        // One thread may stand in the dictionary under several names; what counts is its id.
        let mut numbers: HashMap<i64, usize> = HashMap::new();
        let number_of: Vec<Option<usize>> = calls
            .threads
            .iter()
            .map(|thread| {
                let next = numbers.len();
                thread.id.map(|id| *numbers.entry(id).or_insert(next))
            })
            .collect();
        let mut ids = vec![0; numbers.len()];
        for (id, number) in numbers {
            ids[number] = id;
        }
        let mut enters: Vec<ThreadEnters> =
            ids.iter().map(|id| threads.get(id).copied().unwrap_or_default()).collect();

        let mut unpaired: HashSet<(usize, u16)> = HashSet::new();
        // Of recordings without enter events every call comes by here, and few are new.
        let mut recent = [(usize::MAX, 0); 256];
        let mut counts_without_thread = vec![0_u64; calls.kinds.len()];
        for (call, (&flags, &thread)) in calls.flags.iter().zip(&calls.thread).enumerate() {
            let Some(number) = number_of[thread as usize] else {
                if flags & (flag::PAIRED | flag::ENTER) == 0 {
                    counts_without_thread[usize::from(calls.kind[call])] += 1;
                }
                continue;
            };
            let thread = &mut enters[number];
            let time = calls.time_ns[call];
            if flags & (flag::PAIRED | flag::ENTER) != 0 {
                thread.last_paired = Some(thread.last_paired.map_or(time, |last| last.max(time)));
            } else if thread.last_paired.is_none() && thread.first.is_none_or(|first| time <= first) {
                // An open thread has one open call, so one exit of each name is all that can matter.
                let exit = (number, calls.kind[call]);
                let slot = &mut recent[(number * 31 + usize::from(exit.1)) % 256];
                if *slot != exit {
                    *slot = exit;
                    unpaired.insert(exit);
                }
            }
        }

        for (number, kind) in unpaired {
            let names = self.exits.entry(Some(ids[number])).or_default();
            names.insert(calls.kinds[usize::from(kind)].name.clone(), 1);
        }
        for (kind, count) in calls.kinds.iter().zip(counts_without_thread) {
            if count > 0 {
                *self.exits.entry(None).or_default().entry(kind.name.clone()).or_default() += count;
            }
        }
        threads.extend(ids.into_iter().zip(enters));
    }
}

/// When a thread entered calls in a chunk.
#[derive(Debug, Clone, Copy, Default)]
struct ThreadEnters {
    /// Time of its first enter without an exit.
    first: Option<i64>,
    /// Time of the last call whose enter was seen.
    last_paired: Option<i64>,
}

impl OpenEnters {
    /// Whether none waits.
    pub const fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a chunk into account whose lines belong to `dataset`: enters that have found their exits leave, those of the chunk
    /// come in. Returns how many of each dataset's enters have returned ([`Tally::settle`](rastro_model::Tally::settle)).
    pub fn advance(&mut self, mut crossings: Crossings, dataset: i64) -> Vec<(i64, u64)> {
        let mut settled: Vec<(i64, u64)> = Vec::new();
        self.waiting.retain(|open| {
            let exits = crossings.exits.get_mut(&open.thread).and_then(|names| names.get_mut(&open.name));
            if let Some(count) = exits.filter(|count| **count > 0) {
                *count -= 1;
                match settled.iter_mut().find(|(dataset, _)| *dataset == open.dataset) {
                    Some((_, enters)) => *enters += 1,
                    None => settled.push((open.dataset, 1)),
                }
                return false;
            }
            open.thread.is_none_or(|thread| !crossings.entered.contains(&thread))
        });
        self.waiting.extend(crossings.open.into_iter().map(|(name, thread)| OpenEnter {
            name,
            thread,
            dataset,
        }));
        if self.waiting.len() > MAX_OPEN {
            self.waiting.drain(..self.waiting.len() - MAX_OPEN);
        }
        settled
    }

    /// Forgets every enter: what was lost in between may hold the exits, or other enters of the same threads.
    pub fn forget(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests;
