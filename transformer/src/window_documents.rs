//! One document a window: calls as numbers, for people who bring their own learner.
//!
//! The calls of a segment are parted by thread (calls whose thread is not known are one sequence) and cut into consecutive
//! windows of `size` calls; what is left at the end of a thread's calls is a shorter window, so that every call is in exactly one
//! window of each size. Whoever wants full ones only asks for `rastro.window.calls` equal to `rastro.window.size`.
//!
//! | field | value |
//! |---|---|
//! | `@timestamp`, `event.start`, `event.end` | earliest (twice) and latest time of its calls |
//! | `rastro.window.size`, `rastro.window.calls` | size that was asked for, and calls in it |
//! | `rastro.window.first_call` | place of its first call in the segment |
//! | `rastro.segment` | id of the segment |
//! | `systemcalls` | numbers of the calls on the node's architecture, in order; −1 for a call without a number |
//! | `counts` | calls by name (`{"read": 12, "close": 3}`): what scikit-learn's `DictVectorizer` and pandas take as it is, and comparable between architectures; bytes of a name other than letters, digits, `_`, `-`, `#`, `<`, `>` are `_` |
//! | `distinct_calls` | names in `counts` |
//! | `errors`, `error_rate` | calls whose result is negative, and their share of the calls whose result is known |
//! | `latency_sum`, `latency_mean`, `latency_max` | nanoseconds, of the calls whose latency is known; 0 if there is none |
//! | `argc_mean`, `args_length_mean` | of all calls |
//! | `container.id`, `container.image.name`, `orchestrator.resource.name`, `host.name`, `host.architecture`, `process.name`, `process.thread.id`, `event.created` | as in the documents of calls |

use rastro_model::{Segment, segment::flag};
use rastro_store::{Rendered, RenderedKind};

use crate::{
    call_documents::{LARGEST, number_of, push_origin, push_thread},
    json::{Times, push_fraction, push_signed, push_text, push_unsigned},
};

/// Documents of the windows of `size` calls of `segment`; `None` if it has no call.
pub(crate) fn render(segment: &Segment, size: u32) -> Option<Rendered> {
    let names = Names::new(segment);
    let mut origin = Vec::new();
    push_origin(&mut origin, segment);
    let mut writer =
        Writer { segment, size, names, origin, times: Times::new(), bytes: Vec::new(), ends: Vec::new() };
    for (thread, calls) in by_thread(segment).iter().enumerate() {
        for window in calls.chunks(size.max(1) as usize) {
            writer.push(thread, window);
        }
    }
    let Writer { bytes, ends, .. } = writer;
    (!ends.is_empty()).then(|| Rendered {
        kind: RenderedKind::Window,
        segment: segment.id,
        id_prefix: format!("{}-w{size}-", segment.id),
        bytes,
        ends,
    })
}

/// Places of the calls of each thread.
fn by_thread(segment: &Segment) -> Vec<Vec<u32>> {
    let mut threads = vec![Vec::new(); segment.calls.threads.len()];
    for (call, &thread) in segment.calls.thread.iter().enumerate() {
        threads[thread as usize].push(call as u32);
    }
    threads
}

/// What a kind of call is in these documents.
struct Names {
    /// By kind: the number in `systemcalls`.
    numbers: Vec<i64>,
    /// By kind: which member of `counts`. Kinds that differ in their category alone share one.
    members: Vec<usize>,
    /// By member: the name.
    names: Vec<String>,
}

impl Names {
    fn new(segment: &Segment) -> Self {
        let architecture = segment.architecture.parse().unwrap_or_default();
        let mut this = Self { numbers: Vec::new(), members: Vec::new(), names: Vec::new() };
        let mut known = std::collections::HashMap::new();
        for kind in &segment.calls.kinds {
            this.numbers.push(number_of(&kind.name, architecture).map_or(-1, i64::from));
            let name: String = kind.name.chars().map(member_character).collect();
            let member = *known.entry(name.clone()).or_insert_with(|| {
                this.names.push(name);
                this.names.len() - 1
            });
            this.members.push(member);
        }
        this
    }
}

/// Names become names of members, in which a dot would mean an object to a store and other characters something else again.
fn member_character(character: char) -> char {
    if character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '#' | '<' | '>') {
        character
    } else {
        '_'
    }
}

