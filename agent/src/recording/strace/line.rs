//! One line of strace, taken apart. Quotes, brackets and descriptors' paths are followed from the left, so that nothing inside them
//! is taken for syntax.

use memchr::{memchr, memmem};
use rastro_model::{Category, errno, syscall};

/// No thread id of Linux is higher (`PID_MAX_LIMIT`).
const MAX_THREAD: i64 = 4 * 1024 * 1024;

/// A line of strace.
pub(super) struct Line<'l> {
    pub(super) thread: Option<i64>,
    pub(super) time_ns: i64,
    pub(super) what: What<'l>,
}

pub(super) enum What<'l> {
    /// A whole call.
    Call(&'l [u8]),
    /// The text of a call up to `<unfinished ...>`.
    Begins(&'l [u8]),
    Resumes {
        name: &'l [u8],
        rest: &'l [u8],
    },
    /// Name of a signal.
    Signal(&'l [u8]),
    /// How the thread ended.
    Exits(&'l [u8]),
}

/// Takes the line apart as far as every line has the same form.
pub(super) fn parse(line: &[u8]) -> Option<Line<'_>> {
    let (first, rest) = word(line.strip_prefix(b"[pid ").map_or(line, <[u8]>::trim_ascii_start))?;
    let (thread, time, text) = if let Some(time) = time_ns(first) {
        (None, time, rest)
    } else {
        let thread = number(first.strip_suffix(b"]").unwrap_or(first))?;
        let (second, rest) = word(rest)?;
        (Some(thread).filter(|thread| (1..=MAX_THREAD).contains(thread)), time_ns(second)?, rest)
    };
    let what = if let Some(rest) = text.strip_prefix(b"<... ") {
        if let Some(rest) = rest.strip_prefix(b"resuming interrupted ") {
            rest.ends_with(b"<unfinished ...>").then_some(What::Begins(b"restart_syscall("))?
        } else {
            let end = memmem::find(rest, b" resumed>")?;
            What::Resumes { name: &rest[..end], rest: &rest[end + b" resumed>".len()..] }
        }
    } else if let Some(rest) = text.strip_prefix(b"--- ") {
        let (name, _) = word(rest.strip_suffix(b" ---")?)?;
        What::Signal(name)
    } else if let Some(rest) = text.strip_prefix(b"+++ ") {
        What::Exits(rest.strip_suffix(b" +++")?)
    } else {
        let name = &text[..memchr(b'(', text)?];
        let is_name =
            !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        match (is_name, text.strip_suffix(b"<unfinished ...>")) {
            (false, _) => return None,
            (true, Some(begun)) => What::Begins(begun),
            (true, None) => What::Call(text),
        }
    };
    Some(Line { thread, time_ns: time, what })
}

/// What a call ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// `= ?`: it never returned.
    Unknown,
    /// The raw result, negative = −errno.
    Result(i64),
}

/// A call taken apart.
pub(super) struct Call<'l> {
    pub(super) name: &'l [u8],
    pub(super) arguments: Vec<&'l [u8]>,
    pub(super) outcome: Outcome,
    /// The path of the descriptor that it returned.
    pub(super) returned_path: Option<&'l [u8]>,
    pub(super) is_pointer: bool,
    pub(super) latency_ns: Option<u64>,
}

impl<'l> Call<'l> {
    /// `name(a, b) = result <seconds>`.
    pub(super) fn parse(text: &'l [u8]) -> Option<Self> {
        let open = memchr(b'(', text)?;
        let (arguments, rest) = arguments(&text[open + 1..])?;
        let rest = rest.trim_ascii_start().strip_prefix(b"= ")?;
        let token_end = rest.iter().position(|byte| matches!(byte, b' ' | b'<')).unwrap_or(rest.len());
        let (token, rest) = rest.split_at(token_end);
        let (returned_path, rest) = if rest.starts_with(b"<") {
            let end = path_end(rest)?;
            (Some(&rest[1..end - 1]), &rest[end..])
        } else {
            (None, rest)
        };
        let rest = rest.trim_ascii();
        let error = rest.split(|&byte| byte == b' ').next().unwrap_or_default();
        let outcome = match (token, restart_result(error)) {
            (b"?", Some(result)) => Outcome::Result(result),
            (b"?", None) => Outcome::Unknown,
            (b"-1", _) => match errno::number(error) {
                Some(number) => Outcome::Result(-i64::from(number)),
                None => Outcome::Result(-1),
            },
            (token, _) => Outcome::Result(result_number(token)?),
        };
        let latency_ns = rest.strip_suffix(b">").and_then(|rest| {
            let start = memchr::memrchr(b'<', rest)?;
            u64::try_from(time_ns(&rest[start + 1..])?).ok()
        });
        Some(Self {
            name: &text[..open],
            arguments,
            outcome,
            returned_path,
            is_pointer: token.starts_with(b"0x"),
            latency_ns,
        })
    }

