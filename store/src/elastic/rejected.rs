//! What a server had no room for, and when it is sent again.
//!
//! A busy server rejects single documents of a request (429, 503): those of one index, or all. Only they are sent again, after pauses
//! that grow, and for a bounded time.
//!
//! The place of a segment is the order of writing, so nothing may stay in front of a rejected document that was to come behind it.
//! Elasticsearch takes or rejects what a request holds for one shard as a whole, and an index of Rastro's has one shard; should a server
//! part them nevertheless, documents of the index that were taken behind a rejected one are written once more behind it, which gives
//! them a new place there.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

use super::bulk::{Action, Item, Outcome};

/// The first pause, the longest one, and how many there are; at most about 16 s together.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const MOST_PAUSES: u32 = 9;

/// What a server says of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Settled(Outcome),
    /// It has no room for it now, in these words.
    Rejected(String),
}

/// The items of a request that wait for their outcome, and the outcomes of the others.
#[derive(Debug)]
pub(super) struct Waiting {
    /// By rising place in the request: what is to be done with the item.
    entries: Vec<(usize, Action)>,
    outcomes: Vec<Option<Outcome>>,
}

impl Waiting {
    /// None has been sent yet.
    pub(super) fn all(items: &[Item]) -> Self {
        Self {
            entries: items.iter().map(|item| item.action).enumerate().collect(),
            outcomes: vec![None; items.len()],
        }
    }

    /// How many wait.
    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Places of those that wait, in order, with what is to be done with them now.
    pub(super) fn entries(&self) -> impl Iterator<Item = (usize, Action)> {
        self.entries.iter().copied()
    }

    /// Takes the verdicts on all that wait. If some go on waiting, the server's words about the first of them.
    pub(super) fn settle(&mut self, items: &[Item], verdicts: Vec<Verdict>) -> Option<String> {
        let mut rejected_indices: HashSet<&str> = HashSet::new();
        let mut first_words = None;
        let mut again = Vec::new();
        for ((place, action), verdict) in std::mem::take(&mut self.entries).into_iter().zip(verdicts) {
            let index = items[place].index.as_str();
            match verdict {
                Verdict::Rejected(words) => {
                    rejected_indices.insert(index);
                    first_words.get_or_insert(words);
                    again.push((place, action));
                }
                Verdict::Settled(Outcome::Written { sequence, term })
                    if action != Action::Delete && rejected_indices.contains(index) =>
                {
                    again.push((place, Action::Replace { sequence, term }));
                }
                Verdict::Settled(outcome) => self.outcomes[place] = Some(outcome),
            }
        }
        self.entries = again;
        first_words
    }

    /// The outcomes by place, once nothing waits.
    pub(super) fn into_outcomes(self) -> Vec<Outcome> {
        self.outcomes.into_iter().flatten().collect()
    }
}

