//! All streams together, in rounds: take in what happened, look, read a bounded amount, remember.
//!
//! A round runs where blocking is allowed. Between rounds the follower rests and nothing but a wake-up costs anything.

mod checkpointing;
mod report;
mod scan;
mod turns;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fs,
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use rastro_broker::Broker;
use rastro_model::{GapReason, Position, StreamId};
use tokio::{
    runtime::Handle,
    sync::{oneshot, watch},
};

use crate::{
    ShipperConfig, ShipperError, Status, Totals,
    checkpoint::{Checkpoint, Found, StreamRecord},
    claims::Claims,
    discover::Discovery,
    run::{Acknowledged, Buffers, Job},
    stream::Stream,
    watch::Watch,
};

/// Looks in one round at most, if names move all the time.
const LOOKS_AT_ONCE: usize = 100;

/// Why a round is made.
#[derive(Debug, Default)]
pub(crate) struct RoundInput {
    /// Who asked for everything to be shipped.
    pub(crate) drains: Vec<oneshot::Sender<Totals>>,
    /// How many chunks may be cut, and of how many bytes of lines; the last one may exceed them.
    pub(crate) chunks: usize,
    pub(crate) bytes: usize,
}

/// What a round gave.
#[derive(Debug)]
pub(crate) struct RoundOutput {
    pub(crate) jobs: Vec<Job>,
    /// More could be read at once if there were room.
    pub(crate) has_more: bool,
    /// Something has been reported during the round.
    pub(crate) has_reports: bool,
    /// When the next round is due whether or not something is reported.
    pub(crate) wake_at: Instant,
}

/// What outlives a follower.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) status: watch::Sender<Status>,
    pub(crate) totals: Totals,
    pub(crate) drains: Vec<oneshot::Sender<Totals>>,
}

pub(crate) struct Follower {
    pub(crate) config: Arc<ShipperConfig>,
    pub(crate) discovery: Discovery,
    pub(crate) watch: Watch,
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) runtime: Handle,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) rewind: Option<HashMap<StreamId, (Position, u64)>>,
    pub(crate) streams: Vec<Option<Stream>>,
    pub(crate) by_path: HashMap<PathBuf, usize>,
    /// Links: the streams whose file is the one with this path.
    pub(crate) aliases: HashMap<PathBuf, usize>,
    pub(crate) claims: Claims,
    /// What the checkpoint holds of streams that have not been met again yet.
    pub(crate) records: HashMap<PathBuf, StreamRecord>,
    pub(crate) checkpoint_found: Found,
    pub(crate) queue: VecDeque<usize>,
    pub(crate) wakes: BTreeSet<(Instant, usize)>,
    pub(crate) dirty: VecDeque<usize>,
    /// Streams of which the status is to be told anew.
    pub(crate) touched: BTreeSet<usize>,
    pub(crate) unreadable: HashMap<PathBuf, String>,
    pub(crate) totals: Totals,
    pub(crate) scans: u64,
    pub(crate) next_poll: Instant,
    pub(crate) drains: Vec<oneshot::Sender<Totals>>,
    pub(crate) checkpoint_due: Option<Instant>,
    pub(crate) checkpoint_failed: bool,
    /// Open files, at most; counted anew whenever it seems too many.
    pub(crate) open_files: usize,
    pub(crate) buffers: Buffers,
}

