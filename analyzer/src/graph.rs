//! The graph of system calls: which call follows which, and how heavy each of these edges is.
//!
//! A program is seen as a graph over its calls, as in the trees and graphs of calls that N. Nguyen, P. Reiher, G. Kuenning ("Detecting
//! insider threats by monitoring system call activity", IEEE Information Assurance Workshop, 2003) and others compare. A frame is a graph
//! too, and it is as strange as its edges are on average, *each different edge once*: how often a loop goes round makes no
//! difference, only where it leads. The strangeness of an edge is −ln of its share among all edges of training, with half an
//! occurrence added to each, so that an edge never seen is stranger than any that was.

use std::any::Any;

use crate::{
    alphabet::Symbol,
    detector::{BREAK, Detector, Frame, FrameJudge, Judge, RawScale, WindowStatistics, alike},
    registry::{DetectorInfo, Maker, ModelSpec, ParameterInfo},
    window_counts::WindowCounts,
};

/// Its line of the table.
pub(crate) const INFO: DetectorInfo = DetectorInfo {
    name: "graph",
    title: "Call graph: steps from call to call that are rare",
    description: "The profile is the graph of which call followed which, with how often; a frame scores the mean strangeness of its \
                  different edges, that is −ln of their share in training.",
    parameters: &[ParameterInfo::real("prior", 0.5, (0.01, 10.0))
        .about("occurrences that every edge is given in advance")],
    maker: Maker::Own {
        window: |_| 2,
        create: |spec| Box::new(Graph { spec: spec.clone(), edges: WindowCounts::new(2) }),
        decode: |spec, bytes, alphabet| {
            let edges = WindowCounts::decode(bytes, 2, alphabet, |edge| Some(key(edge[0], edge[1])))?;
            Ok(Box::new(Graph { spec: spec.clone(), edges }))
        },
    },
};

/// What has been learned of edges.
#[derive(Debug, Clone)]
struct Graph {
    spec: ModelSpec,
    edges: WindowCounts<u32>,
}

fn key(from: Symbol, to: Symbol) -> u32 {
    u32::from(from) << 16 | u32::from(to)
}

impl Detector for Graph {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn learn(&mut self, calls: &[Symbol], context: usize) {
        for edge in calls[context.saturating_sub(1)..].windows(2) {
            self.edges.add(key(edge[0], edge[1]), 1, |symbols| symbols.extend_from_slice(edge));
        }
    }

    fn judge(&self, alphabet: usize) -> Judge {
        let prior = self.spec.value("prior");
        let statistics = self.statistics();
        let all = (statistics.windows as f64 + prior * (statistics.distinct as f64 + 1.0)).max(1.0);
        let strangeness = |count: u64| -((count as f64 + prior) / all).ln();
        // One row and column more than there are calls stands for every call that is not known.
        let size = alphabet + 1;
        let mut weights = vec![strangeness(0); if size <= MAX_DENSE { size * size } else { 0 }];
        let mut sparse = rustc_hash::FxHashMap::default();
        for (edge, count) in self.edges.windows() {
            let (from, to) = (usize::from(edge[0]), usize::from(edge[1]));
            match weights.get_mut(from * size + to) {
                Some(weight) => *weight = strangeness(count),
                None => {
                    sparse.insert(key(edge[0], edge[1]), strangeness(count));
                }
            }
        }
        Judge::Frames(Box::new(GraphJudge { size, weights, sparse, unseen: strangeness(0) }))
    }

    fn scale(&self) -> RawScale {
        RawScale {
            units: 1024,
            name: "nats",
            least_mean_excess: 0.25,
            least_threshold: 1.0,
            highest_threshold: 40.0,
        }
    }

    fn statistics(&self) -> WindowStatistics {
        self.edges.statistics()
    }

