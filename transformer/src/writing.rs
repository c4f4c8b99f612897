//! The second half of the role: from batches to the store, and what is done about everything that a store may answer.

use rastro_broker::{Broker, Delivery};
use rastro_model::{Position, StreamId};
use rastro_store::{ChunkOutput, Store, StoreError, WriteReport};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    RoleConfig, Transformer, TransformerError,
    overlap::{Rest, rest_behind},
    report::Figures,
};

/// Outputs on their way to the store, each with the delivery that it comes from.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) outputs: Vec<ChunkOutput>,
    /// Deliveries of which everything turned out to be stored.
    pub(crate) known: Vec<u64>,
    pub(crate) figures: Figures,
}

impl Batch {
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.deliveries.iter().map(|delivery| delivery.id).chain(self.known.iter().copied()).collect()
    }
}

/// Writes batches and acknowledges what is written.
pub(crate) struct Writing<'role> {
    pub(crate) broker: &'role dyn Broker,
    pub(crate) store: &'role dyn Store,
    pub(crate) config: &'role RoleConfig,
    pub(crate) shutdown: &'role CancellationToken,
}

/// What became of outputs that were to be written.
enum Written {
    /// They are stored.
    Stored(WriteReport),
    /// The role has to end, and the store could not write until then.
    Ended,
    /// Not stored, and trying again is of no use.
    Refused(StoreError),
}

