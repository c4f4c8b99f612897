//! All streams together, in rounds: take in what happened, look, read a bounded amount, remember.
//!
//! A round runs where blocking is allowed. Between rounds the follower rests and nothing but a wake-up costs anything.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rastro_broker::Broker;
use rastro_model::{GapReason, Position, StreamId};
use tokio::{
    runtime::Handle,
    sync::{oneshot, watch},
};

use crate::{
    ShipperConfig, ShipperError, Status, StreamStatus, Totals,
    checkpoint::{Checkpoint, Found, StreamRecord},
    claims::Claims,
    discover::Discovery,
    run::{Acknowledged, Buffers, Job},
    stream::{Stream, Turn, Wish},
    watch::Watch,
};

/// Looks in one round at most, if names move all the time.
const LOOKS_AT_ONCE: usize = 100;

/// How long to wait after a checkpoint could not be written.
const CHECKPOINT_RETRY: Duration = Duration::from_secs(1);

/// Why a round is made.
#[derive(Debug, Default)]
pub(crate) struct RoundInput {
    /// Who asked for everything to be shipped.
    pub(crate) drains: Vec<oneshot::Sender<Totals>>,
    /// How many chunks may be cut.
    pub(crate) budget: usize,
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
            self.read(input.budget, &mut output.jobs);
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

    /// Puts a stream where its wish says: in the queue, among those that wait, or nowhere.
    fn plan(&mut self, number: usize) {
        let now = Instant::now();
        let Some(stream) = self.streams[number].as_mut() else { return };
        if stream.is_dirty {
            self.dirty.push_back(number);
        }
        let wish = stream.wish(now, !self.drains.is_empty(), &self.config);
        let wake = match wish {
            Wish::Now => {
                if !stream.is_queued {
                    stream.is_queued = true;
                    self.queue.push_back(number);
                }
                None
            }
            Wish::At(at) => Some(at),
            Wish::Never => None,
        };
        if stream.wake != wake {
            if let Some(at) = stream.wake {
                self.wakes.remove(&(at, number));
            }
            if let Some(at) = wake {
                self.wakes.insert((at, number));
            }
            stream.wake = wake;
        }
    }

    /// Reads from the streams in turn, one chunk each, as long as there is room.
    fn read(&mut self, budget: usize, jobs: &mut Vec<Job>) {
        let mut later = Vec::new();
        while jobs.len() < budget
            && let Some(number) = self.queue.pop_front()
        {
            let now = Instant::now();
            let Some(stream) = self.streams[number].as_mut() else { continue };
            stream.is_queued = false;
            if stream.needs_opening() {
                self.open_files += 1;
                self.make_room();
            }
            let Some(stream) = self.streams[number].as_mut() else { continue };
            let mut buffers = || self.buffers.take();
            let is_draining = !self.drains.is_empty();
            match stream.turn(&self.config, &self.claims, &mut buffers, is_draining, now) {
                Ok(Turn::Cut(cutting)) => jobs.push(Job {
                    stream: number,
                    id: stream.id,
                    path: stream.path.clone(),
                    cutting: *cutting,
                }),
                Ok(Turn::Nothing) => {}
                Ok(Turn::Again) => {
                    stream.is_queued = true;
                    later.push(number);
                }
                Ok(Turn::Unannounced) => {
                    // A file that has come to light by the reading of the one before it.
                    stream.is_queued = true;
                    stream.is_dirty = true;
                    later.push(number);
                }
                Ok(Turn::Stale) => {
                    stream.is_dirty = true;
                    self.dirty.push_back(number);
                    self.note_findings(number);
                    continue;
                }
                Err(error) => {
                    let path = stream.path.clone();
                    self.note_unreadable(&path, &error);
                    self.touched.insert(number);
                    continue;
                }
            }
            self.take_in(number);
        }
        self.queue.extend(later);
    }

    /// Makes sure that the checkpoint on disk knows the files that are about to be read. If it cannot be written, nothing leaves.
    fn announce(&mut self) -> bool {
        let is_needed = self.queue.iter().any(|&number| {
            self.streams[number]
                .as_ref()
                .is_some_and(|stream| stream.tails.iter().any(|tail| !tail.announced))
        });
        !is_needed || self.save_checkpoint()
    }

