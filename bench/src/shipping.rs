//! A file into the queue, beside what only reads it.

use std::{
    fs::{self, File},
    hint::black_box,
    io::Write as _,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use rastro_broker::{Broker, EmbeddedBroker, EmbeddedConfig, Payload};
use rastro_shipper::{Shipper, ShipperConfig};
use tokio::runtime::Runtime;

use crate::{
    Settings,
    brokers::ForgetfulBroker,
    chunks::header,
    generate::{Generator, Layout},
    measure::fastest,
    report::Report,
};

/// A file of log lines behind a header.
pub(crate) struct LogFile {
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
}

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let (lines, rounds) = if settings.quick { (1_000_000, 3) } else { (8_000_000, 5) };
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("server.log");
    let written = write_log(&path, 21, lines, 10_000)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;

    let mut queue = || ship_into_queue(&runtime, folder.path(), &path, &written);
    let mut nowhere = || {
        let shipped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&shipped);
        let broker = ForgetfulBroker::new(move |chunk| {
            counter.fetch_add(u64::from(chunk.lines), Ordering::Relaxed);
        });
        let state = tempfile::tempdir_in(folder.path())?;
        ship(&runtime, state.path(), &path, Arc::new(broker), &written)?;
        ensure!(shipped.load(Ordering::Relaxed) == written.lines, "not every line was shipped");
        Ok(())
    };
    let mut count = || {
        let output = Command::new("wc").arg("-l").arg(&path).output().context("cannot run `wc`")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let counted: u64 = text.split_whitespace().next().and_then(|count| count.parse().ok()).unwrap_or(0);
        // The header is a line to wc.
        ensure!(counted == written.lines + 1, "wc counted {counted} of {} lines", written.lines);
        Ok(())
    };
    let sample = fs::read(&path)?;
    let sample = &sample[..sample.len().min(64 << 20)];
    let mut compress = || {
        for block in sample.chunks(256 * 1024) {
            black_box(Payload::compress(block)?);
        }
        Ok(())
    };
    let [queue, nowhere, count, compress] =
        fastest(rounds, [&mut queue, &mut nowhere, &mut count, &mut compress])?;
    let compress = sample.len() as f64 / compress.as_secs_f64() / f64::from(1 << 20);
    let speed = |time: Duration| written.bytes as f64 / time.as_secs_f64() / f64::from(1 << 20);
    report.add(
        "shipping: file into the embedded queue",
        speed(queue),
        "MiB/s",
        "wc -l on the same file",
        speed(count),
    );
    report.add(
        "shipping: file to compressed chunks, no queue",
        speed(nowhere),
        "MiB/s",
        "wc -l on the same file",
        speed(count),
    );
    report.add(
        "shipping: the same beside compressing alone",
        speed(nowhere),
        "MiB/s",
        "LZ4 blocks of the same bytes in memory on one core",
        compress,
    );
    report.add(
        "shipping: file into the embedded queue, lines",
        written.lines as f64 / queue.as_secs_f64(),
        "lines/s",
        "wc -l on the same file",
        written.lines as f64 / count.as_secs_f64(),
    );
    Ok(())
}

/// Writes a log of `lines` lines in the default format, as the agent would.
pub(crate) fn write_log(path: &Path, seed: u64, lines: u64, interval_ns: u64) -> anyhow::Result<LogFile> {
    let mut file = File::create(path).with_context(|| format!("cannot write `{}`", path.display()))?;
    let mut buffer = header(Layout::Default)?;
    let mut generator = Generator::new(seed, Layout::Default, 32, interval_ns);
    let mut rest = lines;
    let mut bytes = 0;
    while rest > 0 {
        let now = rest.min(8192);
        generator.lines(now as usize, &mut buffer);
        file.write_all(&buffer)?;
        bytes += buffer.len() as u64;
        buffer.clear();
        rest -= now;
    }
    Ok(LogFile { lines, bytes })
}

fn ship_into_queue(runtime: &Runtime, folder: &Path, path: &Path, written: &LogFile) -> anyhow::Result<()> {
    let state = tempfile::tempdir_in(folder)?;
    let config = EmbeddedConfig { limit_bytes: u64::MAX / 4, ..EmbeddedConfig::default() };
    let opened = EmbeddedBroker::open(&state.path().join("queue.db"), &config)?;
    ship(runtime, state.path(), path, Arc::new(opened.broker), written)
}

/// Ships the whole file and stops.
pub(crate) fn ship(
    runtime: &Runtime,
    state: &Path,
    path: &Path,
    broker: Arc<dyn Broker>,
    written: &LogFile,
) -> anyhow::Result<()> {
    let config = ShipperConfig {
        files: vec![fs::canonicalize(path)?],
        node: "node".to_owned(),
        state_dir: state.join("shipper"),
        ..ShipperConfig::default()
    };
    let totals = runtime.block_on(async {
        let shipper = Shipper::new(config, broker)?;
        let handle = shipper.handle();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(shipper.run(async {
            let _ = stopped.await;
        }));
        let totals = handle.drain().await?;
        let _ = stop.send(());
        running.await??;
        anyhow::Ok(totals)
    })?;
    ensure!(totals.lines == written.lines, "{} of {} lines were shipped", totals.lines, written.lines);
    Ok(())
}
