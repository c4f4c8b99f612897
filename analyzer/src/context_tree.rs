//! How often each call followed each sequence of up to so many calls.
//!
//! A tree of contexts, read backwards: the root is no context at all, its children are the call just before, their children the one before
//! that. Every node counts the calls that followed its context. Counts are bounded: once there are [`MAX_NODES`] contexts, no longer ones
//! are added, and the shorter ones go on counting.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{
    alphabet::Symbol,
    detector::{BREAK, WindowStatistics},
};

/// Most contexts of one tree.
pub(crate) const MAX_NODES: usize = 1 << 20;

/// Most different calls after all contexts together.
pub(crate) const MAX_EDGES: usize = 1 << 21;

/// The context of no calls.
pub(crate) const ROOT: u32 = 0;

/// A context: `symbol`, then what `parent` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) parent: u32,
    pub(crate) symbol: Symbol,
    pub(crate) depth: u32,
}

/// Contexts of up to `order` calls and what followed them.
#[derive(Debug, Clone)]
pub(crate) struct ContextTree {
    order: usize,
    /// A parent always comes before its children.
    nodes: Vec<Node>,
    children: FxHashMap<(u32, Symbol), u32>,
    /// How often a call followed a context.
    edges: FxHashMap<(u32, Symbol), u64>,
    refused: u64,
}

/// The form in a file: nodes from the root outwards, those of one parent ascending; then what followed each.
#[derive(Serialize, Deserialize)]
struct Stored {
    parents: Vec<u32>,
    symbols: Vec<Symbol>,
    edges: Vec<Vec<(Symbol, u64)>>,
    refused: u64,
}

impl ContextTree {
    pub(crate) fn new(order: usize) -> Self {
        Self {
            order,
            nodes: vec![Node { parent: ROOT, symbol: 0, depth: 0 }],
            children: FxHashMap::default(),
            edges: FxHashMap::default(),
            refused: 0,
        }
    }

    pub(crate) fn order(&self) -> usize {
        self.order
    }

    /// All contexts; a parent comes before its children.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Every context and call that followed it, with how often, in no particular order.
    pub(crate) fn edges(&self) -> impl Iterator<Item = (u32, Symbol, u64)> {
        self.edges.iter().map(|(&(node, symbol), &count)| (node, symbol, count))
    }

    pub(crate) fn child(&self, node: u32, symbol: Symbol) -> Option<u32> {
        self.children.get(&(node, symbol)).copied()
    }

    pub(crate) fn count(&self, node: u32, symbol: Symbol) -> u64 {
        self.edges.get(&(node, symbol)).copied().unwrap_or(0)
    }

    /// The longest known context that `calls` ends with.
    #[cfg(test)]
    pub(crate) fn longest(&self, calls: &[Symbol]) -> u32 {
        let mut node = ROOT;
        for &call in calls.iter().rev().take(self.order) {
            match self.child(node, call) {
                Some(child) => node = child,
                None => break,
            }
        }
        node
    }

    /// Learns `times` times every call behind the first `context` of `calls`, which hold no [`BREAK`].
    pub(crate) fn learn(&mut self, calls: &[Symbol], context: usize, times: u64) {
        for place in context..calls.len() {
            let next = calls[place];
            let mut node = ROOT;
            let mut before = calls[..place].iter().rev().take(self.order);
            loop {
                if !self.add(node, next, times) {
                    break;
                }
                let Some(&call) = before.next() else { break };
                match self.child_or_new(node, call) {
                    Some(child) => node = child,
                    None => break,
                }
            }
        }
    }

    /// Learns a frame: sequences with a [`BREAK`] between.
    pub(crate) fn learn_frame(&mut self, calls: &[Symbol], times: u64) {
        for sequence in calls.split(|&call| call == BREAK) {
            self.learn(sequence, 0, times);
        }
    }

