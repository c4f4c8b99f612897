//! Lines that are no event, kept aside with their reason.

use rastro_model::{Position, StreamId};
use rastro_store::DeadLetter;

/// Where a line stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinePlace {
    /// Which line of the chunk, counted from 0.
    pub(crate) index: u64,
    /// Where it begins in the chunk.
    pub(crate) offset: usize,
}

/// The dead letters of one chunk. All are counted; a bounded number is kept, so that a file of nothing else cannot fill the
/// memory.
#[derive(Debug)]
pub(crate) struct DeadLetters {
    stream: StreamId,
    start: Position,
    first_line: u64,
    text_limit: usize,
    keep: usize,
    kept: Vec<DeadLetter>,
    count: u64,
    classes: Vec<(&'static str, u64)>,
}

impl DeadLetters {
    pub(crate) const fn new(
        stream: StreamId,
        start: Position,
        first_line: u64,
        text_limit: usize,
        keep: usize,
    ) -> Self {
        Self { stream, start, first_line, text_limit, keep, kept: Vec::new(), count: 0, classes: Vec::new() }
    }

    /// How many there are.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    #[cold]
    pub(crate) fn push(
        &mut self,
        place: LinePlace,
        line: &[u8],
        class: &'static str,
        reason: impl FnOnce() -> String,
    ) {
        self.count += 1;
        match self.classes.iter_mut().find(|(known, _)| *known == class) {
            Some((_, count)) => *count += 1,
            None => self.classes.push((class, 1)),
        }
        if self.kept.len() < self.keep {
            self.kept.push(DeadLetter {
                stream: self.stream,
                line: self.first_line.saturating_add(place.index),
                position: Position::new(
                    self.start.generation,
                    self.start.offset.saturating_add(place.offset as u64),
                ),
                reason: reason(),
                text: line[..line.len().min(self.text_limit)].to_vec(),
            });
        }
    }

    /// Those that are kept (the last one says how many are not), and how many there are of each class.
    pub(crate) fn finish(mut self) -> (Vec<DeadLetter>, Vec<(&'static str, u64)>) {
        let more = self.count - self.kept.len() as u64;
        if more > 0
            && let Some(last) = self.kept.last_mut()
        {
            last.reason = format!(
                "{} (and {more} more lines of the same chunk behind this one are no events: they are counted, their texts \
                 are in the log file only)",
                last.reason
            );
        }
        (self.kept, self.classes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_beyond_the_bound_are_counted_and_told() {
        let mut letters = DeadLetters::new(StreamId(1), Position::new(2, 100), 40, 3, 2);
        for index in 0..5 {
            letters.push(LinePlace { index, offset: index as usize * 10 }, b"abcdef", "number", || {
                "no event".to_owned()
            });
        }
        assert_eq!(letters.count(), 5);
        let (kept, classes) = letters.finish();
        assert_eq!(classes, [("number", 5)]);
        assert_eq!(kept.len(), 2);
        assert_eq!((kept[1].line, kept[1].position), (41, Position::new(2, 110)));
        assert_eq!(kept[1].text, b"abc");
        assert_eq!(kept[0].reason, "no event");
        assert!(kept[1].reason.starts_with("no event (and 3 more lines"), "{}", kept[1].reason);
    }
}
