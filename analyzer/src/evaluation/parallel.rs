//! Work shared out among cores, with results in the order of the work.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

/// `work(0)`, `work(1)`, … up to `count`, on `cores` threads. Which thread does what depends on their speed, the result does not.
pub(crate) fn map<R: Send>(count: usize, cores: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    if cores <= 1 || count <= 1 {
        return (0..count).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        let worker = || {
            let mut mine = Vec::new();
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                if place >= count {
                    break;
                }
                mine.push((place, work(place)));
            }
            if let Ok(mut done) = done.lock() {
                done.append(&mut mine);
            }
        };
        // A thread that panics passes its panic on when the scope ends.
        for _ in 0..cores.min(count) {
            scope.spawn(worker);
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_unstable_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_work() {
        for cores in [0, 1, 2, 7, 300] {
            assert!(
                map(200, cores, |place| place * place).into_iter().eq((0..200).map(|place| place * place))
            );
        }
        assert!(map(0, 4, |place| place).is_empty());
    }

    #[test]
    fn a_panic_of_the_work_is_passed_on() {
        let result = std::panic::catch_unwind(|| map(8, 2, |place| assert_ne!(place, 5)));
        assert!(result.is_err());
    }
}
