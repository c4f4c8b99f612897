//! `arguments`: what calls were given and what they returned, frame by frame.
//!
//! For every call by name: how often it fails and with which errors; how many arguments it has, how long they are and how many bytes it
//! moves; where arguments are kept, the shapes of paths and the names of executed programs. A frame's score is the sum, over calls, of
//! the surprise at the most unusual of each of the three, as far as it exceeds everyday variation. (C. Kruegel, D. Mutz,
//! F. Valeur, G. Vigna, "On the detection of anomalous system call arguments", ESORICS 2003, have models of arguments by call; F. Maggi,
//! M. Matteucci, S. Zanero, "Detecting intrusions through system call sequence and argument analysis", IEEE TDSC 7, 2010.)
//!
//! What is learned is counts: training can be divided, ordered and merged at will and gives the same model.

use std::fmt::Write;

use rastro_model::CallFigure;
use serde::{Deserialize, Serialize};

use super::{
    binomial::surprise,
    by_call::{ByCall, OfCall},
    figures::Figure,
    finding::{EVERYDAY, Finding, Judgement, Unusual},
    frame::{CallFrame, groups},
    model::BehaviourModel,
    outcomes::{Outcome, Outcomes, error_of},
    paths,
    shapes::Shapes,
};
use crate::{alphabet::Symbol, detector::WindowStatistics};

/// Calls whose result is a number of bytes, sorted.
const MOVES_BYTES: &[&str] = &[
    "copy_file_range",
    "getdents",
    "getdents64",
    "getrandom",
    "pread",
    "pread64",
    "preadv",
    "preadv2",
    "pwrite",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readlink",
    "readlinkat",
    "readv",
    "recv",
    "recvfrom",
    "recvmsg",
    "send",
    "sendfile",
    "sendfile64",
    "sendmsg",
    "sendto",
    "splice",
    "tee",
    "vmsplice",
    "write",
    "writev",
];

/// Calls that start a program: their paths are names of programs.
const EXECUTES: &[&str] = &["execve", "execveat", "posix_spawn", "uselib"];

/// Paths of other calls come in bunches: a program that takes a new turn opens several new files. So many count as one.
const PATHS_IN_A_BUNCH: u64 = 2;

/// What calls of one name are given and return.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct CallBehaviour {
    /// Frames that have the call.
    frames: u64,
    outcomes: Outcomes,
    argument_count: Figure,
    argument_length: Figure,
    bytes_moved: Figure,
    paths: Shapes,
}

impl OfCall for CallBehaviour {
    fn frames(&self) -> u64 {
        self.frames
    }

    fn merge(&mut self, other: &Self) {
        self.frames = self.frames.saturating_add(other.frames);
        self.outcomes.merge(&other.outcomes);
        self.argument_count.merge(&other.argument_count);
        self.argument_length.merge(&other.argument_length);
        self.bytes_moved.merge(&other.bytes_moved);
        self.paths.merge(&other.paths);
    }
}

/// What calls are given and return.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArgumentsModel {
    /// Frames learned.
    frames: u64,
    /// By symbol.
    calls: ByCall<CallBehaviour>,
}

/// One frame's calls of one name, taken apart.
struct Observed {
    results: Vec<i64>,
    argument_count: Vec<(u64, u32)>,
    argument_length: Vec<(u64, u32)>,
    bytes_moved: Vec<(u64, u32)>,
}

impl Observed {
    fn of(frame: &CallFrame<'_>, group: &[(Symbol, u32)]) -> Self {
        let calls = &frame.segment.calls;
        let moves_bytes = MOVES_BYTES.binary_search(&calls.name(group[0].1 as usize)).is_ok();
        let mut observed = Self {
            results: Vec::new(),
            argument_count: Vec::with_capacity(group.len()),
            argument_length: Vec::with_capacity(group.len()),
            bytes_moved: Vec::new(),
        };
        for &(_, number) in group {
            let call = number as usize;
            observed.argument_count.extend(calls.argc.get(call).map(|&count| (u64::from(count), number)));
            observed
                .argument_length
                .extend(calls.args_length.get(call).map(|&length| (u64::from(length), number)));
            if let Some(result) = frame.result(number) {
                observed.results.push(result);
                if moves_bytes && result >= 0 {
                    observed.bytes_moved.push((result as u64, number));
                }
            }
        }
        observed
    }
}

impl ArgumentsModel {
    /// Frames learned.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Calls whose result is known, and those of them that failed.
    pub fn results(&self) -> (u64, u64) {
        self.calls.iter().fold((0, 0), |(calls, failed): (u64, u64), known| {
            (calls.saturating_add(known.outcomes.calls()), failed.saturating_add(known.outcomes.failed()))
        })
    }
}

impl BehaviourModel for ArgumentsModel {
    fn learn(&mut self, frame: &CallFrame<'_>) {
        self.frames = self.frames.saturating_add(1);
        for (symbol, group) in groups(&frame.by_call()) {
            let known = self.calls.entry(symbol);
            known.frames = known.frames.saturating_add(1);
            let mut observed = Observed::of(frame, group);
            known.outcomes.learn(&observed.results);
            known.argument_count.learn(&mut observed.argument_count);
            known.argument_length.learn(&mut observed.argument_length);
            known.bytes_moved.learn(&mut observed.bytes_moved);
            for (_, _, shape) in shapes_of(frame, group) {
                known.paths.learn(&shape);
            }
        }
    }

