//! How fast one core makes segments of chunks: `cargo run --release -p rastro-transformer --example speed [FILE FORMAT]`. With
//! `RASTRO_DOCUMENTS=call,window`, what is asked for is made beside them.
//!
//! Without a file, a made-up recording in the default format: exit events of several threads, as the agent writes them. Prints
//! calls and lines a second of decompression, parsing and encoding together, best and median of the rounds. On Linux, seconds
//! are those that the thread was on a processor, so that a busy machine does not show; elsewhere those of the clock.

use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use rastro_broker::{Chunk, Payload};
use rastro_format::Format;
use rastro_model::{Position, StreamId};
use rastro_transformer::{Documents, Transformer, TransformerConfig};

const CHUNK_BYTES: usize = 256 * 1024;
const LEAST_BYTES: usize = 64 * 1024 * 1024;
const ROUNDS: usize = 9;

/// The most frequent calls of a web server, in rotation.
const CALLS: [&str; 10] = [
    "net accept4 4211 7  fd=7(<4t>10.0.0.9:51234->10.0.0.2:8080) tuple=10.0.0.9:51234->10.0.0.2:8080 queuepct=0 ",
    "net recvfrom 1890 512  res=512 data=GET /items/17 HTTP/1.1..Host: shop.example..Accept: */*.. tuple=NULL ",
    "file openat 3120 9  fd=9(<f>/srv/shop/items/17.json) dirfd=-100(AT_FDCWD) name=/srv/shop/items/17.json ",
    "file newfstatat 810 0  res=0 ",
    "file read 1402 4096  res=4096 data={\"id\":17,\"name\":\"teapot\"} ",
    "file read 390 0  res=0 data= ",
    "file close 301 0  res=0 ",
    "IPC futex 2210 -11  res=-11(EAGAIN) ",
    "net sendto 9120 4096  res=4096 data=HTTP/1.1 200 OK..Content-Type: application/json.. ",
    "wait epoll_wait 1200345 1  res=1 ",
];

fn made_up_recording() -> Vec<u8> {
    let mut text = Vec::new();
    let mut number = 0_usize;
    while text.len() < LEAST_BYTES {
        let thread = 3100 + (number / 5) % 12;
        let (second, nanosecond) = (number / 200_000, number % 200_000 * 5_000);
        let call = CALLS[number % CALLS.len()];
        text.extend_from_slice(
            format!(
                "{thread} 3100 shop-worker {number} 2026-11-21T10:{:02}:{:02}.{nanosecond:09}+0000 < {call}\n",
                second / 60 % 60,
                second % 60
            )
            .as_bytes(),
        );
        number += 1;
    }
    text
}

fn chunks(text: &[u8]) -> Result<Vec<Chunk>> {
    let mut chunks = Vec::new();
    let (mut start, mut first_line) = (0, 0);
    while start < text.len() {
        let limit = (start + CHUNK_BYTES).min(text.len());
        let end =
            text[start..limit].iter().rposition(|&byte| byte == b'\n').map_or(limit, |last| start + last + 1);
        let lines = text[start..end].split_inclusive(|&byte| byte == b'\n').count() as u32;
        chunks.push(Chunk {
            stream: StreamId(1),
            start: Position::new(0, start as u64),
            end: Position::new(0, end as u64),
            previous: Position::new(0, start as u64),
            first_line,
            lines,
            cut_lines: 0,
            gap: None,
            node: "node".to_owned(),
            path: b"/logs/0123456789ab.log".to_vec(),
            header: None,
            read_ns: 0,
            payload: Payload::compress(&text[start..end])?,
        });
        first_line += u64::from(lines);
        start = end;
    }
    Ok(chunks)
}

/// Seconds that this thread has been on a processor, where the system tells.
fn seconds_on_processor() -> Option<f64> {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: u64 = schedstat.split_ascii_whitespace().next()?.parse().ok()?;
    Some(nanoseconds as f64 / 1e9)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (text, format) = match arguments.as_slice() {
        [] => (made_up_recording(), "rastro".to_owned()),
        [file, format] => {
            let once = std::fs::read(file).with_context(|| format!("cannot read `{file}`"))?;
            let rounds = (LEAST_BYTES / once.len().max(1)).max(1);
            (once.repeat(rounds), format.clone())
        }
        _ => return Err(anyhow!("give a file and its format, or nothing")),
    };
    let format = Format::named(&format).map_or_else(|| Format::parse(&format), Ok)?;
    let chunks = chunks(&text)?;
    let asked = std::env::var("RASTRO_DOCUMENTS").unwrap_or_default();
    let documents = Documents {
        calls: asked.contains("call"),
        numbers_as_strings: true,
        windows: if asked.contains("window") { vec![100] } else { Vec::new() },
    };
    let mut transformer =
        Transformer::new(TransformerConfig { documents, ..TransformerConfig::new(format, "speed") });
    let mut seconds = Vec::new();
    let (mut calls, mut lines, mut dead_letters, mut closed) = (0, 0, 0, true);
    let (mut documents, mut document_bytes) = (0, 0);
    for _ in 0..ROUNDS {
        (calls, lines, dead_letters) = (0, 0, 0);
        (documents, document_bytes) = (0, 0);
        let begun = Instant::now();
        let begun_on_processor = seconds_on_processor();
        for chunk in &chunks {
            let output = transformer.transform(chunk);
            calls += output.tally.calls_stored;
            lines += output.tally.lines_read;
            dead_letters += output.tally.dead_letters;
            documents += output.rendered.iter().map(|rendered| rendered.ends.len()).sum::<usize>();
            document_bytes += output.rendered.iter().map(|rendered| rendered.bytes.len()).sum::<usize>();
            closed &= output.tally.is_closed();
        }
        let elapsed = begun.elapsed().as_secs_f64();
        let on_processor = begun_on_processor.and_then(|begun| Some(seconds_on_processor()? - begun));
        seconds.push(on_processor.unwrap_or(elapsed));
    }
    seconds.sort_by(f64::total_cmp);
    let (best, median) = (seconds[0], seconds[ROUNDS / 2]);
    println!(
        "{lines} lines of {:.0} bytes, {calls} calls, {dead_letters} dead letters, sums closed: {closed}",
        text.len() as f64 / lines as f64
    );
    if documents > 0 {
        println!("{documents} documents of {:.0} bytes", document_bytes as f64 / documents as f64);
    }
    for (name, taken) in [("best", best), ("median", median)] {
        println!(
            "{name}: {:.2} M calls/s, {:.2} M lines/s, {:.0} MiB/s",
            calls as f64 / taken / 1e6,
            lines as f64 / taken / 1e6,
            text.len() as f64 / taken / (1024.0 * 1024.0)
        );
    }
    Ok(())
}
