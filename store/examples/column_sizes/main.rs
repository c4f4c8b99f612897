//! Bytes a call of every column, how fast columns are written and read, and how fast the store as a whole is, on the real
//! recordings beside the workspace.
//!
//! `cargo run --release -p rastro-store --example column_sizes [-- <folder for a store of 20 million calls>]`

mod recordings;
mod throughput;

use std::{path::Path, time::Instant};

use rastro_model::Segment;
use rastro_store::columns::{self, ColumnSizes, Envelope};
use recordings::{read_rich, read_webshop, recordings, segment};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if !data.is_dir() {
        eprintln!("no recordings at {}: nothing to measure", data.display());
        return Ok(());
    }
    let rich = recordings(&data.join("sysdig-real"), ".rich.log.gz")?
        .iter()
        .map(|path| read_rich(path))
        .collect::<Result<Vec<_>, _>>()?;
    let webshop = recordings(&data.join("webshop-strace/recordings"), ".log.gz")?
        .iter()
        .map(|path| read_webshop(path))
        .collect::<Result<Vec<_>, _>>()?;
    for (name, recordings) in [("rich captures", &rich), ("webshop", &webshop)] {
        for calls_a_segment in [8_000, 1_000, 50] {
            let segments: Vec<Segment> =
                recordings.iter().flat_map(|calls| calls.chunks(calls_a_segment)).map(segment).collect();
            report(name, calls_a_segment, &segments)?;
        }
    }
    if let Some(folder) = std::env::args_os().nth(1) {
        let segments: Vec<Segment> =
            webshop.iter().flat_map(|calls| calls.chunks(8_000)).map(segment).collect();
        throughput::report(Path::new(&folder), &segments)?;
    }
    Ok(())
}

fn report(name: &str, calls_a_segment: usize, segments: &[Segment]) -> Result<(), Failure> {
    let calls: usize = segments.iter().map(|segment| segment.calls.len()).sum();
    let mut sum = ColumnSizes::default();
    let mut blobs = Vec::new();
    for segment in segments {
        let (encoded, sizes) = columns::encode_measured(segment)?;
        let decoded = columns::decode(Envelope::of(segment), &encoded.sequence, Some(&encoded.rest))?;
        assert_eq!(&decoded, segment, "a segment must come back as it went");
        sum.sequence.dictionaries += sizes.sequence.dictionaries;
        sum.sequence.kinds += sizes.sequence.kinds;
        sum.sequence.threads += sizes.sequence.threads;
        sum.sequence.times += sizes.sequence.times;
        sum.rest.numbers += sizes.rest.numbers;
        sum.rest.latencies += sizes.rest.latencies;
        sum.rest.results += sizes.rest.results;
        sum.rest.argument_counts += sizes.rest.argument_counts;
        sum.rest.argument_lengths += sizes.rest.argument_lengths;
        sum.rest.flags += sizes.rest.flags;
        sum.rest.details += sizes.rest.details;
        sum.overhead += sizes.overhead;
        blobs.push(encoded);
    }
    let a_call = |bytes: usize| bytes as f64 / calls as f64;
    println!(
        "{name}, {calls_a_segment} calls a segment: {calls} calls in {} segments; bytes a call:",
        segments.len()
    );
    let total: usize = blobs.iter().map(|blobs| blobs.sequence.len() + blobs.rest.len()).sum();
    for (column, bytes) in [
        ("dictionaries", sum.sequence.dictionaries),
        ("kinds", sum.sequence.kinds),
        ("threads", sum.sequence.threads),
        ("  kinds and threads", sum.sequence.dictionaries + sum.sequence.kinds + sum.sequence.threads),
        ("times", sum.sequence.times),
        ("numbers", sum.rest.numbers),
        ("latencies", sum.rest.latencies),
        ("results", sum.rest.results),
        ("argument counts", sum.rest.argument_counts),
        ("argument lengths", sum.rest.argument_lengths),
        ("flags", sum.rest.flags),
        ("overhead", sum.overhead),
        ("  all figures", total - sum.rest.details),
        ("arguments kept", sum.rest.details),
        ("  everything", total),
    ] {
        println!("  {column:<22}{:>7.3}", a_call(bytes));
    }

    let rounds = (6_000_000 / calls).max(1);
    let rate = |started: Instant| (calls * rounds) as f64 / started.elapsed().as_secs_f64() / 1e6;
    let started = Instant::now();
    for _ in 0..rounds {
        for segment in segments {
            std::hint::black_box(columns::encode(segment)?);
        }
    }
    println!("  encode        {:>7.1} million calls a second", rate(started));
    for (what, with_rest) in [("sequence", false), ("everything", true)] {
        let started = Instant::now();
        for _ in 0..rounds {
            for (segment, blobs) in segments.iter().zip(&blobs) {
                let rest = with_rest.then_some(blobs.rest.as_slice());
                std::hint::black_box(columns::decode(Envelope::of(segment), &blobs.sequence, rest)?);
            }
        }
        println!("  decode {what:<10}{:>4.1} million calls a second", rate(started));
    }
    Ok(())
}
