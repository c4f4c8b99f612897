//! Whole lines out of a stream of bytes, many at a time and without copying them.

use std::io;

use memchr::{memchr, memrchr};

use crate::{Progress, input::Input, input::read_up_to};

/// Fits a second-level cache, so that a block is still there when it is counted and written.
const BLOCK: usize = 256 * 1024;

/// Longest line, break included. It only bounds memory: the shipper's own limit is lower and says what it cut.
const LONGEST_LINE: usize = 8 * 1024 * 1024;

/// Cuts an [`Input`] into blocks of whole lines. A last line without a line break is given one.
pub(crate) struct LineBlocks {
    input: Input,
    buffer: Vec<u8>,
    longest_line: usize,
    /// What lies before was handed out.
    next: usize,
    /// End of the whole lines in the buffer.
    whole: usize,
    /// End of the bytes in the buffer.
    filled: usize,
    finished: bool,
    /// The rest of a line that was cut is being thrown away.
    in_cut_line: bool,
    cut_lines: u64,
}

impl LineBlocks {
    pub(crate) fn new(input: Input) -> Self {
        Self::with_sizes(input, BLOCK, LONGEST_LINE)
    }

    fn with_sizes(input: Input, block: usize, longest_line: usize) -> Self {
        Self {
            input,
            buffer: vec![0; block],
            longest_line,
            next: 0,
            whole: 0,
            filled: 0,
            finished: false,
            in_cut_line: false,
            cut_lines: 0,
        }
    }

    /// Whole lines, as many as there are in the buffer, not yet handed out; `None` at the end.
    pub(crate) fn peek_block(&mut self) -> io::Result<Option<&[u8]>> {
        if self.next == self.whole && !self.fill()? {
            return Ok(None);
        }
        Ok(Some(&self.buffer[self.next..self.whole]))
    }

    /// Hands out the first `length` bytes of the block that [`Self::peek_block`] has shown.
    pub(crate) fn take(&mut self, length: usize) -> &[u8] {
        let start = self.next;
        self.next = (start + length).min(self.whole);
        &self.buffer[start..self.next]
    }

    /// The next line without its line break, not yet handed out; `None` at the end.
    pub(crate) fn peek_line(&mut self) -> io::Result<Option<&[u8]>> {
        let block = self.peek_block()?;
        Ok(block.map(|block| &block[..memchr(b'\n', block).unwrap_or(block.len())]))
    }

