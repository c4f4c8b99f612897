//! Reading documents as Filebeat writes them, and everything else that may lie in a list.

use std::borrow::Cow;

use rastro_model::{Gap, StreamId};
use serde::Deserialize;
use serde_json::Value;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// A document as far as it is needed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) stream: StreamId,
    pub(super) node: String,
    pub(super) path: String,
    pub(super) line: Vec<u8>,
    /// Where the line begins in its file.
    pub(super) offset: Option<u64>,
    pub(super) read_ns: Option<i64>,
    /// What Rastro's own shipper says beside it.
    pub(super) exact: Option<Exact>,
    /// It could not be understood: `line` is all of it.
    pub(super) is_strange: bool,
}

/// What Rastro's own shipper says of a line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Exact {
    pub(super) generation: u64,
    /// Bytes of the file that the line covers.
    #[serde(default)]
    pub(super) length: Option<u64>,
    #[serde(default)]
    pub(super) header: Option<String>,
    #[serde(default)]
    pub(super) gap: Option<Gap>,
}

#[derive(Deserialize)]
struct Usual<'a> {
    #[serde(rename = "@timestamp", borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    host: Name<'a>,
    #[serde(borrow)]
    log: Log<'a>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(default)]
    rastro: Option<Exact>,
}

#[derive(Deserialize)]
struct Name<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Log<'a> {
    offset: u64,
    #[serde(borrow)]
    file: File<'a>,
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    path: Cow<'a, str>,
}

/// Reads one document of the list `list`. Never fails: what has no `message` and no path is a line of its own, whole, in a stream that
/// is named after the list.
pub(super) fn read(list: &str, bytes: &[u8]) -> Document {
    let read = match serde_json::from_slice(bytes) {
        Ok(usual) => Some(of_usual(usual)),
        Err(_) => serde_json::from_slice(bytes).ok().and_then(|value: Value| of_value(&value)),
    };
    // A line break in a message would make two lines of one: nobody must be able to add a line by what he writes into one.
    read.filter(|document| !document.line.contains(&b'\n')).unwrap_or_else(|| strange(list, bytes))
}

fn of_usual(usual: Usual<'_>) -> Document {
    let kind = if usual.rastro.is_some() { "rastro" } else { "filebeat" };
    Document {
        stream: stream_of(kind, &usual.host.name, &usual.log.file.path),
        read_ns: nanoseconds(&usual.timestamp),
        node: usual.host.name.into_owned(),
        path: usual.log.file.path.into_owned(),
        line: usual.message.into_owned().into_bytes(),
        offset: Some(usual.log.offset),
        exact: usual.rastro,
        is_strange: false,
    }
}

/// Whatever else has a message and a path, such as what other versions write.
fn of_value(value: &Value) -> Option<Document> {
    let text = |paths: &[&str]| {
        paths.iter().find_map(|path| value.pointer(path)?.as_str().filter(|text| !text.is_empty()))
    };
    let line = value.get("message")?.as_str()?.as_bytes().to_vec();
    let path = text(&["/log/file/path", "/source"])?.to_owned();
    let node =
        text(&["/host/name", "/host/hostname", "/agent/name", "/agent/hostname", "/beat/name", "/host"]);
    let offset = ["/log/offset", "/offset"].iter().find_map(|path| value.pointer(path));
    let offset = offset.and_then(|offset| offset.as_u64().or_else(|| offset.as_str()?.parse().ok()));
    let node = node.unwrap_or("unknown").to_owned();
    Some(Document {
        stream: stream_of("filebeat", &node, &path),
        read_ns: text(&["/@timestamp"]).and_then(nanoseconds),
        node,
        path,
        line,
        offset,
        exact: None,
        is_strange: false,
    })
}

fn strange(list: &str, bytes: &[u8]) -> Document {
    let path = format!("/redis/{list}");
    let line = bytes.iter().map(|&byte| if byte == b'\n' { b' ' } else { byte }).collect();
    Document {
        stream: stream_of("strange", "redis", &path),
        node: "redis".to_owned(),
        path,
        line,
        offset: None,
        read_ns: None,
        exact: None,
        is_strange: true,
    }
}

/// Streams of lists are others than those that a shipper makes of the same file: their positions are counted otherwise.
fn stream_of(kind: &str, node: &str, path: &str) -> StreamId {
    let mut hash = Xxh3::new();
    for part in ["list", kind, node, path] {
        hash.update(part.as_bytes());
        hash.update(b"\0");
    }
    StreamId(hash.digest())
}

