//! The store on Elasticsearch 8 (or OpenSearch 2).
//!
//! | module | idea |
//! |---|---|
//! | [`config`] | how to reach it |
//! | `client` | requests to whichever node answers, and what an answer means |
//! | `credentials`, `certificates` | who we are to the server, and whom we believe to be the server |
//! | `compression` | bodies on their way |
//! | `bulk`, `search` | writing and reading documents |
//! | `rejected` | what the server had no room for, sent again in order |
//! | `schema`, `migrate` | mappings, templates and their version |
//! | `documents` | what lies in the indices |
//! | `write`, `roll` | chunks: exactly once, in order, and into which index |
//! | `read` | segments, in the order in which they were written |
//! | `analysis`, `claims` | scores, alarms, and who analyses what |
//! | `catalog`, `retention` | datasets and their indices; what is removed when |
//! | `notes` | profiles, labels, dead letters, rollups |
//! | `checks` | what `rastro doctor` says of it |
//!
//! # What it asks of the server
//!
//! Index templates, `_bulk`, `_search`, `_mget`, aliases and `_stats`: nothing that needs a licence or a module beyond the smallest build.
//! Every index has one shard, because the order in which a shard has taken documents (`_seq_no`) is the order in which an index is
//! read; a dataset grows by more indices.

mod analysis;
mod bulk;
mod catalog;
mod certificates;
mod checks;
mod claims;
mod client;
mod compression;
pub mod config;
mod credentials;
mod documents;
mod migrate;
mod notes;
mod read;
mod rejected;
mod retention;
mod roll;
mod schema;
mod search;
mod write;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use elasticsearch::http::Method;
use rastro_model::{Alarm, AlarmId, Position, Segment, SegmentId, StreamId, Tally};
use serde_json::{Value, json};

pub use crate::Migration;
pub use checks::{Finding, Gravity};
use client::{Body, Client, encode};
pub use config::{ElasticConfig, Secret};
use schema::{Kind, Own};

use crate::{
    AlarmQuery, AnalysisBatch, ChunkOutput, Columns, DatasetSummary, DeadLetter, Label, Profile,
    ProfileSummary, Retention, RetentionReport, Rollup, ScoreQuery, Store, StoreError, StoredScores,
    StoredSegment, WriteReport,
};

/// The store on Elasticsearch.
#[derive(Debug)]
pub struct ElasticStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    client: Client,
    config: ElasticConfig,
    /// Indices that are known to be there and to be Rastro's.
    ensured: Mutex<HashSet<String>>,
    ledgers: tokio::sync::Mutex<HashMap<StreamId, write::Known>>,
    reading: read::Reading,
    places: analysis::Places,
    claims: claims::Claims,
    /// Begins the marks by which this handle knows what it wrote itself.
    token: String,
    tokens: AtomicU64,
}

impl ElasticStore {
    /// Connects, and puts the templates of Rastro's own indices if this is the first time. An older or newer layout is refused.
    pub async fn connect(config: ElasticConfig) -> Result<Self, StoreError> {
        let store = Self::unchecked(config)?;
        store.inner.check_version().await?;
        Ok(store)
    }

    /// For what must work on any layout: looking at it, and changing it.
    fn unchecked(config: ElasticConfig) -> Result<Self, StoreError> {
        let client = Client::new(&config)?;
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let token = format!("{}-{:x}", std::process::id(), since_epoch.as_nanos());
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                config,
                ensured: Mutex::default(),
                ledgers: tokio::sync::Mutex::default(),
                reading: read::Reading::default(),
                places: analysis::Places::default(),
                claims: claims::Claims::default(),
                token,
                tokens: AtomicU64::new(0),
            }),
        })
    }
}

impl Inner {
    /// Name of one of Rastro's own indices.
    fn own(&self, own: Own) -> String {
        own.index(&self.config.prefix)
    }

    /// The alias over all indices of a kind.
    fn alias(&self, kind: Kind) -> String {
        schema::alias(&self.config.prefix, kind)
    }

