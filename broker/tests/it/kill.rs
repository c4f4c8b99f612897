//! kill -9 of the owning process at random moments.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rastro_broker::Broker;
use rastro_model::StreamId;

use crate::{chunk, open, take_all};

const CHILD: &str = "RASTRO_TEST_BROKER_CHILD";
const NAME: &str = "kill::nothing_that_was_accepted_is_lost_when_the_process_is_killed_at_any_moment";

/// Appends and acknowledges for ever, and says on standard output what has returned.
async fn child(directory: &Path) {
    let broker = open(directory);
    let mut next = broker.stream_end(StreamId(1)).await.unwrap().map_or(0, |end| end.next_line);
    let mut out = std::io::stdout();
    loop {
        let count = 1 + next % 4;
        let chunks = (next..next + count).map(|line| chunk(1, line, line + 1)).collect();
        broker.append(chunks).await.unwrap();
        next += count;
        writeln!(out, "\nappended {next}").unwrap();
        if next % 3 == 0 {
            for delivery in broker.take(300, Duration::ZERO).await.unwrap() {
                // Said before it is done: whether it was done when the kill came, nobody can know.
                writeln!(out, "\nacknowledging {}", delivery.chunk.first_line).unwrap();
                broker.acknowledge(&[delivery.id]).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn nothing_that_was_accepted_is_lost_when_the_process_is_killed_at_any_moment() {
    if let Some(directory) = std::env::var_os(CHILD) {
        child(Path::new(&directory)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let (mut appended, mut perhaps_acknowledged) = (0_u64, std::collections::BTreeSet::new());
    for round in 0..12_u64 {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(CHILD, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let reading = std::thread::spawn(move || output.lines().map_while(Result::ok).collect::<Vec<_>>());
        std::thread::sleep(Duration::from_millis(60 + round * 37 % 190));
        process.kill().unwrap();
        process.wait().unwrap();
        for line in reading.join().unwrap() {
            if let Some(number) = line.strip_prefix("appended ") {
                appended = appended.max(number.parse().unwrap_or(0));
            } else if let Some(number) = line.strip_prefix("acknowledging ") {
                perhaps_acknowledged.extend(number.parse::<u64>().ok());
            }
        }

        let broker = open(directory.path());
        let end = broker.stream_end(StreamId(1)).await.unwrap().map_or(0, |end| end.next_line);
        assert!(end >= appended, "round {round}: line {appended} was accepted, the stream ends at {end}");
        let held: Vec<u64> =
            take_all(&broker).await.iter().map(|delivery| delivery.chunk.first_line).collect();
        assert!(held.is_sorted_by(|a, b| a < b));
        for line in 0..end {
            assert!(
                held.binary_search(&line).is_ok() || perhaps_acknowledged.contains(&line),
                "round {round}: line {line} is gone, nobody acknowledged it"
            );
        }
        appended = end;
    }
    assert!(appended > 50, "the children did too little to prove anything: {appended} chunks");
}
