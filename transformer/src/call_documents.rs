//! One document a call, with the names and types of Rocha et al. (`SPEC` 1.4).
//!
//! | field | value |
//! |---|---|
//! | `@timestamp`, `timestamp` | time of the event; the second in sysdig's form, `+0000` |
//! | `event_number` | `evt.num`; absent where unknown |
//! | `event_direction` | 0 exit, 1 enter (of a call that never returns) |
//! | `systemcall_type`, `systemcall_type_name` | category: number of the stable table, and name |
//! | `systemcall`, `systemcall_name` | number of the call on the node's architecture (absent where it has none), and name |
//! | `latency` | nanoseconds, 0 where unknown |
//! | `return_value` | with sign; absent where unknown |
//! | `argc`, `args_length` | number of arguments, and their length as printed |
//! | `argv` | one member an argument, without the number its value begins with; the first 256 of them |
//! | `message` | the line |
//! | `container.id`, `container.image.name`, `host.name`, `host.architecture`, `orchestrator.resource.name`, `process.name`, `process.thread.id` | as far as known; the resource is the pod that the container is named after |
//! | `event.created` | when the line was read |
//!
//! As published, all numbers but `argc` and `args_length` are strings
//! ([`numbers_as_strings`](crate::Documents::numbers_as_strings)).

use std::fmt::Write as _;

use rastro_format::arguments;
use rastro_model::{
    Segment, Thread,
    segment::flag,
    syscall::{self, Architecture},
};
use rastro_store::{Rendered, RenderedKind};

use crate::{
    json::{Times, push_signed, push_text, push_unsigned},
    part::Source,
};

/// Documents that one [`Rendered`] holds at most, so that its bytes can be counted with 32 bits whatever a chunk holds.
const MOST_AT_ONCE: usize = 65_536;

/// Arguments are cut at this length, bytes: the whole of them is in the message.
const ARGUMENT_LIMIT: usize = 1024;

/// Arguments of one call that become members.
const MOST_ARGUMENTS: usize = 256;

/// The largest number that a store of signed numbers can hold.
pub(crate) const LARGEST: u64 = i64::MAX as u64;

/// What all calls of one segment have in common, written once.
struct Fragments {
    /// By kind of call.
    kinds: Vec<Kind>,
    /// By thread.
    threads: Vec<Vec<u8>>,
    /// Container, host, time of reading, and the end of the document.
    tail: Vec<u8>,
}

struct Kind {
    numbers: Vec<u8>,
    names: Vec<u8>,
}

/// Documents of the calls of `segment`, whose lines stand in `text` where `sources` says.
pub(crate) fn render(
    segment: &Segment,
    sources: &[Source],
    text: &[u8],
    numbers_as_strings: bool,
    rendered: &mut Vec<Rendered>,
) {
    let fragments = Fragments::new(segment, numbers_as_strings);
    let mut times = Times::new();
    let calls = segment.calls.len().min(sources.len());
    for (run, first) in (0..calls).step_by(MOST_AT_ONCE).enumerate() {
        let range = first..calls.min(first + MOST_AT_ONCE);
        let mut bytes = Vec::with_capacity(room_for(&sources[range.clone()]));
        let mut ends = Vec::with_capacity(range.len());
        for call in range {
            let lines = Lines { text, source: sources[call] };
            push_call(&mut bytes, segment, call, &lines, &fragments, &mut times, numbers_as_strings);
            ends.push(bytes.len() as u32);
        }
        let id_prefix = if run == 0 { format!("{}-", segment.id) } else { format!("{}-{run}-", segment.id) };
        rendered.push(Rendered { kind: RenderedKind::Call, segment: segment.id, id_prefix, bytes, ends });
    }
}

fn room_for(sources: &[Source]) -> usize {
    sources.iter().map(|source| 640 + source.line.1 as usize + source.arguments.1 as usize).sum()
}

/// The line of a call.
struct Lines<'text> {
    text: &'text [u8],
    source: Source,
}

impl<'text> Lines<'text> {
    fn at(&self, (start, length): (u32, u32)) -> &'text [u8] {
        let start = start as usize;
        self.text.get(start..start.saturating_add(length as usize)).unwrap_or_default()
    }
}

