//! The day of formats that give a time of day only.

use rastro_format::DayBase;

const HOUR_NS: i64 = 3_600 * 1_000_000_000;
const DAY_NS: i64 = 24 * HOUR_NS;

/// Times of events of different processors may step back a little; a step of more than this is the next midnight.
const STEP_BACK_NS: i64 = HOUR_NS;

/// Puts times of day onto days, in order of the lines of one chunk.
///
/// A recording whose header gives the day keeps it; else the day is the one that brings the first event closest to the time of
/// reading. Midnight is noticed inside a chunk only: a chunk says nothing of the chunks before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Days {
    last_ns: Option<i64>,
    /// The time of reading, where no header gives the day.
    near_ns: Option<i64>,
}

impl Days {
    /// The day to begin a chunk with, and the rule for what follows.
    pub(crate) fn new(declared: Option<DayBase>, read_ns: i64) -> (DayBase, Self) {
        if let Some(day) = declared {
            return (day, Self { last_ns: None, near_ns: None });
        }
        let midnight = read_ns.div_euclid(DAY_NS).saturating_mul(DAY_NS);
        (DayBase(midnight), Self { last_ns: None, near_ns: Some(read_ns) })
    }

    /// The time of an event that was read as `time_ns` on the day of the chunk.
    pub(crate) fn place(&mut self, time_ns: i64) -> i64 {
        let placed = match (self.last_ns, self.near_ns) {
            (Some(last), _) => {
                let earliest = last.saturating_sub(STEP_BACK_NS);
                earliest.saturating_add(time_ns.saturating_sub(earliest).rem_euclid(DAY_NS))
            }
            (None, Some(near)) => {
                let earliest = near.saturating_sub(DAY_NS / 2);
                earliest.saturating_add(time_ns.saturating_sub(earliest).rem_euclid(DAY_NS))
            }
            (None, None) => time_ns,
        };
        self.last_ns = Some(self.last_ns.map_or(placed, |last| last.max(placed)));
        placed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_NS: i64 = HOUR_NS / 60;

    #[test]
    fn after_midnight_comes_the_next_day() {
        let base = 20 * DAY_NS;
        let (day, mut days) = Days::new(Some(DayBase(base)), 0);
        assert_eq!(day, DayBase(base));
        let late = base + DAY_NS - MINUTE_NS;
        assert_eq!(days.place(late), late);
        assert_eq!(days.place(base + MINUTE_NS), base + DAY_NS + MINUTE_NS);
        // An event of another processor, from just before midnight.
        assert_eq!(days.place(late + 1), late + 1);
        assert_eq!(days.place(base + 2 * MINUTE_NS), base + DAY_NS + 2 * MINUTE_NS);
    }

    #[test]
    fn without_a_declared_day_the_nearest_to_the_time_of_reading_is_taken() {
        let read_ns = 20 * DAY_NS + MINUTE_NS;
        let (day, mut days) = Days::new(None, read_ns);
        assert_eq!(day, DayBase(20 * DAY_NS));
        // 23:59, read a little after midnight: yesterday.
        assert_eq!(days.place(21 * DAY_NS - MINUTE_NS), 20 * DAY_NS - MINUTE_NS);
        assert_eq!(days.place(20 * DAY_NS + 1), 20 * DAY_NS + 1);
    }

    #[test]
    fn no_time_is_too_large() {
        for extreme in [i64::MIN, i64::MAX, 0] {
            let (_, mut days) = Days::new(None, extreme);
            for time in [i64::MAX, i64::MIN, 0, extreme] {
                days.place(time);
            }
        }
    }
}
