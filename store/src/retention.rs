//! How long stored data stays.
//!
//! Whole indices go, with everything that hangs on them (scores, rollups, documents of calls and windows, alarms), the oldest
//! first. Age is that of an index's last call, so that a recording is as old as what it recorded. The newest index of a dataset
//! always stays: it is the one that is being written, and what shows that the dataset exists.
//!
//! Refused lines and documents hang on no index. Those that were stored on one day go together, by the same rule; their age is that of
//! the last of them, and no day of them has to stay.

use std::time::Duration;

/// How long stored data stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// An index goes once its last call is older than this.
    pub max_age: Option<Duration>,
    /// The oldest indices go while all of them together take more than this, bytes.
    pub max_bytes: Option<u64>,
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetentionReport {
    /// Names of the dataset indices, the oldest first.
    pub removed: Vec<String>,
    /// Dead letters that went beside them, of all datasets.
    pub dead_letters: u64,
    /// Bytes that all of it took.
    pub bytes: u64,
}

impl RetentionReport {
    /// Takes down, and tells, that an index has gone.
    pub(crate) fn index_gone(&mut self, name: String, bytes: u64) {
        tracing::info!(index = name, bytes, "an index has reached the end of its time and is removed");
        metrics::counter!("rastro_store_retired_indices_total").increment(1);
        self.removed.push(name);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The same of the dead letters of a day.
    pub(crate) fn dead_letters_gone(&mut self, count: u64, bytes: u64) {
        tracing::info!(
            dead_letters = count,
            bytes,
            "dead letters have reached the end of their time and are removed"
        );
        metrics::counter!("rastro_store_retired_dead_letters_total").increment(count);
        self.dead_letters = self.dead_letters.saturating_add(count);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Something that is there, and goes as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) what: HeldWhat,
    /// Time of the last of it, nanoseconds since the epoch.
    pub(crate) end_ns: i64,
    /// What it takes with everything that hangs on it.
    pub(crate) bytes: u64,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HeldWhat {
    /// An index with everything that hangs on it; its time is that of its last call.
    Index { dataset: String, name: String },
    /// The dead letters that were stored between this time and the end, nanoseconds since the epoch.
    DeadLetters { start_ns: i64 },
}

impl Held {
    fn dataset(&self) -> Option<&str> {
        match &self.what {
            HeldWhat::Index { dataset, .. } => Some(dataset),
            HeldWhat::DeadLetters { .. } => None,
        }
    }
}

impl Retention {
    /// Whether nothing is ever removed.
    pub const fn keeps_everything(&self) -> bool {
        self.max_age.is_none() && self.max_bytes.is_none()
    }

    /// Those of `held` that are to go, the oldest first.
    pub(crate) fn choose(&self, mut held: Vec<Held>, now_ns: i64) -> Vec<Held> {
        held.sort_by(|a, b| (a.end_ns, &a.what).cmp(&(b.end_ns, &b.what)));
        let mut all_bytes: u64 = held.iter().map(|one| one.bytes).fold(0, u64::saturating_add);
        let oldest_ns =
            self.max_age.map(|age| now_ns.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)));
        let newest: Vec<bool> = (0..held.len())
            .map(|place| {
                let dataset = held[place].dataset();
                dataset.is_some() && held[place + 1..].iter().all(|later| later.dataset() != dataset)
            })
            .collect();
        let mut going = Vec::new();
        for (one, is_newest) in held.into_iter().zip(newest) {
            let is_too_old = oldest_ns.is_some_and(|oldest| one.end_ns < oldest);
            let is_too_much = self.max_bytes.is_some_and(|most| all_bytes > most);
            if !is_newest && (is_too_old || is_too_much) {
                all_bytes = all_bytes.saturating_sub(one.bytes);
                going.push(one);
            }
        }
        going
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held(dataset: &str, day: i64, bytes: u64) -> Held {
        let what = HeldWhat::Index { dataset: dataset.into(), name: format!("{dataset}-{day}") };
        Held { what, end_ns: day * 1_000, bytes }
    }

    fn letters(day: i64, bytes: u64) -> Held {
        Held { what: HeldWhat::DeadLetters { start_ns: day * 1_000 - 999 }, end_ns: day * 1_000, bytes }
    }

    fn names(going: Vec<Held>) -> Vec<String> {
        let name = |held: Held| match held.what {
            HeldWhat::Index { name, .. } => name,
            HeldWhat::DeadLetters { .. } => format!("letters-{}", held.end_ns / 1_000),
        };
        going.into_iter().map(name).collect()
    }

    #[test]
    fn dead_letters_go_by_the_same_rule_and_none_has_to_stay() {
        let all = vec![held("a", 9, 1), letters(1, 10), held("a", 2, 1), letters(3, 10), letters(9, 10)];
        let old = Retention { max_age: Some(Duration::from_micros(5)), max_bytes: None };
        assert_eq!(names(old.choose(all.clone(), 10_000)), ["letters-1", "a-2", "letters-3"]);
        let much = Retention { max_age: None, max_bytes: Some(0) };
        assert_eq!(names(much.choose(all, 10_000)), ["letters-1", "a-2", "letters-3", "letters-9"]);
    }

    #[test]
    fn what_is_too_old_goes_but_never_the_newest_of_a_dataset() {
        let policy = Retention { max_age: Some(Duration::from_micros(5)), max_bytes: None };
        let all = vec![held("a", 9, 1), held("a", 1, 1), held("b", 2, 1), held("a", 4, 1), held("a", 5, 1)];
        assert_eq!(names(policy.choose(all, 10_000)), ["a-1", "a-4"]);
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits() {
        let policy = Retention { max_age: None, max_bytes: Some(25) };
        let all = vec![held("a", 3, 10), held("a", 1, 10), held("b", 2, 10), held("b", 4, 10)];
        assert_eq!(names(policy.choose(all.clone(), 10_000)), ["a-1", "b-2"]);
        let keep = Retention { max_age: None, max_bytes: Some(40) };
        assert!(keep.choose(all, 10_000).is_empty());
        assert!(Retention::default().keeps_everything() && !keep.keeps_everything());
    }

    proptest! {
        #[test]
        fn what_goes_is_older_than_all_that_could_have_gone_instead(
            all in prop::collection::vec((0..4_u8, 0..50_i64, 0..100_u64), 0..30),
            most in 0..1_000_u64,
        ) {
            let all: Vec<Held> = all
                .into_iter()
                .enumerate()
                .map(|(number, (dataset, day, bytes))| match ["a", "b", "c"].get(usize::from(dataset)) {
                    Some(dataset) => {
                        let what = HeldWhat::Index { dataset: (*dataset).into(), name: format!("{number:03}") };
                        Held { what, ..held(dataset, day, bytes) }
                    }
                    None => Held {
                        what: HeldWhat::DeadLetters { start_ns: number as i64 },
                        ..letters(day, bytes)
                    },
                })
                .collect();
            let going = Retention { max_age: None, max_bytes: Some(most) }.choose(all.clone(), 0);
            let stays: Vec<&Held> = all.iter().filter(|one| !going.contains(one)).collect();
            for one in going.iter().filter(|one| one.dataset().is_some()) {
                prop_assert!(stays.iter().any(|other| other.dataset() == one.dataset() && other.end_ns >= one.end_ns));
            }
            let left: u64 = stays.iter().map(|one| one.bytes).sum();
            // Either it fits, or only the newest index of each dataset is left.
            let datasets = stays.iter().map(|one| one.dataset()).collect::<std::collections::BTreeSet<_>>();
            let only_newest = datasets.len() == stays.len() && !datasets.contains(&None);
            prop_assert!(left <= most || only_newest);
            // Nothing goes in vain.
            if let Some(last) = going.last() {
                prop_assert!(left + last.bytes > most);
            }
        }
    }
}
