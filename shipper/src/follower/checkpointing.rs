//! The checkpoint: it is on disk before the first chunk of a file leaves, and follows what the broker cannot lose any more.

use std::time::{Duration, Instant};

use super::Follower;
use crate::{
    checkpoint::{Checkpoint, StreamRecord},
    stream::Stream,
};

/// How long to wait after a checkpoint could not be written.
const CHECKPOINT_RETRY: Duration = Duration::from_secs(1);

impl Follower {
    /// Makes sure that the checkpoint on disk knows the files that are about to be read. If it cannot be written, nothing leaves.
    pub(super) fn announce(&mut self) -> bool {
        let is_needed = self.queue.iter().any(|&number| {
            self.streams[number]
                .as_ref()
                .is_some_and(|stream| stream.tails.iter().any(|tail| !tail.announced))
        });
        !is_needed || self.save_checkpoint()
    }

    /// Writes the checkpoint; returns whether that went well.
    pub(super) fn save_checkpoint(&mut self) -> bool {
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
}
