//! What the shipper holds while its broker takes nothing.

use std::{
    fs,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rastro_broker::{Broker, BrokerError, Chunk, Delivery, Depth, StreamEnd};
use rastro_model::StreamId;
use rastro_shipper::{Shipper, ShipperConfig};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::{losing::LosingBroker, rig::Rig};

/// A broker that takes what comes one append at a time, each when it is told to.
#[derive(Debug)]
struct GatedBroker {
    inner: LosingBroker,
    gate: Semaphore,
    /// Bytes of lines of each append that has come.
    appends: Mutex<Vec<usize>>,
}

#[async_trait::async_trait]
impl Broker for GatedBroker {
    async fn append(&self, chunks: Vec<Chunk>) -> Result<usize, BrokerError> {
        let bytes = chunks.iter().map(|chunk| chunk.payload.raw_length()).sum();
        self.appends.lock().unwrap().push(bytes);
        self.gate.acquire().await.unwrap().forget();
        self.inner.append(chunks).await
    }

    async fn stream_end(&self, stream: StreamId) -> Result<Option<StreamEnd>, BrokerError> {
        self.inner.stream_end(stream).await
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
        self.inner.durable_before()
    }

    fn regressions(&self) -> watch::Receiver<u64> {
        self.inner.regressions()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_lines_are_read_than_may_be_on_their_way() {
    const CHUNK: usize = 10_000;
    const LIMIT: usize = 50_000;
    let rig = Rig::new();
    let line = [b"x".repeat(99), b"\n".to_vec()].concat();
    for name in ["a.log", "b.log", "c.log"] {
        fs::write(rig.log(name), line.repeat(3_000)).unwrap();
    }
    let broker = Arc::new(GatedBroker {
        inner: LosingBroker::default(),
        gate: Semaphore::new(0),
        appends: Mutex::default(),
    });
    let config = ShipperConfig { chunk_bytes: CHUNK, bytes_in_flight: LIMIT, ..rig.config() };
    let shipper = Shipper::new(config, Arc::clone(&broker) as Arc<dyn Broker>).unwrap();
    let handle = shipper.handle();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(shipper.run(async move { drop(stopped.await) }));

    let mut status = handle.status();
    let all = 3 * 300_000;
    let shipped = tokio::time::timeout(Duration::from_mins(2), async {
        while broker.appends.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Long enough for everything to be read that may be: the next append brings it all.
        tokio::time::sleep(Duration::from_secs(1)).await;
        broker.gate.add_permits(Semaphore::MAX_PERMITS);
        status.wait_for(|status| status.totals.bytes == all).await.unwrap();
    });
    shipped.await.unwrap();
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();

    let appends = broker.appends.lock().unwrap().clone();
    assert!(appends.iter().all(|&bytes| bytes <= LIMIT + CHUNK), "{appends:?}");
    assert!(appends[1] > LIMIT / 2, "the bound was never reached: {appends:?}");
    assert_eq!(broker.inner.chunks().iter().map(|chunk| chunk.payload.raw_length()).sum::<usize>(), 900_000);
}
