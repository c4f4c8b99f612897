//! Ten-line versions of the detectors: what a first version would be, and the peer of ours.

use std::collections::{HashMap, HashSet};

/// STIDE with a set of vectors: windows of `n` calls a thread that were never seen.
pub(crate) fn stide(train: &[(u32, u16)], test: &[(u32, u16)], n: usize) -> usize {
    let known: HashSet<Vec<u16>> = windows(train, n).into_iter().collect();
    windows(test, n).iter().filter(|window| !known.contains(*window)).count()
}

/// BoSC with a set of sorted vectors.
pub(crate) fn bosc(train: &[(u32, u16)], test: &[(u32, u16)], n: usize) -> usize {
    let sorted = |mut window: Vec<u16>| {
        window.sort_unstable();
        window
    };
    let known: HashSet<Vec<u16>> = windows(train, n).into_iter().map(sorted).collect();
    windows(test, n).into_iter().filter(|window| !known.contains(&sorted(window.clone()))).count()
}

fn windows(calls: &[(u32, u16)], n: usize) -> Vec<Vec<u16>> {
    let mut recent: HashMap<u32, Vec<u16>> = HashMap::new();
    let mut windows = Vec::new();
    for &(thread, call) in calls {
        let recent = recent.entry(thread).or_default();
        recent.push(call);
        if recent.len() > n {
            recent.remove(0);
        }
        if recent.len() == n {
            windows.push(recent.clone());
        }
    }
    windows
}
