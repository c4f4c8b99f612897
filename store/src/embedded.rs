//! The store's home in one SQLite file.
//!
//! One thread owns the writing connection; every write is one transaction on it. Reads use connections of their own, each sees
//! one state of the file and none waits for the writer. Other processes may read at any time and write profiles, scores and
//! labels now and then: SQLite's lock orders the writers, and each waits for the others for a while ([`EmbeddedConfig`]).
//!
//! # What survives what
//! The file is in WAL mode with `synchronous = FULL`: what a write has returned for survives the death of the process at any
//! moment and a power loss. A write that was cut off leaves nothing.
//!
//! # Damage
//! The file is never thrown away or made anew where there is one. Every blob has a checksum; a damaged one fails the reads that
//! need it, by name, and nothing else.
//!
//! # Room
//! On a full disk a write fails with [`StoreError::DiskFull`], leaves nothing and may be tried again. A deleted dataset gives its
//! room back to the file system.

mod analysis;
mod chunks;
mod datasets;
mod failure;
mod names;
mod notes;
mod profiles;
mod readers;
mod retention;
mod schema;
mod segments;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use rastro_model::{Alarm, AlarmId, Position, Segment, SegmentId, StreamId, Tally};
use rusqlite::Transaction;
use tokio::{runtime::RuntimeFlavor, sync::Notify};

use self::{failure::Failure, readers::Readers, writer::Writer};
use crate::{
    AlarmQuery, AnalysisBatch, ChunkOutput, Columns, DatasetSummary, DeadLetter, Label, Migration, Profile,
    ProfileSummary, Retention, RetentionReport, Roll, Rollup, ScoreQuery, Store, StoreError, StoredScores,
    StoredSegment, WriteReport, retention::HeldWhat,
};

/// How often a waiting reader looks for segments that another process wrote.
const POLL: Duration = Duration::from_millis(250);

/// How an [`EmbeddedStore`] is set up.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// How long a write waits for one of another process before it fails with [`StoreError::Busy`].
    pub busy_timeout: Duration,
    /// Bound of the file, pages of 4 KiB; what exceeds it is treated as a full disk. No bound, if none.
    pub max_pages: Option<u32>,
    /// When a dataset goes on in its next index.
    pub roll: Roll,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self { busy_timeout: Duration::from_secs(30), max_pages: None, roll: Roll::ByTime }
    }
}

/// A store in one SQLite file. See the [module](self) for what it promises.
#[derive(Debug)]
pub struct EmbeddedStore {
    path: PathBuf,
    /// None, if it was opened for reading only.
    writer: Option<Writer>,
    roll: Roll,
    readers: Arc<Readers>,
    arrivals: Arc<Arrivals>,
}

/// What a reader who waits for segments needs to know.
#[derive(Debug, Default)]
struct Arrivals {
    /// Highest place that was told to a waiting reader.
    told: AtomicU64,
    notify: Notify,
}

impl EmbeddedStore {
    /// Opens the store in the file `path` and makes it if there is none. The directory must exist.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, &EmbeddedConfig::default())
    }

    /// The same, set up otherwise.
    pub fn open_with(path: &Path, config: &EmbeddedConfig) -> Result<Self, StoreError> {
        let fail = |failure: Failure| failure.into_store_error(path);
        let connection = schema::open_writer(path, config.busy_timeout).map_err(fail)?;
        if let Some(pages) = config.max_pages {
            let bound = connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()));
            bound.map_err(|error| fail(error.into()))?;
        }
        let writer = Writer::start(connection, path)?;
        Self::with_readers(path, Some(writer), config)
    }

    /// Opens an existing store for reading; another process may own and write it. Every write fails.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        Self::with_readers(path, None, &EmbeddedConfig::default())
    }

    /// Brings the tables of an older Rastro up to date. Returns what it did, or, with `is_trial`, what it would do. The same happens
    /// whenever a store is opened for writing; what is stored stays as it is.
    pub fn migrate(path: &Path, is_trial: bool) -> Result<Vec<Migration>, StoreError> {
        let config = EmbeddedConfig::default();
        let fail = |failure: Failure| failure.into_store_error(path);
        let from = schema::version_of(path, config.busy_timeout).map_err(fail)?;
        if from == schema::VERSION {
            return Ok(Vec::new());
        }
        if !is_trial {
            schema::open_writer(path, config.busy_timeout).map_err(fail)?;
        }
        Ok(vec![Migration {
            what: format!("tables of `{}`", path.display()),
            from: u64::try_from(from).ok().filter(|from| *from > 0),
            to: schema::VERSION.unsigned_abs(),
        }])
    }

    fn with_readers(
        path: &Path,
        writer: Option<Writer>,
        config: &EmbeddedConfig,
    ) -> Result<Self, StoreError> {
        let readers = Readers::new(path, config.busy_timeout);
        readers.open_first()?;
        Ok(Self { path: path.to_owned(), writer, roll: config.roll, readers, arrivals: Arc::default() })
    }

    /// Gives the room of what was removed back to the file system.
    async fn give_room_back(&self) -> Result<(), StoreError> {
        // What was removed is gone by now, whether or not its room can be given back at once.
        self.writer()?
            .run(|connection| {
                if let Err(error) = datasets::give_room_back(connection) {
                    tracing::warn!(%error, "the room of what was removed is not given back yet; new data will use it");
                }
                Ok(())
            })
            .await
    }

    /// Removes the dead letters that were stored in a time; returns how many.
    async fn remove_dead_letters(&self, start_ns: i64, end_ns: i64) -> Result<u64, StoreError> {
        let mut all = 0;
        loop {
            let some = move |transaction: &Transaction<'_>| {
                retention::remove_dead_letters(transaction, start_ns, end_ns)
            };
            let removed = self.write(some).await?;
            all += removed as u64;
            if removed < retention::LETTERS_AT_ONCE {
                break;
            }
        }
        Ok(all)
    }

    fn writer(&self) -> Result<&Writer, StoreError> {
        self.writer.as_ref().ok_or_else(|| StoreError::File {
            path: self.path.display().to_string(),
            message: "it was opened for reading only".to_owned(),
        })
    }

    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer()?.write(job).await
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        // The writer's connection is to be the last: only that one can put the journal into the file and remove it.
        self.readers.close();
    }
}

