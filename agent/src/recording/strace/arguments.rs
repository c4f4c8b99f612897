//! Arguments for people: `name=value ` pairs as sysdig prints them.

use rastro_model::errno;

use super::line::{Call, Outcome, descriptor};

/// Bytes of a buffer that are shown.
const SHOWN_DATA: usize = 40;

/// Writes the arguments with the blank in front and behind.
pub(super) fn write_arguments(call: &Call<'_>, out: &mut Vec<u8>) {
    out.push(b' ');
    write_outcome(call, out);
    let quoted = || call.arguments.iter().copied().filter(|argument| argument.starts_with(b"\""));
    match call.name {
        b"execve" | b"execveat" => {
            if let Some(path) = quoted().next() {
                pair(out, b"exe=", |out| unquote(path, out));
            }
            if let Some(list) = call.arguments.iter().find(|argument| argument.starts_with(b"[")) {
                pair(out, b"args=", |out| write_list(list, out));
            }
        }
        b"connect" | b"bind" | b"accept" | b"accept4" | b"sendto" | b"recvfrom" => {
            write_descriptor(call, out);
            if let Some(address) = call.arguments.iter().find(|argument| argument.starts_with(b"{sa_family="))
            {
                write_address(address, out);
            }
            write_data(call, out);
        }
        b"read" | b"write" | b"pread64" | b"pwrite64" => {
            write_descriptor(call, out);
            write_data(call, out);
        }
        b"exit" | b"exit_group" => {
            if let Some(status) = call.arguments.first() {
                pair(out, b"status=", |out| out.extend_from_slice(status));
            }
        }
        _ => {
            write_descriptor(call, out);
            for (name, path) in [&b"name="[..], b"newname="].into_iter().zip(quoted()) {
                if path != b"\"\"" {
                    pair(out, name, |out| unquote(path, out));
                }
            }
            let flags = call.arguments.iter().find(|argument| argument.starts_with(b"O_"));
            if let Some(flags) = flags.filter(|_| call.name.starts_with(b"open")) {
                pair(out, b"flags=", |out| out.extend_from_slice(flags));
            }
        }
    }
}

fn pair(out: &mut Vec<u8>, name: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(name);
    value(out);
    out.push(b' ');
}

fn write_outcome(call: &Call<'_>, out: &mut Vec<u8>) {
    let Outcome::Result(result) = call.outcome else { return };
    if let Some(path) = call.returned_path {
        pair(out, b"fd=", |out| {
            out.extend_from_slice(result.to_string().as_bytes());
            write_path(path, out);
        });
        return;
    }
    pair(out, b"res=", |out| {
        let number = if call.is_pointer { format!("{result:x}") } else { result.to_string() };
        out.extend_from_slice(number.as_bytes());
        if let Some(error) = errno::of_result(result).filter(|_| !call.is_pointer) {
            out.extend_from_slice(format!("({error})").as_bytes());
        }
    });
}

/// The descriptor that a call works on; where it returned another one, that one says more.
fn write_descriptor(call: &Call<'_>, out: &mut Vec<u8>) {
    if call.returned_path.is_some() {
        return;
    }
    let works_on_descriptor =
        !matches!(call.name, b"exit" | b"exit_group" | b"alarm" | b"kill" | b"tgkill" | b"umask");
    let Some((number, path)) = call.arguments.first().and_then(|argument| descriptor(argument)) else {
        return;
    };
    if works_on_descriptor && (path.is_some() || matches!(call.name, b"close" | b"dup" | b"dup2" | b"dup3")) {
        pair(out, b"fd=", |out| {
            out.extend_from_slice(number);
            if let Some(path) = path {
                write_path(path, out);
            }
        });
    }
}

/// `(<f>/etc/passwd)`. Numbers of sockets and pipes say nothing and are left out.
fn write_path(path: &[u8], out: &mut Vec<u8>) {
    out.push(b'(');
    if path.starts_with(b"socket:") {
        out.extend_from_slice(b"<s>");
    } else if path.starts_with(b"pipe:") {
        out.extend_from_slice(b"<p>");
    } else {
        out.extend_from_slice(b"<f>");
        unescape(path, out);
    }
    out.push(b')');
}

