//! What a model of behaviour does.

use super::{finding::Judgement, frame::CallFrame};
use crate::{alphabet::Symbol, detector::WindowStatistics};

/// A model that learns and judges frames by their columns. What it has learned does not depend on the order of frames.
pub trait BehaviourModel {
    /// Learns one frame.
    fn learn(&mut self, frame: &CallFrame<'_>);

    /// Judges one frame.
    fn judge(&self, frame: &CallFrame<'_>) -> Judgement;

    /// Learns what `other` has learned, with its symbol `s` being `symbols[s]` here.
    fn merge(&mut self, other: &Self, symbols: &[Symbol]);

    /// Checks what came from outside; the error says what is wrong.
    fn check(&self, alphabet: usize) -> Result<(), String>;

    /// How much was learned: frames, and calls by name.
    fn statistics(&self) -> WindowStatistics;

    /// What was learned, for people.
    fn describe(&self) -> String;
}