    /// The beginning of a call.
    pub(super) fn begun(text: &'l [u8]) -> Option<Self> {
        let open = memchr(b'(', text)?;
        Some(Self {
            name: &text[..open],
            arguments: split(&text[open + 1..]).0,
            outcome: Outcome::Unknown,
            returned_path: None,
            is_pointer: false,
            latency_ns: None,
        })
    }

    /// The category; for what works on any descriptor it depends on the descriptor, as in sysdig.
    pub(super) fn category(&self) -> Category {
        let category = syscall::category_of(self.name);
        let path =
            self.arguments.first().and_then(|argument| descriptor(argument)).and_then(|(_, path)| path);
        match path {
            Some(path) if matches!(category, Category::File | Category::Io | Category::Unknown) => {
                if path.starts_with(b"socket:") {
                    Category::Net
                } else if path.starts_with(b"pipe:") {
                    Category::Ipc
                } else {
                    category
                }
            }
            _ => category,
        }
    }
}

/// A descriptor with its path: `3</etc/passwd>`, `4`, `AT_FDCWD</srv>`.
pub(super) fn descriptor(argument: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let end = argument.iter().position(|&byte| byte == b'<').unwrap_or(argument.len());
    let (number, path) = argument.split_at(end);
    let is_number = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    let path = path.strip_prefix(b"<").and_then(|path| path.strip_suffix(b">"));
    is_number.then_some((number, path))
}

/// The arguments up to the closing bracket, and what follows it.
fn arguments(text: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let (arguments, end) = split(text);
    Some((arguments, text.get(end + 1..)?))
}

/// The arguments of an open bracket, and where it is closed (the end of the text if it is not).
fn split(text: &[u8]) -> (Vec<&[u8]>, usize) {
    let mut arguments = Vec::new();
    let mut start = 0;
    let mut depth = 0_u32;
    let mut position = 0;
    while position < text.len() {
        match text[position] {
            b'"' => {
                position = string_end(text, position);
                continue;
            }
            b'<' if is_path(text, position) => {
                if let Some(length) = path_end(&text[position..]) {
                    position += length;
                    continue;
                }
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' if depth == 0 => break,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                arguments.push(text[start..position].trim_ascii());
                start = position + 1;
            }
            _ => {}
        }
        position += 1;
    }
    let last = text[start..position].trim_ascii();
    if !last.is_empty() {
        arguments.push(last);
    }
    (arguments, position)
}

/// Where the string that begins at `start` ends, its closing quote included.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut position = start + 1;
    while position < text.len() {
        match text[position] {
            b'\\' => position += 1,
            b'"' => return position + 1,
            _ => {}
        }
        position += 1;
    }
    text.len()
}

/// Whether the `<` at `position` opens a descriptor's path: it stands behind a number or `AT_FDCWD`. (`1<<3` is a flag.)
fn is_path(text: &[u8], position: usize) -> bool {
    let before = position.checked_sub(1).map(|before| text[before]);
    let is_behind_number = before.is_some_and(|before| before.is_ascii_digit() || before == b'D');
    is_behind_number && text.get(position + 1) != Some(&b'<')
}

/// Length of `<path>` at the beginning of `text`. strace escapes `<` and `>` in paths; `->` stands between two addresses.
fn path_end(text: &[u8]) -> Option<usize> {
    let closing = memchr::memchr_iter(b'>', text).find(|&at| text[at - 1] != b'-')?;
    Some(closing + 1)
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b' ', text)?;
    Some((&text[..end], text[end..].trim_ascii_start()))
}

fn number(digits: &[u8]) -> Option<i64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).flatten()
}

fn result_number(token: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(token).ok()?;
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(u64::cast_signed),
        None => text.parse().ok(),
    }
}

/// Results that the kernel keeps to itself, by the names that strace prints behind `?`.
fn restart_result(name: &[u8]) -> Option<i64> {
    match name {
        b"ERESTARTSYS" => Some(-512),
        b"ERESTARTNOINTR" => Some(-513),
        b"ERESTARTNOHAND" => Some(-514),
        b"ERESTART_RESTARTBLOCK" => Some(-516),
        _ => None,
    }
}

/// `seconds.fraction` as nanoseconds.
fn time_ns(text: &[u8]) -> Option<i64> {
    let point = memchr(b'.', text)?;
    let (seconds, fraction) = (number(&text[..point])?, &text[point + 1..]);
    let digits = number(fraction)?;
    let scale = 10_i64.pow(9_u32.checked_sub(u32::try_from(fraction.len()).ok()?)?);
    seconds.checked_mul(1_000_000_000)?.checked_add(digits * scale)
}
