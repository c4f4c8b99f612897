//! A store that fails when it is told to, and remembers what was written.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rastro_model::{Alarm, AlarmId, Position, Segment, SegmentId, StreamId, Tally};
use rastro_store::{
    AlarmQuery, AnalysisBatch, ChunkOutput, Columns, DatasetSummary, DeadLetter, Label, Profile,
    ProfileSummary, Retention, RetentionReport, Rollup, ScoreQuery, Store, StoreError, StoredScores,
    StoredSegment, WriteReport,
};

/// What the next write does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    DiskFull,
    Damaged,
    /// As for a wrong password: everything is refused.
    Refused,
    Slow(Duration),
    /// Never comes.
    Stuck,
}

/// Answers writes as told, and well when nothing is told.
#[derive(Debug, Default)]
pub(crate) struct ScriptedStore {
    answers: Mutex<VecDeque<Answer>>,
    always: Mutex<Option<Answer>>,
    written: Mutex<Vec<ChunkOutput>>,
    tries: Mutex<u64>,
    /// Where contiguous knowledge of streams ends, with the number of the next line.
    known: Mutex<HashMap<StreamId, (Position, u64)>>,
    /// Of this stream nothing is taken.
    refused: Option<StreamId>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScriptedStore {
    pub(crate) fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self { answers: Mutex::new(answers.into_iter().collect()), ..Self::default() }
    }

    pub(crate) fn always(answer: Answer) -> Self {
        Self { always: Mutex::new(Some(answer)), ..Self::default() }
    }

    /// Knows of a stream up to there, and takes no chunk that begins before.
    pub(crate) fn knowing(stream: StreamId, end: Position, next_line: u64) -> Self {
        Self { known: Mutex::new(HashMap::from([(stream, (end, next_line))])), ..Self::default() }
    }

    /// Takes everything but this stream's.
    pub(crate) fn refusing(stream: StreamId) -> Self {
        Self { refused: Some(stream), ..Self::default() }
    }

    pub(crate) fn written(&self) -> Vec<ChunkOutput> {
        lock(&self.written).clone()
    }

    pub(crate) fn tries(&self) -> u64 {
        *lock(&self.tries)
    }
}

fn refusal() -> StoreError {
    StoreError::Refused {
        server: "http://127.0.0.1:9200".to_owned(),
        message: "the password is wrong; give the right one".to_owned(),
    }
}

fn absent(kind: &'static str) -> StoreError {
    StoreError::NotFound { kind, name: String::new(), hint: "this store takes chunks only" }
}

#[async_trait]
impl Store for ScriptedStore {
    async fn write_chunks(&self, outputs: &[ChunkOutput]) -> Result<WriteReport, StoreError> {
        *lock(&self.tries) += 1;
        let answer = lock(&self.answers).pop_front().or(*lock(&self.always));
        match answer {
            Some(Answer::DiskFull) => return Err(StoreError::DiskFull { path: "store.db".to_owned() }),
            Some(Answer::Damaged) => {
                return Err(StoreError::Damaged {
                    what: "stream",
                    name: "x".to_owned(),
                    message: "two chunks overlap".to_owned(),
                });
            }
            Some(Answer::Refused) => return Err(refusal()),
            Some(Answer::Stuck) => std::future::pending().await,
            Some(Answer::Slow(pause)) => tokio::time::sleep(pause).await,
            None => {}
        }
        if outputs.iter().any(|output| Some(output.stream) == self.refused) {
            return Err(refusal());
        }
        let mut known = lock(&self.known);
        for output in outputs {
            let (end, next_line) = known.get(&output.stream).copied().unwrap_or_default();
            if output.start < end {
                return Err(StoreError::Overlap { stream: output.stream, known: end, next_line });
            }
        }
        for output in outputs {
            known.insert(output.stream, (output.end, output.first_line + u64::from(output.lines)));
        }
        drop(known);
        lock(&self.written).extend_from_slice(outputs);
        Ok(WriteReport { written: outputs.len() as u64, ..WriteReport::default() })
    }

    async fn datasets(&self) -> Result<Vec<DatasetSummary>, StoreError> {
        Err(absent("dataset"))
    }

    async fn delete_dataset(&self, _: &str) -> Result<(), StoreError> {
        Err(absent("dataset"))
    }

    async fn retain(&self, _: &Retention) -> Result<RetentionReport, StoreError> {
        Err(absent("dataset"))
    }

    async fn segments(
        &self,
        _: &str,
        _: u64,
        _: usize,
        _: Columns,
    ) -> Result<Vec<StoredSegment>, StoreError> {
        Err(absent("index"))
    }

    async fn segment(&self, _: SegmentId) -> Result<Segment, StoreError> {
        Err(absent("segment"))
    }

    async fn segment_before(&self, _: SegmentId) -> Result<Option<Segment>, StoreError> {
        Err(absent("segment"))
    }

    async fn wait_for_segments(&self, wait: Duration) {
        tokio::time::sleep(wait).await;
    }

    async fn claim(&self, _: &str, _: &str, _: &str, _: Duration) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn release_claim(&self, _: &str, _: &str, _: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn write_analysis(&self, _: &AnalysisBatch) -> Result<(), StoreError> {
        Err(absent("index"))
    }

    async fn place(&self, _: &str, _: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        Err(absent("index"))
    }

    async fn scores(&self, _: &ScoreQuery) -> Result<Vec<StoredScores>, StoreError> {
        Err(absent("index"))
    }

    async fn top_frames(&self, _: &ScoreQuery, _: usize) -> Result<Vec<(StoredScores, usize)>, StoreError> {
        Err(absent("index"))
    }

    async fn alarms(&self, _: &AlarmQuery) -> Result<Vec<Alarm>, StoreError> {
        Err(absent("alarm"))
    }

    async fn alarm(&self, _: &AlarmId) -> Result<Alarm, StoreError> {
        Err(absent("alarm"))
    }

    async fn put_profile(&self, _: &Profile) -> Result<u32, StoreError> {
        Err(absent("profile"))
    }

    async fn profiles(&self) -> Result<Vec<ProfileSummary>, StoreError> {
        Err(absent("profile"))
    }

    async fn profile(&self, _: &str, _: Option<u32>) -> Result<Profile, StoreError> {
        Err(absent("profile"))
    }

    async fn delete_profile(&self, _: &str, _: Option<u32>) -> Result<u32, StoreError> {
        Err(absent("profile"))
    }

    async fn put_labels(&self, _: &str, _: &[Label]) -> Result<(), StoreError> {
        Err(absent("dataset"))
    }

    async fn labels(&self, _: &str) -> Result<Vec<Label>, StoreError> {
        Err(absent("dataset"))
    }

    async fn dead_letters(&self, _: &str, _: usize) -> Result<Vec<DeadLetter>, StoreError> {
        Err(absent("dataset"))
    }

    async fn rollups(&self, _: &str) -> Result<Vec<Rollup>, StoreError> {
        Err(absent("index"))
    }

    async fn stream_tally(&self, _: StreamId) -> Result<Tally, StoreError> {
        Err(absent("stream"))
    }

    async fn stream_end(&self, _: StreamId) -> Result<Option<(Position, u64)>, StoreError> {
        Err(absent("stream"))
    }

    async fn size(&self) -> Result<u64, StoreError> {
        Err(absent("store"))
    }
}
