//! The first line of an agent's log file: what the lines below it are.
//!
//! `#rastro {"version":1,"format":"*%evt.num …","dataset":"webshop","container":{"id":"0123456789ab",…},…}`
//!
//! The format travels with the file, so that a reader never guesses. The shipper carries the line as opaque bytes; it is
//! metadata of the file, not a line of the recording, and no line counter counts it. A file without a header (an existing
//! sysdig or Filebeat set-up) is read with the configured format.

use serde::{Deserialize, Serialize};

use crate::segment::Container;

/// How a header line begins.
pub const MAGIC: &[u8] = b"#rastro ";

/// The longest header line that is accepted, bytes, line break included.
pub const MAX_LENGTH: usize = 16 * 1024;

/// What an agent says of the file it writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHeader {
    /// Version of the header's form: 1.
    pub version: u32,
    /// The sysdig format string of every line below.
    pub format: String,
    /// Name of the dataset that the lines belong to; the reader's configuration decides where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// The container whose calls these are.
    pub container: Container,
    /// `x86_64`, `aarch64` or `i386`: whose numbers the names of calls have; x86_64 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The day (`yyyy-mm-dd`) of formats that give a time of day only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
}

/// A header line that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The line does not begin with `#rastro `.
    #[error("not a header line: it does not begin with `#rastro `")]
    NotAHeader,
    /// The line is longer than [`MAX_LENGTH`].
    #[error("header line of {length} bytes is longer than the limit of {MAX_LENGTH}")]
    TooLong {
        /// Length of the line.
        length: usize,
    },
    /// The JSON behind the magic word is broken or lacks a member.
    #[error("header line holds no valid JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The header was written by a later Rastro.
    #[error("header has version {0}, this Rastro reads version 1: upgrade the reader")]
    Version(u32),
}

impl LogHeader {
    /// The header as a line, line break included. Control characters inside values are escaped by JSON.
    pub fn to_line(&self) -> Result<Vec<u8>, HeaderError> {
        let mut line = MAGIC.to_vec();
        serde_json::to_writer(&mut line, self)?;
        line.push(b'\n');
        if line.len() > MAX_LENGTH {
            return Err(HeaderError::TooLong { length: line.len() });
        }
        Ok(line)
    }

    /// Reads a header line, with or without its line break.
    pub fn parse(line: &[u8]) -> Result<Self, HeaderError> {
        if line.len() > MAX_LENGTH {
            return Err(HeaderError::TooLong { length: line.len() });
        }
        let json = line.strip_prefix(MAGIC).ok_or(HeaderError::NotAHeader)?;
        let header: Self = serde_json::from_slice(json)?;
        if header.version == 1 { Ok(header) } else { Err(HeaderError::Version(header.version)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_one_line_whatever_the_names_hold() {
        let header = LogHeader {
            version: 1,
            format: "*%evt.num".into(),
            dataset: Some("a\nb".into()),
            container: Container {
                id: "0123456789ab".into(),
                name: Some("x\r\n#rastro y".into()),
                image: None,
            },
            architecture: None,
            date: None,
        };
        let line = header.to_line().unwrap();
        assert_eq!(line.split(|&byte| byte == b'\n').count(), 2);
        assert_eq!(LogHeader::parse(&line).unwrap(), header);
    }

    #[test]
    fn a_later_version_is_refused_by_name() {
        let error =
            LogHeader::parse(br#"#rastro {"version":2,"format":"","container":{"id":"x"}}"#).unwrap_err();
        assert!(error.to_string().contains("version 2"));
    }
}