    fn child_or_new(&mut self, node: u32, symbol: Symbol) -> Option<u32> {
        if let Some(child) = self.child(node, symbol) {
            return Some(child);
        }
        if self.nodes.len() >= MAX_NODES || self.edges.len() >= MAX_EDGES {
            self.refused = self.refused.saturating_add(1);
            return None;
        }
        let child = self.nodes.len() as u32;
        let depth = self.nodes[node as usize].depth + 1;
        self.nodes.push(Node { parent: node, symbol, depth });
        self.children.insert((node, symbol), child);
        Some(child)
    }

    fn add(&mut self, node: u32, symbol: Symbol, times: u64) -> bool {
        let is_full = self.edges.len() >= MAX_EDGES;
        match self.edges.entry((node, symbol)) {
            std::collections::hash_map::Entry::Occupied(mut known) => {
                *known.get_mut() = known.get().saturating_add(times);
            }
            std::collections::hash_map::Entry::Vacant(new) if !is_full => {
                new.insert(times);
            }
            std::collections::hash_map::Entry::Vacant(_) => {
                self.refused = self.refused.saturating_add(times);
                return false;
            }
        }
        true
    }

    /// Learns what `other` has learned, with its symbol `s` being `symbols[s]` here.
    pub(crate) fn merge(&mut self, other: &Self, symbols: &[Symbol]) {
        let renamed = |symbol: Symbol| symbols.get(usize::from(symbol)).copied();
        // `None` where there was no room for a context.
        let mut places: Vec<Option<u32>> = vec![Some(ROOT)];
        for node in &other.nodes[1..] {
            let parent = places[node.parent as usize];
            let child = parent.zip(renamed(node.symbol));
            places.push(child.and_then(|(parent, symbol)| self.child_or_new(parent, symbol)));
        }
        let mut edges: Vec<_> = other.edges().collect();
        edges.sort_unstable();
        for (node, symbol, count) in edges {
            if let Some((node, symbol)) = places[node as usize].zip(renamed(symbol)) {
                self.add(node, symbol, count);
            }
        }
        self.refused = self.refused.saturating_add(other.refused);
    }

    /// Calls learned, different ones after the longest contexts, and those of them that occurred once.
    pub(crate) fn statistics(&self) -> WindowStatistics {
        let mut statistics = WindowStatistics { refused: self.refused, ..WindowStatistics::default() };
        for (&(node, _), &count) in &self.edges {
            let depth = self.nodes[node as usize].depth as usize;
            if depth == 0 {
                statistics.windows = statistics.windows.saturating_add(count);
            }
            if depth == self.order {
                statistics.distinct += 1;
                statistics.singletons += u64::from(count == 1);
            }
        }
        statistics
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut children: Vec<(u32, Symbol, u32)> =
            self.children.iter().map(|(&(parent, symbol), &node)| (parent, symbol, node)).collect();
        children.sort_unstable();
        // Outwards from the root, so that what is written does not depend on the order of learning.
        let mut order = vec![ROOT];
        let mut stored = Stored {
            parents: Vec::with_capacity(children.len()),
            symbols: Vec::with_capacity(children.len()),
            edges: vec![Vec::new(); self.nodes.len()],
            refused: self.refused,
        };
        let mut place = 0;
        while let Some(&node) = order.get(place) {
            let from = children.partition_point(|&(parent, ..)| parent < node);
            for &(_, symbol, child) in children[from..].iter().take_while(|&&(parent, ..)| parent == node) {
                order.push(child);
                stored.parents.push(place as u32);
                stored.symbols.push(symbol);
            }
            place += 1;
        }
        let mut places = vec![0usize; self.nodes.len()];
        for (place, &node) in order.iter().enumerate() {
            places[node as usize] = place;
        }
        for (&(node, symbol), &count) in &self.edges {
            stored.edges[places[node as usize]].push((symbol, count));
        }
        for edges in &mut stored.edges {
            edges.sort_unstable();
        }
        postcard::to_stdvec(&stored).unwrap_or_default()
    }

