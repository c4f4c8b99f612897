//! Which stream is read next, and for how long.

use std::time::Instant;

use super::Follower;
use crate::{
    run::Job,
    stream::{Turn, Wish},
};

impl Follower {
    /// Puts a stream where its wish says: in the queue, among those that wait, or nowhere.
    pub(super) fn plan(&mut self, number: usize) {
        let now = Instant::now();
        let Some(stream) = self.streams[number].as_mut() else { return };
        if stream.is_dirty {
            self.dirty.push_back(number);
        }
        let wish = stream.wish(now, !self.drains.is_empty(), &self.config);
        let wake = match wish {
            Wish::Now => {
                if !stream.is_queued {
                    stream.is_queued = true;
                    self.queue.push_back(number);
                }
                None
            }
            Wish::At(at) => Some(at),
            Wish::Never => None,
        };
        if stream.wake != wake {
            if let Some(at) = stream.wake {
                self.wakes.remove(&(at, number));
            }
            if let Some(at) = wake {
                self.wakes.insert((at, number));
            }
            stream.wake = wake;
        }
    }

    /// Reads from the streams in turn, one chunk each, as long as there is room.
    pub(super) fn read(&mut self, chunks: usize, bytes: usize, jobs: &mut Vec<Job>) {
        let mut later = Vec::new();
        let mut room = bytes;
        while jobs.len() < chunks
            && room > 0
            && let Some(number) = self.queue.pop_front()
        {
            let now = Instant::now();
            let Some(stream) = self.streams[number].as_mut() else { continue };
            stream.is_queued = false;
            if stream.needs_opening() {
                self.open_files += 1;
                self.make_room();
            }
            let Some(stream) = self.streams[number].as_mut() else { continue };
            let mut buffers = || self.buffers.take();
            let is_draining = !self.drains.is_empty();
            match stream.turn(&self.config, &self.claims, &mut buffers, is_draining, now) {
                Ok(Turn::Cut(cutting)) => {
                    room = room.saturating_sub(cutting.piece.range.len());
                    let (id, path) = (stream.id, stream.path.clone());
                    jobs.push(Job { stream: number, id, path, cutting: *cutting });
                }
                Ok(Turn::Nothing) => {}
                Ok(Turn::Again) => {
                    stream.is_queued = true;
                    later.push(number);
                }
                Ok(Turn::Unannounced) => {
                    // A file that has come to light by the reading of the one before it.
                    stream.is_queued = true;
                    stream.is_dirty = true;
                    later.push(number);
                }
                Ok(Turn::Stale) => {
                    stream.is_dirty = true;
                    self.dirty.push_back(number);
                    self.note_findings(number);
                    continue;
                }
                Err(error) => {
                    let path = stream.path.clone();
                    self.note_unreadable(&path, &error);
                    self.touched.insert(number);
                    continue;
                }
            }
            self.take_in(number);
        }
        self.queue.extend(later);
    }
}
