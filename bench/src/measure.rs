//! Time, processor time and memory.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

/// Runs all of `works` in turn, `rounds` times, and returns the shortest time of each.
///
/// In turn, so that a machine that is busier for a while is so for all of them; the shortest, because what others do to a machine
/// only ever makes it slower.
pub(crate) fn fastest<const WORKS: usize>(
    rounds: usize,
    mut works: [&mut dyn FnMut() -> anyhow::Result<()>; WORKS],
) -> anyhow::Result<[Duration; WORKS]> {
    let mut shortest = [Duration::MAX; WORKS];
    for _ in 0..rounds {
        for (work, shortest) in works.iter_mut().zip(&mut shortest) {
            let begun = Instant::now();
            work()?;
            *shortest = (*shortest).min(begun.elapsed());
        }
    }
    Ok(shortest)
}

/// `count` a second.
pub(crate) fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// What a process has used.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Processor time of all its threads.
    pub(crate) processor: Duration,
    /// Highest resident memory so far, bytes.
    pub(crate) peak_bytes: u64,
}

/// What a living process has used so far.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Fields are counted behind the name, which stands in brackets and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let ticks_a_second = rustix::param::clock_ticks_per_second();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak_kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|value| value.trim().trim_end_matches("kB").trim().parse().ok())?;
    Some(Usage {
        processor: Duration::from_secs_f64(ticks as f64 / ticks_a_second as f64),
        peak_bytes: peak_kib * 1024,
    })
}

/// Shares of one processor that processes use during `time`.
pub(crate) fn processor_shares<const PROCESSES: usize>(
    pids: [u32; PROCESSES],
    time: Duration,
) -> anyhow::Result<[f64; PROCESSES]> {
    let used = || {
        let mut used = [Duration::ZERO; PROCESSES];
        for (pid, used) in pids.iter().zip(&mut used) {
            let usage =
                usage(*pid).with_context(|| format!("the process {pid} that was measured has ended"))?;
            *used = usage.processor;
        }
        anyhow::Ok(used)
    };
    let begun = Instant::now();
    let before = used()?;
    thread::sleep(time);
    let after = used()?;
    let time = begun.elapsed().as_secs_f64();
    let mut shares = [0.0; PROCESSES];
    for ((share, before), after) in shares.iter_mut().zip(before).zip(after) {
        *share = after.saturating_sub(before).as_secs_f64() / time;
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_what_it_used() {
        let begun = Instant::now();
        let mut sum = 0_u64;
        while begun.elapsed() < Duration::from_millis(60) {
            sum = std::hint::black_box(sum + 1);
        }
        let usage = usage(std::process::id()).unwrap();
        assert!(usage.processor >= Duration::from_millis(20), "{usage:?}");
        assert!((500_000..10_000_000_000).contains(&usage.peak_bytes), "{usage:?}");
    }

    #[test]
    fn the_shortest_time_of_each_is_kept() {
        let mut calls = [0, 0];
        let [mut first, mut second] = calls.each_mut().map(|count| {
            move || {
                *count += 1;
                Ok(())
            }
        });
        let times = fastest(3, [&mut first, &mut second]).unwrap();
        assert!(times.iter().all(|time| *time < Duration::from_secs(1)));
        assert_eq!(calls, [3, 3]);
    }
}