    fn judge(&self, frame: &CallFrame<'_>) -> Judgement {
        let mut findings = Vec::new();
        for (symbol, group) in groups(&frame.by_call()) {
            let Some(known) = self.calls.get(symbol) else { continue };
            let mut observed = Observed::of(frame, group);
            if let Some(unusual) = known.outcomes.judge(&observed.results) {
                let first = group.iter().find(|(_, call)| ended(frame, *call, unusual.outcome));
                findings.extend(first.map(|&(_, call)| Finding::of_outcome(symbol, call, &unusual)));
            }
            let figures = [
                (&known.argument_count, &mut observed.argument_count, CallFigure::ArgumentCount),
                (&known.argument_length, &mut observed.argument_length, CallFigure::ArgumentLength),
                (&known.bytes_moved, &mut observed.bytes_moved, CallFigure::BytesMoved),
            ];
            let of_figures = figures.into_iter().filter_map(|(known, numbers, figure)| {
                Some(Finding::of_figure(Some(symbol), figure, &known.judge(numbers)?))
            });
            findings.extend(of_figures.max_by(|a, b| a.weight.total_cmp(&b.weight)));
            findings.extend(judge_paths(&known.paths, frame, symbol, group));
        }
        Judgement::of(findings)
    }

    fn merge(&mut self, other: &Self, symbols: &[Symbol]) {
        self.frames = self.frames.saturating_add(other.frames);
        self.calls.merge(&other.calls, symbols);
    }

    fn statistics(&self) -> WindowStatistics {
        self.calls.statistics(self.frames)
    }

    fn describe(&self) -> String {
        let (results, failed) = self.results();
        let (paths, shapes) = self.calls.iter().fold((0u64, 0usize), |(paths, shapes), known| {
            (paths.saturating_add(known.paths.learned()), shapes + known.paths.len())
        });
        let mut text = if results == 0 {
            "the source gave no results, so errors are not scored".to_owned()
        } else {
            format!("{failed} of {results} calls with a result failed")
        };
        let printed = self.calls.iter().any(|known| known.argument_count.highest() > 0);
        if !printed {
            text.push_str("; the source gave no arguments, so they are not scored");
        }
        if paths == 0 {
            text.push_str("; no paths were kept, so they are not scored");
        } else {
            let _ = write!(text, "; {paths} paths of {shapes} shapes");
        }
        text
    }

    fn check(&self, alphabet: usize) -> Result<(), String> {
        if !self.calls.is_within(alphabet) {
            return Err("it has calls that the profile does not know".to_owned());
        }
        let is_consistent = |known: &CallBehaviour| {
            known.frames <= self.frames
                && known.outcomes.is_consistent()
                && known.argument_count.is_consistent()
                && known.argument_length.is_consistent()
                && known.bytes_moved.is_consistent()
                && known.paths.is_consistent()
        };
        if !self.calls.iter().all(is_consistent) {
            return Err("its counts contradict one another".to_owned());
        }
        Ok(())
    }
}

fn ended(frame: &CallFrame<'_>, call: u32, outcome: Outcome) -> bool {
    let Some(result) = frame.result(call) else { return false };
    match outcome {
        Outcome::Failure => error_of(result).is_some(),
        Outcome::Success => error_of(result).is_none(),
        Outcome::Error(number) => error_of(result) == Some(number),
    }
}

/// Shapes of the paths in kept arguments, with call and path.
fn shapes_of<'frame>(
    frame: &CallFrame<'frame>,
    group: &[(Symbol, u32)],
) -> impl Iterator<Item = (u32, &'frame str, String)> {
    let executes = EXECUTES.contains(&frame.segment.calls.name(group[0].1 as usize));
    let shape = if executes { paths::program } else { paths::shape };
    let has_any = !frame.segment.details.is_empty();
    let kept: Vec<(u32, &'frame str)> = group
        .iter()
        .filter(|_| has_any)
        .filter_map(|&(_, call)| frame.arguments(call).map(|arguments| (call, arguments)))
        .collect();
    kept.into_iter().flat_map(move |(call, arguments)| {
        paths::paths(arguments).into_iter().map(move |path| (call, path, shape(path)))
    })
}

fn judge_paths(
    known: &Shapes,
    frame: &CallFrame<'_>,
    symbol: Symbol,
    group: &[(Symbol, u32)],
) -> Option<Finding> {
    if known.learned() == 0 {
        return None;
    }
    let mut first: Option<(u32, &str, String)> = None;
    let mut unseen: Vec<String> = Vec::new();
    let mut paths = 0u64;
    for (call, path, shape) in shapes_of(frame, group) {
        paths += 1;
        if !known.is_unseen(&shape) || unseen.contains(&shape) {
            continue;
        }
        unseen.push(shape.clone());
        first.get_or_insert((call, path, shape));
    }
    let (call, path, shape) = first?;
    let executes = EXECUTES.contains(&frame.segment.calls.name(call as usize));
    let bunch = if executes { 1 } else { PATHS_IN_A_BUNCH };
    let shapes = unseen.len() as u64;
    let surprise = surprise(shapes.div_ceil(bunch), paths.div_ceil(bunch), known.unseen_mass());
    Some(Finding {
        symbol: Some(symbol),
        weight: surprise - EVERYDAY,
        what: Unusual::Paths {
            path: path.to_owned(),
            shape,
            call,
            shapes: shapes as u32,
            trained: known.learned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_for_the_search_in_them() {
        assert!(MOVES_BYTES.is_sorted());
    }
}
