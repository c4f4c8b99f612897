//! Any bytes through every named format and through a declared one: no panic, and what was parsed is written as exactly one line that
//! reads as the same event, under the conditions that the format's certainty asks for (`format/src/ambiguity.rs`).
#![no_main]

use libfuzzer_sys::fuzz_target;
use rastro_format::{DayBase, Format, PRESETS};
use rastro_model::Event;

fuzz_target!(|bytes: &[u8]| {
    // The first line may be a format of its own, the second one is the line to read.
    let mut lines = bytes.splitn(2, |&byte| byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let second = lines.next().unwrap_or_default();
    if second.contains(&b'\n') {
        return;
    }
    for (name, _) in PRESETS {
        let format = Format::named(name).expect("a preset has its name");
        check(&format, first);
    }
    if let Ok(Ok(format)) = std::str::from_utf8(first).map(Format::parse) {
        check(&format, second);
    }
    let _ = Format::detect(&[first, second]);
});

fn check(format: &Format, line: &[u8]) {
    let Ok(event) = format.parse_line(line, DayBase::default()) else { return };
    let mut written = Vec::new();
    format.write_line(&event, &mut written);
    assert_eq!(written.pop(), Some(b'\n'));
    assert!(written.iter().all(|byte| (0x20..0x7f).contains(byte)), "{format:?} wrote {written:?}");
    let again = format.parse_line(&written, DayBase::default());
    let again = again.unwrap_or_else(|error| {
        let line = String::from_utf8_lossy(&written);
        panic!("`{}` does not read its own line `{line}`: {}", format.text(), error.reason(&written))
    });
    if !is_name_certain(format, &event) {
        return;
    }
    let mut rewritten = Vec::new();
    format.write_line(&again, &mut rewritten);
    assert_eq!(rewritten.pop(), Some(b'\n'));
    assert_eq!(String::from_utf8_lossy(&rewritten), String::from_utf8_lossy(&written), "`{}`", format.text());
}

/// Whether no other process name than the true one could be read. Where arguments follow a name, sysdig's begin with `name=`, and name,
/// fixed fields and first argument must be longer together than any name: thread ids below 100 are the node's own.
fn is_name_certain(format: &Format, event: &Event<'_>) -> bool {
    let rastro = Format::named("rastro").expect("a preset has its name");
    if !format.text().contains("%proc.") || format.text() == rastro.text() {
        return true;
    }
    let first = event.arguments.split(|&byte| byte == b' ').next().unwrap_or_default();
    let has_name = first.iter().position(|&byte| byte == b'=').is_some_and(|end| {
        end > 0 && first[..end].iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_')
    });
    let name = event.process_name.map_or(0, <[u8]>::len);
    let thread = event.thread.map_or(0, |thread| thread.to_string().len());
    (event.arguments.is_empty() || has_name) && name + thread + event.name.len() + first.len() > 10
}
