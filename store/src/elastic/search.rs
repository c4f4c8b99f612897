//! Reading documents: one by its id as it is now, many by a search, all of an index in the order in which they were written.

use elasticsearch::http::Method;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::client::{Body, Client, encode};
use crate::StoreError;

/// Documents of one page when all are read.
const PAGE: usize = 2_000;

/// A document as found.
#[derive(Debug, Deserialize)]
pub(super) struct Hit<T> {
    #[serde(rename = "_id")]
    pub(super) id: String,
    #[serde(rename = "_index")]
    pub(super) index: String,
    #[serde(rename = "_seq_no", default)]
    pub(super) sequence: u64,
    #[serde(rename = "_primary_term", default)]
    pub(super) term: u64,
    #[serde(rename = "_source")]
    pub(super) source: T,
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct SearchAnswer<T> {
    #[serde(default)]
    timed_out: bool,
    #[serde(rename = "_shards")]
    shards: Shards,
    hits: Hits<T>,
}

#[derive(Deserialize)]
struct Shards {
    #[serde(default)]
    failed: u64,
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Hits<T> {
    #[serde(default = "Vec::new")]
    hits: Vec<Hit<T>>,
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Found<T> {
    #[serde(default)]
    found: bool,
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_index")]
    index: String,
    #[serde(rename = "_seq_no", default)]
    sequence: u64,
    #[serde(rename = "_primary_term", default)]
    term: u64,
    #[serde(rename = "_source")]
    source: Option<T>,
}

impl<T> Found<T> {
    fn hit(self) -> Option<Hit<T>> {
        let Self { id, index, sequence, term, source, found } = self;
        source.filter(|_| found).map(|source| Hit { id, index, sequence, term, source })
    }
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct ManyFound<T> {
    docs: Vec<Found<T>>,
}

impl Client {
    /// A document as it is now, whether or not a search would find it yet.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        index: &str,
        id: &str,
    ) -> Result<Option<Hit<T>>, StoreError> {
        let path = format!("/{}/_doc/{}", encode(index), encode(id));
        let found: Option<Found<T>> = self.json_if_found(Method::Get, &path, &[], Body::None).await?;
        Ok(found.and_then(Found::hit))
    }

    /// Documents of one index as they are now, those that there are; of large ones only the members in `fields`, if some are named.
    pub(super) async fn get_many<T: DeserializeOwned>(
        &self,
        index: &str,
        ids: &[String],
        fields: &str,
    ) -> Result<Vec<Hit<T>>, StoreError> {
        let mut hits = Vec::with_capacity(ids.len());
        for ids in ids.chunks(500) {
            let path = format!("/{}/_mget", encode(index));
            let query: &[(&str, &str)] =
                if fields.is_empty() { &[] } else { &[("_source_includes", fields)] };
            let body = Body::from(&json!({ "ids": ids }));
            let found: Option<ManyFound<T>> = self.json_if_found(Method::Post, &path, query, body).await?;
            hits.extend(found.into_iter().flat_map(|found| found.docs).filter_map(Found::hit));
        }
        Ok(hits)
    }

    /// Makes everything that is written visible to searches. An index that is not there has nothing to show.
    pub(super) async fn refresh(&self, index: &str) -> Result<(), StoreError> {
        let path = format!("/{}/_refresh", encode(index));
        let query = [("ignore_unavailable", "true"), ("allow_no_indices", "true")];
        self.json_if_found::<Value>(Method::Post, &path, &query, Body::None).await.map(drop)
    }

    /// One search. Names that do not exist hold nothing.
    pub(super) async fn search<T: DeserializeOwned>(
        &self,
        index: &str,
        body: &Value,
    ) -> Result<Vec<Hit<T>>, StoreError> {
        let path = format!("/{}/_search", encode(index));
        let query = [
            ("ignore_unavailable", "true"),
            ("allow_no_indices", "true"),
            ("seq_no_primary_term", "true"),
            ("allow_partial_search_results", "false"),
            ("track_total_hits", "false"),
        ];
        let answer: Option<SearchAnswer<T>> =
            self.json_if_found(Method::Post, &path, &query, Body::from(body)).await?;
        let Some(answer) = answer else { return Ok(Vec::new()) };
        if answer.timed_out || answer.shards.failed > 0 {
            return Err(StoreError::Unavailable {
                server: self.server(),
                message: format!("a search of `{index}` was answered in part only; it can be tried again"),
            });
        }
        Ok(answer.hits.hits)
    }

    /// Aggregations over an index or alias; `null` if there is none.
    pub(super) async fn aggregate(
        &self,
        index: &str,
        query: &Value,
        aggregations: Value,
    ) -> Result<Value, StoreError> {
        let path = format!("/{}/_search", encode(index));
        let parameters = [
            ("ignore_unavailable", "true"),
            ("allow_no_indices", "true"),
            ("allow_partial_search_results", "false"),
        ];
        let body = json!({ "size": 0, "query": query, "aggs": aggregations, "track_total_hits": false });
        let answer: Option<Value> =
            self.json_if_found(Method::Post, &path, &parameters, Body::from(&body)).await?;
        Ok(answer.map(|mut answer| answer["aggregations"].take()).unwrap_or_default())
    }

    /// Everything that `query` finds in one index of one shard, in the order of writing, page by page.
    pub(super) async fn scan<T: DeserializeOwned>(
        &self,
        index: &str,
        query: &Value,
        leave_out: &[&str],
        limit: usize,
    ) -> Result<Vec<Hit<T>>, StoreError> {
        self.refresh(index).await?;
        let mut all: Vec<Hit<T>> = Vec::new();
        let mut after: Option<u64> = None;
        loop {
            let size = PAGE.min(limit - all.len());
            if size == 0 {
                return Ok(all);
            }
            let mut filter = vec![query.clone()];
            if let Some(after) = after {
                filter.push(json!({ "range": { "_seq_no": { "gt": after } } }));
            }
            let body = json!({
                "size": size,
                "query": { "bool": { "filter": filter } },
                "sort": [{ "_seq_no": "asc" }],
                "_source": { "excludes": leave_out },
            });
            let page: Vec<Hit<T>> = self.search(index, &body).await?;
            let is_last = page.len() < size;
            after = page.last().map(|hit| hit.sequence).or(after);
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }
}