impl Writing<'_> {
    /// From `receiver` to the store, then acknowledged.
    pub(crate) async fn run(&self, mut receiver: mpsc::Receiver<Batch>) -> Result<(), TransformerError> {
        while let Some(mut batch) = receiver.recv().await {
            let begun = Instant::now();
            let written = self.in_time(self.write(&mut batch)).await.unwrap_or(Ok(Written::Ended));
            let outcome = match written {
                Ok(Written::Stored(report)) => {
                    batch.figures.record(report, begun.elapsed().as_secs_f64());
                    if let Some(acknowledged) = self.in_time(self.broker.acknowledge(&batch.ids())).await {
                        acknowledged?;
                        continue;
                    }
                    // The store knows what it has: delivered again, it is a repeat.
                    Ok(())
                }
                Ok(Written::Ended) => Ok(()),
                Ok(Written::Refused(error)) => {
                    self.store_all_but_the_refused(&mut batch).await?;
                    Err(error.into())
                }
                Err(error) => Err(error),
            };
            // What is still underway goes back too: the broker keeps the order by itself.
            receiver.close();
            let mut ids = batch.ids();
            while let Some(batch) = receiver.recv().await {
                ids.extend(batch.ids());
            }
            give_back(self.broker, &ids, self.config, self.shutdown).await?;
            return outcome;
        }
        Ok(())
    }

    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        in_time(work, self.config, self.shutdown).await
    }

    /// Something in the batch is refused for good, and the role is going to end of it. What else is in the batch is written and
    /// acknowledged first, so that one dataset which cannot be stored does not hold up the others from one start to the next.
    async fn store_all_but_the_refused(&self, batch: &mut Batch) -> Result<(), TransformerError> {
        if batch.outputs.len() < 2 {
            return Ok(());
        }
        let mut refused: Vec<StreamId> = Vec::new();
        let (mut left, mut acknowledged) = (Vec::new(), Vec::new());
        let outputs = std::mem::take(&mut batch.outputs);
        for (delivery, output) in std::mem::take(&mut batch.deliveries).into_iter().zip(outputs) {
            // A stream keeps its order: behind a chunk that is refused none of its chunks is written.
            if refused.contains(&output.stream) {
                left.push(delivery);
                continue;
            }
            let stored = self.in_time(self.store.write_chunks(std::slice::from_ref(&output))).await;
            if matches!(stored, Some(Ok(_))) {
                acknowledged.push(delivery.id);
            } else {
                refused.push(output.stream);
                left.push(delivery);
            }
        }
        batch.deliveries = left;
        if let Some(done) = self.in_time(self.broker.acknowledge(&acknowledged)).await {
            done?;
        }
        Ok(())
    }

    /// Writes, again and again while the store cannot.
    async fn write(&self, batch: &mut Batch) -> Result<Written, TransformerError> {
        let mut pause = self.config.retry;
        let mut first_failure: Option<Instant> = None;
        loop {
            match self.store.write_chunks(&batch.outputs).await {
                Ok(report) => {
                    if let Some(since) = first_failure {
                        metrics::gauge!("rastro_transformer_store_failing").set(0.0);
                        tracing::info!(
                            seconds = since.elapsed().as_secs_f64(),
                            "the store writes again; nothing was lost"
                        );
                    }
                    return Ok(Written::Stored(report));
                }
                Err(StoreError::Overlap { stream, known, next_line }) => {
                    if self.cut_overlap(batch, stream, known, next_line).await? {
                        continue;
                    }
                    return Ok(Written::Refused(StoreError::Overlap { stream, known, next_line }));
                }
                Err(error) if !error.is_transient() => return Ok(Written::Refused(error)),
                Err(error) => {
                    metrics::counter!("rastro_transformer_store_retries_total").increment(1);
                    if first_failure.is_none() {
                        first_failure = Some(Instant::now());
                        metrics::gauge!("rastro_transformer_store_failing").set(1.0);
                        tracing::warn!(%error, "the store cannot write; chunks wait in the broker and it is tried again");
                    }
                }
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return Ok(Written::Ended),
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(self.config.retry_limit),
            }
        }
    }

    /// Takes out of the batch what of `stream` lies before `known`; false if there is nothing that can be taken out.
    async fn cut_overlap(
        &self,
        batch: &mut Batch,
        stream: StreamId,
        known: Position,
        next_line: u64,
    ) -> Result<bool, TransformerError> {
        let mut has_changed = false;
        for place in (0..batch.outputs.len()).rev() {
            let output = &batch.outputs[place];
            if output.stream != stream {
                continue;
            }
            let delivery = &mut batch.deliveries[place];
            let rest = match rest_behind(&delivery.chunk, known, next_line) {
                Ok(Rest::Whole) => continue,
                Ok(rest) => rest,
                // The chunk is damaged: which of its lines are known cannot be said.
                Err(_) => Rest::Unclear,
            };
            match rest {
                Rest::Whole | Rest::Unclear => continue,
                Rest::Nothing => {
                    batch.known.push(delivery.id);
                    batch.deliveries.remove(place);
                    batch.outputs.remove(place);
                }
                Rest::Cut(chunk) => {
                    tracing::warn!(
                        %stream, start = %output.start, end = %output.end, %known,
                        "a chunk begins inside what is stored: what lies behind is stored"
                    );
                    metrics::counter!("rastro_transformer_overlaps_total").increment(1);
                    let mut transformer = Transformer::new(self.config.transformer.clone());
                    delivery.chunk = (*chunk).clone();
                    let work = tokio::task::spawn_blocking(move || transformer.transform(&chunk));
                    batch.outputs[place] =
                        work.await.map_err(|error| TransformerError::Fault(error.to_string()))?;
                }
            }
            has_changed = true;
        }
        Ok(has_changed)
    }
}

/// Makes chunks available again that were taken and will not be written here.
pub(crate) async fn give_back(
    broker: &dyn Broker,
    ids: &[u64],
    config: &RoleConfig,
    shutdown: &CancellationToken,
) -> Result<(), TransformerError> {
    if let Some(released) = in_time(broker.release(ids), config, shutdown).await {
        return Ok(released?);
    }
    tracing::warn!(
        chunks = ids.len(),
        "the broker does not answer; it delivers these chunks again by itself"
    );
    Ok(())
}

/// What `work` gives, unless the role has been told to end and it takes longer than it may.
async fn in_time<T>(
    work: impl Future<Output = T>,
    config: &RoleConfig,
    shutdown: &CancellationToken,
) -> Option<T> {
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(config.end_limit).await;
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = overdue => None,
    }
}
