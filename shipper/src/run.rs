//! The shipper as it runs: rounds of the follower, compression on as many cores as there are, one append at a time, all in order.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    ops::Range,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rastro_broker::{Broker, BrokerError, Chunk, Payload};
use rastro_model::{Position, StreamId};
use tokio::{
    net::unix::pipe::Receiver,
    runtime::Handle,
    sync::{mpsc, watch},
    task::{JoinHandle, spawn_blocking},
};

use crate::{
    ShipperConfig, ShipperError, ShipperHandle, Status, Totals,
    follower::{Carried, Follower, RoundInput, RoundOutput},
    status::Request,
    stream::{Cutting, Place},
};

/// Chunks in one append at most.
const APPEND_AT_ONCE: usize = 32;

/// How long to wait before going on from where a broker stands that has lost chunks: at first, and at most.
const REWIND_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Follows files and ships their lines into a broker. See the [crate documentation](crate).
pub struct Shipper {
    config: Arc<ShipperConfig>,
    broker: Arc<dyn Broker>,
    rewind: Option<HashMap<StreamId, (Position, u64)>>,
    status: watch::Sender<Status>,
    handle: ShipperHandle,
    requests: mpsc::UnboundedReceiver<Request>,
}

/// Lines that are to become a chunk.
pub(crate) struct Job {
    pub(crate) stream: usize,
    pub(crate) id: StreamId,
    pub(crate) path: PathBuf,
    pub(crate) cutting: Cutting,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A chunk that the broker has accepted.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    pub(crate) stream: usize,
    pub(crate) place: Place,
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
    pub(crate) cut_lines: u64,
    /// Bytes of its lines: what it counted for in [`ShipperConfig::bytes_in_flight`].
    length: usize,
}