/// Pauses that grow, and differ between writers so that they do not come back all at once.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    taken: u32,
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.taken == MOST_PAUSES {
            return None;
        }
        let longest = (FIRST_PAUSE * (1 << self.taken)).min(LONGEST_PAUSE);
        self.taken += 1;
        // Every such state has keys of its own: chance without a generator.
        let chance = RandomState::new().build_hasher().finish() as u32;
        Some(longest / 2 + (longest / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn item(index: &str, id: usize, action: Action) -> Item {
        Item { index: index.to_owned(), id: id.to_string(), action, source: b"{}".to_vec() }
    }

    fn rejected() -> Verdict {
        Verdict::Rejected("429 full".to_owned())
    }

    fn written(sequence: u64) -> Verdict {
        Verdict::Settled(Outcome::Written { sequence, term: 1 })
    }

    #[test]
    fn only_what_was_rejected_is_sent_again() {
        let items = ["a", "b", "a", "b"].map(|index| item(index, 0, Action::Create));
        let mut waiting = Waiting::all(&items);
        let words = waiting
            .settle(&items, vec![written(5), rejected(), Verdict::Settled(Outcome::Conflict), rejected()]);
        assert_eq!(words.as_deref(), Some("429 full"));
        assert_eq!(waiting.entries().collect::<Vec<_>>(), [(1, Action::Create), (3, Action::Create)]);
        assert_eq!(waiting.settle(&items, vec![written(8), Verdict::Settled(Outcome::Missing)]), None);
        assert_eq!(
            waiting.into_outcomes(),
            [
                Outcome::Written { sequence: 5, term: 1 },
                Outcome::Written { sequence: 8, term: 1 },
                Outcome::Conflict,
                Outcome::Missing,
            ]
        );
    }

    #[test]
    fn what_was_taken_behind_a_rejected_document_of_its_index_is_written_once_more() {
        let items = ["a", "a", "a", "b"].map(|index| item(index, 0, Action::Create));
        let mut waiting = Waiting::all(&items);
        waiting.settle(&items, vec![written(1), rejected(), written(2), written(1)]);
        let entries: Vec<_> = waiting.entries().collect();
        assert_eq!(entries, [(1, Action::Create), (2, Action::Replace { sequence: 2, term: 1 })]);
    }

    #[test]
    fn pauses_grow_differ_and_end() {
        let pauses: Vec<Duration> = Pauses::default().collect();
        assert_eq!(pauses.len(), MOST_PAUSES as usize);
        for (number, pause) in pauses.iter().enumerate() {
            let longest = (FIRST_PAUSE * (1 << number)).min(LONGEST_PAUSE);
            assert!((longest / 2..=longest).contains(pause), "{pauses:?}");
        }
        assert_ne!(pauses, Pauses::default().collect::<Vec<_>>());
    }

    /// A shard that creates and compares before it sets, and gives every change the next place.
    #[derive(Default)]
    struct Shard {
        next: u64,
        places: BTreeMap<String, u64>,
    }

    impl Shard {
        fn take(&mut self, item: &Item, action: Action) -> Outcome {
            let there = self.places.get(&item.id).copied();
            let fits = match action {
                Action::Create => there.is_none(),
                Action::Replace { sequence, .. } => there == Some(sequence),
                Action::Index | Action::Delete => true,
            };
            if !fits {
                return Outcome::Conflict;
            }
            self.next += 1;
            self.places.insert(item.id.clone(), self.next);
            Outcome::Written { sequence: self.next, term: 1 }
        }
    }

    proptest! {
        #[test]
        fn places_rise_in_the_order_of_the_items_whatever_is_rejected_when(
            indices in prop::collection::vec(0..3_u8, 1..20),
            chances in prop::collection::vec(prop::collection::vec(any::<bool>(), 20), 0..6),
        ) {
            let items: Vec<Item> = indices
                .iter()
                .enumerate()
                .map(|(number, index)| item(["a", "b", "c"][usize::from(*index)], number, Action::Create))
                .collect();
            let mut shards: BTreeMap<String, Shard> = BTreeMap::new();
            let mut waiting = Waiting::all(&items);
            let mut rounds = chances.into_iter();
            loop {
                let refused = rounds.next().unwrap_or_default();
                let verdicts = waiting
                    .entries()
                    .map(|(place, action)| {
                        if refused.get(place).copied().unwrap_or(false) {
                            return rejected();
                        }
                        let shard = shards.entry(items[place].index.clone()).or_default();
                        Verdict::Settled(shard.take(&items[place], action))
                    })
                    .collect();
                if waiting.settle(&items, verdicts).is_none() {
                    break;
                }
            }
            let outcomes = waiting.into_outcomes();
            prop_assert_eq!(outcomes.len(), items.len());
            let mut highest: BTreeMap<&str, u64> = BTreeMap::new();
            for (item, outcome) in items.iter().zip(outcomes) {
                let place = shards[&item.index].places[&item.id];
                prop_assert_eq!(outcome, Outcome::Written { sequence: place, term: 1 });
                let before = highest.insert(&item.index, place);
                prop_assert!(before.is_none_or(|before| before < place), "{} behind {:?}", place, before);
            }
        }
    }
}
