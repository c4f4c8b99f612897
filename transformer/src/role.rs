//! The loop of the role: take chunks, transform them, write what became of them, acknowledge.
//!
//! Two tasks with one batch in between: while the store writes a batch, the next one is being transformed on a blocking thread.
//! Both keep the order of the deliveries, and with it the order of every stream.
//!
//! A chunk is acknowledged after its output is written, so that death at any moment repeats chunks and loses none; the store
//! knows repeats. A store that cannot write for now is tried again, with growing pauses, for as long as it takes: chunks wait in
//! the broker, and in the end in the log files. A store that refuses (a wrong password, an index that is not ours) ends the role
//! with its sentence; the chunks stay in the broker.

use std::{sync::Arc, time::Duration};

use rastro_broker::{Broker, BrokerError, Delivery};
use rastro_store::{Store, StoreError};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    Transformer, TransformerConfig,
    report::Figures,
    writing::{Batch, Writing, give_back},
};

/// How the role works.
#[derive(Debug, Clone)]
pub struct RoleConfig {
    /// What is done to a chunk.
    pub transformer: TransformerConfig,
    /// Most compressed bytes taken from the broker at once.
    pub take_bytes: usize,
    /// Most bytes of lines in one write. Three such batches are in memory at a time: one taken, one transformed, one written.
    pub batch_bytes: usize,
    /// How long to wait for chunks before asking again.
    pub wait: Duration,
    /// Pause before the first repeat of a write that failed; it doubles up to `retry_limit`.
    pub retry: Duration,
    /// Longest pause between repeats.
    pub retry_limit: Duration,
    /// How long a write or an acknowledgement may still take once the role has been told to end. What is not done by then is
    /// delivered again at the next start.
    pub end_limit: Duration,
}

impl RoleConfig {
    /// The defaults around a transformer.
    pub const fn new(transformer: TransformerConfig) -> Self {
        // A document is several times as long as its line.
        let batch_bytes = if transformer.documents.calls { 2 } else { 8 } * 1024 * 1024;
        Self {
            transformer,
            take_bytes: 2 * 1024 * 1024,
            batch_bytes,
            wait: Duration::from_secs(1),
            retry: Duration::from_millis(100),
            retry_limit: Duration::from_secs(5),
            end_limit: Duration::from_secs(10),
        }
    }
}

/// What ends the role before it is told to end. Nothing is lost by it: what was not acknowledged is delivered again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransformerError {
    /// The broker gives no chunks, or takes no acknowledgement.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The store refuses an output for good.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A chunk could not be transformed because of a fault in Rastro.
    #[error("a chunk could not be transformed: {0}; this is a fault in Rastro, please report it")]
    Fault(String),
}

/// Transforms what `broker` delivers into `store` until `shutdown`; then finishes what was taken and returns. If the store
/// cannot write at that moment, what was taken goes back to the broker.
pub async fn run(
    broker: Arc<dyn Broker>,
    store: Arc<dyn Store>,
    config: RoleConfig,
    shutdown: CancellationToken,
) -> Result<(), TransformerError> {
    // Ends the other half if one half fails.
    let stop = shutdown.child_token();
    let _stop_with_this = stop.clone().drop_guard();
    let (sender, receiver) = mpsc::channel(1);
    let transforming = transform_deliveries(Arc::clone(&broker), config.clone(), sender, stop.clone());
    let transforming = tokio::spawn(transforming);
    let writing = Writing { broker: &*broker, store: &*store, config: &config, shutdown: &shutdown };
    let written = writing.run(receiver).await;
    stop.cancel();
    let transformed =
        transforming.await.unwrap_or_else(|error| Err(TransformerError::Fault(error.to_string())));
    written.and(transformed)
}

/// The first half: from the broker to `sender`, in order.
async fn transform_deliveries(
    broker: Arc<dyn Broker>,
    config: RoleConfig,
    sender: mpsc::Sender<Batch>,
    stop: CancellationToken,
) -> Result<(), TransformerError> {
    let mut transformer = Transformer::new(config.transformer.clone());
    while !stop.is_cancelled() {
        let taken = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            taken = broker.take(config.take_bytes, config.wait) => taken?,
        };
        for deliveries in batches(taken, config.batch_bytes) {
            let ids: Vec<u64> = deliveries.iter().map(|delivery| delivery.id).collect();
            let work = tokio::task::spawn_blocking(move || {
                let batch = transform_batch(&mut transformer, deliveries);
                (transformer, batch)
            });
            let batch;
            (transformer, batch) = work.await.map_err(|error| TransformerError::Fault(error.to_string()))?;
            if sender.send(batch).await.is_err() {
                // The writing half is gone: with an error, or because it could not write when it had to end.
                give_back(&*broker, &ids, &config, &stop).await?;
            }
        }
    }
    Ok(())
}

/// Deliveries in runs whose lines are about `limit` bytes long, at least one in each.
fn batches(deliveries: Vec<Delivery>, limit: usize) -> Vec<Vec<Delivery>> {
    let mut batches: Vec<Vec<Delivery>> = Vec::new();
    let mut room = 0;
    for delivery in deliveries {
        let length = delivery.chunk.payload.raw_length();
        match batches.last_mut() {
            Some(batch) if length <= room => {
                room -= length;
                batch.push(delivery);
            }
            _ => {
                room = limit.saturating_sub(length);
                batches.push(vec![delivery]);
            }
        }
    }
    batches
}

fn transform_batch(transformer: &mut Transformer, deliveries: Vec<Delivery>) -> Batch {
    let begun = Instant::now();
    let mut figures = Figures::default();
    let mut outputs = Vec::with_capacity(deliveries.len());
    for delivery in &deliveries {
        let transformed = transformer.transform_counting(&delivery.chunk);
        figures.add(&delivery.chunk, &transformed);
        outputs.push(transformed.output);
    }
    figures.transform_seconds = begun.elapsed().as_secs_f64();
    Batch { deliveries, outputs, known: Vec::new(), figures }
}

#[cfg(test)]
mod tests {
    use rastro_broker::{Chunk, Payload};
    use rastro_model::{Position, StreamId};

    use super::*;

    fn delivery(id: u64, length: usize) -> Delivery {
        let chunk = Chunk {
            stream: StreamId(1),
            start: Position::new(0, id),
            end: Position::new(0, id + 1),
            previous: Position::new(0, id),
            first_line: id,
            lines: 1,
            cut_lines: 0,
            gap: None,
            node: "node".to_owned(),
            path: b"/x.log".to_vec(),
            header: None,
            read_ns: 0,
            payload: Payload::compress(&vec![b'x'; length]).unwrap(),
        };
        Delivery { id, chunk }
    }

    #[test]
    fn batches_keep_the_order_and_the_bound() {
        let lengths = [10, 20, 70, 5, 200, 1, 99, 1];
        let deliveries = lengths.iter().zip(0..).map(|(&length, id)| delivery(id, length)).collect();
        let ids: Vec<Vec<u64>> = batches(deliveries, 100)
            .into_iter()
            .map(|batch| batch.into_iter().map(|delivery| delivery.id).collect())
            .collect();
        assert_eq!(ids, [vec![0, 1, 2], vec![3], vec![4], vec![5, 6], vec![7]]);
        assert_eq!(batches(Vec::new(), 100).len(), 0);
    }
}