    /// A mark that no other write has.
    fn next_token(&self) -> String {
        format!("{}-{}", self.token, self.tokens.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes an index of a dataset, with the templates of its kind, unless it is there. One that is there and not Rastro's is refused.
    async fn ensure_index(&self, dataset: &str, dataset_index: &str, kind: Kind) -> Result<(), StoreError> {
        let index = kind.index(dataset_index);
        if self.ensured.lock().unwrap_or_else(PoisonError::into_inner).contains(&index) {
            return Ok(());
        }
        let path = format!(
            "/_index_template/{}",
            encode(&schema::template_name(&self.config.prefix, dataset, kind))
        );
        let template = schema::template(&self.config.prefix, dataset, kind, self.config.replicas);
        self.client.json::<Value>(Method::Put, &path, &[], Body::from(&template)).await?;
        self.create_index(
            &index,
            &json!({
                "settings": schema::settings(self.config.replicas),
                "mappings": kind.mappings(dataset),
                "aliases": { self.alias(kind): {} },
            }),
        )
        .await?;
        self.check_owner(&index, kind.name()).await?;
        self.ensured.lock().unwrap_or_else(PoisonError::into_inner).insert(index);
        Ok(())
    }

    /// Makes an index; one that is there already stays as it is.
    async fn create_index(&self, index: &str, body: &Value) -> Result<(), StoreError> {
        let answer =
            self.client.send(Method::Put, &format!("/{}", encode(index)), &[], Body::from(body)).await?;
        if answer.status == 400
            && String::from_utf8_lossy(&answer.body).contains("resource_already_exists_exception")
        {
            return Ok(());
        }
        answer.success().map(drop)
    }

    /// Whether an index is Rastro's, of the kind and version that is expected.
    async fn check_owner(&self, index: &str, kind: &str) -> Result<(), StoreError> {
        let path = format!("/{}/_mapping", encode(index));
        let answer: Value = self.client.json(Method::Get, &path, &[], Body::None).await?;
        let refuse = |message: String| Err(StoreError::Refused { server: self.client.server(), message });
        let Some(mapping) = answer.as_object().and_then(|indices| indices.values().next()) else {
            return Ok(());
        };
        let meta = &mapping["mappings"]["_meta"]["rastro"];
        if meta["kind"].as_str() != Some(kind) {
            return refuse(format!(
                "index `{index}` is there already and was not made by Rastro (its mapping does not say so); remove it or name the \
                 dataset otherwise; until then what belongs there waits"
            ));
        }
        match meta["version"].as_u64() {
            Some(schema::VERSION) => Ok(()),
            Some(version) if version > schema::VERSION => refuse(format!(
                "index `{index}` has layout {version}, this Rastro knows {}; use the Rastro that made it, or a later one",
                schema::VERSION
            )),
            _ => {
                refuse(format!("index `{index}` has an older layout; `rastro migrate` brings it up to date"))
            }
        }
    }

    /// Forgets what was known of indices, because some have been removed.
    fn forget_indices(&self) {
        self.ensured.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[async_trait]
impl Store for ElasticStore {
    async fn write_chunks(&self, outputs: &[ChunkOutput]) -> Result<WriteReport, StoreError> {
        let begun = std::time::Instant::now();
        let report = self.write(outputs).await?;
        metrics::histogram!("rastro_store_write_seconds").record(begun.elapsed().as_secs_f64());
        Ok(report)
    }

    async fn datasets(&self) -> Result<Vec<DatasetSummary>, StoreError> {
        self.inner.datasets().await
    }

    async fn index_names(&self) -> Result<Vec<String>, StoreError> {
        self.inner.dataset_indices().await
    }

    async fn retain(&self, policy: &Retention) -> Result<RetentionReport, StoreError> {
        self.inner.retain(policy).await
    }

    async fn delete_dataset(&self, dataset: &str) -> Result<(), StoreError> {
        self.inner.delete_dataset(dataset).await
    }

    async fn segments(
        &self,
        index: &str,
        after: u64,
        max_calls: usize,
        columns: Columns,
    ) -> Result<Vec<StoredSegment>, StoreError> {
        self.inner.segments(index, after, max_calls, columns).await
    }

    async fn segment(&self, id: SegmentId) -> Result<Segment, StoreError> {
        self.inner.segment(id).await
    }

    async fn segment_before(&self, id: SegmentId) -> Result<Option<Segment>, StoreError> {
        self.inner.segment_before(id).await
    }

    async fn wait_for_segments(&self, wait: Duration) {
        self.inner.wait_for_segments(wait).await;
    }

    async fn claim(&self, job: &str, index: &str, owner: &str, lease: Duration) -> Result<bool, StoreError> {
        self.inner.claim(job, index, owner, lease).await
    }

    async fn release_claim(&self, job: &str, index: &str, owner: &str) -> Result<(), StoreError> {
        self.inner.release_claim(job, index, owner).await
    }

    async fn write_analysis(&self, batch: &AnalysisBatch) -> Result<(), StoreError> {
        self.inner.write_analysis(batch).await
    }

    async fn place(&self, job: &str, index: &str) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        self.inner.place(job, index).await
    }

    async fn scores(&self, query: &ScoreQuery) -> Result<Vec<StoredScores>, StoreError> {
        self.inner.scores(query).await
    }

    async fn top_frames(
        &self,
        query: &ScoreQuery,
        count: usize,
    ) -> Result<Vec<(StoredScores, usize)>, StoreError> {
        self.inner.top_frames(query, count).await
    }

    async fn alarms(&self, query: &AlarmQuery) -> Result<Vec<Alarm>, StoreError> {
        self.inner.alarms(query).await
    }

    async fn alarm(&self, id: &AlarmId) -> Result<Alarm, StoreError> {
        self.inner.alarm(id).await
    }

    async fn put_profile(&self, profile: &Profile) -> Result<u32, StoreError> {
        self.inner.put_profile(profile).await
    }

    async fn profiles(&self) -> Result<Vec<ProfileSummary>, StoreError> {
        self.inner.profiles().await
    }

    async fn profile(&self, name: &str, version: Option<u32>) -> Result<Profile, StoreError> {
        self.inner.profile(name, version).await
    }

    async fn delete_profile(&self, name: &str, version: Option<u32>) -> Result<u32, StoreError> {
        self.inner.delete_profile(name, version).await
    }

    async fn put_labels(&self, dataset: &str, labels: &[Label]) -> Result<(), StoreError> {
        self.inner.put_labels(dataset, labels).await
    }

    async fn labels(&self, dataset: &str) -> Result<Vec<Label>, StoreError> {
        self.inner.labels(dataset).await
    }

    async fn dead_letters(&self, dataset: &str, count: usize) -> Result<Vec<DeadLetter>, StoreError> {
        self.inner.dead_letters(dataset, count).await
    }

    async fn rollups(&self, index: &str) -> Result<Vec<Rollup>, StoreError> {
        self.inner.rollups(index).await
    }

    async fn stream_tally(&self, stream: StreamId) -> Result<Tally, StoreError> {
        self.inner.stream_tally(stream).await
    }

    async fn stream_end(&self, stream: StreamId) -> Result<Option<(Position, u64)>, StoreError> {
        self.inner.stream_end(stream).await
    }

    async fn size(&self) -> Result<u64, StoreError> {
        self.inner.size().await
    }
}
