//! What is remembered of containers between their segments, and the one walk over a segment that training and scoring share.
//!
//! State is kept for each index, stream and container. Since the walk is the same code in the same order for live and for offline
//! scoring, the same window has the same score to the last bit.

use rastro_model::{Position, Segment, SegmentId, StreamId};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{
    alphabet::Symbol,
    detector::Judge,
    frames::{Frames, Recent},
    novelty::{FrameNovelty, Levels},
    sequences::{Runs, ThreadState, Threads},
};

/// Most containers that are remembered. Beyond it the quarter that was quiet longest is forgotten.
const MAX_CONTAINERS: usize = 4096;

/// Most threads that are remembered of all containers together, looked at every so many segments.
const MAX_THREADS_IN_ALL: usize = 1 << 18;
const SEGMENTS_BETWEEN_LOOKS: u64 = 64;

/// What state belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct ContainerKey {
    pub(crate) index: String,
    pub(crate) stream: StreamId,
    pub(crate) container: String,
}

impl ContainerKey {
    pub(crate) fn of(segment: &Segment) -> Self {
        Self {
            index: segment.index.clone(),
            stream: segment.id.stream,
            container: segment.container.id.clone(),
        }
    }
}

/// What is remembered of one container.
#[derive(Debug, Clone, Default)]
pub(crate) struct ContainerState {
    pub(crate) threads: Threads,
    /// Novelty level of the whole container for each model.
    levels: Vec<u32>,
    /// For each model the frame in which the present burst of novelty began.
    pub(crate) onsets: Vec<Option<Onset>>,
    /// Its last calls, where a model judges frames.
    recent: Recent,
    /// Calls since a frame was learned.
    since_learned: usize,
    last_start: Position,
    last_seen: u64,
}

/// A frame in which a burst of novelty began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Onset {
    pub(crate) segment: SegmentId,
    pub(crate) first_call: u32,
    pub(crate) start_ns: i64,
}

/// All containers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Containers {
    states: FxHashMap<ContainerKey, ContainerState>,
    segments: u64,
}

/// [`Containers`] as they are stored: sorted, so that the same state is the same bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredContainers {
    segments: u64,
    states: Vec<StoredContainer>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredContainer {
    key: ContainerKey,
    levels: Vec<u32>,
    onsets: Vec<Option<Onset>>,
    recent: Recent,
    since_learned: usize,
    last_start: Position,
    last_seen: u64,
    segments: u64,
    threads: Vec<(Option<i64>, ThreadState)>,
}

impl Containers {
    /// The state of the segment's container. If something was lost before the segment, no window of any container of the stream
    /// joins what came before with what follows.
    pub(crate) fn enter(&mut self, segment: &Segment) -> &mut ContainerState {
        if segment.gap.is_some() {
            for (key, state) in &mut self.states {
                let came_before = key.stream == segment.id.stream && state.last_start < segment.id.start;
                if came_before {
                    state.threads.forget_histories();
                    state.recent.clear();
                }
            }
        }
        self.segments += 1;
        if self.states.len() >= MAX_CONTAINERS {
            self.forget_the_quietest();
        }
        if self.segments.is_multiple_of(SEGMENTS_BETWEEN_LOOKS) {
            while self.states.values().map(|state| state.threads.len()).sum::<usize>() > MAX_THREADS_IN_ALL {
                self.forget_the_quietest();
            }
        }
        let state = self.states.entry(ContainerKey::of(segment)).or_default();
        state.last_start = segment.id.start;
        state.last_seen = self.segments;
        state
    }

    /// Novelty begins anew in every container.
    pub(crate) fn forget_levels(&mut self) {
        for state in self.states.values_mut() {
            state.levels.fill(0);
            state.threads.forget_levels();
        }
    }

    fn forget_the_quietest(&mut self) {
        let mut ages: Vec<u64> = self.states.values().map(|state| state.last_seen).collect();
        ages.sort_unstable();
        let youngest_forgotten = ages[ages.len() / 4];
        self.states.retain(|_, state| state.last_seen > youngest_forgotten);
    }

    pub(crate) fn to_stored(&self) -> StoredContainers {
        let mut states: Vec<StoredContainer> = self
            .states
            .iter()
            .map(|(key, state)| {
                let (segments, threads) = state.threads.to_sorted();
                StoredContainer {
                    key: key.clone(),
                    levels: state.levels.clone(),
                    onsets: state.onsets.clone(),
                    recent: state.recent.clone(),
                    since_learned: state.since_learned,
                    last_start: state.last_start,
                    last_seen: state.last_seen,
                    segments,
                    threads,
                }
            })
            .collect();
        states.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        StoredContainers { segments: self.segments, states }
    }

