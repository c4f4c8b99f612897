//! A chunk that begins inside what the store knows already, cut to what lies behind.
//!
//! Borders of chunks never change once the broker has accepted them; but a queue that was lost takes the borders with it, and
//! the shipper, which reads again from what the store held when it asked, may draw others than those that were underway.

use rastro_broker::{Chunk, ChunkError, Payload};
use rastro_model::Position;

/// What is left of a chunk.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It begins behind what is known.
    Whole,
    /// This much lies behind what is known.
    Cut(Box<Chunk>),
    /// All of it is known.
    Nothing,
    /// Its lines and the store's do not go together: what is known cannot be told from what is not.
    Unclear,
}

/// What of `chunk` lies behind `known`, which is followed by line `next_line` of the stream.
///
/// Bytes decide; where lines were cut to their longest length, so that bytes cannot be counted, lines do. What is left follows
/// on `known` and has no gap in front: that one was in front of what is known.
pub(crate) fn rest_behind(chunk: &Chunk, known: Position, next_line: u64) -> Result<Rest, ChunkError> {
    if known <= chunk.start {
        return Ok(Rest::Whole);
    }
    if known >= chunk.end {
        return Ok(Rest::Nothing);
    }
    if known.generation != chunk.start.generation {
        // A chunk is of one file.
        return Ok(Rest::Unclear);
    }
    let mut text = Vec::new();
    chunk.payload.decompress(&mut text)?;
    let is_exact = chunk.end.generation == chunk.start.generation
        && chunk.end.offset - chunk.start.offset == text.len() as u64;
    let begin = if is_exact {
        usize::try_from(known.offset - chunk.start.offset).ok()
    } else {
        next_line.checked_sub(chunk.first_line).and_then(|lines| start_of_line(&text, lines))
    };
    let Some(rest) = begin.and_then(|begin| text.get(begin..)).filter(|rest| !rest.is_empty()) else {
        return Ok(Rest::Unclear);
    };
    Ok(Rest::Cut(Box::new(Chunk {
        start: known,
        previous: known,
        first_line: next_line,
        lines: count_lines(rest),
        gap: None,
        payload: Payload::compress(rest)?,
        ..chunk.clone()
    })))
}

/// Where line number `line` begins, counted from 0.
fn start_of_line(text: &[u8], line: u64) -> Option<usize> {
    let before = usize::try_from(line).ok()?.checked_sub(1);
    before.map_or(Some(0), |before| memchr::memchr_iter(b'\n', text).nth(before).map(|end| end + 1))
}

/// A last line without a break is one, too.
fn count_lines(text: &[u8]) -> u32 {
    (memchr::memchr_iter(b'\n', text).count() + usize::from(!text.ends_with(b"\n"))) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rastro_model::{Gap, GapReason, StreamId};

    use super::*;

    /// Lines of a stream from byte `offset` of generation 2, the first of them being line 40.
    fn chunk(offset: u64, text: &[u8]) -> Chunk {
        Chunk {
            stream: StreamId(1),
            start: Position::new(2, offset),
            end: Position::new(2, offset + text.len() as u64),
            previous: Position::new(2, offset),
            first_line: 40,
            lines: count_lines(text),
            cut_lines: 0,
            gap: Some(Gap { bytes: 7, lines: Some(1), reason: GapReason::Truncated }),
            node: "node".to_owned(),
            path: b"/x.log".to_vec(),
            header: Some(b"#rastro {}".to_vec()),
            read_ns: 5,
            payload: Payload::compress(text).unwrap(),
        }
    }

    fn text_of(chunk: &Chunk) -> Vec<u8> {
        let mut text = Vec::new();
        chunk.payload.decompress(&mut text).unwrap();
        text
    }

    fn cut(chunk: &Chunk, known: Position, next_line: u64) -> Chunk {
        match rest_behind(chunk, known, next_line).unwrap() {
            Rest::Cut(rest) => *rest,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_lies_behind_the_known_part_is_left() {
        let whole = chunk(100, b"one\ntwo\nthree\n");
        let rest = cut(&whole, Position::new(2, 104), 41);
        assert_eq!(text_of(&rest), b"two\nthree\n");
        assert_eq!(
            (rest.start, rest.previous, rest.end),
            (Position::new(2, 104), Position::new(2, 104), whole.end)
        );
        assert_eq!((rest.first_line, rest.lines), (41, 2));
        assert_eq!(rest.gap, None);
        assert_eq!((rest.header, rest.read_ns), (whole.header, whole.read_ns));
    }

    #[test]
    fn a_last_line_without_a_break_is_left_whole() {
        let rest = cut(&chunk(0, b"one\ntwo"), Position::new(2, 4), 41);
        assert_eq!((text_of(&rest).as_slice(), rest.lines), (&b"two"[..], 1));
    }

    #[test]
    fn what_is_known_to_its_end_or_beyond_its_file_is_dropped() {
        let whole = chunk(100, b"one\n");
        for known in [Position::new(2, 104), Position::new(2, 900), Position::new(3, 0)] {
            assert_eq!(rest_behind(&whole, known, 41).unwrap(), Rest::Nothing, "{known}");
        }
        for known in [Position::new(2, 100), Position::new(2, 3), Position::new(1, 900)] {
            assert_eq!(rest_behind(&whole, known, 40).unwrap(), Rest::Whole, "{known}");
        }
    }

    #[test]
    fn where_lines_were_shortened_lines_are_counted_instead_of_bytes() {
        // The second line was 500 bytes longer in the file.
        let mut whole = chunk(100, b"one\ntw\nthree\n");
        whole.end.offset += 500;
        let rest = cut(&whole, Position::new(2, 607), 42);
        assert_eq!((text_of(&rest).as_slice(), rest.first_line, rest.lines), (&b"three\n"[..], 42, 1));
        assert_eq!(rest.end, whole.end);
        for next_line in [39, 43, u64::MAX] {
            assert_eq!(rest_behind(&whole, Position::new(2, 607), next_line).unwrap(), Rest::Unclear);
        }
    }

    proptest! {
        #[test]
        fn known_part_and_rest_are_the_chunk(
            lines in prop::collection::vec("[a-z ]{0,12}\n", 1..30),
            share in 0.0..1.0_f64,
        ) {
            let text = lines.concat();
            let whole = chunk(1000, text.as_bytes());
            let kept = 1 + (share * (lines.len() - 1) as f64) as usize;
            let known_text = lines[..kept].concat();
            let known = Position::new(2, 1000 + known_text.len() as u64);
            match rest_behind(&whole, known, 40 + kept as u64).unwrap() {
                Rest::Nothing => prop_assert_eq!(kept, lines.len()),
                Rest::Cut(rest) => {
                    prop_assert_eq!([known_text.as_bytes(), &text_of(&rest)].concat(), text.as_bytes());
                    prop_assert_eq!(u64::from(rest.lines) + rest.first_line, u64::from(whole.lines) + whole.first_line);
                    prop_assert_eq!((rest.start, rest.end), (known, whole.end));
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
