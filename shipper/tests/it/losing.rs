//! A broker that takes back, now and then, what it accepted a moment ago, as a server does that writes to its disk later than it answers.

use std::{
    collections::BTreeMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use rastro_broker::{Broker, BrokerError, Chunk, Delivery, Depth, StreamEnd};
use rastro_model::{Position, StreamId};
use tokio::sync::watch;

/// What was accepted longer ago is not taken back.
const LAG: Duration = Duration::from_millis(25);

#[derive(Debug, Default)]
pub(crate) struct LosingBroker {
    streams: Mutex<BTreeMap<StreamId, Vec<(Instant, Chunk)>>>,
    regressions: watch::Sender<u64>,
    /// Nothing is called durable beyond a loss that nobody has found yet.
    unfound: Mutex<Option<Instant>>,
}

impl LosingBroker {
    /// Takes back what was accepted in the last moment, a `share` of 256 of what could be; says so at once, or leaves it to be found.
    pub(crate) fn lose(&self, share: u32, is_told: bool) -> usize {
        let mut streams = self.streams.lock().unwrap();
        let since = Instant::now().checked_sub(LAG * share / 256).unwrap();
        let mut lost = 0;
        for chunks in streams.values_mut() {
            let before = chunks.len();
            chunks.retain(|(accepted, _)| *accepted < since);
            lost += before - chunks.len();
        }
        if lost > 0 {
            self.unfound.lock().unwrap().get_or_insert(since);
        }
        if lost > 0 && is_told {
            self.regressions.send_modify(|count| *count += 1);
        }
        lost
    }

    /// Everything that it holds.
    pub(crate) fn chunks(&self) -> Vec<Chunk> {
        self.streams.lock().unwrap().values().flatten().map(|(_, chunk)| chunk.clone()).collect()
    }
}

#[async_trait::async_trait]
impl Broker for LosingBroker {
    async fn append(&self, chunks: Vec<Chunk>) -> Result<usize, BrokerError> {
        let mut streams = self.streams.lock().unwrap();
        let mut accepted = 0;
        for chunk in chunks {
            let held = streams.entry(chunk.stream).or_default();
            let end = held.last().map_or(Position::START, |(_, last)| last.end);
            if chunk.end <= end {
                continue;
            }
            if chunk.previous != end {
                let Chunk { stream, previous, .. } = chunk;
                return Err(BrokerError::OutOfOrder { stream, previous, held: end });
            }
            held.push((Instant::now(), chunk));
            accepted += 1;
        }
        Ok(accepted)
    }

    async fn stream_end(&self, stream: StreamId) -> Result<Option<StreamEnd>, BrokerError> {
        let streams = self.streams.lock().unwrap();
        let last = streams.get(&stream).and_then(|chunks| chunks.last());
        let end = |chunk: &Chunk| StreamEnd {
            position: chunk.end,
            next_line: chunk.first_line + u64::from(chunk.lines),
        };
        Ok(last.map(|(_, chunk)| end(chunk)))
    }

    async fn take(&self, _: usize, _: Duration) -> Result<Vec<Delivery>, BrokerError> {
        Ok(Vec::new())
    }

    async fn acknowledge(&self, _: &[u64]) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn release(&self, _: &[u64]) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn depth(&self) -> Result<Depth, BrokerError> {
        Ok(Depth::default())
    }

    fn durable_before(&self) -> Instant {
        let now = Instant::now().checked_sub(LAG).unwrap();
        self.unfound.lock().unwrap().map_or(now, |loss| loss.min(now))
    }

    fn regressions(&self) -> watch::Receiver<u64> {
        // Who begins to listen asks where streams stand next, and so finds what has been lost.
        *self.unfound.lock().unwrap() = None;
        self.regressions.subscribe()
    }
}
