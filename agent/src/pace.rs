//! How fast a recording is replayed.

use std::{
    str::FromStr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::AgentError;

/// A sleep is cut into pieces of this length, so that a replay ends soon after it is told to.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// How fast a recording is replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// As fast as it goes.
    Max,
    /// So many times as fast as it happened. Larger than 0.
    Times(f64),
}

impl FromStr for Speed {
    type Err = AgentError;

    fn from_str(text: &str) -> Result<Self, AgentError> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse() {
            Ok(times) if f64::is_finite(times) && times > 0.0 => Ok(Self::Times(times)),
            _ => Err(AgentError::Option {
                option: "--speed",
                value: text.to_owned(),
                expected: "max, 1 (as it happened) or N (times as fast)",
            }),
        }
    }
}

/// Holds lines back until they are due.
pub(crate) struct Pacer {
    times: f64,
    /// When the recording began here, and its first time.
    start: Option<(Instant, i64)>,
}

impl Pacer {
    pub(crate) const fn new(times: f64) -> Self {
        Self { times, start: None }
    }

    /// How long to wait until something that happened at `time_ns` is due.
    pub(crate) fn wait_for(&mut self, time_ns: i64) -> Duration {
        let (start, first_ns) = *self.start.get_or_insert_with(|| (Instant::now(), time_ns));
        let recorded = time_ns.saturating_sub(first_ns).max(0) as f64 / 1e9 / self.times;
        let due = Duration::try_from_secs_f64(recorded).unwrap_or(Duration::MAX);
        due.saturating_sub(start.elapsed())
    }
}

/// Sleeps for `duration`, or until `cancel` is set. Returns whether it was set.
pub(crate) fn sleep(duration: Duration, cancel: &AtomicBool) -> bool {
    let mut left = duration;
    while !left.is_zero() && !cancel.load(Ordering::Relaxed) {
        let piece = left.min(LONGEST_SLEEP);
        thread::sleep(piece);
        left -= piece;
    }
    cancel.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_is_max_or_a_positive_number() {
        assert_eq!("max".parse::<Speed>().unwrap(), Speed::Max);
        assert_eq!("2.5".parse::<Speed>().unwrap(), Speed::Times(2.5));
        for bad in ["0", "-1", "inf", "NaN", "fast", ""] {
            assert!(bad.parse::<Speed>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_is_due_when_as_much_time_has_passed_as_in_the_recording() {
        let mut pacer = Pacer::new(10.0);
        assert_eq!(pacer.wait_for(1_000_000_000), Duration::ZERO);
        let wait = pacer.wait_for(101_000_000_000);
        assert!(wait > Duration::from_secs(9) && wait <= Duration::from_secs(10), "{wait:?}");
        assert_eq!(pacer.wait_for(0), Duration::ZERO);
    }
}
