//! kill -9 of the writing process at random moments.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rastro_model::{Position, StreamId};
use rastro_store::{Columns, Store};

use crate::{INDEX, chunk, open};

const CHILD: &str = "RASTRO_TEST_STORE_CHILD";
const NAME: &str = "kill::a_write_is_kept_whole_or_not_at_all_when_the_process_is_killed_at_any_moment";

/// Chunks that are written in one batch, and calls of a chunk.
const BATCH: u64 = 4;
const CALLS: u64 = 500;

/// Writes batches for ever, to two streams at once, and says on standard output what has returned.
async fn child(directory: &Path) {
    let store = open(directory);
    let mut next = store.stream_end(StreamId(1)).await.unwrap().map_or(0, |(_, line)| line / CALLS);
    let mut out = std::io::stdout();
    loop {
        let chunks: Vec<_> = (next..next + BATCH)
            .flat_map(|number| [1, 2].map(|stream| chunk(stream, number * CALLS, (number + 1) * CALLS)))
            .collect();
        store.write_chunks(&chunks).await.unwrap();
        next += BATCH;
        writeln!(out, "\nwritten {next}").unwrap();
    }
}

#[tokio::test]
async fn a_write_is_kept_whole_or_not_at_all_when_the_process_is_killed_at_any_moment() {
    if let Some(directory) = std::env::var_os(CHILD) {
        child(Path::new(&directory)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut written = 0_u64;
    for round in 0..10_u64 {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let reading = std::thread::spawn(move || output.lines().map_while(Result::ok).collect::<Vec<_>>());
        std::thread::sleep(Duration::from_millis(80 + round * 41 % 170));
        process.kill().unwrap();
        process.wait().unwrap();
        for line in reading.join().unwrap() {
            if let Some(number) = line.strip_prefix("written ") {
                written = written.max(number.parse().unwrap_or(0));
            }
        }

        let store = open(directory.path());
        let end = store.stream_end(StreamId(1)).await.unwrap().map_or(0, |(_, line)| line);
        assert!(
            end >= written * CALLS,
            "round {round}: {written} chunks were written, the stream ends at line {end}"
        );
        assert_eq!(end % (BATCH * CALLS), 0, "round {round}: a part of a batch was kept");
        if end == 0 {
            continue;
        }
        let expected = Some((Position::new(0, end * 10), end));
        assert_eq!(store.stream_end(StreamId(2)).await.unwrap(), expected);
        let mut next = [0, 0];
        for stored in store.segments(INDEX, 0, usize::MAX, Columns::All).await.unwrap() {
            let segment = stored.segment;
            let next = &mut next[segment.id.stream.0 as usize - 1];
            assert_eq!(segment.id.start.offset, *next * 10, "round {round}: each chunk once and in order");
            assert_eq!(segment.gap, None);
            *next += segment.calls.len() as u64;
        }
        assert_eq!(next, [end, end]);
        let summary = &store.datasets().await.unwrap()[0];
        assert_eq!(summary.tally.calls_stored, 2 * end);
        assert_eq!(summary.indices[0].calls, 2 * end);
        assert_eq!(store.rollups(INDEX).await.unwrap()[0].count, 2 * end);
        written = end / CALLS;
    }
    assert!(written > 40, "the children did too little to prove anything: {written} chunks");
}
