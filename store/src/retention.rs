//! How long stored data stays.
//!
//! Whole indices go, with everything that hangs on them (scores, rollups, documents of calls and windows, alarms), the oldest
//! first. Age is that of an index's last call, so that a recording is as old as what it recorded. The newest index of a dataset
//! always stays: it is the one that is being written, and what shows that the dataset exists.

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
    /// Bytes that they took.
    pub bytes: u64,
}

/// An index that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldIndex {
    pub(crate) dataset: String,
    pub(crate) name: String,
    /// Time of its last call, nanoseconds since the epoch.
    pub(crate) end_ns: i64,
    /// What it takes with everything that hangs on it.
    pub(crate) bytes: u64,
}

impl Retention {
    /// Whether nothing is ever removed.
    pub const fn keeps_everything(&self) -> bool {
        self.max_age.is_none() && self.max_bytes.is_none()
    }

    /// Those of `held` that are to go, the oldest first.
    pub(crate) fn choose(&self, mut held: Vec<HeldIndex>, now_ns: i64) -> Vec<HeldIndex> {
        held.sort_by(|a, b| (a.end_ns, &a.name).cmp(&(b.end_ns, &b.name)));
        let mut all_bytes: u64 = held.iter().map(|index| index.bytes).fold(0, u64::saturating_add);
        let oldest_ns =
            self.max_age.map(|age| now_ns.saturating_sub(i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)));
        let newest: Vec<bool> = (0..held.len())
            .map(|place| held[place + 1..].iter().all(|later| later.dataset != held[place].dataset))
            .collect();
        let mut going = Vec::new();
        for (index, is_newest) in held.into_iter().zip(newest) {
            let is_too_old = oldest_ns.is_some_and(|oldest| index.end_ns < oldest);
            let is_too_much = self.max_bytes.is_some_and(|most| all_bytes > most);
            if !is_newest && (is_too_old || is_too_much) {
                all_bytes = all_bytes.saturating_sub(index.bytes);
                going.push(index);
            }
        }
        going
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn held(dataset: &str, day: i64, bytes: u64) -> HeldIndex {
        HeldIndex { dataset: dataset.into(), name: format!("{dataset}-{day}"), end_ns: day * 1_000, bytes }
    }

    fn names(going: Vec<HeldIndex>) -> Vec<String> {
        going.into_iter().map(|index| index.name).collect()
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
            all in prop::collection::vec((0..3_u8, 0..50_i64, 0..100_u64), 0..30),
            most in 0..1_000_u64,
        ) {
            let all: Vec<HeldIndex> = all
                .into_iter()
                .enumerate()
                .map(|(number, (dataset, day, bytes))| HeldIndex {
                    name: format!("{number:03}"),
                    ..held(["a", "b", "c"][usize::from(dataset)], day, bytes)
                })
                .collect();
            let going = Retention { max_age: None, max_bytes: Some(most) }.choose(all.clone(), 0);
            let stays: Vec<&HeldIndex> = all.iter().filter(|index| !going.contains(index)).collect();
            for index in &going {
                prop_assert!(stays.iter().any(|other| other.dataset == index.dataset && other.end_ns >= index.end_ns));
            }
            let left: u64 = stays.iter().map(|index| index.bytes).sum();
            // Either it fits, or only the newest index of each dataset is left.
            let datasets = stays.iter().map(|index| &index.dataset).collect::<std::collections::BTreeSet<_>>();
            prop_assert!(left <= most || datasets.len() == stays.len());
            // Nothing goes in vain.
            if let Some(last) = going.last() {
                prop_assert!(left + last.bytes > most);
            }
        }
    }
}
