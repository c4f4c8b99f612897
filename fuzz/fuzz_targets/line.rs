//! Any bytes through every named format: no panic, and what was parsed can be written as exactly one line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rastro_format::{DayBase, Format};

fuzz_target!(|line: &[u8]| {
    if line.contains(&b'\n') {
        return;
    }
    for name in ["rastro", "rocha", "sysdig-basic", "sysdig-rich", "lidds-2019", "lidds-2021"] {
        let Some(format) = Format::named(name) else { continue };
        if let Ok(event) = format.parse_line(line, DayBase::default()) {
            let mut written = Vec::new();
            format.write_line(&event, &mut written);
            assert_eq!(written.iter().filter(|&&byte| byte == b'\n').count(), 1);
        }
    }
    if let Ok(text) = std::str::from_utf8(line) {
        let _ = Format::parse(text);
    }
});
