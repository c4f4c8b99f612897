//! Chunks that Redis has accepted and may not yet have on its disk.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use rastro_model::{Position, StreamId};

use crate::encoded::EncodedChunk;

/// What this process knows to have been accepted: the latest chunks themselves, and how far each stream came.
#[derive(Debug)]
pub(super) struct Recent {
    chunks: VecDeque<(Instant, Arc<EncodedChunk>)>,
    bytes: usize,
    limit_bytes: usize,
    ends: HashMap<StreamId, Position>,
    last_accepted: Option<Instant>,
    /// What was accepted before this is on Redis' disk.
    durable_before: Instant,
}

impl Recent {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self {
            chunks: VecDeque::new(),
            bytes: 0,
            limit_bytes,
            ends: HashMap::new(),
            last_accepted: None,
            durable_before: Instant::now(),
        }
    }

    /// Redis has said that it holds this chunk; `is_new` if it did not hold it before.
    pub(super) fn accepted(&mut self, chunk: &Arc<EncodedChunk>, is_new: bool, now: Instant) {
        self.advanced(chunk.stream, chunk.end, now);
        if is_new {
            self.bytes += chunk.bytes.len();
            self.chunks.push_back((now, Arc::clone(chunk)));
            while self.bytes > self.limit_bytes {
                self.forget_first();
            }
        }
    }

    /// Redis holds the stream up to here; nothing is remembered that could be sent again.
    pub(super) fn advanced(&mut self, stream: StreamId, to: Position, now: Instant) {
        let end = self.ends.entry(stream).or_insert(to);
        *end = to.max(*end);
        self.last_accepted = Some(now);
    }

    fn forget_first(&mut self) {
        if let Some((_, chunk)) = self.chunks.pop_front() {
            self.bytes -= chunk.bytes.len();
        }
    }

    /// Forgets what Redis has held for longer than `window`, as seen at `now`.
    pub(super) fn forget_older(&mut self, window: Duration, now: Instant) {
        if let Some(before) = now.checked_sub(window) {
            self.durable_before = self.durable_before.max(before);
        }
        while self
            .chunks
            .front()
            .is_some_and(|(accepted, _)| now.saturating_duration_since(*accepted) >= window)
        {
            self.forget_first();
        }
        if self.chunks.is_empty() {
            self.chunks = VecDeque::new();
        }
    }

    /// Something was accepted that may not be on Redis' disk yet.
    pub(super) fn is_undurable(&self) -> bool {
        self.last_accepted.is_some_and(|last| last >= self.durable_before)
    }

    /// What was accepted before this is on Redis' disk.
    pub(super) fn durable_before(&self) -> Instant {
        if self.is_undurable() { self.durable_before } else { Instant::now() }
    }

    /// How far each stream came, as far as this process knows.
    pub(super) fn ends(&self) -> Vec<(StreamId, Position)> {
        self.ends.iter().map(|(stream, end)| (*stream, *end)).collect()
    }

    /// How far the stream came, as far as this process knows.
    pub(super) fn end(&self, stream: StreamId) -> Option<Position> {
        self.ends.get(&stream).copied()
    }

    /// What Redis says about a stream counts.
    pub(super) fn set_end(&mut self, stream: StreamId, held: Option<Position>) {
        match held {
            Some(held) => self.ends.insert(stream, held),
            None => self.ends.remove(&stream),
        };
    }

    /// Redis has answered how far a stream came. Another process may have brought it there a moment ago.
    pub(super) fn heard(&mut self, stream: StreamId, held: Option<Position>, now: Instant) {
        self.set_end(stream, held);
        if held.is_some() {
            self.last_accepted = Some(now);
        }
    }

    /// Streams of which chunks are remembered.
    pub(super) fn streams(&self) -> Vec<StreamId> {
        let mut streams: Vec<_> = self.chunks.iter().map(|(_, chunk)| chunk.stream).collect();
        streams.sort_unstable();
        streams.dedup();
        streams
    }

    /// Takes out, in order, the remembered chunks that a Redis lacks that holds the streams up to `held`.
    pub(super) fn lacking(&self, held: &HashMap<StreamId, Position>) -> Vec<Arc<EncodedChunk>> {
        let lacks = |chunk: &EncodedChunk| held.get(&chunk.stream).is_none_or(|held| chunk.end > *held);
        self.chunks.iter().filter(|(_, chunk)| lacks(chunk)).map(|(_, chunk)| Arc::clone(chunk)).collect()
    }

    /// These have been sent again: they are young again.
    pub(super) fn sent_again(&mut self, now: Instant) {
        self.last_accepted = Some(now);
        for (accepted, _) in &mut self.chunks {
            *accepted = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(stream: u64, number: u64, size: usize) -> Arc<EncodedChunk> {
        Arc::new(EncodedChunk {
            stream: StreamId(stream),
            previous: Position::new(0, number),
            end: Position::new(0, number + 1),
            next_line: number + 1,
            bytes: vec![0; size],
        })
    }

    fn numbers(chunks: &[Arc<EncodedChunk>]) -> Vec<(u64, u64)> {
        chunks.iter().map(|chunk| (chunk.stream.0, chunk.previous.offset)).collect()
    }

    #[test]
    fn what_a_server_lacks_is_what_lies_beyond_its_ends() {
        let mut recent = Recent::new(1000);
        let now = Instant::now();
        for number in 0..3 {
            recent.accepted(&chunk(1, number, 10), true, now);
            recent.accepted(&chunk(2, number, 10), true, now);
        }
        let held = HashMap::from([(StreamId(1), Position::new(0, 2))]);
        assert_eq!(numbers(&recent.lacking(&held)), [(2, 0), (2, 1), (1, 2), (2, 2)]);
        assert_eq!(recent.streams(), [StreamId(1), StreamId(2)]);
        assert_eq!(recent.end(StreamId(2)), Some(Position::new(0, 3)));
    }

    #[test]
    fn memory_is_bounded_by_bytes_and_by_age() {
        let mut recent = Recent::new(35);
        let begun = Instant::now();
        let second = Duration::from_secs(1);
        for number in 0..5 {
            recent.accepted(&chunk(1, number, 10), true, begun + second * number as u32);
        }
        assert_eq!(numbers(&recent.lacking(&HashMap::new())), [(1, 2), (1, 3), (1, 4)]);
        recent.forget_older(second * 3, begun + second * 6);
        assert_eq!(numbers(&recent.lacking(&HashMap::new())), [(1, 4)]);
        assert!(recent.is_undurable(), "the last one is younger than the window");
        assert!(recent.durable_before() <= begun + second * 3);
        recent.accepted(&chunk(1, 9, 40), true, begun);
        assert!(numbers(&recent.lacking(&HashMap::new())).is_empty(), "a chunk beyond the bound is not kept");
        assert_eq!(recent.end(StreamId(1)), Some(Position::new(0, 10)), "how far a stream came is");
    }

    #[test]
    fn what_another_process_brought_a_moment_ago_is_not_durable_either() {
        let mut recent = Recent::new(35);
        let now = Instant::now();
        recent.heard(StreamId(1), None, now);
        assert!(!recent.is_undurable());
        recent.heard(StreamId(1), Some(Position::new(0, 5)), now);
        assert!(recent.is_undurable() && recent.durable_before() <= now);
        recent.forget_older(Duration::from_secs(3), now + Duration::from_secs(4));
        assert!(!recent.is_undurable());
    }
}
