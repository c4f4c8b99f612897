//! How fast lines are read, one core: `cargo run --release -p rastro-format --example lines_per_second [preset file]`.
//!
//! Without a file, a synthetic recording of ordinary calls is read in the default format and in Rocha's.

use std::{hint::black_box, time::Instant};

use rastro_format::{DayBase, Format, arguments};
use rastro_model::{Category, Direction, Event};

fn synthetic(format: &Format) -> Vec<u8> {
    let calls: [(&[u8], Category, &[u8], i64); 6] = [
        (b"read", Category::File, b"res=64 data=127.0.0.1 localhost.::1 localhost ", 64),
        (b"futex", Category::Ipc, b"res=-110(ETIMEDOUT) ", -110),
        (
            b"openat",
            Category::File,
            b"fd=3(<f>/etc/hosts) dirfd=-100(AT_FDCWD) name=/etc/hosts flags=1(O_RDONLY) ",
            3,
        ),
        (b"close", Category::File, b"res=0 ", 0),
        (b"epoll_wait", Category::Wait, b"res=1 ", 1),
        (b"sendto", Category::Net, b"res=131 data=GET /bar HTTP/1.1..Host: localhost.. ", 131),
    ];
    let mut text = Vec::new();
    for number in 0..300_000_u32 {
        let (name, category, arguments, result) = calls[number as usize % calls.len()];
        let event = Event {
            number: Some(u64::from(number) * 2),
            time_ns: Some(1_648_750_396_977_633_722 + i64::from(number) * 3_141),
            direction: Direction::Exit,
            category,
            name,
            latency_ns: Some(u64::from(number) * 7919 % 100_000),
            result: Some(result),
            arguments,
            thread: Some(22_467 + i64::from(number % 7)),
            process: Some(22_467),
            process_name: Some(b"nginx"),
            ..Event::EMPTY
        };
        format.write_line(&event, &mut text);
    }
    text
}

fn measure(label: &str, format: &Format, text: &[u8]) {
    let mut best = f64::INFINITY;
    let mut best_with_arguments = f64::INFINITY;
    let mut lines = 0_u32;
    for _ in 0..7 {
        let start = Instant::now();
        lines = 0;
        let mut rest = text;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let _ = black_box(format.parse_line(black_box(&rest[..end]), DayBase::default()));
            rest = &rest[end + 1..];
            lines += 1;
        }
        best = best.min(start.elapsed().as_secs_f64());
        let start = Instant::now();
        let mut rest = text;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            if let Ok(event) = format.parse_line(&rest[..end], DayBase::default()) {
                black_box((event, arguments::count(event.arguments), arguments::length(event.arguments)));
            }
            rest = &rest[end + 1..];
        }
        best_with_arguments = best_with_arguments.min(start.elapsed().as_secs_f64());
    }
    let lines = f64::from(lines);
    println!(
        "{label}: {:.1} ns a line, {:.1} M lines/s, {:.0} MB/s; with argument count and length {:.1} ns, {:.1} M lines/s",
        best * 1e9 / lines,
        lines / best / 1e6,
        text.len() as f64 / best / 1e6,
        best_with_arguments * 1e9 / lines,
        lines / best_with_arguments / 1e6,
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [preset, file] = arguments.as_slice() {
        match (Format::named(preset), std::fs::read(file)) {
            (Some(format), Ok(text)) => measure(preset, &format, &text),
            (None, _) => eprintln!("`{preset}` is no preset"),
            (_, Err(error)) => eprintln!("{file}: {error}"),
        }
        return;
    }
    for preset in ["rastro", "rocha", "sysdig-rich", "lidds-2019", "lidds-2021"] {
        if let Some(format) = Format::named(preset) {
            measure(preset, &format, &synthetic(&format));
        }
    }
}
