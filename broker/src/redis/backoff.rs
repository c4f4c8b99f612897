//! Waiting longer each time, and never in step with others.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// Delays of one series of attempts: each up to twice as long as the last, each a random half to whole of that.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
    randomness: RandomState,
    attempts: u64,
}

impl Backoff {
    /// For a server that does not answer.
    pub(super) fn new() -> Self {
        Self::between(SHORTEST, LONGEST)
    }

    pub(super) fn between(shortest: Duration, longest: Duration) -> Self {
        Self { next: shortest, longest, randomness: RandomState::new(), attempts: 0 }
    }

    pub(super) fn next_delay(&mut self) -> Duration {
        let whole = self.next;
        self.next = (self.next * 2).min(self.longest);
        self.attempts += 1;
        // The hash of the attempt's number under a random key is random enough to scatter clients.
        let share = self.randomness.hash_one(self.attempts) as f64 / u64::MAX as f64;
        whole.mul_f64(f64::midpoint(1.0, share))
    }

    pub(super) const fn attempts(&self) -> u64 {
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_bound_and_differ_between_clients() {
        let mut series = [Backoff::new(), Backoff::new()];
        let delays: Vec<Vec<Duration>> =
            series.iter_mut().map(|one| (0..20).map(|_| one.next_delay()).collect()).collect();
        assert_ne!(delays[0], delays[1]);
        for one in &delays {
            assert!(one[0] >= SHORTEST / 2 && one[0] <= SHORTEST);
            assert!(one.iter().all(|delay| *delay <= LONGEST));
            assert!(one[19] >= LONGEST / 2);
        }
    }
}
