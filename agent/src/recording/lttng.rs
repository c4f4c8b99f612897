//! LTTng kernel traces as text (babeltrace2), the first form of LID-DS, rewritten in the default line format.
//!
//! `[seconds.nanoseconds] (+delta) HOST syscall_entry_open: { cpu_id = 2 }, { procname = "nginx", pid = 1, …, tid = 1, … }, { … }`
//!
//! Entry and exit of a call become enter and exit events, a switch of the scheduler sysdig's `switch`. Any other tracepoint is passed
//! through unchanged, so that it is counted downstream.

use std::collections::HashMap;

use memchr::{memchr, memmem};
use rastro_format::Format;
use rastro_model::{Category, Direction, Event, syscall};

use super::converted::{Convert, pass_through};
use crate::AgentError;

/// More calls than this are not remembered for their durations at a time.
const MAX_OPEN_CALLS: usize = 65_536;

/// LTTng names calls by the kernel's functions; these differ from the calls' own names.
const NAMES: [(&[u8], &[u8]); 6] = [
    (b"newfstat", b"fstat"),
    (b"newstat", b"stat"),
    (b"newlstat", b"lstat"),
    (b"newuname", b"uname"),
    (b"sendfile64", b"sendfile"),
    (b"umount", b"umount2"),
];

pub(super) struct LttngConverter {
    format: Format,
    number: u64,
    /// When the call of a thread began.
    entered: HashMap<i64, i64>,
    arguments: Vec<u8>,
}

impl LttngConverter {
    pub(super) fn new(format: Format) -> Self {
        Self { format, number: 0, entered: HashMap::new(), arguments: Vec::new() }
    }
}

impl Convert for LttngConverter {
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), AgentError> {
        let Some((trace, (name, direction, category))) =
            parse(line).and_then(|trace| Some((trace, trace_point(trace.point)?)))
        else {
            pass_through(line, out);
            return Ok(());
        };
        let context = Context::read(trace.groups);
        self.arguments.clear();
        self.arguments.push(b' ');
        let result = write_payload(context.payload, direction, &mut self.arguments);
        let is_call = category != Category::Scheduler;
        let mut latency_ns = None;
        if let Some(thread) = context.thread.filter(|_| is_call) {
            if direction == Direction::Exit {
                let began_ns = self.entered.remove(&thread);
                latency_ns = began_ns.and_then(|began_ns| u64::try_from(trace.time_ns - began_ns).ok());
            } else {
                if self.entered.len() >= MAX_OPEN_CALLS {
                    self.entered.clear();
                }
                self.entered.insert(thread, trace.time_ns);
            }
        }
        self.number += 1;
        let event = Event {
            number: Some(self.number),
            time_ns: Some(trace.time_ns),
            direction,
            category,
            name,
            latency_ns,
            result: result.filter(|_| direction == Direction::Exit),
            arguments: &self.arguments,
            thread: context.thread,
            process: context.process,
            process_name: context.process_name.as_deref(),
            ..Event::EMPTY
        };
        self.format.write_line(&event, out);
        Ok(())
    }
}

/// Whether a line looks like one of babeltrace2's.
pub(super) fn is_lttng(line: &[u8]) -> bool {
    parse(line).is_some()
}

#[derive(Clone, Copy)]
struct Trace<'l> {
    time_ns: i64,
    point: &'l [u8],
    /// `{ … }, { … }, { … }`.
    groups: &'l [u8],
}

fn parse(line: &[u8]) -> Option<Trace<'_>> {
    let rest = line.strip_prefix(b"[")?;
    let end = memchr(b']', rest)?;
    let (seconds, fraction) = std::str::from_utf8(&rest[..end]).ok()?.split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(seconds) || !is_number(fraction) || fraction.len() != 9 {
        return None;
    }
    let time_ns =
        seconds.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(fraction.parse().ok()?)?;
    let rest = rest[end + 1..].strip_prefix(b" (+")?;
    let rest = &rest[memchr(b')', rest)? + 1..];
    // A host's name holds no `: {`; the name of a tracepoint is the last word before it.
    let colon = memmem::find(rest, b": {")?;
    let point = rest[..colon].rsplit(|&byte| byte == b' ').next()?;
    Some(Trace { time_ns, point, groups: &rest[colon + 2..] })
}

/// What a tracepoint is; `None` for one that is neither a call nor known to be none.
fn trace_point(point: &[u8]) -> Option<(&[u8], Direction, Category)> {
    if point == b"sched_switch" {
        return Some((b"switch", Direction::Enter, Category::Scheduler));
    }
    let point = point.strip_prefix(b"compat_").unwrap_or(point);
    let (name, direction) = if let Some(name) = point.strip_prefix(b"syscall_entry_") {
        (name, Direction::Enter)
    } else {
        (point.strip_prefix(b"syscall_exit_")?, Direction::Exit)
    };
    let name = NAMES.iter().find(|(theirs, _)| *theirs == name).map_or(name, |(_, name)| name);
    let is_name = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    is_name.then(|| (name, direction, syscall::category_of(name)))
}

/// Who made the call: the groups between the processor's and the call's own.
struct Context<'l> {
    thread: Option<i64>,
    process: Option<i64>,
    process_name: Option<Vec<u8>>,
    /// The last group, without its braces.
    payload: &'l [u8],
}

impl<'l> Context<'l> {
    fn read(groups: &'l [u8]) -> Self {
        let mut context = Self { thread: None, process: None, process_name: None, payload: b"" };
        let mut groups = split_groups(groups);
        context.payload = groups.pop().unwrap_or_default();
        for (name, value) in groups.into_iter().flat_map(fields) {
            match name {
                b"tid" => context.thread = number(value),
                b"pid" => context.process = number(value),
                b"procname" => context.process_name = string(value),
                _ => {}
            }
        }
        context
    }
}

