//! Any bytes through every named format and through a declared one: no panic, and what was parsed is written as exactly one line that
//! reads as the same event.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rastro_format::{DayBase, Format, PRESETS};

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
    let mut rewritten = Vec::new();
    format.write_line(&again, &mut rewritten);
    assert_eq!(rewritten.pop(), Some(b'\n'));
    assert_eq!(String::from_utf8_lossy(&rewritten), String::from_utf8_lossy(&written), "`{}`", format.text());
}
