//! Columns regrouped: all calls of one thread together, or all calls of one kind.
//!
//! A thread repeats its own sequences, and a kind its own results; side by side they compress far better than interleaved.
//! The grouping column itself is stored, so the way back costs no byte.

/// Where every group's calls begin once they are laid side by side, groups in the order of their numbers.
pub(super) fn starts(groups: impl Iterator<Item = usize>, count: usize) -> Vec<u32> {
    let mut starts = vec![0_u32; count + 1];
    for group in groups {
        starts[group + 1] += 1;
    }
    for group in 0..count {
        starts[group + 1] += starts[group];
    }
    starts
}

/// For every call its place once the groups lie side by side, in the order of the calls. `groups` are less than `count`.
pub(super) fn places(groups: impl Iterator<Item = usize> + Clone, count: usize) -> Vec<u32> {
    let mut next = starts(groups.clone(), count);
    groups
        .map(|group| {
            let place = next[group];
            next[group] += 1;
            place
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_keep_their_order_inside_their_group() {
        let groups = [2_usize, 0, 2, 1, 0];
        assert_eq!(places(groups.iter().copied(), 3), [3, 0, 4, 2, 1]);
        assert_eq!(places(std::iter::empty(), 0), [0_u32; 0]);
    }
}
