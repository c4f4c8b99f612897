//! What the shipper tells of itself.

use std::{collections::HashMap, path::PathBuf};

use rastro_model::{Gap, Position};
use tokio::sync::{mpsc, oneshot, watch};

use crate::ShipperError;

/// Sums over all streams since the shipper was started. They count what the broker has acknowledged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Lines.
    pub lines: u64,
    /// Bytes of the files that those lines cover.
    pub bytes: u64,
    /// Chunks.
    pub chunks: u64,
    /// Lines that were cut to the limit.
    pub cut_lines: u64,
    /// Gaps found, acknowledged or not.
    pub gaps: u64,
    /// Bytes lost in them, as far as they could be counted.
    pub lost_bytes: u64,
    /// Lines lost in those gaps whose lines are known.
    pub lost_lines: u64,
}

/// How one stream stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamStatus {
    /// End of what the broker has acknowledged.
    pub position: Position,
    /// Lines up to there.
    pub next_line: u64,
    /// Bytes seen in the stream's files and not acknowledged; a held-back partial last line counts.
    pub lag_bytes: u64,
    /// Size of the newest file.
    pub size: u64,
    /// Everything seen is acknowledged.
    pub complete: bool,
    /// Something is lost behind `position` and no chunk has followed that could tell it.
    pub untold_gap: Option<Gap>,
}

/// How the shipper stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The streams, by path.
    pub streams: HashMap<PathBuf, StreamStatus>,
    /// Files that match and cannot be read, with what the system says.
    pub unreadable: HashMap<PathBuf, String>,
    /// Sums over the streams.
    pub totals: Totals,
    /// How often everything was looked at.
    pub scans: u64,
}

/// Asks of a running shipper.
#[derive(Debug)]
pub(crate) enum Request {
    Drain(oneshot::Sender<Totals>),
}

/// Speaks with a shipper while it runs.
#[derive(Debug, Clone)]
pub struct ShipperHandle {
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) requests: mpsc::UnboundedSender<Request>,
}

impl ShipperHandle {
    /// How the shipper stands, now and whenever it changes. Closed once the shipper has ended with all its parts.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Ships everything that is there and returns once the broker has acknowledged all of it.
    ///
    /// Files count as finished: a last line without a line break is shipped as a line, and nothing waits for more. What is written
    /// meanwhile is shipped, too, so call it when the writers are done. Files that cannot be read are left out ([`Status::unreadable`]).
    /// The shipper goes on following afterwards.
    pub async fn drain(&self) -> Result<Totals, ShipperError> {
        let (reply, answer) = oneshot::channel();
        let ended = || ShipperError::Interrupted("it ended before everything was shipped".to_owned());
        self.requests.send(Request::Drain(reply)).map_err(|_| ended())?;
        answer.await.map_err(|_| ended())
    }
}