/// Buffers that are used again: a fresh one of this size costs more than reading into it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    pub(crate) fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Keeps a buffer, unless all together would then be larger than `limit` bytes.
    fn give_back(&self, buffer: Vec<u8>, limit: usize) {
        let mut buffers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.iter().map(Vec::capacity).sum::<usize>() + buffer.capacity() <= limit {
            buffers.push(buffer);
        }
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

type Compressing = JoinHandle<Result<(Chunk, Acknowledged), ShipperError>>;
type Appending = Pin<Box<dyn Future<Output = Result<usize, BrokerError>> + Send>>;
type Round = JoinHandle<(Box<Follower>, Result<RoundOutput, ShipperError>)>;

impl Shipper {
    /// A shipper that will resume where `broker` says that each stream stands, and where its checkpoint says for the others.
    pub fn new(config: ShipperConfig, broker: Arc<dyn Broker>) -> Result<Self, ShipperError> {
        config.check()?;
        let (status, status_receiver) = watch::channel(Status::default());
        let (requests_sender, requests) = mpsc::unbounded_channel();
        let handle = ShipperHandle { status: status_receiver, requests: requests_sender };
        Ok(Self { config: Arc::new(config), broker, rewind: None, status, handle, requests })
    }

    /// For a broker whose queue was lost: streams that the broker does not know resume where the store's knowledge of them ends
    /// (position and next line), and from their beginning if the store has none of them. What is no longer on the disk is told as a gap.
    #[must_use]
    pub fn rewind(mut self, stored: HashMap<StreamId, (Position, u64)>) -> Self {
        self.rewind = Some(stored);
        self
    }

    /// To speak with the shipper while it runs.
    pub fn handle(&self) -> ShipperHandle {
        self.handle.clone()
    }

    /// Follows and ships until `shutdown` is ready, then writes a last checkpoint.
    ///
    /// Where the broker has lost what it had accepted, shipping goes on from where it stands now.
    ///
    /// If the returned future is dropped, everything stops as by kill -9: nothing is lost, and what was in flight is sent again.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<Totals, ShipperError> {
        let Self { config, broker, rewind, status, handle: _, mut requests } = self;
        tokio::pin!(shutdown);
        let buffers = Buffers::default();
        let mut carried = Carried { status, totals: Totals::default(), drains: Vec::new() };
        let mut pause = REWIND_PAUSES.0;
        loop {
            let begun = Instant::now();
            // Before the broker is asked where streams stand: what changes afterwards is seen.
            let regressions = broker.regressions();
            let starting = {
                let (config, broker, buffers) = (Arc::clone(&config), Arc::clone(&broker), buffers.clone());
                let (rewind, runtime) = (rewind.clone(), Handle::current());
                spawn_blocking(move || Follower::start(config, broker, rewind, carried, buffers, runtime))
            };
            let follower = Box::new(starting.await.map_err(interrupted)??);
            let running = Running {
                descriptor: follower.watch_descriptor(),
                follower: Some(follower),
                config: Arc::clone(&config),
                broker: Arc::clone(&broker),
                buffers: buffers.clone(),
                requests: &mut requests,
                armed: None,
                round: None,
                compressing: VecDeque::new(),
                ready: Vec::new(),
                appending: None,
                appended: Vec::new(),
                acknowledged: Vec::new(),
                in_flight: 0,
                bytes_in_flight: 0,
                input: RoundInput::default(),
                has_more: false,
                has_reports: false,
                wake_at: Instant::now(),
                not_before: Instant::now(),
                next_gauges: Instant::now(),
            };
            match running.run(regressions, shutdown.as_mut()).await? {
                Ended::Done(totals) => return Ok(totals),
                Ended::Behind(left) => carried = left,
            }
            metrics::counter!("rastro_shipper_rewinds_total").increment(1);
            pause = if begun.elapsed() > REWIND_PAUSES.1 * 2 {
                REWIND_PAUSES.0
            } else {
                (pause * 2).min(REWIND_PAUSES.1)
            };
            tokio::select! {
                () = shutdown.as_mut() => return Ok(carried.totals),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// How a run came to its end.
enum Ended {
    /// It was told to.
    Done(Totals),
    /// The broker does not hold what was shipped: shipping has to go on from where it stands.
    Behind(Carried),
}

struct Running<'a> {
    config: Arc<ShipperConfig>,
    broker: Arc<dyn Broker>,
    buffers: Buffers,
    requests: &'a mut mpsc::UnboundedReceiver<Request>,
    descriptor: Option<Arc<OwnedFd>>,
    /// Registered only while there is nothing to read: between two looks no report wakes anybody.
    armed: Option<Receiver>,
    /// Here between two rounds.
    follower: Option<Box<Follower>>,
    round: Option<Round>,
    compressing: VecDeque<Compressing>,
    ready: Vec<(Chunk, Acknowledged)>,
    appending: Option<Appending>,
    /// What the append under way will have brought.
    appended: Vec<Acknowledged>,
    /// Accepted while the follower is on a round.
    acknowledged: Vec<Acknowledged>,
    in_flight: usize,
    bytes_in_flight: usize,
    input: RoundInput,
    has_more: bool,
    has_reports: bool,
    wake_at: Instant,
    not_before: Instant,
    next_gauges: Instant,
}

impl Running<'_> {
    async fn run(
        mut self,
        mut regressions: watch::Receiver<u64>,
        mut shutdown: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Result<Ended, ShipperError> {
        loop {
            self.start_append();
            self.start_round();
            tokio::select! {
                () = shutdown.as_mut() => break,
                () = regressed(&mut regressions) => return self.give_way().await,
                result = self.advance() => match result {
                    Err(ShipperError::Broker(error @ BrokerError::OutOfOrder { .. })) => {
                        tracing::warn!(%error, "the broker does not stand where it was; shipping goes on from where it stands");
                        return self.give_way().await;
                    }
                    result => result?,
                },
            }
        }
        self.finish().await.map(Ended::Done)
    }

    /// Drops what is on its way: it is read again from where the broker stands.
    async fn give_way(mut self) -> Result<Ended, ShipperError> {
        self.appending = None;
        if self.round.is_some() {
            let (follower, result) = joined(&mut self.round).await?;
            self.round = None;
            self.follower = Some(follower);
            result?;
        }
        let Some(follower) = self.follower.take() else { return Err(follower_is_gone()) };
        let mut carried = spawn_blocking(move || follower.give_way()).await.map_err(interrupted)?;
        carried.drains.append(&mut self.input.drains);
        Ok(Ended::Behind(carried))
    }

    /// Waits for the next thing that happens and takes it in.
    async fn advance(&mut self) -> Result<(), ShipperError> {
        if self.armed.is_none() && !self.has_reports {
            // Tokio's pipe takes any descriptor that can be waited for, and owns it, which makes it the safe way to wait for one.
            let descriptor = self.descriptor.as_ref().and_then(|descriptor| descriptor.try_clone().ok());
            self.armed = descriptor.and_then(|owned| Receiver::from_owned_fd_unchecked(owned).ok());
        }
        let wake_at = if self.has_reports { self.wake_at.min(self.not_before) } else { self.wake_at };
        let may_rest = self.round.is_none();
        tokio::select! {
            joined = joined(&mut self.round) => {
                let (follower, result) = joined?;
                self.round = None;
                self.follower = Some(follower);
                self.take_round(result?);
                self.hand_over();
            }
            result = joined_front(&mut self.compressing) => {
                self.compressing.pop_front();
                self.ready.push(result?);
            }
            result = appended(&mut self.appending) => {
                result?;
                self.take_append();
            }
            Some(request) = self.requests.recv() => {
                let Request::Drain(reply) = request;
                self.input.drains.push(reply);
            }
            () = reported(self.armed.as_ref()), if self.armed.is_some() => {
                self.armed = None;
                self.has_reports = true;
            }
            () = tokio::time::sleep_until(wake_at.into()), if may_rest => {}
        }
        Ok(())
    }

    /// Begins a round if one is due.
    fn start_round(&mut self) {
        let now = Instant::now();
        let chunks = self.config.chunks_in_flight.saturating_sub(self.in_flight);
        let bytes = self.config.bytes_in_flight.saturating_sub(self.bytes_in_flight);
        let has_room = chunks > 0 && bytes > 0;
        let is_due = (self.has_more && has_room)
            || !self.input.drains.is_empty()
            || self.wake_at <= now
            || (self.has_reports && self.not_before <= now);
        if !is_due {
            return;
        }
        let Some(mut follower) = self.follower.take() else { return };
        let mut input = std::mem::take(&mut self.input);
        // Half of it, so that the next round reads while this one's lines are compressed.
        (input.chunks, input.bytes) = (chunks.div_ceil(2), bytes.div_ceil(2));
        if std::mem::take(&mut self.has_reports) {
            self.not_before = now + self.config.wake_interval;
        }
        if self.next_gauges <= now {
            self.next_gauges = now + Duration::from_secs(1);
            follower.set_gauges();
        }
        self.round = Some(spawn_blocking(move || {
            let result = follower.round(input);
            (follower, result)
        }));
    }

    fn take_round(&mut self, output: RoundOutput) {
        self.has_more = output.has_more;
        self.has_reports |= output.has_reports;
        self.wake_at = output.wake_at;
        if output.jobs.is_empty() && self.in_flight == 0 && !self.has_more {
            // At rest nothing is kept for later.
            self.buffers.clear();
        }
        let read_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
        self.in_flight += output.jobs.len();
        for job in output.jobs {
            self.bytes_in_flight += job.cutting.piece.range.len();
            let (config, buffers) = (Arc::clone(&self.config), self.buffers.clone());
            self.compressing.push_back(spawn_blocking(move || compress(job, &config, &buffers, read_ns)));
        }
    }

    /// Gives the follower what the broker has accepted, if it is not on a round.
    fn hand_over(&mut self) {
        if let Some(follower) = &mut self.follower
            && !self.acknowledged.is_empty()
        {
            follower.acknowledge(std::mem::take(&mut self.acknowledged));
            self.wake_at = follower.next_wake();
        }
    }

    /// Begins an append if none is under way.
    fn start_append(&mut self) {
        if self.appending.is_some() || self.ready.is_empty() {
            return;
        }
        let count = self.ready.len().min(APPEND_AT_ONCE);
        let (chunks, appended): (Vec<_>, Vec<_>) = self.ready.drain(..count).unzip();
        self.appended = appended;
        let broker = Arc::clone(&self.broker);
        self.appending = Some(Box::pin(async move { broker.append(chunks).await }));
    }

    fn take_append(&mut self) {
        self.appending = None;
        let appended = std::mem::take(&mut self.appended);
        self.in_flight -= appended.len();
        self.bytes_in_flight -= appended.iter().map(|chunk| chunk.length).sum::<usize>();
        self.acknowledged.extend(appended);
        self.hand_over();
    }

    /// Sends what is cut already, as far as the broker takes it in time, and writes the last checkpoint.
    async fn finish(mut self) -> Result<Totals, ShipperError> {
        let deadline = tokio::time::Instant::now() + self.config.shutdown_timeout;
        if self.round.is_some() {
            let (follower, result) = joined(&mut self.round).await?;
            self.round = None;
            self.follower = Some(follower);
            self.take_round(result?);
        }
        while self.in_flight > 0 {
            self.start_append();
            tokio::select! {
                result = joined_front(&mut self.compressing) => {
                    self.compressing.pop_front();
                    self.ready.push(result?);
                }
                result = appended(&mut self.appending) => match result {
                    // It has lost what it had accepted. At the next start shipping goes on from where it stands.
                    Err(BrokerError::OutOfOrder { .. }) => break,
                    result => {
                        result?;
                        self.take_append();
                    }
                },
                () = tokio::time::sleep_until(deadline) => {
                    tracing::info!(chunks = self.in_flight, "the broker does not take the last chunks now; they are sent at the next start");
                    break;
                }
            }
        }
        self.hand_over();
        match self.follower.take() {
            Some(follower) => spawn_blocking(move || follower.close()).await.map_err(interrupted),
            None => Err(follower_is_gone()),
        }
    }
}

/// The result of the round that is under way; never ready if there is none.
async fn joined(
    round: &mut Option<Round>,
) -> Result<(Box<Follower>, Result<RoundOutput, ShipperError>), ShipperError> {
    match round {
        None => std::future::pending().await,
        Some(round) => round.await.map_err(interrupted),
    }
}

async fn joined_front(
    compressing: &mut VecDeque<Compressing>,
) -> Result<(Chunk, Acknowledged), ShipperError> {
    match compressing.front_mut() {
        None => std::future::pending().await,
        Some(front) => front.await.map_err(interrupted)?,
    }
}

async fn appended(appending: &mut Option<Appending>) -> Result<usize, BrokerError> {
    match appending {
        None => std::future::pending().await,
        Some(appending) => appending.await,
    }
}

/// Ready when the broker says that it has lost what it had accepted.
async fn regressed(regressions: &mut watch::Receiver<u64>) {
    if regressions.changed().await.is_err() {
        // This one does not lose.
        std::future::pending::<()>().await;
    }
}

fn follower_is_gone() -> ShipperError {
    ShipperError::Interrupted("its follower is gone".to_owned())
}

async fn reported(armed: Option<&Receiver>) {
    match armed {
        None => std::future::pending().await,
        // An error means that the runtime is ending; the poll goes on as long as anything does.
        Some(armed) => drop(armed.readable().await),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn interrupted(error: tokio::task::JoinError) -> ShipperError {
    ShipperError::Interrupted(error.to_string())
}

fn compress(
    job: Job,
    config: &ShipperConfig,
    buffers: &Buffers,
    read_ns: i64,
) -> Result<(Chunk, Acknowledged), ShipperError> {
    let Job { stream, id, path, cutting } = job;
    let Cutting { piece, header, generation, previous, first_line, gap, after } = cutting;
    let Range { start, end } = piece.range;
    let payload = Payload::compress(&piece.buffer[start..end]).map_err(BrokerError::from)?;
    buffers.give_back(piece.buffer, config.bytes_in_flight);
    let chunk = Chunk {
        stream: id,
        start: Position::new(generation, piece.start),
        end: after.position,
        previous,
        first_line,
        lines: piece.lines,
        cut_lines: piece.cut_lines,
        gap,
        node: config.node.clone(),
        path: path.as_os_str().as_bytes().to_vec(),
        header,
        read_ns,
        payload,
    };
    let acknowledged = Acknowledged {
        stream,
        place: after,
        lines: u64::from(piece.lines),
        bytes: piece.end - piece.start,
        cut_lines: u64::from(piece.cut_lines),
        length: end - start,
    };
    Ok((chunk, acknowledged))
}
