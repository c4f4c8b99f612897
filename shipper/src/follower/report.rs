//! Telling how things stand: the status, the gauges, the log, and those who wait for everything to be shipped.

use std::{io, path::Path};

use super::Follower;
use crate::{StreamStatus, stream::Stream};

impl Follower {
    pub(crate) fn note_unreadable(&mut self, path: &Path, error: &io::Error) {
        let message = error.to_string();
        if self.unreadable.get(path) != Some(&message) {
            tracing::warn!(path = %path.display(), %error, "a log cannot be read; it is tried again");
            self.unreadable.insert(path.to_owned(), message);
        }
    }

    pub(crate) fn note_readable(&mut self, path: &Path) {
        if !self.unreadable.is_empty() && self.unreadable.remove(path).is_some() {
            tracing::info!(path = %path.display(), "a log can be read again");
        }
    }

    /// Tells how things stand, and those who asked for everything to be shipped that it is.
    pub(super) fn publish(&mut self) {
        let touched = std::mem::take(&mut self.touched);
        let streams = &self.streams;
        self.status.send_modify(|status| {
            status.totals = self.totals;
            status.scans = self.scans;
            if status.unreadable != self.unreadable {
                status.unreadable.clone_from(&self.unreadable);
            }
            for stream in touched.into_iter().filter_map(|number| streams[number].as_ref()) {
                let told = StreamStatus {
                    position: stream.acknowledged.position,
                    next_line: stream.acknowledged.next_line,
                    lag_bytes: stream.lag_bytes(),
                    size: stream.tails.back().map_or(0, |tail| tail.size),
                    complete: stream.is_complete(),
                    untold_gap: stream.untold_gap.clone(),
                };
                match status.streams.get_mut(&stream.path) {
                    Some(known) => *known = told,
                    None => drop(status.streams.insert(stream.path.clone(), told)),
                }
            }
        });
        if !self.drains.is_empty() && self.is_drained() {
            for reply in self.drains.drain(..) {
                let _ = reply.send(self.totals);
            }
        }
    }

    fn is_drained(&self) -> bool {
        self.streams.iter().flatten().all(|stream| {
            stream.is_complete() || (stream.in_flight == 0 && self.unreadable.contains_key(&stream.path))
        })
    }

    /// Sets the gauges; called at a slow pace.
    pub(crate) fn set_gauges(&self) {
        let lag: u64 = self.streams.iter().flatten().map(Stream::lag_bytes).sum();
        let open = self.streams.iter().flatten().flat_map(|stream| &stream.tails);
        metrics::gauge!("rastro_shipper_lag_bytes").set(lag as f64);
        metrics::gauge!("rastro_shipper_open_files")
            .set(open.filter(|tail| tail.file.is_some()).count() as f64);
        metrics::gauge!("rastro_shipper_streams").set(self.by_path.len() as f64);
        metrics::gauge!("rastro_shipper_unreadable_files").set(self.unreadable.len() as f64);
    }
}