fn nanoseconds(timestamp: &str) -> Option<i64> {
    let timestamp: jiff::Timestamp = timestamp.parse().ok()?;
    i64::try_from(timestamp.as_nanosecond()).ok()
}

impl Document {
    /// How many bytes of the file the line covers at least, line break included: bytes that were not UTF-8 have become three.
    pub(super) fn least_length(&self) -> u64 {
        let replaced = memchr::memmem::find_iter(&self.line, "\u{fffd}".as_bytes()).count();
        (self.line.len() - 2 * replaced) as u64 + 1
    }

    /// What tells the line from another one at the same place.
    pub(super) fn hash(&self) -> u64 {
        xxh3_64(&self.line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_text(text: &str) -> Document {
        read("k8s", text.as_bytes())
    }

    #[test]
    fn a_document_of_filebeat_is_read() {
        let document = read_text(
            r#"{"@timestamp":"2022-03-31T18:13:20.123Z","@metadata":{"beat":"filebeat"},"host":{"name":"worker-0","ip":[]},
            "log":{"offset":104322,"file":{"path":"/var/log/sysdig/0123456789ab.log"}},"message":"a \"line\" \u0007","input":{"type":"log"}}"#,
        );
        assert_eq!((document.node.as_str(), document.offset), ("worker-0", Some(104_322)));
        assert_eq!(document.path, "/var/log/sysdig/0123456789ab.log");
        assert_eq!(document.line, b"a \"line\" \x07");
        assert_eq!(document.read_ns, Some(1_648_750_400_123_000_000));
        assert!(!document.is_strange && document.exact.is_none());
    }

    #[test]
    fn documents_of_other_versions_are_read_as_far_as_they_go() {
        for (text, node, offset) in [
            (r#"{"message":"m","source":"/x.log","offset":"7","beat":{"name":"n"}}"#, "n", Some(7)),
            (r#"{"message":"m","log":{"file":{"path":"/x.log"}},"agent":{"name":"n"},"host":7}"#, "n", None),
            (
                r#"{"message":"m","log":{"offset":-1,"file":{"path":"/x.log"}},"host":"n","@timestamp":7}"#,
                "n",
                None,
            ),
            (r#"{"message":"m","log":{"offset":3,"file":{"path":"/x.log"}}}"#, "unknown", Some(3)),
        ] {
            let document = read_text(text);
            assert_eq!(
                (document.node.as_str(), document.offset, document.is_strange),
                (node, offset, false),
                "{text}"
            );
            assert_eq!((document.path.as_str(), document.line.as_slice()), ("/x.log", b"m".as_slice()));
        }
    }

    #[test]
    fn what_cannot_be_understood_is_a_line_of_its_own_and_never_two() {
        for text in [
            "",
            "rubbish",
            "two\nlines",
            "{\"message\":7}",
            "[]",
            "{\"message\":\"m\"}",
            r#"{"message":"one\ntwo","log":{"offset":0,"file":{"path":"/x.log"}},"host":{"name":"n"}}"#,
            &"[".repeat(100_000),
        ] {
            let document = read_text(text);
            assert!(document.is_strange, "{text}");
            assert_eq!(document.line, text.replace('\n', " ").into_bytes());
            assert_eq!((document.path.as_str(), document.offset), ("/redis/k8s", None));
        }
        assert_eq!(read("k8s", b"\xff\xfe").line, b"\xff\xfe");
    }

    #[test]
    fn replaced_bytes_count_as_one() {
        let document = read_text(r#"{"message":"aé��","source":"/x.log"}"#);
        assert_eq!(document.least_length(), 6);
    }

    proptest! {
        #[test]
        fn whatever_lies_in_a_list_is_one_line(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            members in prop::collection::vec(("message|log|host|source|offset|rastro|@timestamp", r#"[0-9]{1,20}|"[a-z\\n]{0,3}"|null|\{\}|\{"name":"n","offset":7,"file":\{"path":"/x"\},"generation":1\}"#), 0..8),
        ) {
            let joined: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            for bytes in [bytes, format!("{{{}}}", joined.join(",")).into_bytes()] {
                let document = read("k8s", &bytes);
                prop_assert!(!document.line.contains(&b'\n'));
                prop_assert!(document.least_length() >= 1);
                prop_assert!(!document.is_strange || document.line.len() == bytes.len());
            }
        }
    }
}