    /// The next line without its line break; `None` at the end.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        if self.next == self.whole && !self.fill()? {
            return Ok(None);
        }
        let start = self.next;
        let length = memchr(b'\n', &self.buffer[start..self.whole]).unwrap_or(self.whole - start);
        self.next = (start + length + 1).min(self.whole);
        Ok(Some(&self.buffer[start..start + length]))
    }

    pub(crate) fn progress(&self) -> Progress {
        self.input.progress()
    }

    pub(crate) const fn cut_lines(&self) -> u64 {
        self.cut_lines
    }

    /// Makes `whole` larger than `next`; false at the end of the input.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.copy_within(self.next..self.filled, 0);
        self.filled -= self.next;
        (self.next, self.whole) = (0, 0);
        loop {
            if !self.finished {
                let read = read_up_to(&mut self.input, &mut self.buffer[self.filled..])?;
                self.finished = self.filled + read < self.buffer.len();
                self.filled += read;
            }
            if self.in_cut_line {
                let rest = memchr(b'\n', &self.buffer[..self.filled]).map_or(self.filled, |at| at + 1);
                self.in_cut_line =
                    rest == self.filled && self.buffer.get(rest.wrapping_sub(1)) != Some(&b'\n');
                self.buffer.copy_within(rest..self.filled, 0);
                self.filled -= rest;
                if self.in_cut_line && !self.finished {
                    continue;
                }
            }
            if let Some(last) = memrchr(b'\n', &self.buffer[..self.filled]) {
                self.whole = last + 1;
                return Ok(true);
            }
            if self.filled >= self.longest_line {
                self.buffer[self.longest_line - 1] = b'\n';
                self.filled = self.longest_line;
                self.whole = self.longest_line;
                self.in_cut_line = true;
                self.cut_lines += 1;
                return Ok(true);
            }
            if self.finished {
                if self.filled == 0 {
                    return Ok(false);
                }
                if self.filled == self.buffer.len() {
                    self.buffer.push(b'\n');
                } else {
                    self.buffer[self.filled] = b'\n';
                }
                self.filled += 1;
                self.whole = self.filled;
                return Ok(true);
            }
            if self.filled == self.buffer.len() {
                let larger = (2 * self.buffer.len()).min(self.longest_line.max(self.buffer.len() + 1));
                self.buffer.resize(larger, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blocks(bytes: &[u8], block: usize, longest: usize) -> LineBlocks {
        let input = Input::from_reader(io::Cursor::new(bytes.to_vec()), bytes.len() as u64);
        LineBlocks::with_sizes(input, block, longest)
    }

    fn all(bytes: &[u8], block: usize, longest: usize) -> (Vec<u8>, u64) {
        let mut lines = blocks(bytes, block, longest);
        let mut text = Vec::new();
        while let Some(length) = lines.peek_block().unwrap().map(<[u8]>::len) {
            let block = lines.take(length);
            assert!(block.ends_with(b"\n"));
            text.extend_from_slice(block);
        }
        (text, lines.cut_lines())
    }

    #[test]
    fn a_last_line_without_a_break_gets_one() {
        assert_eq!(all(b"a\nb", 4, 100), (b"a\nb\n".to_vec(), 0));
        assert_eq!(all(b"abcd", 4, 100), (b"abcd\n".to_vec(), 0));
        assert_eq!(all(b"", 4, 100), (b"".to_vec(), 0));
        assert_eq!(all(b"\n", 4, 100), (b"\n".to_vec(), 0));
    }

    #[test]
    fn a_line_beyond_the_limit_is_cut_and_counted() {
        assert_eq!(all(b"0123456789\nab\n", 4, 8), (b"0123456\nab\n".to_vec(), 1));
        assert_eq!(all(b"0123456789012345678901234567890\n\nab", 4, 8), (b"0123456\n\nab\n".to_vec(), 1));
        assert_eq!(all(b"0123456789", 4, 8), (b"0123456\n".to_vec(), 1));
    }

    #[test]
    fn a_peeked_line_is_handed_out_afterwards() {
        let mut lines = blocks(b"one\ntwo\nthree\n", 9, 100);
        assert_eq!(lines.peek_line().unwrap(), Some(&b"one"[..]));
        assert_eq!(lines.next_line().unwrap(), Some(&b"one"[..]));
        assert_eq!(lines.peek_block().unwrap(), Some(&b"two\n"[..]));
        assert_eq!(lines.take(4), b"two\n");
        assert_eq!(lines.next_line().unwrap(), Some(&b"three"[..]));
        assert_eq!(lines.next_line().unwrap(), None);
        assert_eq!(lines.peek_line().unwrap(), None);
    }

    proptest! {
        #[test]
        fn lines_are_whole_and_complete_whatever_the_sizes(
            text in proptest::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'\n')], 0..200),
            block in 1_usize..40,
        ) {
            let (seen, cut) = all(&text, block, 4096);
            let mut expected = text.clone();
            if !expected.is_empty() && !expected.ends_with(b"\n") {
                expected.push(b'\n');
            }
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(cut, 0);
        }

        #[test]
        fn cut_lines_are_the_long_ones_and_the_others_are_untouched(
            text in proptest::collection::vec(prop_oneof![6 => Just(b'x'), 1 => Just(b'\n')], 0..200),
            block in 1_usize..=8,
        ) {
            let (seen, cut) = all(&text, block, 8);
            let mut expected = Vec::new();
            let mut expected_cut = 0;
            let mut lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
            if lines.last().is_some_and(|line| line.is_empty()) {
                lines.pop();
            }
            for line in lines {
                expected_cut += u64::from(line.len() > 7);
                expected.extend_from_slice(&line[..line.len().min(7)]);
                expected.push(b'\n');
            }
            prop_assert_eq!(seen, expected);
            prop_assert_eq!(cut, expected_cut);
        }
    }
}
