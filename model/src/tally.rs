//! Conservation: where every line went.

use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

/// Counts of what became of the lines of a chunk, a stream or a dataset.
///
/// Two sums hold at every stage, and are themselves a metric:
/// `lines_read = events_parsed + dead_letters` and
/// `events_parsed = calls_stored + events_folded + events_not_calls + calls_lost`.
///
/// `calls_stored` counts the calls of the sequence *and* the calls that have begun and not (yet) returned
/// ([`Unfinished`](crate::Unfinished)). When the exit of such a call arrives in a later chunk, the exit is the stored call and
/// the enter becomes a folded event ([`Tally::settle`]).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Lines that were read, line by line of the log (headers are not lines).
    pub lines_read: u64,
    /// Lines that were an event.
    pub events_parsed: u64,
    /// Lines that were none, kept aside with a reason.
    pub dead_letters: u64,
    /// System calls stored.
    pub calls_stored: u64,
    /// Enter events that are carried by their exit.
    pub events_folded: u64,
    /// Events that are no system calls: switches, signals, notes about containers.
    pub events_not_calls: u64,
    /// Calls that were parsed and could not be stored.
    pub calls_lost: u64,
}

impl Tally {
    /// Whether both sums hold.
    pub const fn is_closed(&self) -> bool {
        self.lines_read == self.events_parsed + self.dead_letters
            && self.events_parsed
                == self.calls_stored + self.events_folded + self.events_not_calls + self.calls_lost
    }

    /// `enters` calls that were stored as unfinished have returned in a later chunk: their enter events are carried by
    /// the exits.
    pub const fn settle(&mut self, enters: u64) {
        self.calls_stored -= enters;
        self.events_folded += enters;
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.lines_read += other.lines_read;
        self.events_parsed += other.events_parsed;
        self.dead_letters += other.dead_letters;
        self.calls_stored += other.calls_stored;
        self.events_folded += other.events_folded;
        self.events_not_calls += other.events_not_calls;
        self.calls_lost += other.calls_lost;
    }
}

impl Add for Tally {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl std::iter::Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), Add::add)
    }
}
