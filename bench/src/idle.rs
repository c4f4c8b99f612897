//! The shipper as a process of its own: what a node pays for it.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

use crate::{
    Settings,
    chunks::header,
    generate::{Generator, Layout},
    measure::{processor_shares, usage},
    report::Report,
};

const FILES: usize = 100;
const LINES_A_SECOND: usize = 100_000;
/// How often the writer writes.
const TICK: Duration = Duration::from_millis(10);
/// What a node may pay.
const PROCESSOR_LIMIT_PERCENT: f64 = 3.0;
const MEMORY_LIMIT_MIB: f64 = 24.0;
/// Less than this cannot be told from nothing: the system counts hundredths of a second.
const LEAST_PERCENT: f64 = 0.05;
/// Time to find the files and come to rest.
const SETTLE: Duration = Duration::from_secs(3);

/// Ends with its owner, whatever happens in between.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let time = Duration::from_secs(if settings.quick { 5 } else { 20 });
    for (files, name) in [(FILES, "over 100 files"), (1, "into 1 of 100 files")] {
        let folder = tempfile::tempdir()?;
        let logs = folder.path().join("logs");
        fs::create_dir(&logs)?;
        let mut writer = Writer::create(&logs, files)?;
        let shipper = start_shipper(settings, folder.path())?;
        let tail = start_tail(&logs)?;
        thread::sleep(SETTLE);
        if files == FILES {
            let [at_rest] = processor_shares([shipper.0.id()], time)?;
            report.add(
                &format!("idle: shipper with {FILES} files at rest"),
                at_rest * 100.0,
                "% of a core",
                "limit",
                PROCESSOR_LIMIT_PERCENT,
            );
            report_memory(
                report,
                &format!("idle: shipper with {FILES} files at rest, peak memory"),
                &shipper,
            )?;
        }
        let writing = thread::spawn(move || writer.write_for(SETTLE + time + Duration::from_secs(1)));
        thread::sleep(SETTLE);
        let [share, tail_share] =
            processor_shares([shipper.0.id(), tail.0.id()], time)?.map(|share| share * 100.0);
        let rate = writing.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        ensure!(
            rate > 0.9 * LINES_A_SECOND as f64,
            "the machine is too busy: the writer came to {rate:.0} lines a second only"
        );
        let what = format!("idle: shipper at {LINES_A_SECOND} lines/s {name}");
        report.add(&what, share, "% of a core", "limit", PROCESSOR_LIMIT_PERCENT);
        report.add(
            &what,
            share,
            "% of a core",
            "tail -F on the same files, which keeps nothing",
            tail_share.max(LEAST_PERCENT),
        );
        report_memory(report, &format!("{what}, peak memory"), &shipper)?;
    }
    Ok(())
}

fn report_memory(report: &mut Report, name: &str, process: &Process) -> anyhow::Result<()> {
    let peak = usage(process.0.id()).context("the shipper has ended")?.peak_bytes;
    report.add(name, peak as f64 / f64::from(1 << 20), "MiB", "limit", MEMORY_LIMIT_MIB);
    Ok(())
}

fn start_shipper(settings: &Settings, folder: &Path) -> anyhow::Result<Process> {
    let include = format!("shipper.include=[\"{}/*.log\"]", folder.join("logs").display());
    let log = File::create(folder.join("shipper.err"))?;
    let child = Command::new(&settings.rastro)
        .arg("--data-dir")
        .arg(folder.join("data"))
        .args(["--set", &include])
        .args(["--set", "broker.limit_bytes=\"4 GiB\"", "--set", "observability.listen=\"127.0.0.1:0\""])
        .arg("shipper")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .with_context(|| format!("cannot run `{}`", settings.rastro.display()))?;
    Ok(Process(child))
}

/// The simplest follower that there is.
fn start_tail(logs: &Path) -> anyhow::Result<Process> {
    let mut command = Command::new("tail");
    command.args(["-q", "-n", "0", "-F"]);
    for entry in fs::read_dir(logs)? {
        command.arg(entry?.path());
    }
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run `tail`")?;
    Ok(Process(child))
}

/// Writes at a fixed pace.
struct Writer {
    files: Vec<File>,
    /// Texts to write, one after the other, made beforehand: the writer must not be what is measured.
    texts: Vec<Vec<u8>>,
}

impl Writer {
    /// Makes [`FILES`] logs with a few lines each, of which the first `active` are written to later.
    fn create(logs: &Path, active: usize) -> anyhow::Result<Self> {
        let mut generator = Generator::new(31, Layout::Default, 32, 10_000);
        let mut files = Vec::new();
        for number in 0..FILES {
            let path = logs.join(format!("{number:012x}.log"));
            let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
            let mut text = header(Layout::Default)?;
            generator.lines(100, &mut text);
            file.write_all(&text)?;
            files.push(file);
        }
        files.truncate(active);
        let lines = LINES_A_SECOND / (1000 / TICK.as_millis() as usize) / active;
        let texts = (0..1000)
            .map(|_| {
                let mut text = Vec::new();
                generator.lines(lines, &mut text);
                text
            })
            .collect();
        Ok(Self { files, texts })
    }

    /// Writes for so long; returns the lines a second that it came to.
    fn write_for(&mut self, time: Duration) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let mut texts = self.texts.iter().cycle();
        let mut ticks = 0_u32;
        while begun.elapsed() < time {
            for file in &mut self.files {
                if let Some(text) = texts.next() {
                    file.write_all(text)?;
                }
            }
            ticks += 1;
            // A tick that came late is made up for.
            thread::sleep((TICK * ticks).saturating_sub(begun.elapsed()));
        }
        let lines = LINES_A_SECOND as f64 * TICK.as_secs_f64() * f64::from(ticks);
        Ok(lines / begun.elapsed().as_secs_f64())
    }
}
