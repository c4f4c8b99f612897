//! Cutting whole lines out of bytes. The usual path looks for the last line break and counts the breaks, nothing else.

use memchr::{memchr, memchr_iter, memrchr};

/// Whole lines at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Length of the lines, line breaks included.
    pub(crate) length: usize,
    /// How many there are.
    pub(crate) lines: u32,
}

/// The whole lines in `bytes`; `None` if there is no line break.
pub(crate) fn whole_lines(bytes: &[u8]) -> Option<Cut> {
    let length = memrchr(b'\n', bytes)? + 1;
    Some(Cut { length, lines: memchr_iter(b'\n', &bytes[..length]).count() as u32 })
}

/// `lines`, each with its line break, with what exceeds `limit` bytes of content cut; and how many were cut. `None` if no line is
/// that long.
pub(crate) fn shorten_lines(lines: &[u8], limit: usize) -> Option<(Vec<u8>, u32)> {
    if lines.len() <= limit {
        return None;
    }
    let mut shortened = Vec::new();
    let (mut kept, mut start, mut cut_lines) = (0, 0, 0);
    while let Some(length) = memchr(b'\n', &lines[start..]) {
        if length > limit {
            shortened.extend_from_slice(&lines[kept..start + limit]);
            kept = start + length;
            cut_lines += 1;
        }
        start += length + 1;
    }
    if cut_lines == 0 {
        return None;
    }
    shortened.extend_from_slice(&lines[kept..]);
    Some((shortened, cut_lines))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_lines_end_with_the_last_line_break() {
        assert_eq!(whole_lines(b""), None);
        assert_eq!(whole_lines(b"abc"), None);
        assert_eq!(whole_lines(b"\n"), Some(Cut { length: 1, lines: 1 }));
        assert_eq!(whole_lines(b"a\r\n\0\nb"), Some(Cut { length: 5, lines: 2 }));
    }

    proptest! {
        #[test]
        fn shortened_lines_equal_a_naive_version(
            lines in prop::collection::vec(prop::collection::vec(0_u8..9, 0..12), 0..20),
            limit in 1_usize..12,
        ) {
            let joined: Vec<u8> = lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect();
            let expected: Vec<u8> =
                lines.iter().flat_map(|line| [&line[..line.len().min(limit)], b"\n"].concat()).collect();
            let long = lines.iter().filter(|line| line.len() > limit).count() as u32;
            let (shortened, cut) = shorten_lines(&joined, limit).unwrap_or((joined, 0));
            prop_assert_eq!(shortened, expected);
            prop_assert_eq!(cut, long);
        }
    }
}