fn write_data(call: &Call<'_>, out: &mut Vec<u8>) {
    let Some(data) = call.arguments.get(1).filter(|argument| argument.starts_with(b"\"")) else { return };
    pair(out, b"data=", |out| {
        let start = out.len();
        unquote(data, out);
        if out.len() > start + SHOWN_DATA {
            out.truncate(start + SHOWN_DATA);
            out.extend_from_slice(b"...");
        }
    });
}

/// `{sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}` as `addr=127.0.0.1:80`.
fn write_address(address: &[u8], out: &mut Vec<u8>) {
    let port = between(address, b"_port=htons(", b')');
    let host =
        between(address, b"inet_addr(\"", b'"').or_else(|| between(address, b"inet_pton(AF_INET6, \"", b'"'));
    let path = between(address, b"sun_path=\"", b'"').or_else(|| between(address, b"sun_path=@\"", b'"'));
    match (host, port, path) {
        (Some(host), Some(port), _) => pair(out, b"addr=", |out| {
            out.extend_from_slice(host);
            out.push(b':');
            out.extend_from_slice(port);
        }),
        (_, _, Some(path)) => pair(out, b"addr=", |out| unescape(path, out)),
        _ => {}
    }
}

fn between<'t>(text: &'t [u8], before: &[u8], end: u8) -> Option<&'t [u8]> {
    let start = memchr::memmem::find(text, before)? + before.len();
    let length = memchr::memchr(end, &text[start..])?;
    Some(&text[start..start + length])
}

/// `["sh", "-c", "id"]` as `-c.id.`: as sysdig prints arguments, without the program's own name.
fn write_list(list: &[u8], out: &mut Vec<u8>) {
    let mut position = 0;
    let mut number = 0;
    while let Some(quote) = memchr::memchr(b'"', &list[position..]) {
        let start = position + quote;
        let end = start + string_length(&list[start..]);
        if number > 0 {
            unquote(&list[start..end], out);
            out.push(b'.');
        }
        number += 1;
        position = end;
    }
}

/// Length of a string with its quotes.
fn string_length(text: &[u8]) -> usize {
    let mut position = 1;
    while position < text.len() {
        match text[position] {
            b'\\' => position += 2,
            b'"' => return position + 1,
            _ => position += 1,
        }
    }
    text.len()
}

/// A string without its quotes and escapes; `...` behind it stays.
fn unquote(text: &[u8], out: &mut Vec<u8>) {
    let end = string_length(text);
    let inner = text[..end].strip_prefix(b"\"").unwrap_or(&text[..end]);
    unescape(inner.strip_suffix(b"\"").unwrap_or(inner), out);
    out.extend_from_slice(&text[end..]);
}

/// The bytes that C's escapes stand for. Whether they can be printed is the line format's business.
fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'n') => out.push(b'\n'),
            Some(b't') => out.push(b'\t'),
            Some(b'r') => out.push(b'\r'),
            Some(b'v') => out.push(0x0b),
            Some(b'f') => out.push(0x0c),
            Some(b'x') => {
                let mut value = 0_u8;
                for _ in 0..2 {
                    let Some(digit) = bytes.next_if(u8::is_ascii_hexdigit) else { break };
                    value = value << 4 | char::from(digit).to_digit(16).unwrap_or(0) as u8;
                }
                out.push(value);
            }
            Some(digit @ b'0'..=b'7') => {
                let mut value = digit - b'0';
                for _ in 0..2 {
                    let Some(digit) = bytes.next_if(|byte| matches!(byte, b'0'..=b'7')) else { break };
                    value = value << 3 | (digit - b'0');
                }
                out.push(value);
            }
            Some(other) => out.push(other),
            None => out.push(b'\\'),
        }
    }
}
