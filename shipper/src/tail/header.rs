//! The line in front of a log that says what the others are.

use std::{fs::File, io};

use memchr::memchr;
use rastro_model::log_header;

use crate::fingerprint::read_full_at;

/// What is known of it.
#[derive(Debug)]
pub(super) enum Header {
    Unknown,
    None,
    Line(Vec<u8>),
}

/// Looks whether the file's first line is a header, and says how much of the file that took. `Unknown` if it cannot be said before
/// more is written; then there is no line break in what was read.
pub(super) fn read_header(file: &File, is_last: bool) -> io::Result<(Header, usize)> {
    let mut bytes = vec![0; log_header::MAGIC.len()];
    let read = read_full_at(file, &mut bytes, 0)?;
    bytes.truncate(read);
    if bytes != log_header::MAGIC {
        let may_become_one = log_header::MAGIC.starts_with(&bytes) && !is_last;
        return Ok((if may_become_one { Header::Unknown } else { Header::None }, read));
    }
    bytes.resize(log_header::MAX_LENGTH, 0);
    let read = read_full_at(file, &mut bytes, 0)?;
    bytes.truncate(read);
    let header = match memchr(b'\n', &bytes) {
        Some(place) => {
            bytes.truncate(place + 1);
            bytes.shrink_to_fit();
            Header::Line(bytes)
        }
        None if read < log_header::MAX_LENGTH && !is_last => Header::Unknown,
        None => Header::None,
    };
    Ok((header, read))
}