/// The groups `{ … }` at the outermost level, without their braces.
fn split_groups(text: &[u8]) -> Vec<&[u8]> {
    let mut groups = Vec::new();
    let mut depth = 0_u32;
    let mut start = 0;
    scan(text, |position, byte| match byte {
        b'{' => {
            if depth == 0 {
                start = position + 1;
            }
            depth += 1;
        }
        b'}' => {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                groups.push(text[start.min(position)..position].trim_ascii());
            }
        }
        _ => {}
    });
    groups
}

/// The fields `name = value` of a group at its outermost level.
fn fields(group: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut parts = Vec::new();
    let mut depth = 0_u32;
    let mut start = 0;
    scan(group, |position, byte| match byte {
        b'{' | b'[' => depth += 1,
        b'}' | b']' => depth = depth.saturating_sub(1),
        b',' if depth == 0 => {
            parts.push(&group[start..position]);
            start = position + 1;
        }
        _ => {}
    });
    parts.push(&group[start..]);
    parts
        .into_iter()
        .filter_map(|part| {
            let equals = memmem::find(part, b" = ")?;
            Some((part[..equals].trim_ascii(), part[equals + 3..].trim_ascii()))
        })
        .collect()
}

/// Calls `see` with every byte that is not inside a string: what a process calls itself is no syntax.
fn scan(text: &[u8], mut see: impl FnMut(usize, u8)) {
    let mut in_string = false;
    let mut position = 0;
    while position < text.len() {
        match text[position] {
            b'\\' if in_string => position += 1,
            b'"' => in_string = !in_string,
            byte if !in_string => see(position, byte),
            _ => {}
        }
        position += 1;
    }
}

/// Writes the simple fields of the call as `name=value ` pairs and returns its result.
fn write_payload(payload: &[u8], direction: Direction, out: &mut Vec<u8>) -> Option<i64> {
    let mut result = None;
    for (name, value) in fields(payload) {
        if direction == Direction::Exit && name == b"ret" {
            result = number(value);
        }
        let is_simple = !value.starts_with(b"{") && !value.starts_with(b"[");
        let is_name = name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        if is_simple && is_name {
            out.extend_from_slice(if name == b"ret" { b"res" } else { name });
            out.push(b'=');
            out.extend_from_slice(&string(value).unwrap_or_else(|| value.to_vec()));
            out.push(b' ');
        }
    }
    result
}

/// A quoted string without its quotes and backslashes.
fn string(value: &[u8]) -> Option<Vec<u8>> {
    let inner = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut text = Vec::with_capacity(inner.len());
    let mut is_escaped = false;
    for &byte in inner {
        if byte == b'\\' && !is_escaped {
            is_escaped = true;
        } else {
            // What an escape stands for is unprintable, but for quotes and backslashes.
            text.push(if is_escaped && byte.is_ascii_alphabetic() { b'.' } else { byte });
            is_escaped = false;
        }
    }
    Some(text)
}

/// A decimal or (as the kernel's flags) hexadecimal number.
fn number(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(u64::cast_signed),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(lines: &[&str]) -> Vec<String> {
        let mut converter = LttngConverter::new(Format::named("rastro").unwrap());
        let mut out = Vec::new();
        for line in lines {
            converter.line(line.as_bytes(), &mut out).unwrap();
        }
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn entry_and_exit_are_enter_and_exit_events() {
        let lines = convert(&[
            r#"[5.000000007] (+?.?????????) T5600 syscall_entry_open: { cpu_id = 2 }, { procname = "nginx", pid = 3, vpid = 10, tid = 4, vtid = 10, pid_ns = 5 }, { filename = "/etc/x", flags = 2048 }"#,
            r#"[5.000000019] (+0.000000012) T5600 syscall_exit_open: { cpu_id = 2 }, { procname = "nginx", pid = 3, vpid = 10, tid = 4, vtid = 10, pid_ns = 5 }, { ret = -2 }"#,
            r#"[5.000000020] (+0.000000001) T5600 sched_switch: { cpu_id = 2 }, { procname = "nginx", pid = 3, tid = 4 }, { prev_comm = "nginx" }"#,
        ]);
        assert_eq!(
            lines,
            [
                "4 3 nginx 1 1970-01-01T00:00:05.000000007+0000 > file open <NA> <NA>  filename=/etc/x flags=2048 ",
                "4 3 nginx 2 1970-01-01T00:00:05.000000019+0000 < file open 12 -2  res=-2 ",
                "4 3 nginx 3 1970-01-01T00:00:05.000000020+0000 > scheduler switch <NA> <NA>  prev_comm=nginx ",
            ]
        );
    }

    #[test]
    fn a_name_that_looks_like_a_context_is_a_name() {
        let lines = convert(&[
            r#"[5.000000007] (+?.?????????) h syscall_exit_close: { cpu_id = 2 }, { procname = "\", tid = 9 }, {", pid = 3, tid = 4 }, { ret = 0 }"#,
        ]);
        assert_eq!(
            lines,
            ["4 3 \", tid = 9 }, { 1 1970-01-01T00:00:05.000000007+0000 < file close <NA> 0  res=0 "]
        );
    }

    #[test]
    fn another_tracepoint_is_passed_through() {
        let odd = [
            "",
            "[5.000000007] (+?.?????????) h irq_handler_entry: { cpu_id = 2 }, { irq = 1 }",
            "[5.0] (+?) h syscall_exit_close: { cpu_id = 2 }",
        ];
        assert_eq!(convert(&odd), odd);
    }
}