/// Runs `work`, which takes its time, without holding up the other tasks of a runtime with several threads.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

fn now_ns() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn write_chunks(&self, outputs: &[ChunkOutput]) -> Result<WriteReport, StoreError> {
        let writer = self.writer()?;
        let started = Instant::now();
        let prepared = blocking(|| chunks::prepare(outputs))?;
        let encoded = started.elapsed();
        let roll = self.roll;
        let written = writer.write(move |transaction| chunks::insert(transaction, prepared, roll)).await?;
        metrics::counter!("rastro_store_chunks_total").increment(written.report.written);
        metrics::counter!("rastro_store_duplicate_chunks_total").increment(written.report.duplicates);
        metrics::counter!("rastro_store_gaps_total").increment(written.report.gaps);
        metrics::counter!("rastro_store_lost_lines_total").increment(written.lost_lines);
        metrics::counter!("rastro_store_segments_total").increment(written.segments);
        metrics::counter!("rastro_store_calls_total").increment(written.calls);
        metrics::counter!("rastro_store_settled_enters_total").increment(written.settled);
        metrics::counter!("rastro_store_segment_bytes_total").increment(written.bytes);
        metrics::histogram!("rastro_store_encode_seconds").record(encoded.as_secs_f64());
        metrics::histogram!("rastro_store_write_seconds").record(started.elapsed().as_secs_f64());
        if written.report.gaps > 0 {
            tracing::warn!(
                gaps = written.report.gaps,
                lost_lines = written.lost_lines,
                "chunks are missing before others; the segments behind them are marked"
            );
        }
        if written.segments > 0 {
            self.arrivals.notify.notify_waiters();
        }
        Ok(written.report)
    }

    async fn datasets(&self) -> Result<Vec<DatasetSummary>, StoreError> {
        self.readers.read(|transaction| datasets::summaries(transaction)).await
    }

    async fn delete_dataset(&self, dataset: &str) -> Result<(), StoreError> {
        let dataset = dataset.to_owned();
        self.write(move |transaction| datasets::delete(transaction, &dataset)).await?;
        self.give_room_back().await
    }

    async fn retain(&self, policy: &Retention) -> Result<RetentionReport, StoreError> {
        let mut report = RetentionReport::default();
        if policy.keeps_everything() {
            return Ok(report);
        }
        let held = self.readers.read(|transaction| retention::held(transaction)).await?;
        for one in policy.choose(held, now_ns()) {
            match one.what {
                HeldWhat::Index { name, .. } => {
                    // One after the other, so that the writer gets its turn in between.
                    let index = name.clone();
                    self.write(move |transaction| retention::remove(transaction, &index)).await?;
                    report.index_gone(name, one.bytes);
                }
                HeldWhat::DeadLetters { start_ns } => {
                    let removed = self.remove_dead_letters(start_ns, one.end_ns).await?;
                    report.dead_letters_gone(removed, one.bytes);
                }
            }
        }
        if report != RetentionReport::default() {
            self.give_room_back().await?;
        }
        Ok(report)
    }

    async fn segments(
        &self,
        index: &str,
        after: u64,
        max_calls: usize,
        columns: Columns,
    ) -> Result<Vec<StoredSegment>, StoreError> {
        let index = index.to_owned();
        self.readers
            .read(move |transaction| segments::page(transaction, &index, after, max_calls, columns))
            .await
    }

    async fn segment(&self, id: SegmentId) -> Result<Segment, StoreError> {
        self.readers.read(move |transaction| segments::one(transaction, id)).await
    }

    async fn segment_before(&self, id: SegmentId) -> Result<Option<Segment>, StoreError> {
        self.readers.read(move |transaction| segments::before(transaction, id)).await
    }

    async fn wait_for_segments(&self, wait: Duration) {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            // Registered before the look, so that segments that arrive in between end the wait.
            let arrived = self.arrivals.notify.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            match self.readers.read(|transaction| segments::newest_place(transaction)).await {
                Ok(newest) => {
                    if self.arrivals.told.fetch_max(newest, Ordering::AcqRel) < newest {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot look for new segments; the next read will say why");
                }
            }
            let now = tokio::time::Instant::now();
            if now >= deadline {
                return;
            }
            // Either way the loop looks again.
            let _ = tokio::time::timeout_at(deadline.min(now + POLL), arrived).await;
        }
    }

    async fn claim(&self, _: &str, _: &str, _: &str, _: Duration) -> Result<bool, StoreError> {
        // Whoever writes holds the file.
        Ok(true)
    }

    async fn release_claim(&self, _: &str, _: &str, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn write_analysis(&self, batch: &AnalysisBatch) -> Result<(), StoreError> {
        let writer = self.writer()?;
        let prepared = blocking(|| analysis::prepare(batch))?;
        writer.write(move |transaction| analysis::insert(transaction, prepared)).await
    }

    async fn place(&self, job: &str, index: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let (job, index) = (job.to_owned(), index.to_owned());
        self.readers.read(move |transaction| analysis::place(transaction, &job, &index)).await
    }

    async fn scores(&self, query: &ScoreQuery) -> Result<Vec<StoredScores>, StoreError> {
        let query = query.clone();
        self.readers.read(move |transaction| analysis::scores(transaction, &query)).await
    }

    async fn top_frames(
        &self,
        query: &ScoreQuery,
        count: usize,
    ) -> Result<Vec<(StoredScores, usize)>, StoreError> {
        let query = query.clone();
        self.readers.read(move |transaction| analysis::top_frames(transaction, &query, count)).await
    }

    async fn alarms(&self, query: &AlarmQuery) -> Result<Vec<Alarm>, StoreError> {
        let query = query.clone();
        self.readers.read(move |transaction| analysis::alarms(transaction, &query)).await
    }

    async fn alarm(&self, id: &AlarmId) -> Result<Alarm, StoreError> {
        let id = id.clone();
        self.readers.read(move |transaction| analysis::alarm(transaction, &id)).await
    }

    async fn put_profile(&self, profile: &Profile) -> Result<u32, StoreError> {
        let profile = profile.clone();
        self.write(move |transaction| profiles::put(transaction, &profile)).await
    }

    async fn profiles(&self) -> Result<Vec<ProfileSummary>, StoreError> {
        self.readers.read(|transaction| profiles::list(transaction)).await
    }

    async fn profile(&self, name: &str, version: Option<u32>) -> Result<Profile, StoreError> {
        let name = name.to_owned();
        self.readers.read(move |transaction| profiles::get(transaction, &name, version)).await
    }

    async fn delete_profile(&self, name: &str, version: Option<u32>) -> Result<u32, StoreError> {
        let name = name.to_owned();
        self.write(move |transaction| profiles::delete(transaction, &name, version)).await
    }

    async fn put_labels(&self, dataset: &str, labels: &[Label]) -> Result<(), StoreError> {
        let (dataset, labels) = (dataset.to_owned(), labels.to_vec());
        self.write(move |transaction| notes::put_labels(transaction, &dataset, &labels)).await
    }

    async fn labels(&self, dataset: &str) -> Result<Vec<Label>, StoreError> {
        let dataset = dataset.to_owned();
        self.readers.read(move |transaction| notes::labels(transaction, &dataset)).await
    }

    async fn dead_letters(&self, dataset: &str, count: usize) -> Result<Vec<DeadLetter>, StoreError> {
        let dataset = dataset.to_owned();
        self.readers.read(move |transaction| notes::dead_letters(transaction, &dataset, count)).await
    }

    async fn rollups(&self, index: &str) -> Result<Vec<Rollup>, StoreError> {
        let index = index.to_owned();
        self.readers.read(move |transaction| notes::rollups(transaction, &index)).await
    }

    async fn stream_tally(&self, stream: StreamId) -> Result<Tally, StoreError> {
        self.readers.read(move |transaction| datasets::stream_tally(transaction, stream)).await
    }

    async fn stream_end(&self, stream: StreamId) -> Result<Option<(Position, u64)>, StoreError> {
        self.readers.read(move |transaction| datasets::stream_end(transaction, stream)).await
    }

    async fn size(&self) -> Result<u64, StoreError> {
        let mut size = 0;
        for suffix in ["", "-wal", "-shm"] {
            let mut path = self.path.as_os_str().to_owned();
            path.push(suffix);
            match tokio::fs::metadata(&path).await {
                Ok(metadata) => size += metadata.len(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(StoreError::File {
                        path: path.to_string_lossy().into_owned(),
                        message: error.to_string(),
                    });
                }
            }
        }
        Ok(size)
    }
}
