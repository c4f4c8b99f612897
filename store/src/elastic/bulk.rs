//! Bulk requests: documents as lines, and what became of each.

use elasticsearch::http::Method;
use serde::Deserialize;

use super::client::{Body, Client, cut, is_block};
use crate::StoreError;

/// What is done with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Make it, unless one of its id is there.
    Create,
    /// Put it, whatever is there.
    Index,
    /// Put it if what is there is of this sequence number and term.
    Replace { sequence: u64, term: u64 },
    /// Remove it.
    Delete,
}

/// One document of a bulk request.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) index: String,
    pub(super) id: String,
    pub(super) action: Action,
    /// JSON object on one line; empty for [`Action::Delete`].
    pub(super) source: Vec<u8>,
}

/// What became of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is written, with this sequence number and term.
    Written { sequence: u64, term: u64 },
    /// One of its id is there already, or is not what was to be replaced.
    Conflict,
    /// There is no such document (of a deletion).
    Missing,
    /// It does not fit the mapping, or is too large.
    Unfit(String),
}

impl Item {
    fn length(&self) -> usize {
        self.source.len() + self.index.len() + self.id.len() + 64
    }

    fn write(&self, lines: &mut Vec<u8>) {
        #[derive(serde::Serialize)]
        struct Meta<'item> {
            _index: &'item str,
            _id: &'item str,
            #[serde(skip_serializing_if = "Option::is_none")]
            if_seq_no: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            if_primary_term: Option<u64>,
        }
        let (name, sequence, term) = match self.action {
            Action::Create => ("create", None, None),
            Action::Index => ("index", None, None),
            Action::Replace { sequence, term } => ("index", Some(sequence), Some(term)),
            Action::Delete => ("delete", None, None),
        };
        let meta = Meta { _index: &self.index, _id: &self.id, if_seq_no: sequence, if_primary_term: term };
        lines.extend_from_slice(b"{\"");
        lines.extend_from_slice(name.as_bytes());
        lines.extend_from_slice(b"\":");
        // Numbers and texts always serialise.
        if let Ok(meta) = serde_json::to_string(&meta) {
            lines.extend_from_slice(meta.as_bytes());
        }
        lines.extend_from_slice(b"}\n");
        if self.action != Action::Delete {
            lines.extend_from_slice(&self.source);
            lines.push(b'\n');
        }
    }
}

#[derive(Deserialize)]
struct BulkAnswer {
    items: Vec<BulkItem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum BulkItem {
    Create(ItemAnswer),
    Index(ItemAnswer),
    Delete(ItemAnswer),
}

#[derive(Deserialize)]
struct ItemAnswer {
    status: u16,
    #[serde(default, rename = "_seq_no")]
    sequence: Option<u64>,
    #[serde(default, rename = "_primary_term")]
    term: Option<u64>,
    #[serde(default)]
    error: Option<ItemError>,
    #[serde(default, rename = "_index")]
    index: String,
}

#[derive(Deserialize)]
struct ItemError {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    caused_by: Option<Box<ItemError>>,
}

impl ItemError {
    fn words(&self) -> String {
        match &self.caused_by {
            Some(cause) if !cause.reason.is_empty() => cut(&format!("{}: {}", self.reason, cause.reason)),
            _ => cut(&self.reason),
        }
    }
}

impl Client {
    /// Writes items in their order, in requests of about `limit` bytes, one after the other. The outcomes stand in the order of the
    /// items. If an item cannot be written now, everything behind it is given up as well: the order of a stream is the order of writing.
    pub(super) async fn bulk(&self, items: &[Item], limit: usize) -> Result<Vec<Outcome>, StoreError> {
        let mut outcomes = Vec::with_capacity(items.len());
        let mut lines = Vec::new();
        let mut first = 0;
        while first < items.len() {
            lines.clear();
            let mut next = first;
            while next < items.len() && (next == first || lines.len() + items[next].length() <= limit) {
                items[next].write(&mut lines);
                next += 1;
            }
            self.send_bulk(&items[first..next], std::mem::take(&mut lines), &mut outcomes).await?;
            first = next;
        }
        Ok(outcomes)
    }