    pub(crate) fn from_stored(stored: StoredContainers) -> Self {
        let states = stored
            .states
            .into_iter()
            .map(|stored| {
                let state = ContainerState {
                    threads: Threads::from_sorted(stored.segments, stored.threads),
                    levels: stored.levels,
                    onsets: stored.onsets,
                    recent: stored.recent,
                    since_learned: stored.since_learned,
                    last_start: stored.last_start,
                    last_seen: stored.last_seen,
                };
                (stored.key, state)
            })
            .collect();
        Self { states, segments: stored.segments }
    }
}

/// Buffers of a walk, kept from segment to segment.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// The runs of the segment that was walked last.
    pub(crate) runs: Runs,
    /// For each model the verdicts on the calls of `runs`, in the same places.
    pub(crate) verdicts: Vec<Vec<u8>>,
    /// For each kind of the segment its symbol.
    pub(crate) symbols: Vec<Symbol>,
    /// The container's last calls before the segment, and those of them since a frame was learned.
    recent: Recent,
    since_learned: usize,
    frame: usize,
    levels: Vec<Levels>,
}

impl Walk {
    /// Judges every call of `segment` with every judge and remembers where its threads were left. Gives the frames of each model.
    pub(crate) fn walk(
        &mut self,
        segment: &Segment,
        symbols: &[Symbol],
        judges: &[&Judge],
        longest_window: usize,
        frame: usize,
        state: &mut ContainerState,
    ) -> Vec<Vec<FrameNovelty>> {
        self.runs.gather(segment, symbols, &state.threads);
        self.symbols.clear();
        self.symbols.extend_from_slice(symbols);
        self.verdicts.resize_with(judges.len(), Vec::new);
        self.levels.resize_with(judges.len(), Levels::default);
        state.levels.resize(judges.len(), 0);
        self.recent = std::mem::take(&mut state.recent);
        self.since_learned = state.since_learned;
        self.frame = frame;
        let whole = Frames {
            runs: &self.runs,
            segment,
            symbols,
            size: frame,
            recent: &self.recent,
            since_learned: self.since_learned,
        };
        if judges.iter().any(|judge| judge.as_frames().is_some()) {
            state.recent = whole.recent_behind();
            state.since_learned = whole.since_learned_behind();
        }
        let mut frames = Vec::with_capacity(judges.len());
        for (model, judge) in judges.iter().enumerate() {
            let levels = &mut self.levels[model];
            levels.begin(&self.runs, model, |thread| state.threads.get(thread));
            let judge = match judge {
                Judge::Calls(judge) => judge,
                Judge::Frames(judge) => {
                    let mut of_model = Vec::with_capacity(segment.calls.len().div_ceil(frame));
                    whole.visit(|frame| {
                        let raw = if frame.calls.is_empty() { 0.0 } else { judge.score(frame).max(0.0) };
                        of_model.push(FrameNovelty { raw, ..FrameNovelty::default() });
                    });
                    frames.push(of_model);
                    continue;
                }
            };
            let verdicts = &mut self.verdicts[model];
            verdicts.resize(self.runs.calls.len(), 0);
            for run in &self.runs.all {
                let own = run.range.start + run.context..run.range.end;
                judge.judge(&self.runs.calls[run.range.clone()], run.context, &mut verdicts[own]);
            }
            let container = &mut state.levels[model];
            frames.push(levels.advance(&self.runs, verdicts, judge.steps(), container, frame));
        }
        let levels = &self.levels;
        state
            .threads
            .remember(&self.runs, longest_window, |run| levels.iter().map(|model| model.runs[run]).collect());
        frames
    }

    /// The frames of the segment that was walked last, which must be given again.
    pub(crate) fn frames<'a>(&'a self, segment: &'a Segment) -> Frames<'a> {
        Frames {
            runs: &self.runs,
            segment,
            symbols: &self.symbols,
            size: self.frame,
            recent: &self.recent,
            since_learned: self.since_learned,
        }
    }
}

/// Whether the columns that a walk reads are equally long and every index lies inside its dictionary. The other columns may be
/// empty: a store reads only what is asked for.
pub(crate) fn is_walkable(segment: &Segment) -> bool {
    let calls = &segment.calls;
    calls.thread.len() == calls.kind.len()
        && calls.time_ns.len() == calls.kind.len()
        && u32::try_from(calls.kind.len()).is_ok()
        && calls.kind.iter().all(|&kind| usize::from(kind) < calls.kinds.len())
        && calls.thread.iter().all(|&thread| (thread as usize) < calls.threads.len())
}
