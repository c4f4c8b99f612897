//! Made-up work of a server, the same for the same seed: threads that run through routines of calls.
//!
//! What matters for speed and size is set a little above what real recordings show (sysdig's of Apache, HAProxy and MinIO, strace's of
//! a small web server): the thread changes with every seventh call, 16,000 calls have 920 different windows of 6 (real: 200 to 970), a
//! latency has 12 to 13 bits (8 to 12), a result 1.6 bits once the call is known (0.2 to 1.6).

mod call;
mod number;

use call::{CALLS, Call, ResultOf};
use number::{push_padded, push_signed, push_unsigned};

/// Routines that a thread may run through.
const ROUTINES: usize = 24;

/// Routines that usually follow one.
const SUCCESSORS: usize = 6;

/// Which fields a line has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Rastro's default: thread, process and its name before Rocha's fields.
    Default,
    /// Rocha's eight fields.
    Rocha,
}

impl Layout {
    /// Name of the format.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Default => "rastro",
            Self::Rocha => "rocha",
        }
    }
}

/// A source of lines.
pub(crate) struct Generator {
    layout: Layout,
    random: Random,
    routines: Vec<Vec<usize>>,
    threads: Vec<Place>,
    thread: usize,
    number: u64,
    time_ns: i64,
    interval_ns: u64,
    /// The second of which the text is, and the text.
    second: (i64, Vec<u8>),
}

/// Where a thread is.
#[derive(Clone, Copy)]
struct Place {
    routine: usize,
    step: usize,
}

impl Generator {
    /// Work of `threads` threads with `interval_ns` between two calls on average. The routines are always the same ones; the seed
    /// decides on everything else.
    pub(crate) fn new(seed: u64, layout: Layout, threads: usize, interval_ns: u64) -> Self {
        let routines = routines();
        Self {
            layout,
            random: Random::new(seed),
            threads: (0..threads).map(|thread| Place { routine: thread % ROUTINES, step: 0 }).collect(),
            routines,
            thread: 0,
            number: 0,
            // 2022-03-31 07:00, so that the 11 hours of Rocha's dataset end on the same day.
            time_ns: 1_648_710_000_000_000_000,
            interval_ns,
            second: (-1, Vec::new()),
        }
    }

    /// Appends `count` lines.
    pub(crate) fn lines(&mut self, count: usize, output: &mut Vec<u8>) {
        for _ in 0..count {
            let call = self.next_call();
            self.line(call, output);
        }
    }

    /// Appends whole lines until `output` holds about `bytes`; returns how many.
    pub(crate) fn fill(&mut self, bytes: usize, output: &mut Vec<u8>) -> u32 {
        let mut lines = 0;
        while output.len() < bytes {
            let call = self.next_call();
            self.line(call, output);
            lines += 1;
        }
        lines
    }

    fn next_call(&mut self) -> &'static Call {
        if self.random.one_in(7) {
            self.thread = self.random.below(self.threads.len());
        }
        let place = &mut self.threads[self.thread];
        let routine = &self.routines[place.routine];
        let call = &CALLS[routine[place.step]];
        // Now and then a call is repeated or left out: a read that was cut, a value that is known already.
        place.step += match self.random.below(8192) {
            0 => 0,
            1 => 2,
            _ => 1,
        };
        if place.step >= routine.len() {
            // What follows a routine is one of a few, rarely another one.
            let next = if self.random.one_in(2048) {
                self.random.below(ROUTINES)
            } else {
                (place.routine * 5 + self.random.below(SUCCESSORS) * 3 + 1) % ROUTINES
            };
            *place = Place { routine: next, step: 0 };
        }
        call
    }

    fn line(&mut self, call: &Call, output: &mut Vec<u8>) {
        self.number += 1 + self.random.below(2) as u64;
        self.time_ns += (self.interval_ns / 2 + self.random.below(self.interval_ns as usize) as u64) as i64;
        let mut latency = call.latency_ns + self.random.below(call.latency_ns as usize) as u64;
        if self.random.one_in(16) {
            latency <<= self.random.below(8);
        }
        let result = match call.result {
            ResultOf::Zero => 0,
            ResultOf::Error(number) => -number,
            ResultOf::Descriptor => 7 + self.random.below(12) as i64,
            ResultOf::Size(size) if self.random.one_in(3) => self.random.below(size) as i64,
            ResultOf::Size(size) => size as i64,
        };
        if self.layout == Layout::Default {
            push_unsigned(output, 1_000 + self.thread as u64);
            output.extend_from_slice(b" 1000 server ");
        }
        push_unsigned(output, self.number);
        output.push(b' ');
        self.time(output);
        output.extend_from_slice(b" < ");
        output.extend_from_slice(call.category.as_bytes());
        output.push(b' ');
        output.extend_from_slice(call.name.as_bytes());
        output.push(b' ');
        push_unsigned(output, latency);
        output.push(b' ');
        push_signed(output, result);
        output.extend_from_slice(b"  ");
        if !call.before.is_empty() {
            output.extend_from_slice(call.before.as_bytes());
            push_signed(output, result);
            output.extend_from_slice(call.after.as_bytes());
            output.push(b' ');
        }
        output.push(b'\n');
    }

    /// The time as sysdig prints it; all but the nanoseconds is printed once a second.
    fn time(&mut self, output: &mut Vec<u8>) {
        let second = self.time_ns.div_euclid(1_000_000_000);
        if self.second.0 != second {
            let of_day = second.rem_euclid(86_400);
            let mut text = b"2022-03-31T".to_vec();
            for (value, behind) in [(of_day / 3600, b':'), (of_day / 60 % 60, b':'), (of_day % 60, b'.')] {
                push_padded(&mut text, value as u64, 2);
                text.push(behind);
            }
            self.second = (second, text);
        }
        output.extend_from_slice(&self.second.1);
        push_padded(output, self.time_ns.rem_euclid(1_000_000_000) as u64, 9);
        output.extend_from_slice(b"+0000");
    }
}

/// Routines of 3 to 16 calls; the same ones in every run.
fn routines() -> Vec<Vec<usize>> {
    let mut random = Random::new(1);
    (0..ROUTINES)
        .map(|_| {
            let length = 3 + random.below(14);
            (0..length).map(|_| random.below(CALLS.len()).min(random.below(CALLS.len()))).collect()
        })
        .collect()
}

/// xorshift64* (Marsaglia 2003, Vigna 2016): the same everywhere, and cheap beside the printing.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let value = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        ((value * bound as u64) >> 32) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

#[cfg(test)]
mod tests {
    use rastro_format::{DayBase, Format};

    use super::*;

    #[test]
    fn every_line_is_a_whole_event_and_printed_as_rastro_would_print_it() {
        for layout in [Layout::Default, Layout::Rocha] {
            let format = Format::named(layout.name()).unwrap();
            let mut text = Vec::new();
            Generator::new(7, layout, 32, 10_000).lines(20_000, &mut text);
            let mut count = 0;
            for line in text.split_inclusive(|&byte| byte == b'\n') {
                let event = format.parse_line(&line[..line.len() - 1], DayBase::default()).unwrap();
                assert_eq!(event.thread.is_some(), layout == Layout::Default);
                let mut again = Vec::new();
                format.write_line(&event, &mut again);
                assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(line));
                count += 1;
            }
            assert_eq!(count, 20_000);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_lines_and_another_one_others() {
        let lines = |seed| {
            let mut text = Vec::new();
            Generator::new(seed, Layout::Default, 8, 10_000).lines(100, &mut text);
            text
        };
        assert_eq!(lines(3), lines(3));
        assert_ne!(lines(3), lines(4));
    }
}
