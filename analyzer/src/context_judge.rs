//! How probable is each call after the calls before it?
//!
//! Probabilities are those of I. Witten and T. Bell ("The zero-frequency problem", IEEE Transactions on Information Theory 37, 1991), method C,
//! interpolated: after a context that was followed by `N` calls, `T` of them different, a call that followed it `n` times has
//! probability `(n + T·p) / (N + T)`, where `p` is its probability after the context that is one call shorter; after no context at
//! all it is compared with one of [`NAMES`] calls that are equally likely.
//!
//! # How it is fast
//!
//! Every probability of a call that did follow a context is computed once, and stored with the context that comes next. So a call that was
//! expected costs one look-up, whatever the order; one that was not goes to shorter contexts until one knows it.

use crate::{
    alphabet::Symbol,
    context_tree::{ContextTree, ROOT},
    detector::{BREAK, CallJudge, Steps, verdict},
};

/// Calls that there are: Linux has fewer than 500.
pub(crate) const NAMES: f64 = 512.0;

/// Verdicts are surprisals in this fraction of a nat, plus one.
const CODES_PER_NAT: f32 = 8.0;

/// What an intruder's calls are taken to be: with a probability of one half one of so many that are equally likely, else as normal.
const INTRUDER_CALLS: f64 = 64.0;

/// A call that followed a context.
#[derive(Debug, Clone, Copy)]
struct Edge {
    key: u64,
    next: u32,
    surprisal: f32,
}

const FREE: u64 = u64::MAX;

/// Gives every call its surprisal, −ln p.
#[derive(Debug)]
pub(crate) struct ContextModel {
    edges: Box<[Edge]>,
    shift: u32,
    /// For each context: the one that is a call shorter, and the surprisal that going there costs.
    shorter: Vec<(u32, f32)>,
    order: usize,
    steps: Box<Steps>,
}

/// What a trace's surprisals come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Surprisals {
    pub(crate) mean: f64,
    pub(crate) median: f64,
    pub(crate) upper_quartile: f64,
}

impl ContextModel {
    pub(crate) fn new(tree: &ContextTree) -> Self {
        let nodes = tree.nodes();
        let mut edges: Vec<(u32, Symbol, u64)> = tree.edges().collect();
        // By context, hence those of shorter contexts before those of longer ones.
        edges.sort_unstable();
        let mut totals = vec![(0.0f64, 0.0f64); nodes.len()];
        for &(node, _, count) in &edges {
            let (all, different) = &mut totals[node as usize];
            *all += count as f64;
            *different += 1.0;
        }
        let share_of_shorter = |node: u32| {
            let (all, different) = totals[node as usize];
            if different == 0.0 { 1.0 } else { different / (all + different) }
        };
        let shorter = nodes
            .iter()
            .enumerate()
            .map(|(place, node)| (node.parent, -share_of_shorter(place as u32).ln() as f32))
            .collect();
        let slots = (edges.len() * 2).next_power_of_two().max(16);
        let mut model = Self {
            edges: vec![Edge { key: FREE, next: ROOT, surprisal: 0.0 }; slots].into_boxed_slice(),
            shift: 64 - slots.trailing_zeros(),
            shorter,
            order: tree.order(),
            steps: steps(),
        };
        for &(node, symbol, count) in &edges {
            let (all, different) = totals[node as usize];
            let context = nodes[node as usize];
            let known = if node == ROOT { None } else { model.edge(context.parent, symbol).copied() };
            let below = known.map_or(1.0 / NAMES, |edge| f64::from(-edge.surprisal).exp());
            let probability = (count as f64 + different * below) / (all + different);
            let next = match known {
                None => tree.child(ROOT, symbol).unwrap_or(ROOT),
                // The context that follows is as long as it can be: that of the shorter context, and this context's oldest call.
                Some(edge) => {
                    let is_whole = nodes[edge.next as usize].depth == context.depth;
                    let longer = if is_whole { tree.child(edge.next, context.symbol) } else { None };
                    longer.unwrap_or(edge.next)
                }
            };
            model.insert(Edge { key: key(node, symbol), next, surprisal: -probability.ln() as f32 });
        }
        model
    }