impl Follower {
    /// Reads the checkpoint and prepares everything; the first round looks at all files.
    pub(crate) fn start(
        config: Arc<ShipperConfig>,
        broker: Arc<dyn Broker>,
        rewind: Option<HashMap<StreamId, (Position, u64)>>,
        carried: Carried,
        buffers: Buffers,
        runtime: Handle,
    ) -> Result<Self, ShipperError> {
        let discovery = Discovery::new(&config)?;
        fs::create_dir_all(&config.state_dir)
            .map_err(|source| ShipperError::State { path: config.state_dir.clone(), source })?;
        let (checkpoint, checkpoint_found) = Checkpoint::recover(&config.state_dir)?;
        if !checkpoint.streams.is_empty() && checkpoint.node != config.node {
            tracing::warn!(
                before = checkpoint.node,
                now = config.node,
                "the node has another name than before; its streams go on under new identities"
            );
        }
        let records = checkpoint.streams.into_iter().map(|record| (record.path.clone(), record)).collect();
        Ok(Self {
            config,
            discovery,
            watch: Watch::new(),
            broker,
            runtime,
            status: carried.status,
            rewind,
            streams: Vec::new(),
            by_path: HashMap::new(),
            aliases: HashMap::new(),
            claims: Claims::default(),
            records,
            checkpoint_found,
            queue: VecDeque::new(),
            wakes: BTreeSet::new(),
            dirty: VecDeque::new(),
            touched: BTreeSet::new(),
            unreadable: HashMap::new(),
            totals: carried.totals,
            scans: 0,
            next_poll: Instant::now(),
            drains: carried.drains,
            checkpoint_due: None,
            checkpoint_failed: false,
            open_files: 0,
            buffers,
        })
    }

    pub(crate) fn watch_descriptor(&self) -> Option<Arc<std::os::fd::OwnedFd>> {
        self.watch.descriptor()
    }

    /// One round.
    pub(crate) fn round(&mut self, input: RoundInput) -> Result<RoundOutput, ShipperError> {
        let is_drain_new = !input.drains.is_empty();
        self.drains.extend(input.drains);
        let now = Instant::now();
        while let Some(&(at, number)) = self.wakes.first().filter(|(at, _)| *at <= now) {
            self.wakes.remove(&(at, number));
            if let Some(stream) = self.streams[number].as_mut() {
                stream.wake = None;
                stream.is_dirty = true;
            }
            self.dirty.push_back(number);
        }
        self.take_reports()?;
        if is_drain_new || self.next_poll <= now {
            self.scan()?;
        }
        // What was rotated away, or copied and truncated, before a file came to look as it does has been reported by the time that
        // it is seen so, and comes first. So nothing is read before a look behind which no name has moved.
        for _ in 0..LOOKS_AT_ONCE {
            self.look_at_dirty_streams();
            if !self.take_reports()? {
                break;
            }
        }
        if is_drain_new {
            for number in 0..self.streams.len() {
                self.plan(number);
            }
        }
        let mut output = RoundOutput { jobs: Vec::new(), has_more: false, has_reports: false, wake_at: now };
        if self.announce() {
            self.read(input.chunks, input.bytes, &mut output.jobs);
            output.has_more = !self.queue.is_empty();
        }
        output.has_reports = !self.dirty.is_empty();
        if self.checkpoint_due.is_some_and(|due| due <= Instant::now()) {
            self.save_checkpoint();
        }
        self.publish();
        output.wake_at = self.next_wake();
        Ok(output)
    }

    /// Takes in what has been reported; returns whether names have moved.
    fn take_reports(&mut self) -> Result<bool, ShipperError> {
        let events = self.watch.take();
        if events.everything {
            self.scan()?;
            return Ok(true);
        }
        self.look_at_paths(events.paths)
    }

    /// When the next round is due whether or not something is reported.
    pub(crate) fn next_wake(&self) -> Instant {
        let wake = self.wakes.first().map(|(at, _)| *at);
        [wake, self.checkpoint_due].into_iter().flatten().fold(self.next_poll, Instant::min)
    }

