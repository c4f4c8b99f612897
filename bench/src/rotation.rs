//! What is left of a log that is rotated while it is followed: linemux beside our shipper, each on the same actions.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::ensure;
use linemux::MuxedLines;
use rastro_shipper::{Shipper, ShipperConfig};
use tokio::runtime::Runtime;

use crate::{Settings, brokers::ForgetfulBroker, report::Report};

/// Lines of a file between two rotations, written in bursts with pauses in between.
const BURSTS: u64 = 20;
const LINES_A_BURST: u64 = 100;
const PAUSE: Duration = Duration::from_millis(2);

/// A reader that is silent for so long has nothing left to tell.
const SILENCE: Duration = Duration::from_secs(2);

/// How a file is rotated.
#[derive(Debug, Clone, Copy)]
enum Rotation {
    /// The file gets another name, and a new one its old name.
    Rename,
    /// The file is copied and truncated (`copytruncate` of logrotate).
    CopyTruncate,
}

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let rotations = if settings.quick { 20 } else { 100 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for (name, rotation) in [("rename", Rotation::Rename), ("copytruncate", Rotation::CopyTruncate)] {
        let written = (rotations + 1) * BURSTS * LINES_A_BURST;
        let ours = follow_with_shipper(&runtime, rotation, rotations)?;
        let theirs = follow_with_linemux(&runtime, rotation, rotations)?;
        ensure!(ours <= written && theirs <= written, "more lines were read than were written");
        let share = |lines: u64| lines as f64 / written as f64 * 100.0;
        report.add(
            &format!("rotation: lines that arrive through {rotations} rotations by {name}"),
            share(ours),
            "%",
            &format!("linemux, {} of {written} lines lost (we lost {})", written - theirs, written - ours),
            share(theirs),
        );
    }
    Ok(())
}

/// Returns how many different lines arrived.
fn follow_with_shipper(runtime: &Runtime, rotation: Rotation, rotations: u64) -> anyhow::Result<u64> {
    let folder = tempfile::tempdir()?;
    let path = fs::canonicalize(folder.path())?.join("app.log");
    let seen: Arc<Mutex<HashSet<u64>>> = Arc::default();
    let sink = Arc::clone(&seen);
    let broker = ForgetfulBroker::new(move |chunk| {
        let mut text = Vec::new();
        if chunk.payload.decompress(&mut text).is_ok() {
            let text = String::from_utf8_lossy(&text);
            sink.lock().unwrap_or_else(PoisonError::into_inner).extend(text.lines().filter_map(number_of));
        }
    });
    File::create(&path)?;
    let config = ShipperConfig {
        include: vec![path.display().to_string()],
        state_dir: folder.path().join("state"),
        ..ShipperConfig::default()
    };
    runtime.block_on(async {
        let shipper = Shipper::new(config, Arc::new(broker))?;
        let handle = shipper.handle();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(shipper.run(async {
            let _ = stopped.await;
        }));
        let mut status = handle.status();
        status.wait_for(|status| !status.streams.is_empty()).await?;
        tokio::task::spawn_blocking(move || write_and_rotate(&path, rotation, rotations)).await??;
        handle.drain().await?;
        let _ = stop.send(());
        running.await??;
        anyhow::Ok(())
    })?;
    let count = seen.lock().unwrap_or_else(PoisonError::into_inner).len();
    Ok(count as u64)
}

/// Returns how many different lines arrived.
fn follow_with_linemux(runtime: &Runtime, rotation: Rotation, rotations: u64) -> anyhow::Result<u64> {
    let folder = tempfile::tempdir()?;
    let path = fs::canonicalize(folder.path())?.join("app.log");
    File::create(&path)?;
    runtime.block_on(async {
        let mut lines = MuxedLines::new()?;
        lines.add_file_from_start(&path).await?;
        let mut writing =
            Some(tokio::task::spawn_blocking(move || write_and_rotate(&path, rotation, rotations)));
        let mut seen = HashSet::new();
        loop {
            match tokio::time::timeout(SILENCE, lines.next_line()).await {
                Ok(line) => seen.extend(line?.and_then(|line| number_of(line.line()))),
                // Silent before the writer is done: it has lost the file, and may find the next one.
                Err(_) if writing.as_ref().is_some_and(|writing| !writing.is_finished()) => {}
                Err(_) => break,
            }
        }
        if let Some(writing) = writing.take() {
            writing.await??;
        }
        anyhow::Ok(seen.len() as u64)
    })
}

fn number_of(line: &str) -> Option<u64> {
    line.split(' ').next()?.parse().ok()
}

/// Writes numbered lines and rotates the file between them. No line is written between the copying and the truncation, so that
/// every line can be read by somebody.
fn write_and_rotate(path: &Path, rotation: Rotation, rotations: u64) -> anyhow::Result<()> {
    let open = || OpenOptions::new().append(true).create(true).open(path);
    let mut file = open()?;
    let mut number = 0;
    for turn in 0..=rotations {
        for _ in 0..BURSTS {
            // Before the burst, so that a rotation follows right behind a line, as a rotation by size does.
            thread::sleep(PAUSE);
            let mut burst = Vec::new();
            for _ in 0..LINES_A_BURST {
                writeln!(burst, "{number} a line of a container's log with some text behind its number")?;
                number += 1;
            }
            file.write_all(&burst)?;
        }
        if turn == rotations {
            break;
        }
        match rotation {
            Rotation::Rename => {
                fs::rename(path, rotated(path, turn))?;
                file = open()?;
            }
            Rotation::CopyTruncate => {
                fs::copy(path, rotated(path, turn))?;
                file.set_len(0)?;
            }
        }
    }
    Ok(())
}

fn rotated(path: &Path, turn: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{turn}"));
    PathBuf::from(name)
}