fn push_call(
    out: &mut Vec<u8>,
    segment: &Segment,
    call: usize,
    lines: &Lines<'_>,
    fragments: &Fragments,
    times: &mut Times,
    as_strings: bool,
) {
    let calls = &segment.calls;
    let kind = &fragments.kinds[usize::from(calls.kind[call])];
    let quote: &[u8] = if as_strings { b"\"" } else { b"" };
    let number = |out: &mut Vec<u8>, name: &[u8], value: i128| {
        out.extend_from_slice(name);
        out.extend_from_slice(quote);
        if value < 0 {
            push_signed(out, value as i64);
        } else {
            push_unsigned(out, value as u64);
        }
        out.extend_from_slice(quote);
    };
    out.extend_from_slice(b"{\"@timestamp\":");
    // Stores keep nanoseconds since the epoch; `timestamp` says what the line says.
    times.push(out, calls.time_ns[call].max(0), "Z");
    out.extend_from_slice(b",\"timestamp\":");
    times.push(out, calls.time_ns[call], "+0000");
    if (1..=LARGEST).contains(&calls.number[call]) {
        number(out, b",\"event_number\":", i128::from(calls.number[call]));
    }
    number(out, b",\"event_direction\":", i128::from(calls.flags[call] & flag::ENTER != 0));
    out.extend_from_slice(&kind.numbers);
    number(out, b",\"latency\":", i128::from(calls.latency_ns[call].min(LARGEST)));
    if let Some(result) = calls.result_of(call) {
        number(out, b",\"return_value\":", i128::from(result));
    }
    out.extend_from_slice(b",\"argc\":");
    push_unsigned(out, u64::from(calls.argc[call]));
    out.extend_from_slice(b",\"args_length\":");
    push_unsigned(out, u64::from(calls.args_length[call]));
    out.extend_from_slice(b",\"argv\":{");
    push_arguments(out, lines.at(lines.source.arguments));
    out.extend_from_slice(b"},\"message\":");
    push_text(out, lines.at(lines.source.line));
    out.extend_from_slice(&kind.names);
    out.extend_from_slice(&fragments.threads[calls.thread[call] as usize]);
    out.extend_from_slice(&fragments.tail);
}

fn push_arguments(out: &mut Vec<u8>, arguments: &[u8]) {
    let mut argument = Vec::new();
    for (number, pair) in arguments::pairs(arguments).take(MOST_ARGUMENTS).enumerate() {
        out.extend_from_slice(if number == 0 { b"\"" } else { b",\"" });
        push_unsigned(out, number as u64);
        out.extend_from_slice(b"\":");
        argument.clear();
        argument.extend_from_slice(pair.name);
        argument.push(b'=');
        argument.extend_from_slice(arguments::without_number(pair.value));
        push_text(out, &argument[..cut(&argument)]);
    }
}

/// Where an argument that is too long is cut: between two characters.
fn cut(argument: &[u8]) -> usize {
    if argument.len() <= ARGUMENT_LIMIT {
        return argument.len();
    }
    let is_inside = |&&byte: &&u8| byte & 0b1100_0000 == 0b1000_0000;
    ARGUMENT_LIMIT - argument[..=ARGUMENT_LIMIT].iter().rev().take(4).take_while(is_inside).count()
}

impl Fragments {
    fn new(segment: &Segment, as_strings: bool) -> Self {
        let architecture = segment.architecture.parse().unwrap_or_default();
        Self {
            kinds: segment.calls.kinds.iter().map(|kind| Kind::new(kind, architecture, as_strings)).collect(),
            threads: segment.calls.threads.iter().map(of_thread).collect(),
            tail: tail(segment),
        }
    }
}