    /// The broker has accepted these chunks.
    pub(crate) fn acknowledge(&mut self, acknowledged: Vec<Acknowledged>) {
        let (mut lines, mut bytes, mut cut_lines) = (0, 0, 0);
        self.totals.chunks += acknowledged.len() as u64;
        metrics::counter!("rastro_shipper_chunks_total").increment(acknowledged.len() as u64);
        for chunk in acknowledged {
            lines += chunk.lines;
            bytes += chunk.bytes;
            cut_lines += chunk.cut_lines;
            if let Some(stream) = self.streams[chunk.stream].as_mut() {
                stream.acknowledge(chunk.place);
                self.touched.insert(chunk.stream);
            }
        }
        self.totals.lines += lines;
        self.totals.bytes += bytes;
        self.totals.cut_lines += cut_lines;
        metrics::counter!("rastro_shipper_lines_total").increment(lines);
        metrics::counter!("rastro_shipper_bytes_total").increment(bytes);
        metrics::counter!("rastro_shipper_cut_lines_total").increment(cut_lines);
        self.checkpoint_due.get_or_insert_with(|| Instant::now() + self.config.checkpoint_interval);
        self.publish();
    }

    pub(crate) fn look_at_dirty_streams(&mut self) {
        while let Some(number) = self.dirty.pop_front() {
            let Some(stream) = self.streams[number].as_mut() else { continue };
            if !stream.is_dirty {
                self.plan(number);
                continue;
            }
            let before = stream.tails.len();
            let result = stream.look(&self.claims);
            let stream_path = stream.path.clone();
            let has_grown = stream.tails.len() > before;
            self.open_files += stream.tails.len();
            match result {
                Ok(()) => self.note_readable(&stream_path),
                Err(error) => self.note_unreadable(&stream_path, &error),
            }
            if has_grown {
                self.note_link(&stream_path, number);
            }
            self.take_in(number);
            self.make_room();
        }
    }

    /// Takes in what a stream has found out: its files, its losses, when it wants to be read.
    pub(crate) fn take_in(&mut self, number: usize) {
        self.note_findings(number);
        self.plan(number);
    }

    fn note_findings(&mut self, number: usize) {
        let Some(stream) = self.streams[number].as_mut() else { return };
        for gap in stream.new_gaps.drain(..) {
            self.totals.gaps += 1;
            self.totals.lost_bytes += gap.bytes;
            self.totals.lost_lines += gap.lines.unwrap_or(0);
            let reason = match gap.reason {
                GapReason::Truncated => "truncated",
                GapReason::Deleted => "deleted",
                GapReason::Queue => "queue",
                _ => "other",
            };
            metrics::counter!("rastro_shipper_gaps_total", "reason" => reason).increment(1);
            metrics::counter!("rastro_shipper_lost_bytes_total", "reason" => reason).increment(gap.bytes);
            tracing::warn!(
                path = %stream.path.display(), bytes = gap.bytes, lines = gap.lines, reason,
                "bytes of a log are lost; the loss is told to everything that reads the stream"
            );
        }
        self.claims.add(stream);
        self.touched.insert(number);
    }

    /// Ends here, for another follower to go on from where the broker stands.
    pub(crate) fn give_way(mut self) -> Carried {
        self.save_checkpoint();
        Carried { status: self.status, totals: self.totals, drains: self.drains }
    }

    /// Writes what is left to be written at the end.
    pub(crate) fn close(mut self) -> Totals {
        self.save_checkpoint();
        self.publish();
        self.totals
    }

    /// Closes files that rest at their end if too many are open.
    pub(crate) fn make_room(&mut self) {
        if self.open_files <= self.config.max_open_files {
            return;
        }
        let mut open = Vec::new();
        self.open_files = 0;
        for stream in self.streams.iter().flatten() {
            self.open_files += stream.tails.iter().filter(|tail| tail.file.is_some()).count();
            if let Some(tail) = stream.tails.front()
                && stream.tails.len() == 1
                && tail.file.is_some()
                && !tail.is_unlinked
                && tail.path == stream.path
            {
                open.push((tail.unread() > 0, tail.last_read, stream.number));
            }
        }
        let target = self.config.max_open_files - self.config.max_open_files / 4;
        if self.open_files <= target {
            return;
        }
        open.sort_unstable();
        for (_, _, number) in open.into_iter().take(self.open_files - target) {
            if let Some(tail) = self.streams[number].as_mut().and_then(|stream| stream.tails.front_mut()) {
                tail.file = None;
                self.open_files -= 1;
            }
        }
    }
}
