//! What a first version would be: the peers of ours.

use std::collections::{HashMap, HashSet};

/// A line cut at every blank, as a map from the names of the fields to their texts.
pub(crate) fn fields<'line>(names: &[&'static str], line: &'line str) -> HashMap<&'static str, &'line str> {
    let mut parts = line.splitn(names.len(), ' ');
    names.iter().filter_map(|&name| Some((name, parts.next()?.trim()))).collect()
}

/// A call: thread and name.
pub(crate) type NaiveCall = (u32, u16);

/// STIDE: the windows of `n` calls of a thread that `train` has.
pub(crate) fn learn_stide(train: &[NaiveCall], n: usize) -> HashSet<Vec<u16>> {
    let mut known = HashSet::new();
    each_window(train, n, |window| {
        known.insert(window.to_vec());
    });
    known
}

/// How many windows of `test` are not known.
pub(crate) fn score_stide(known: &HashSet<Vec<u16>>, test: &[NaiveCall], n: usize) -> u64 {
    let mut unseen = 0;
    each_window(test, n, |window| unseen += u64::from(!known.contains(window)));
    unseen
}

/// BoSC: the bags of `w` calls of a thread that `train` has, as sorted windows.
pub(crate) fn learn_bosc(train: &[NaiveCall], w: usize) -> HashSet<Vec<u16>> {
    let mut known = HashSet::new();
    each_window(train, w, |window| {
        known.insert(bag(window));
    });
    known
}

/// How many bags of `test` are not known.
pub(crate) fn score_bosc(known: &HashSet<Vec<u16>>, test: &[NaiveCall], w: usize) -> u64 {
    let mut unseen = 0;
    each_window(test, w, |window| unseen += u64::from(!known.contains(&bag(window))));
    unseen
}

fn bag(window: &[u16]) -> Vec<u16> {
    let mut bag = window.to_vec();
    bag.sort_unstable();
    bag
}

fn each_window(calls: &[NaiveCall], length: usize, mut each: impl FnMut(&[u16])) {
    let mut recent: HashMap<u32, Vec<u16>> = HashMap::new();
    for &(thread, call) in calls {
        let recent = recent.entry(thread).or_default();
        recent.push(call);
        if recent.len() > length {
            recent.remove(0);
        }
        if recent.len() == length {
            each(recent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_those_of_a_thread() {
        let train = [(1, 10), (2, 20), (1, 11), (2, 21), (1, 12)];
        let known = learn_stide(&train, 2);
        assert_eq!(known, HashSet::from([vec![10, 11], vec![20, 21], vec![11, 12]]));
        assert_eq!(score_stide(&known, &[(5, 10), (5, 11), (5, 10), (6, 10)], 2), 1);
        let bags = learn_bosc(&train, 2);
        assert_eq!(score_bosc(&bags, &[(5, 10), (5, 11), (5, 10), (6, 10)], 2), 0);
    }
}