impl Kind {
    fn new(kind: &rastro_model::CallKind, architecture: Architecture, as_strings: bool) -> Self {
        let quote = if as_strings { "\"" } else { "" };
        let mut numbers = format!(",\"systemcall_type\":{quote}{}{quote}", kind.category.number());
        if let Some(number) = number_of(&kind.name, architecture) {
            let _ = write!(numbers, ",\"systemcall\":{quote}{number}{quote}");
        }
        let mut names = b",\"systemcall_name\":".to_vec();
        push_text(&mut names, kind.name.as_bytes());
        names.extend_from_slice(b",\"systemcall_type_name\":");
        push_text(&mut names, kind.category.name().as_bytes());
        Self { numbers: numbers.into_bytes(), names }
    }
}

/// Number of a call: by the table of the architecture, or the number that an opaque symbol (`#42`) is.
pub(crate) fn number_of(name: &str, architecture: Architecture) -> Option<u32> {
    match name.strip_prefix('#') {
        Some(symbol) => symbol.parse().ok().filter(|&number| i32::try_from(number).is_ok()),
        None => syscall::number(architecture, name),
    }
}

fn of_thread(thread: &Thread) -> Vec<u8> {
    let mut out = Vec::new();
    push_thread(&mut out, thread);
    out
}

/// The members about a thread, with a comma in front of each.
pub(crate) fn push_thread(out: &mut Vec<u8>, thread: &Thread) {
    if let Some(name) = &thread.process_name {
        out.extend_from_slice(b",\"process.name\":");
        push_text(out, name.as_bytes());
    }
    if let Some(id) = thread.id {
        out.extend_from_slice(b",\"process.thread.id\":");
        push_signed(out, id);
    }
}

/// The members about a segment, with a comma in front of each.
pub(crate) fn push_origin(out: &mut Vec<u8>, segment: &Segment) {
    out.extend_from_slice(b",\"container.id\":");
    push_text(out, segment.container.id.as_bytes());
    if let Some(image) = &segment.container.image {
        out.extend_from_slice(b",\"container.image.name\":");
        push_text(out, image.as_bytes());
    }
    if let Some(pod) = segment.container.name.as_deref().and_then(pod_of) {
        out.extend_from_slice(b",\"orchestrator.resource.name\":");
        push_text(out, pod.as_bytes());
    }
    out.extend_from_slice(b",\"host.name\":");
    push_text(out, segment.node.as_bytes());
    out.extend_from_slice(b",\"host.architecture\":");
    push_text(out, segment.architecture.as_bytes());
    out.extend_from_slice(b",\"event.created\":");
    Times::new().push(out, segment.read_ns, "Z");
}

fn tail(segment: &Segment) -> Vec<u8> {
    let mut out = Vec::new();
    push_origin(&mut out, segment);
    out.push(b'}');
    out
}

/// The pod that the kubelet has named a container after: `k8s_<container>_<pod>_<namespace>_<uid>_<attempt>`.
fn pod_of(container: &str) -> Option<&str> {
    let mut parts = container.split('_');
    let is_kubelets = parts.next() == Some("k8s");
    let pod = parts.nth(1).filter(|pod| !pod.is_empty())?;
    (is_kubelets && parts.next().is_some()).then_some(pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_known_by_the_name_that_the_kubelet_gives() {
        let name = "k8s_front-end_front-end-6649c54d45-8kqzm_sock-shop_7a1f_0";
        assert_eq!(pod_of(name), Some("front-end-6649c54d45-8kqzm"));
        for other in ["web", "k8s", "k8s_a", "k8s_a_b", "k8s_a__c", "x_a_b_c"] {
            assert_eq!(pod_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_long_argument_is_cut_between_two_characters() {
        let text = format!("x{}", "é".repeat(ARGUMENT_LIMIT));
        assert_eq!(cut(text.as_bytes()), ARGUMENT_LIMIT - 1);
        assert_eq!(cut(&text.as_bytes()[1..]), ARGUMENT_LIMIT);
        assert_eq!(cut(b"res="), 4);
    }

    #[test]
    fn an_opaque_symbol_is_its_own_number() {
        assert_eq!(number_of("#42", Architecture::X86_64), Some(42));
        assert_eq!(number_of("#4294967295", Architecture::X86_64), None);
        assert_eq!(number_of("select", Architecture::X86_64), Some(23));
        assert_eq!(number_of("<unknown>", Architecture::X86_64), None);
    }
}