    fn merge(&mut self, other: &dyn Detector, symbols: &[Symbol]) -> bool {
        let Some(other) = alike(self, other) else { return false };
        for (edge, count) in other.edges.sorted() {
            let edge = [symbols[usize::from(edge[0])], symbols[usize::from(edge[1])]];
            self.edges.add(key(edge[0], edge[1]), count, |symbols| symbols.extend_from_slice(&edge));
        }
        self.edges.add_refused(other.statistics().refused);
        true
    }

    fn visit_windows(&self, visit: &mut dyn FnMut(&[Symbol], u64)) {
        for (edge, count) in self.edges.sorted() {
            visit(edge, count);
        }
    }

    fn encode(&self) -> Vec<u8> {
        self.edges.encode()
    }

    fn boxed_clone(&self) -> Box<dyn Detector> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Most calls of which every edge has a place of its own.
const MAX_DENSE: usize = 1024;

#[derive(Debug)]
struct GraphJudge {
    size: usize,
    /// Strangeness of each edge, row by row.
    weights: Vec<f64>,
    /// The same of an alphabet that is too large for that.
    sparse: rustc_hash::FxHashMap<u32, f64>,
    unseen: f64,
}

impl FrameJudge for GraphJudge {
    fn score(&self, frame: &Frame<'_>) -> f64 {
        let unknown = (self.size - 1) as Symbol;
        let mut edges: Vec<u32> = Vec::with_capacity(frame.calls.len());
        for sequence in frame.calls.split(|&call| call == BREAK) {
            edges.extend(sequence.windows(2).map(|edge| key(edge[0].min(unknown), edge[1].min(unknown))));
        }
        edges.sort_unstable();
        edges.dedup();
        let strangeness = |&edge: &u32| {
            if self.weights.is_empty() {
                return self.sparse.get(&edge).copied().unwrap_or(self.unseen);
            }
            self.weights[(edge >> 16) as usize * self.size + (edge & 0xffff) as usize]
        };
        if edges.is_empty() { 0.0 } else { edges.iter().map(strangeness).sum::<f64>() / edges.len() as f64 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn trained(calls: &[Symbol]) -> Box<dyn Detector> {
        let mut graph = ModelSpec::parse("graph").unwrap().create();
        graph.learn(calls, 0);
        graph
    }

    proptest! {
        #[test]
        fn a_frame_scores_the_mean_strangeness_of_its_different_edges(
            training in proptest::collection::vec(0u16..5, 0..200),
            calls in proptest::collection::vec(0u16..7, 2..60),
            alphabet in prop_oneof![Just(5usize), Just(2000)],
        ) {
            let mut counts = BTreeMap::<(Symbol, Symbol), f64>::new();
            for edge in training.windows(2) {
                *counts.entry((edge[0], edge[1])).or_default() += 1.0;
            }
            let all: f64 = counts.values().sum::<f64>() + 0.5 * (counts.len() as f64 + 1.0);
            // Calls beyond the alphabet are one.
            let known = |call: Symbol| if usize::from(call) < alphabet { call } else { alphabet as Symbol };
            let edges: BTreeSet<(Symbol, Symbol)> = calls.windows(2).map(|edge| (known(edge[0]), known(edge[1]))).collect();
            let strangeness = |edge| -((counts.get(edge).copied().unwrap_or(0.0) + 0.5) / all.max(1.0)).ln();
            let expected = edges.iter().map(strangeness).sum::<f64>() / edges.len() as f64;
            let score = trained(&training).judge(alphabet).trace_score(&calls);
            prop_assert!((score - expected).abs() < 1e-9, "{} {}", score, expected);
        }
    }

    #[test]
    fn no_edge_leads_from_one_thread_to_another() {
        let graph = trained(&[0, 1, 0, 1]).judge(2);
        assert_eq!(
            graph.trace_score(&[0, 1, BREAK, 1, 0]).to_bits(),
            graph.trace_score(&[0, 1, 0]).to_bits()
        );
        assert!(graph.trace_score(&[0, 0]) > graph.trace_score(&[0, 1]));
    }
}
