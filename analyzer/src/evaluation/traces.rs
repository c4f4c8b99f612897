//! Labelled traces in memory.

use std::collections::HashSet;

use crate::alphabet::{Alphabet, Symbol};

/// What a trace is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Normal, to learn from.
    Train,
    /// Normal, to set thresholds on; neither learned nor measured on.
    Calibrate,
    /// Normal, to measure false alarms on.
    Normal,
    /// Attack.
    Attack,
}

/// Traces to evaluate on.
#[derive(Debug, Clone, Default)]
pub struct TraceSets {
    pub(crate) alphabet: Alphabet,
    pub(crate) train: Vec<Vec<Symbol>>,
    pub(crate) calibrate: Vec<Vec<Symbol>>,
    pub(crate) normal: Vec<Vec<Symbol>>,
    pub(crate) attack: Vec<Vec<Symbol>>,
    /// Kind of each attack trace, where known.
    pub(crate) kinds: Vec<Option<String>>,
}

/// Traces on which nothing can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no {missing} trace; an evaluation needs at least one to train on, one normal and one attack"
)]
pub struct NoTraces {
    pub(crate) missing: &'static str,
}

impl TraceSets {
    /// No traces.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a trace: names of calls, or numbers as text. `kind` is the kind of attack, where known. A trace without calls tells
    /// nothing and is left out.
    pub fn add<Name: AsRef<str>>(
        &mut self,
        part: Part,
        calls: impl IntoIterator<Item = Name>,
        kind: Option<&str>,
    ) {
        let calls: Vec<Symbol> = calls.into_iter().map(|name| self.alphabet.learn(name.as_ref())).collect();
        if calls.is_empty() {
            return;
        }
        match part {
            Part::Train => self.train.push(calls),
            Part::Calibrate => self.calibrate.push(calls),
            Part::Normal => self.normal.push(calls),
            Part::Attack => {
                self.attack.push(calls);
                self.kinds.push(kind.map(str::to_owned));
            }
        }
    }

    /// The part, if there is one, none of whose calls occurs in the traces to train on: names are then compared with numbers, and every
    /// figure would be about that.
    pub fn stranger(&self) -> Option<&'static str> {
        let known: HashSet<Symbol> = self.train.iter().flatten().copied().collect();
        let is_strange = |traces: &[Vec<Symbol>]| {
            !known.is_empty()
                && !traces.is_empty()
                && !traces.iter().flatten().any(|call| known.contains(call))
        };
        let parts = [(&self.calibrate, "calibration"), (&self.normal, "normal"), (&self.attack, "attack")];
        parts.into_iter().find(|(traces, _)| is_strange(traces)).map(|(_, part)| part)
    }

    pub(crate) fn check(&self) -> Result<(), NoTraces> {
        for (traces, missing) in
            [(&self.train, "training"), (&self.normal, "normal"), (&self.attack, "attack")]
        {
            if traces.is_empty() {
                return Err(NoTraces { missing });
            }
        }
        Ok(())
    }

    /// The kinds of attack, sorted, each with the places of its traces.
    pub(crate) fn places_by_kind(&self) -> std::collections::BTreeMap<&str, Vec<usize>> {
        let mut by_kind = std::collections::BTreeMap::<&str, Vec<usize>>::new();
        for (place, kind) in self.kinds.iter().enumerate() {
            if let Some(kind) = kind {
                by_kind.entry(kind).or_default().push(place);
            }
        }
        by_kind
    }
}

/// Traces and their calls.
pub(crate) fn size(traces: &[Vec<Symbol>]) -> (u64, u64) {
    (traces.len() as u64, traces.iter().map(|trace| trace.len() as u64).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_that_share_no_call_with_training_are_told() {
        let mut sets = TraceSets::new();
        assert_eq!(sets.stranger(), None);
        sets.add(Part::Train, ["#3", "#4"], None);
        sets.add(Part::Normal, ["#4", "#9"], None);
        assert_eq!(sets.stranger(), None);
        sets.add(Part::Attack, ["read", "write"], None);
        assert_eq!(sets.stranger(), Some("attack"));
        sets.add(Part::Attack, ["#3"], None);
        assert_eq!(sets.stranger(), None);
    }
}
