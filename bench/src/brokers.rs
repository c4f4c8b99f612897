//! Brokers that keep no chunk: what a shipper does, without a queue's disk.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use rastro_broker::{Broker, BrokerError, Chunk, Delivery, Depth, StreamEnd};
use rastro_model::StreamId;

/// What a broker does with a chunk before it forgets it.
type Look = dyn Fn(&Chunk) + Send + Sync;

/// Accepts every chunk, looks at it and forgets it.
pub(crate) struct ForgetfulBroker {
    look: Box<Look>,
    ends: Mutex<HashMap<StreamId, StreamEnd>>,
}

impl ForgetfulBroker {
    /// Looks at every chunk with `look`.
    pub(crate) fn new(look: impl Fn(&Chunk) + Send + Sync + 'static) -> Self {
        Self { look: Box::new(look), ends: Mutex::default() }
    }

    fn ends(&self) -> MutexGuard<'_, HashMap<StreamId, StreamEnd>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Broker for ForgetfulBroker {
    async fn append(&self, chunks: Vec<Chunk>) -> Result<usize, BrokerError> {
        let mut ends = self.ends();
        let mut new = 0;
        for chunk in &chunks {
            let held = ends.get(&chunk.stream).map(|end| end.position);
            if held.is_some_and(|held| chunk.end <= held) {
                continue;
            }
            (self.look)(chunk);
            new += 1;
            let next_line = chunk.first_line + u64::from(chunk.lines);
            ends.insert(chunk.stream, StreamEnd { position: chunk.end, next_line });
        }
        Ok(new)
    }

    async fn stream_end(&self, stream: StreamId) -> Result<Option<StreamEnd>, BrokerError> {
        Ok(self.ends().get(&stream).copied())
    }

    async fn take(&self, _max_bytes: usize, wait: Duration) -> Result<Vec<Delivery>, BrokerError> {
        tokio::time::sleep(wait).await;
        Ok(Vec::new())
    }

    async fn acknowledge(&self, _ids: &[u64]) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn release(&self, _ids: &[u64]) -> Result<(), BrokerError> {
        Ok(())
    }

    async fn depth(&self) -> Result<Depth, BrokerError> {
        Ok(Depth { chunks: 0, bytes: 0, limit_bytes: u64::MAX })
    }
}
