//! Recordings into log files, as if they happened now.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use memchr::{memchr_iter, memrchr};
use rastro_format::{DayBase, Format};
use rastro_model::{Container, LogHeader};
use serde::Serialize;

use crate::{
    AgentError, Label, LogWriter, Progress, ReplayPlan, Source, Speed,
    log_writer::LogId,
    pace::{Pacer, sleep},
};

/// The caller hears of progress whenever so much of a recording was written.
const REPORT_EVERY_BYTES: u64 = 1024 * 1024;

/// Lines that are due within this are written together.
const TICK: Duration = Duration::from_millis(10);

/// How often to look whether the shipper has made room.
const ROOM_POLL: Duration = Duration::from_millis(20);

/// What a replay has written.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct ReplayReport {
    /// Lines of the recordings, also those that an interrupted replay had written before.
    pub lines: u64,
    /// Their bytes as written to the logs.
    pub bytes: u64,
    /// Lines that were longer than the agent keeps in memory and were cut.
    pub cut_lines: u64,
    /// Containers, in order of appearance.
    pub containers: Vec<Container>,
    /// What is known of the recordings from outside.
    pub labels: Vec<Label>,
    /// Time of the first line, nanoseconds since the epoch.
    pub first_ns: Option<i64>,
    /// Time of the last line, nanoseconds since the epoch.
    pub last_ns: Option<i64>,
    /// The replay goes on where an interrupted one had stopped.
    pub resumed: bool,
    /// It was told to stop before the end; the same replay, run again, goes on from here.
    pub cancelled: bool,
}

/// Replays `plan` into the logs of `writer`; blocks until it is done or `cancel` is set. `watch` hears of progress.
///
/// A replay that was interrupted, even by kill -9, is resumed where it broke off if the same plan is run again. When what follows
/// has taken in what was written, call [`finish_replay`](crate::finish_replay).
pub fn replay(
    plan: &ReplayPlan,
    writer: &mut LogWriter,
    watch: &mut dyn FnMut(Progress),
    cancel: &AtomicBool,
) -> Result<ReplayReport, AgentError> {
    let resumed = writer.begin_replay(plan.identity())?;
    let mut report = ReplayReport { resumed, ..ReplayReport::default() };
    let total_bytes = plan.total_bytes();
    let mut before_bytes = 0;
    for recording in plan.recordings() {
        let mut source = plan.open(recording)?;
        let done_before = before_bytes;
        let mut watch = |progress: Progress| {
            watch(Progress { done_bytes: done_before + progress.done_bytes, total_bytes });
        };
        let counted_lines = report.lines;
        let mut player = Player {
            writer,
            report: &mut report,
            logs: Vec::new(),
            last_line: Vec::new(),
            last_log: None,
            counted_lines,
        };
        player.play(source.as_mut(), plan.speed, &mut watch, cancel)?;
        if report.cancelled {
            break;
        }
        watch(Progress { done_bytes: recording.bytes, total_bytes });
        before_bytes += recording.bytes;
    }
    writer.flush()?;
    let unskipped_bytes = writer.unskipped_bytes();
    if unskipped_bytes > 0 && !report.cancelled {
        tracing::warn!(
            bytes = unskipped_bytes,
            "the log holds more of this replay than its recordings do: they have changed"
        );
    }
    Ok(report)
}

struct Player<'r> {
    writer: &'r mut LogWriter,
    report: &'r mut ReplayReport,
    /// By the source's number of the log.
    logs: Vec<Option<PlayedLog>>,
    /// The line that was written last, for its time.
    last_line: Vec<u8>,
    last_log: Option<usize>,
    /// Lines of the report that the metrics know of.
    counted_lines: u64,
}

struct PlayedLog {
    id: LogId,
    format: Format,
    day: DayBase,
}

impl PlayedLog {
    fn time_ns(&self, line: &[u8]) -> Option<i64> {
        self.format.parse_line(line, self.day).ok()?.time_ns
    }
}