    async fn send_bulk(
        &self,
        items: &[Item],
        lines: Vec<u8>,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<(), StoreError> {
        metrics::counter!("rastro_store_bulk_bytes_total").increment(lines.len() as u64);
        metrics::counter!("rastro_store_bulk_documents_total").increment(items.len() as u64);
        let query = [(
            "filter_path",
            "items.*.status,items.*._seq_no,items.*._primary_term,items.*.error,items.*._index",
        )];
        let begun = std::time::Instant::now();
        let answer = self.send(Method::Post, "/_bulk", &query, Body::Lines(lines.into())).await?;
        metrics::histogram!("rastro_store_bulk_seconds").record(begun.elapsed().as_secs_f64());
        if answer.status == 413 && items.len() == 1 {
            outcomes.push(Outcome::Unfit(
                "the document is larger than the server takes (http.max_content_length)".to_owned(),
            ));
            return Ok(());
        }
        let server = answer.node.clone();
        let answer: BulkAnswer = answer.success()?.read()?;
        if answer.items.len() != items.len() {
            return Err(StoreError::Unavailable {
                server,
                message: format!(
                    "it answered for {} of {} documents; they are sent again",
                    answer.items.len(),
                    items.len()
                ),
            });
        }
        for item in answer.items {
            let is_deletion = matches!(item, BulkItem::Delete(_));
            let (BulkItem::Create(item) | BulkItem::Index(item) | BulkItem::Delete(item)) = item;
            outcomes.push(sort(&item, is_deletion, &server)?);
        }
        Ok(())
    }
}

/// Which of four things an answer means: done, there already, unfit for ever, or not now (or never) for reasons outside the document.
fn sort(answer: &ItemAnswer, is_deletion: bool, server: &str) -> Result<Outcome, StoreError> {
    let words = answer.error.as_ref().map(ItemError::words).unwrap_or_default();
    let kind = answer.error.as_ref().map(|error| error.kind.as_str()).unwrap_or_default();
    let server = server.to_owned();
    match answer.status {
        200..=299 => {
            Ok(Outcome::Written { sequence: answer.sequence.unwrap_or(0), term: answer.term.unwrap_or(0) })
        }
        409 => Ok(Outcome::Conflict),
        404 if answer.error.is_none() => Ok(Outcome::Missing),
        404 if kind == "index_not_found_exception" && is_deletion => Ok(Outcome::Missing),
        404 if kind == "index_not_found_exception" => Err(StoreError::Refused {
            server,
            message: format!(
                "index `{}` is not there and is not made when it is written ({words}); let `action.auto_create_index` of the cluster \
                 allow it",
                answer.index
            ),
        }),
        400 if kind.contains("parsing") || kind.contains("mapp") || kind.contains("argument") => {
            Ok(Outcome::Unfit(words))
        }
        403 | 429 if is_block(&words) => Err(StoreError::Unavailable {
            server,
            message: format!(
                "index `{}` cannot be written ({words}); where a disk was too full, make room: Elasticsearch then lifts the block by itself",
                answer.index
            ),
        }),
        403 => Err(StoreError::Refused {
            server,
            message: format!("the user may not write to index `{}` (403: {words})", answer.index),
        }),
        429 | 500..=504 => Err(StoreError::Unavailable {
            server,
            message: format!(
                "it has no room for more work now ({} {words}); it is tried again",
                answer.status
            ),
        }),
        status => Err(StoreError::Refused {
            server,
            message: format!("index `{}` refuses a document with {status}: {words}", answer.index),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(json: &str) -> Result<Outcome, StoreError> {
        sort(&serde_json::from_str(json).unwrap(), false, "here:9200")
    }

    #[test]
    fn what_is_there_already_is_a_conflict_and_no_error() {
        let json = r#"{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"[x]: version conflict"}}"#;
        assert_eq!(sorted(json).unwrap(), Outcome::Conflict);
        assert_eq!(
            sorted(r#"{"status":201,"_seq_no":7,"_primary_term":2}"#).unwrap(),
            Outcome::Written { sequence: 7, term: 2 }
        );
    }

    #[test]
    fn a_busy_server_is_tried_again_and_an_unfit_document_is_not() {
        for status in [429, 503] {
            let json = format!(
                r#"{{"status":{status},"error":{{"type":"es_rejected_execution_exception","reason":"full"}}}}"#
            );
            assert!(sorted(&json).unwrap_err().is_transient(), "{status}");
        }
        let unfit = r#"{"status":400,"error":{"type":"document_parsing_exception","reason":"field [a]","caused_by":{"reason":"no number"}}}"#;
        assert_eq!(sorted(unfit).unwrap(), Outcome::Unfit("field [a]: no number".to_owned()));
    }

    #[test]
    fn a_full_disk_is_waited_for_and_a_missing_privilege_is_not() {
        for (status, words) in
            [(403, "FORBIDDEN/12/index read-only / allow delete (api)"), (429, "TOO_MANY_REQUESTS/12/disk")]
        {
            let block = format!(
                r#"{{"status":{status},"_index":"web","error":{{"type":"cluster_block_exception","reason":"index [web] blocked by: [{words}];"}}}}"#
            );
            let error = sorted(&block).unwrap_err();
            assert!(error.is_transient() && error.to_string().contains("make room"), "{error}");
        }
        let privilege = r#"{"status":403,"_index":"web","error":{"type":"security_exception","reason":"action is unauthorized"}}"#;
        let error = sorted(privilege).unwrap_err();
        assert!(!error.is_transient() && error.to_string().contains("`web`"), "{error}");
    }

    #[test]
    fn a_line_of_action_stands_before_every_document() {
        let mut lines = Vec::new();
        let item = |action| Item { index: "i".into(), id: "a\"b".into(), action, source: b"{}".to_vec() };
        item(Action::Replace { sequence: 3, term: 1 }).write(&mut lines);
        item(Action::Delete).write(&mut lines);
        let text = String::from_utf8(lines).unwrap();
        assert_eq!(
            text,
            "{\"index\":{\"_index\":\"i\",\"_id\":\"a\\\"b\",\"if_seq_no\":3,\"if_primary_term\":1}}\n{}\n\
             {\"delete\":{\"_index\":\"i\",\"_id\":\"a\\\"b\"}}\n"
        );
    }
}