#[derive(Default)]
struct Sums {
    results: u64,
    errors: u64,
    latencies: u64,
    latency_sum: u64,
    latency_max: u64,
    argc: u64,
    args_length: u64,
}

struct Writer<'segment> {
    segment: &'segment Segment,
    size: u32,
    names: Names,
    origin: Vec<u8>,
    times: Times,
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Writer<'_> {
    fn push(&mut self, thread: usize, window: &[u32]) {
        let calls = &self.segment.calls;
        // Stores keep nanoseconds since the epoch.
        let times = window.iter().map(|&call| calls.time_ns[call as usize].max(0));
        let (Some(start), Some(end), Some(first)) = (times.clone().min(), times.max(), window.first()) else {
            return;
        };
        let (segment, out) = (self.segment, &mut self.bytes);
        out.extend_from_slice(b"{\"@timestamp\":");
        self.times.push(out, start, "Z");
        out.extend_from_slice(b",\"event.start\":");
        self.times.push(out, start, "Z");
        out.extend_from_slice(b",\"event.end\":");
        self.times.push(out, end, "Z");
        for (name, value) in [
            ("rastro.window.size", u64::from(self.size)),
            ("rastro.window.calls", window.len() as u64),
            ("rastro.window.first_call", u64::from(*first)),
        ] {
            push_member(out, name);
            push_unsigned(out, value);
        }
        push_member(out, "rastro.segment");
        push_text(out, segment.id.to_string().as_bytes());
        self.push_calls(window);
        self.push_figures(window);
        self.bytes.extend_from_slice(&self.origin);
        push_thread(&mut self.bytes, &segment.calls.threads[thread]);
        self.bytes.push(b'}');
        self.ends.push(self.bytes.len() as u32);
    }

    /// The sequence and the counts.
    fn push_calls(&mut self, window: &[u32]) {
        let (kinds, out) = (&self.segment.calls.kind, &mut self.bytes);
        let mut counts: Vec<(usize, u64)> = Vec::new();
        push_member(out, "systemcalls");
        for (place, &call) in window.iter().enumerate() {
            let kind = usize::from(kinds[call as usize]);
            out.push(if place == 0 { b'[' } else { b',' });
            push_signed(out, self.names.numbers[kind]);
            let member = self.names.members[kind];
            match counts.iter_mut().find(|(known, _)| *known == member) {
                Some((_, count)) => *count += 1,
                None => counts.push((member, 1)),
            }
        }
        out.push(b']');
        push_member(out, "counts");
        for (place, &(member, count)) in counts.iter().enumerate() {
            out.push(if place == 0 { b'{' } else { b',' });
            push_text(out, self.names.names[member].as_bytes());
            out.push(b':');
            push_unsigned(out, count);
        }
        out.push(b'}');
        push_member(out, "distinct_calls");
        push_unsigned(out, counts.len() as u64);
    }

    fn push_figures(&mut self, window: &[u32]) {
        let (calls, out) = (&self.segment.calls, &mut self.bytes);
        let mut sums = Sums::default();
        for &call in window {
            let call = call as usize;
            if let Some(result) = calls.result_of(call) {
                sums.results += 1;
                sums.errors += u64::from(result < 0);
            }
            if calls.flags[call] & flag::LATENCY != 0 {
                sums.latencies += 1;
                sums.latency_sum = sums.latency_sum.saturating_add(calls.latency_ns[call]);
                sums.latency_max = sums.latency_max.max(calls.latency_ns[call]);
            }
            sums.argc += u64::from(calls.argc[call]);
            sums.args_length += u64::from(calls.args_length[call]);
        }
        let mean = |sum: u64, count: u64| if count == 0 { 0.0 } else { sum as f64 / count as f64 };
        let count = window.len() as u64;
        for (name, value) in [
            ("errors", sums.errors),
            ("latency_sum", sums.latency_sum.min(LARGEST)),
            ("latency_max", sums.latency_max),
        ] {
            push_member(out, name);
            push_unsigned(out, value);
        }
        for (name, value) in [
            ("error_rate", mean(sums.errors, sums.results)),
            ("latency_mean", mean(sums.latency_sum, sums.latencies)),
            ("argc_mean", mean(sums.argc, count)),
            ("args_length_mean", mean(sums.args_length, count)),
        ] {
            push_member(out, name);
            push_fraction(out, value);
        }
    }
}

fn push_member(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}