    /// Reads [`ContextTree::encode`]'s bytes; the error says what is wrong with them.
    pub(crate) fn decode(bytes: &[u8], order: usize, alphabet: usize) -> Result<Self, String> {
        let (stored, rest): (Stored, _) = postcard::take_from_bytes(bytes)
            .map_err(|error| format!("its contexts cannot be read: {error}"))?;
        let count = stored.edges.len();
        let edges: usize = stored.edges.iter().map(Vec::len).sum();
        if !rest.is_empty()
            || stored.parents.len() != stored.symbols.len()
            || count != stored.parents.len() + 1
        {
            return Err("its contexts and their counts do not match".to_owned());
        }
        if count > MAX_NODES || edges > MAX_EDGES {
            return Err("it has too many contexts".to_owned());
        }
        let mut tree = Self::new(order);
        tree.refused = stored.refused;
        let mut last = None;
        for (&parent, &symbol) in stored.parents.iter().zip(&stored.symbols) {
            let is_next = last.is_none_or(|last| last < (parent, symbol));
            let depth = tree.nodes.get(parent as usize).map(|node| node.depth as usize + 1);
            if !is_next || depth.is_none_or(|depth| depth > order) || usize::from(symbol) >= alphabet {
                return Err(
                    "a context is too long, out of order, or of calls that the profile does not name"
                        .to_owned(),
                );
            }
            last = Some((parent, symbol));
            tree.child_or_new(parent, symbol);
        }
        for (node, edges) in stored.edges.iter().enumerate() {
            let parent = tree.nodes[node].parent;
            let is_sound = |&(symbol, count): &(Symbol, u64)| {
                count > 0
                    && usize::from(symbol) < alphabet
                    && (node == 0 || tree.edges.get(&(parent, symbol)).is_some_and(|&all| all >= count))
            };
            if !edges.is_sorted_by(|a, b| a.0 < b.0) || !edges.iter().all(is_sound) {
                return Err(
                    "the calls after a context are out of order or contradict those after a shorter one"
                        .to_owned(),
                );
            }
            if node > 0 && edges.is_empty() {
                return Err("nothing followed a context".to_owned());
            }
            for &(symbol, count) in edges {
                tree.edges.insert((node as u32, symbol), count);
            }
        }
        Ok(tree)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn learned(calls: &[Symbol], order: usize) -> ContextTree {
        let mut tree = ContextTree::new(order);
        tree.learn(calls, 0, 1);
        tree
    }

    proptest! {
        #[test]
        fn counts_are_those_of_all_sequences(calls in proptest::collection::vec(0u16..4, 0..80), order in 1usize..5) {
            let tree = learned(&calls, order);
            for length in 0..=order {
                for window in calls.windows(length + 1) {
                    let (context, next) = window.split_at(length);
                    let node = tree.longest(context);
                    prop_assert_eq!(tree.nodes()[node as usize].depth as usize, length);
                    let expected = calls.windows(length + 1).filter(|other| *other == window).count() as u64;
                    prop_assert_eq!(tree.count(node, next[0]), expected);
                }
            }
        }

        #[test]
        fn a_tree_does_not_depend_on_cuts_survives_its_file_and_merges(
            calls in proptest::collection::vec(0u16..4, 0..80),
            others in proptest::collection::vec(0u16..4, 0..80),
            order in 1usize..5,
            cut in 0usize..80,
        ) {
            let whole = learned(&calls, order);
            let cut = cut.min(calls.len());
            let mut parts = learned(&calls[..cut], order);
            parts.learn(&calls, cut, 1);
            prop_assert_eq!(parts.encode(), whole.encode());
            let read = ContextTree::decode(&whole.encode(), order, 4).unwrap();
            prop_assert_eq!(read.encode(), whole.encode());
            let mut merged = whole.clone();
            merged.merge(&learned(&others, order), &[0, 1, 2, 3]);
            let mut both = whole;
            both.learn(&others, 0, 1);
            prop_assert_eq!(merged.encode(), both.encode());
        }

        #[test]
        fn bytes_that_were_changed_are_refused_or_read_but_never_panic(
            calls in proptest::collection::vec(0u16..4, 1..60),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        ) {
            let mut bytes = learned(&calls, 3).encode();
            for (place, value) in changes {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            if let Ok(tree) = ContextTree::decode(&bytes, 3, 4) {
                prop_assert!(ContextTree::decode(&tree.encode(), 3, 4).is_ok());
            }
        }
    }
}