    fn home(&self, key: u64) -> usize {
        (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize & (self.edges.len() - 1)
    }

    fn insert(&mut self, edge: Edge) {
        let mut place = self.home(edge.key);
        while self.edges[place].key != FREE {
            place = (place + 1) & (self.edges.len() - 1);
        }
        self.edges[place] = edge;
    }

    #[inline]
    fn edge(&self, node: u32, symbol: Symbol) -> Option<&Edge> {
        let key = key(node, symbol);
        let mut place = self.home(key);
        loop {
            let edge = &self.edges[place & (self.edges.len() - 1)];
            if edge.key == key {
                return Some(edge);
            }
            if edge.key == FREE {
                return None;
            }
            place += 1;
        }
    }

    /// Surprisal of `symbol` after `context`, and the context that follows.
    #[inline]
    fn step(&self, mut context: u32, symbol: Symbol) -> (f32, u32) {
        let mut surprisal = 0.0;
        loop {
            if let Some(edge) = self.edge(context, symbol) {
                return (surprisal + edge.surprisal, edge.next);
            }
            let (shorter, cost) = self.shorter[context as usize];
            surprisal += cost;
            if context == ROOT {
                return (surprisal + NAMES.ln() as f32, ROOT);
            }
            context = shorter;
        }
    }

    /// Calls `visit` with the surprisal of each of `calls[context..]`; a [`BREAK`] begins anew and has none.
    #[inline]
    pub(crate) fn visit(&self, calls: &[Symbol], context: usize, mut visit: impl FnMut(usize, f32)) {
        let mut state = ROOT;
        for (place, &call) in calls.iter().enumerate().skip(context.saturating_sub(self.order)) {
            if call == BREAK {
                state = ROOT;
                continue;
            }
            let (surprisal, next) = self.step(state, call);
            state = next;
            if place >= context {
                visit(place, surprisal);
            }
        }
    }

    /// What the surprisals of a frame come to; `None` of no calls.
    pub(crate) fn surprisals(&self, calls: &[Symbol]) -> Option<Surprisals> {
        let mut all: Vec<f32> = Vec::with_capacity(calls.len());
        self.visit(calls, 0, |_, surprisal| all.push(surprisal));
        if all.is_empty() {
            return None;
        }
        let mean = all.iter().map(|&surprisal| f64::from(surprisal)).sum::<f64>() / all.len() as f64;
        let quarter = all.len() * 3 / 4;
        let (_, &mut upper_quartile, _) = all.select_nth_unstable_by(quarter, f32::total_cmp);
        let half = all.len() / 2;
        let (_, &mut median, _) = all.select_nth_unstable_by(half, f32::total_cmp);
        Some(Surprisals { mean, median: f64::from(median), upper_quartile: f64::from(upper_quartile) })
    }
}

impl CallJudge for ContextModel {
    fn judge(&self, calls: &[Symbol], context: usize, verdicts: &mut [u8]) {
        self.visit(calls, context, |place, surprisal| {
            let code = f32::from(verdict::KNOWN) + surprisal * CODES_PER_NAT;
            verdicts[place - context] = code.round().min(f32::from(u8::MAX)) as u8;
        });
    }

    fn steps(&self) -> &Steps {
        &self.steps
    }

    /// The mean surprisal of its calls, nats.
    fn trace_score(&self, calls: &[Symbol]) -> f64 {
        self.surprisals(calls).map_or(0.0, |surprisals| surprisals.mean)
    }
}

/// The logarithm of the likelihood ratio of an intruder to what is normal, in eighths.
fn steps() -> Box<Steps> {
    let mut steps = Box::new([0i16; 256]);
    for (code, step) in steps.iter_mut().enumerate().skip(1) {
        let surprisal = (code - 1) as f64 / f64::from(CODES_PER_NAT);
        let ratio = 0.5 + 0.5 * surprisal.exp() / INTRUDER_CALLS;
        *step = (ratio.ln() * 8.0).round() as i16;
    }
    steps
}

fn key(node: u32, symbol: Symbol) -> u64 {
    u64::from(node) << 16 | u64::from(symbol)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Witten and Bell's probability by its definition.
    fn naive(training: &[Symbol], context: &[Symbol], next: Symbol) -> f64 {
        let after: Vec<Symbol> = training
            .windows(context.len() + 1)
            .filter(|w| w[..context.len()] == *context)
            .map(|w| w[context.len()])
            .collect();
        let shorter = if context.is_empty() { 1.0 / NAMES } else { naive(training, &context[1..], next) };
        let different = after.iter().collect::<std::collections::BTreeSet<_>>().len() as f64;
        let times = after.iter().filter(|&&call| call == next).count() as f64;
        if after.is_empty() {
            shorter
        } else {
            (times + different * shorter) / (after.len() as f64 + different)
        }
    }

    proptest! {
        #[test]
        fn surprisals_are_those_of_witten_and_bell(
            training in proptest::collection::vec(0u16..4, 0..80),
            calls in proptest::collection::vec(0u16..5, 1..40),
            order in 1usize..5,
            context in 0usize..10,
        ) {
            let mut tree = ContextTree::new(order);
            tree.learn(&training, 0, 1);
            let model = ContextModel::new(&tree);
            let context = context.min(calls.len());
            let mut seen = Vec::new();
            model.visit(&calls, context, |place, surprisal| seen.push((place, surprisal)));
            prop_assert_eq!(seen.len(), calls.len() - context);
            for (place, surprisal) in seen {
                // A judge knows no more of the past than its order, counted from where it began to read.
                let known = place.min(order);
                let expected = -naive(&training, &calls[place - known..place], calls[place]).ln();
                prop_assert!((f64::from(surprisal) - expected).abs() < 1e-3, "{} {}", surprisal, expected);
            }
        }

        #[test]
        fn probabilities_add_up_to_one(training in proptest::collection::vec(0u16..4, 1..80), calls in proptest::collection::vec(0u16..4, 0..6)) {
            let mut tree = ContextTree::new(3);
            tree.learn(&training, 0, 1);
            let model = ContextModel::new(&tree);
            let state = tree.longest(&calls);
            let sum: f64 = (0..512).map(|symbol| f64::from(-model.step(state, symbol).0).exp()).sum();
            prop_assert!((sum - 1.0).abs() < 1e-4, "{}", sum);
        }
    }

    #[test]
    fn what_is_expected_lowers_the_level_and_what_is_not_raises_it() {
        let steps = steps();
        assert!(steps.is_sorted_by(|a, b| a <= b) || steps[1..].is_sorted());
        assert!(steps[1] < 0 && steps[255] > 100);
    }
}
