//! Bulk requests: documents as lines, and what became of each.

use elasticsearch::http::Method;
use serde::Deserialize;

use super::{
    client::{Answer, Body, Client, cut, is_block},
    rejected::{Pauses, Verdict, Waiting},
};
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

    fn write(&self, action: Action, lines: &mut Vec<u8>) {
        #[derive(serde::Serialize)]
        struct Meta<'item> {
            _index: &'item str,
            _id: &'item str,
            #[serde(skip_serializing_if = "Option::is_none")]
            if_seq_no: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            if_primary_term: Option<u64>,
        }
        let (name, sequence, term) = match action {
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
        if action != Action::Delete {
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
    /// items. What the server has no room for is sent again for a while; if that does not help, everything behind it is given up as
    /// well: the order of a stream is the order of writing.
    pub(super) async fn bulk(&self, items: &[Item], limit: usize) -> Result<Vec<Outcome>, StoreError> {
        let mut outcomes = Vec::with_capacity(items.len());
        let mut first = 0;
        while first < items.len() {
            let mut lines = Vec::new();
            let mut next = first;
            while next < items.len() && (next == first || lines.len() + items[next].length() <= limit) {
                items[next].write(items[next].action, &mut lines);
                next += 1;
            }
            outcomes.extend(self.write_request(&items[first..next], lines).await?);
            first = next;
        }
        Ok(outcomes)
    }

    /// Sends the items of one request, and those again that the server had no room for, until each has its outcome.
    async fn write_request(&self, items: &[Item], mut lines: Vec<u8>) -> Result<Vec<Outcome>, StoreError> {
        metrics::counter!("rastro_store_bulk_documents_total").increment(items.len() as u64);
        let mut waiting = Waiting::all(items);
        let mut pauses = Pauses::default();
        loop {
            let (node, verdicts) = self.send_bulk(waiting.len(), lines).await?;
            let Some(words) = waiting.settle(items, verdicts) else { return Ok(waiting.into_outcomes()) };
            metrics::counter!("rastro_store_bulk_rejected_documents_total").increment(waiting.len() as u64);
            let Some(pause) = pauses.next() else {
                return Err(StoreError::Unavailable {
                    server: node,
                    message: format!("it has no room for more work now ({words}); it can be tried again"),
                });
            };
            tracing::debug!(documents = waiting.len(), ?pause, %words, "documents were rejected and are sent again");
            tokio::time::sleep(pause).await;
            lines = Vec::new();
            for (place, action) in waiting.entries() {
                items[place].write(action, &mut lines);
            }
        }
    }

    /// Sends one request of `count` items; says who answered, and what of each.
    async fn send_bulk(&self, count: usize, lines: Vec<u8>) -> Result<(String, Vec<Verdict>), StoreError> {
        metrics::counter!("rastro_store_bulk_bytes_total").increment(lines.len() as u64);
        let query = [(
            "filter_path",
            "items.*.status,items.*._seq_no,items.*._primary_term,items.*.error,items.*._index,error",
        )];
        let begun = std::time::Instant::now();
        let answer = self.send(Method::Post, "/_bulk", &query, Body::Lines(lines.into())).await?;
        metrics::histogram!("rastro_store_bulk_seconds").record(begun.elapsed().as_secs_f64());
        let node = answer.node.clone();
        verdicts(answer, count).map(|verdicts| (node, verdicts))
    }
}

/// What an answer says of each of `count` items.
fn verdicts(answer: Answer, count: usize) -> Result<Vec<Verdict>, StoreError> {
    if answer.status == 413 && count == 1 {
        let words = "the document is larger than the server takes (http.max_content_length)".to_owned();
        return Ok(vec![Verdict::Settled(Outcome::Unfit(words))]);
    }
    if answer.status == 429 {
        let words = answer.words();
        if !is_block(&words) {
            return Ok(vec![Verdict::Rejected(format!("429 {words}")); count]);
        }
    }
    let server = answer.node.clone();
    let answer: BulkAnswer = answer.success()?.read()?;
    if answer.items.len() != count {
        return Err(StoreError::Unavailable {
            server,
            message: format!(
                "it answered for {} of {count} documents; they are sent again",
                answer.items.len()
            ),
        });
    }
    let sorted = answer.items.into_iter().map(|item| {
        let is_deletion = matches!(item, BulkItem::Delete(_));
        let (BulkItem::Create(item) | BulkItem::Index(item) | BulkItem::Delete(item)) = item;
        sort(&item, is_deletion, &server)
    });
    sorted.collect()
}

/// What an answer means: done, there already, unfit for ever, no room now, or an error for reasons outside the document.
fn sort(answer: &ItemAnswer, is_deletion: bool, server: &str) -> Result<Verdict, StoreError> {
    let words = answer.error.as_ref().map(ItemError::words).unwrap_or_default();
    let kind = answer.error.as_ref().map(|error| error.kind.as_str()).unwrap_or_default();
    let server = server.to_owned();
    let settled = |outcome| Ok(Verdict::Settled(outcome));
    match answer.status {
        200..=299 => settled(Outcome::Written {
            sequence: answer.sequence.unwrap_or(0),
            term: answer.term.unwrap_or(0),
        }),
        409 => settled(Outcome::Conflict),
        404 if answer.error.is_none() => settled(Outcome::Missing),
        404 if kind == "index_not_found_exception" && is_deletion => settled(Outcome::Missing),
        404 if kind == "index_not_found_exception" => Err(StoreError::Refused {
            server,
            message: format!(
                "index `{}` is not there and is not made when it is written ({words}); let `action.auto_create_index` of the cluster \
                 allow it",
                answer.index
            ),
        }),
        400 if kind.contains("parsing") || kind.contains("mapp") || kind.contains("argument") => {
            settled(Outcome::Unfit(words))
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
        429 | 502..=504 => Ok(Verdict::Rejected(format!("{} {words}", answer.status))),
        500 | 501 => Err(StoreError::Unavailable {
            server,
            message: format!(
                "it cannot write to index `{}` now ({} {words}); it can be tried again",
                answer.index, answer.status
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

    fn sorted(json: &str) -> Result<Verdict, StoreError> {
        sort(&serde_json::from_str(json).unwrap(), false, "here:9200")
    }

    #[test]
    fn what_is_there_already_is_a_conflict_and_no_error() {
        let json = r#"{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"[x]: version conflict"}}"#;
        assert_eq!(sorted(json).unwrap(), Verdict::Settled(Outcome::Conflict));
        assert_eq!(
            sorted(r#"{"status":201,"_seq_no":7,"_primary_term":2}"#).unwrap(),
            Verdict::Settled(Outcome::Written { sequence: 7, term: 2 })
        );
    }

    #[test]
    fn a_busy_server_is_tried_again_and_an_unfit_document_is_not() {
        for status in [429, 503] {
            let json = format!(
                r#"{{"status":{status},"error":{{"type":"es_rejected_execution_exception","reason":"full"}}}}"#
            );
            assert_eq!(sorted(&json).unwrap(), Verdict::Rejected(format!("{status} full")));
        }
        let broken = r#"{"status":500,"_index":"web","error":{"type":"i_o_exception","reason":"no space"}}"#;
        assert!(sorted(broken).unwrap_err().is_transient());
        let unfit = r#"{"status":400,"error":{"type":"document_parsing_exception","reason":"field [a]","caused_by":{"reason":"no number"}}}"#;
        assert_eq!(
            sorted(unfit).unwrap(),
            Verdict::Settled(Outcome::Unfit("field [a]: no number".to_owned()))
        );
    }

    #[test]
    fn a_request_that_is_rejected_as_a_whole_is_rejected_item_by_item() {
        let answer = |status: u16, body: &str| Answer {
            node: "here:9200".to_owned(),
            status,
            body: body.as_bytes().to_vec().into(),
        };
        let full = r#"{"error":{"type":"es_rejected_execution_exception","reason":"bytes"},"status":429}"#;
        assert_eq!(
            verdicts(answer(429, full), 2).unwrap(),
            vec![Verdict::Rejected("429 bytes".to_owned()); 2]
        );
        let too_large = verdicts(answer(413, ""), 1).unwrap();
        assert!(matches!(&too_large[0], Verdict::Settled(Outcome::Unfit(_))), "{too_large:?}");
        assert!(!verdicts(answer(413, ""), 2).unwrap_err().is_transient());
        let short = verdicts(answer(200, r#"{"items":[]}"#), 1).unwrap_err();
        assert!(short.is_transient() && short.to_string().contains("0 of 1"), "{short}");
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
        let item =
            Item { index: "i".into(), id: "a\"b".into(), action: Action::Create, source: b"{}".to_vec() };
        item.write(Action::Replace { sequence: 3, term: 1 }, &mut lines);
        item.write(Action::Delete, &mut lines);
        let text = String::from_utf8(lines).unwrap();
        assert_eq!(
            text,
            "{\"index\":{\"_index\":\"i\",\"_id\":\"a\\\"b\",\"if_seq_no\":3,\"if_primary_term\":1}}\n{}\n\
             {\"delete\":{\"_index\":\"i\",\"_id\":\"a\\\"b\"}}\n"
        );
    }
}