impl Player<'_> {
    fn play(
        &mut self,
        source: &mut dyn Source,
        speed: Speed,
        watch: &mut dyn FnMut(Progress),
        cancel: &AtomicBool,
    ) -> Result<(), AgentError> {
        let mut pacer = match speed {
            Speed::Max => None,
            Speed::Times(times) => Some(Pacer::new(times)),
        };
        let mut unreported_bytes = 0;
        while !cancel.load(Ordering::Relaxed) {
            let Some(lines) = source.next_lines()? else {
                self.count(&mut unreported_bytes);
                self.end(source);
                return Ok(());
            };
            self.meet(lines.log, lines.header, lines.bytes)?;
            let written = match &mut pacer {
                None => self.write(lines.log, lines.bytes, cancel)?,
                Some(pacer) => self.write_paced(lines.log, lines.bytes, pacer, cancel)?,
            };
            self.remember_last(lines.log, lines.bytes);
            self.report.bytes += written;
            unreported_bytes += written;
            if unreported_bytes >= REPORT_EVERY_BYTES || pacer.is_some() {
                self.count(&mut unreported_bytes);
                watch(source.progress());
            }
        }
        self.count(&mut unreported_bytes);
        self.report.cancelled = true;
        self.end(source);
        Ok(())
    }

    /// Makes the log known when it is first seen, and notes the first time.
    fn meet(&mut self, log: usize, header: &LogHeader, lines: &[u8]) -> Result<(), AgentError> {
        if self.logs.len() <= log {
            self.logs.resize_with(log + 1, || None);
        }
        if self.logs[log].is_none() {
            let format = Format::parse(&header.format)
                .map_err(|source| AgentError::Format { path: header.container.id.clone().into(), source })?;
            let day = header.date.as_deref().and_then(DayBase::from_date).unwrap_or_default();
            self.logs[log] = Some(PlayedLog { id: self.writer.log(header)?, format, day });
            if self.report.containers.iter().all(|known| known.id != header.container.id) {
                self.report.containers.push(header.container.clone());
            }
        }
        if self.report.first_ns.is_none()
            && let Some(played) = &self.logs[log]
        {
            let first = lines.split(|&byte| byte == b'\n').next().unwrap_or_default();
            self.report.first_ns = played.time_ns(first);
        }
        Ok(())
    }

    fn write(&mut self, log: usize, lines: &[u8], cancel: &AtomicBool) -> Result<u64, AgentError> {
        let Some(played) = &self.logs[log] else { return Ok(0) };
        while self.writer.is_full()? {
            if sleep(ROOM_POLL, cancel) {
                return Ok(0);
            }
        }
        self.writer.append(played.id, lines)?;
        let count = memchr_iter(b'\n', lines).count() as u64;
        self.report.lines += count;
        Ok(lines.len() as u64)
    }

    /// Writes line by line when each is due; those due at about the same time together.
    fn write_paced(
        &mut self,
        log: usize,
        lines: &[u8],
        pacer: &mut Pacer,
        cancel: &AtomicBool,
    ) -> Result<u64, AgentError> {
        let mut written = 0;
        let (mut start, mut position) = (0, 0);
        for end in memchr_iter(b'\n', lines).map(|at| at + 1) {
            let time_ns =
                self.logs[log].as_ref().and_then(|played| played.time_ns(&lines[position..end - 1]));
            let wait = time_ns.map_or(Duration::ZERO, |time_ns| pacer.wait_for(time_ns));
            if wait > TICK {
                written += self.write(log, &lines[start..position], cancel)?;
                self.writer.flush()?;
                start = position;
                if sleep(wait, cancel) {
                    return Ok(written);
                }
            }
            position = end;
        }
        Ok(written + self.write(log, &lines[start..], cancel)?)
    }

    /// Passes what was written since the last time on to the metrics.
    fn count(&mut self, unreported_bytes: &mut u64) {
        metrics::counter!("rastro_agent_lines_total").increment(self.report.lines - self.counted_lines);
        metrics::counter!("rastro_agent_bytes_total").increment(std::mem::take(unreported_bytes));
        self.counted_lines = self.report.lines;
    }

    fn remember_last(&mut self, log: usize, lines: &[u8]) {
        let text = lines.strip_suffix(b"\n").unwrap_or(lines);
        let start = memrchr(b'\n', text).map_or(0, |at| at + 1);
        self.last_line.clear();
        self.last_line.extend_from_slice(&text[start..]);
        self.last_log = Some(log);
    }

    fn end(&mut self, source: &dyn Source) {
        self.report.cut_lines += source.cut_lines();
        self.report.labels.extend_from_slice(source.labels());
        let played = self.last_log.and_then(|log| self.logs[log].as_ref());
        self.report.last_ns =
            played.and_then(|played| played.time_ns(&self.last_line)).or(self.report.last_ns);
    }
}
