//! Calls a second into the file and out of it.

use std::{path::Path, time::Instant};

use rastro_model::{Position, Segment, StreamId, Tally};
use rastro_store::{ChunkOutput, Columns, Store, embedded::EmbeddedStore};

use crate::Failure;

const CALLS: usize = 20_000_000;

/// Calls that a batch holds about: what the transformer takes at once.
const BATCH: usize = 500_000;

/// Calls of a page that is read.
const PAGE: usize = 500_000;

pub(crate) fn report(folder: &Path, recorded: &[Segment]) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(write_and_read(folder, recorded))
}

async fn write_and_read(folder: &Path, recorded: &[Segment]) -> Result<(), Failure> {
    let path = folder.join("throughput.db");
    if path.try_exists()? {
        return Err(format!("`{}` is there already; remove it first", path.display()).into());
    }
    let store = EmbeddedStore::open(&path)?;
    let (mut calls, mut line, mut seconds) = (0_usize, 0_u64, 0.0);
    let mut sources = recorded.iter().cycle();
    while calls < CALLS {
        let mut batch = Vec::new();
        let mut in_batch = 0;
        while in_batch < BATCH
            && let Some(source) = sources.next()
        {
            batch.push(chunk(source, line));
            line += source.calls.len() as u64;
            in_batch += source.calls.len();
        }
        let started = Instant::now();
        store.write_chunks(&batch).await?;
        seconds += started.elapsed().as_secs_f64();
        calls += in_batch;
    }
    println!("store: {calls} calls written, {:.1} million a second", calls as f64 / seconds / 1e6);
    println!("  bytes on disk a call  {:>7.3}", store.size().await? as f64 / calls as f64);
    for (what, columns) in [("sequence", Columns::Sequence), ("everything", Columns::All)] {
        let started = Instant::now();
        let (mut place, mut read) = (0, 0);
        loop {
            let page = store.segments("measured-1970.01.01", place, PAGE, columns).await?;
            let Some(last) = page.last() else { break };
            place = last.place;
            read += page.iter().map(|stored| stored.segment.calls.len()).sum::<usize>();
        }
        println!(
            "  read {what:<11}{:>5.1} million calls a second",
            read as f64 / started.elapsed().as_secs_f64() / 1e6
        );
    }
    let started = Instant::now();
    store.delete_dataset("measured").await?;
    let left = store.size().await?;
    println!("  deleted in {:.2} seconds, {left} bytes left on disk", started.elapsed().as_secs_f64());
    drop(store);
    std::fs::remove_file(&path)?;
    Ok(())
}

/// The segment as the next chunk of one long stream.
fn chunk(source: &Segment, line: u64) -> ChunkOutput {
    let mut segment = source.clone();
    let count = segment.calls.len() as u64;
    let (start, end) = (Position::new(0, line * 100), Position::new(0, (line + count) * 100));
    let shift = line as i64 * 100_000;
    segment.calls.time_ns.iter_mut().for_each(|time| *time += shift);
    segment.calls.number.iter_mut().for_each(|number| *number += line);
    segment.id.start = start;
    segment.end = end;
    ChunkOutput {
        stream: StreamId(1),
        path: "measured".to_owned(),
        dataset: "measured".to_owned(),
        start,
        end,
        previous: start,
        first_line: line,
        lines: count as u32,
        gap: None,
        tally: Tally { lines_read: count, events_parsed: count, calls_stored: count, ..Tally::default() },
        segments: vec![segment],
        rollups: Vec::new(),
        dead_letters: Vec::new(),
        rendered: Vec::new(),
    }
}