    /// Writes the checkpoint; returns whether that went well.
    fn save_checkpoint(&mut self) -> bool {
        self.checkpoint_due = None;
        let durable_before = self.broker.durable_before();
        for stream in self.streams.iter_mut().flatten() {
            stream.settle(durable_before);
        }
        let live = self.streams.iter().flatten().map(Stream::record);
        let mut streams: Vec<StreamRecord> = live.chain(self.records.values().cloned()).collect();
        streams.sort_by(|a, b| a.path.cmp(&b.path));
        let checkpoint = Checkpoint { node: self.config.node.clone(), streams };
        if let Err(error) = checkpoint.save(&self.config.state_dir) {
            if !self.checkpoint_failed {
                tracing::warn!(%error, "the checkpoint cannot be written; no new file is begun until it can: make room");
            }
            self.checkpoint_failed = true;
            self.checkpoint_due = Some(Instant::now() + CHECKPOINT_RETRY);
            return false;
        }
        self.checkpoint_failed = false;
        if self.streams.iter().flatten().any(|stream| !stream.undurable.is_empty()) {
            self.checkpoint_due = Some(Instant::now() + self.config.checkpoint_interval);
        }
        for tail in self.streams.iter_mut().flatten().flat_map(|stream| &mut stream.tails) {
            // An empty file is known by its place alone, which a later file may get.
            tail.announced = tail.fingerprint.head_length > 0;
        }
        true
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

    pub(crate) fn note_unreadable(&mut self, path: &Path, error: &io::Error) {
        let message = error.to_string();
        if self.unreadable.get(path) != Some(&message) {
            tracing::warn!(path = %path.display(), %error, "a log cannot be read; it is tried again");
            self.unreadable.insert(path.to_owned(), message);
        }
    }

    pub(crate) fn note_readable(&mut self, path: &Path) {
        if !self.unreadable.is_empty() && self.unreadable.remove(path).is_some() {
            tracing::info!(path = %path.display(), "a log can be read again");
        }
    }

    /// Tells how things stand, and those who asked for everything to be shipped that it is.
    fn publish(&mut self) {
        let touched = std::mem::take(&mut self.touched);
        let streams = &self.streams;
        self.status.send_modify(|status| {
            status.totals = self.totals;
            status.scans = self.scans;
            if status.unreadable != self.unreadable {
                status.unreadable.clone_from(&self.unreadable);
            }
            for stream in touched.into_iter().filter_map(|number| streams[number].as_ref()) {
                let told = StreamStatus {
                    position: stream.acknowledged.position,
                    next_line: stream.acknowledged.next_line,
                    lag_bytes: stream.lag_bytes(),
                    size: stream.tails.back().map_or(0, |tail| tail.size),
                    complete: stream.is_complete(),
                    untold_gap: stream.untold_gap.clone(),
                };
                match status.streams.get_mut(&stream.path) {
                    Some(known) => *known = told,
                    None => drop(status.streams.insert(stream.path.clone(), told)),
                }
            }
        });
        if !self.drains.is_empty() && self.is_drained() {
            for reply in self.drains.drain(..) {
                let _ = reply.send(self.totals);
            }
        }
    }

    fn is_drained(&self) -> bool {
        self.streams.iter().flatten().all(|stream| {
            stream.is_complete() || (stream.in_flight == 0 && self.unreadable.contains_key(&stream.path))
        })
    }

    /// Sets the gauges; called at a slow pace.
    pub(crate) fn set_gauges(&self) {
        let lag: u64 = self.streams.iter().flatten().map(Stream::lag_bytes).sum();
        let open = self.streams.iter().flatten().flat_map(|stream| &stream.tails);
        metrics::gauge!("rastro_shipper_lag_bytes").set(lag as f64);
        metrics::gauge!("rastro_shipper_open_files")
            .set(open.filter(|tail| tail.file.is_some()).count() as f64);
        metrics::gauge!("rastro_shipper_streams").set(self.by_path.len() as f64);
        metrics::gauge!("rastro_shipper_unreadable_files").set(self.unreadable.len() as f64);
    }
}
