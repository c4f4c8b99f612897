//! What lies beside the segments: profiles, labels, dead letters, rollups.
//!
//! A profile may be larger than one document should be: its bytes then lie in parts, which are written before the document that names
//! them. Versions are given by a document a name, compared before it is set, so that none is ever given twice.

use std::collections::BTreeMap;

use rastro_model::{Category, Container, Position, ProfileRef, StreamId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{
    Inner,
    bulk::{Action, Item, Outcome},
    documents::{RollupDocument, damaged, now_text, source, time_text, to_bytes, to_text},
    read::missing_index,
    schema::{Kind, Own},
};
use crate::{DeadLetter, Label, Profile, ProfileSummary, Rollup, StoreError};

/// Bytes of a profile in one document.
const PART_BYTES: usize = 8 * 1024 * 1024;

/// Longest name that stands in an id as it is: Elasticsearch takes ids up to 512 bytes.
const MAX_NAME_IN_ID: usize = 400;

/// Documents that are removed at a time: their ids are held in memory.
const DELETED_AT_ONCE: usize = 10_000;

/// How often a version is asked for again because another process was first.
const MAX_CONFLICTS: usize = 64;

/// The highest version that a name ever had.
#[derive(Debug, Serialize, Deserialize)]
struct HighestVersion {
    kind: String,
    name: String,
    highest: u32,
}

/// A profile at a version.
#[derive(Debug, Serialize, Deserialize)]
struct ProfileDocument {
    kind: String,
    name: String,
    version: u32,
    #[serde(rename = "@timestamp")]
    timestamp: String,
    created_ns: i64,
    models: Vec<String>,
    calls: u64,
    bytes: u64,
    checksum: String,
    parts: u32,
    #[serde(default)]
    content: String,
}

/// Some of a large profile's bytes.
#[derive(Debug, Serialize, Deserialize)]
struct PartDocument {
    kind: String,
    name: String,
    version: u32,
    content: String,
}

impl ProfileDocument {
    fn summary(&self) -> ProfileSummary {
        ProfileSummary {
            profile: ProfileRef { name: self.name.clone(), version: self.version },
            created_ns: self.created_ns,
            models: self.models.clone(),
            calls: self.calls,
            bytes: self.bytes,
        }
    }
}

/// A name as a part of an id.
fn in_id(name: &str) -> String {
    if name.len() <= MAX_NAME_IN_ID { name.to_owned() } else { format!("{:032x}", xxh3_128(name.as_bytes())) }
}

fn profile_id(name: &str, version: u32) -> String {
    format!("{} {version}", in_id(name))
}

fn part_id(name: &str, version: u32, part: u32) -> String {
    format!("{} {version} part {part}", in_id(name))
}

fn missing_profile(name: &str, version: Option<u32>) -> StoreError {
    let name = version.map_or_else(|| name.to_owned(), |version| format!("{name} version {version}"));
    StoreError::NotFound { kind: "profile", name, hint: "`rastro profile list` lists what there is" }
}

impl Inner {
    pub(super) async fn put_profile(&self, profile: &Profile) -> Result<u32, StoreError> {
        let name = &profile.summary.profile.name;
        let version = self.next_version(name).await?;
        let index = self.own(Own::Profiles);
        let is_large = profile.bytes.len() > PART_BYTES;
        let mut parts = 0;
        if is_large {
            for bytes in profile.bytes.chunks(PART_BYTES) {
                let document = PartDocument {
                    kind: "part".into(),
                    name: name.clone(),
                    version,
                    content: to_text(bytes),
                };
                let item = Item {
                    index: index.clone(),
                    id: part_id(name, version, parts),
                    action: Action::Index,
                    source: source(&document, "profile", name)?,
                };
                self.written(&[item], "profile", name).await?;
                parts += 1;
            }
        }
        let document = ProfileDocument {
            kind: "profile".into(),
            name: name.clone(),
            version,
            timestamp: time_text(profile.summary.created_ns),
            created_ns: profile.summary.created_ns,
            models: profile.summary.models.clone(),
            calls: profile.summary.calls,
            bytes: profile.bytes.len() as u64,
            checksum: format!("{:016x}", xxh3_64(&profile.bytes)),
            parts,
            content: if is_large { String::new() } else { to_text(&profile.bytes) },
        };
        let item = Item {
            index,
            id: profile_id(name, version),
            action: Action::Create,
            source: source(&document, "profile", name)?,
        };
        self.written(&[item], "profile", name).await?;
        Ok(version)
    }

    /// Gives the version after the highest one that a name ever had.
    async fn next_version(&self, name: &str) -> Result<u32, StoreError> {
        let index = self.own(Own::Profiles);
        let id = format!("name {}", in_id(name));
        for _ in 0..MAX_CONFLICTS {
            let found = self.client.get::<HighestVersion>(&index, &id).await?;
            let highest = found.as_ref().map_or(0, |hit| hit.source.highest).saturating_add(1);
            let document = HighestVersion { kind: "name".into(), name: name.to_owned(), highest };
            let item = Item {
                index: index.clone(),
                id: id.clone(),
                action: found
                    .map_or(Action::Create, |hit| Action::Replace { sequence: hit.sequence, term: hit.term }),
                source: source(&document, "profile", name)?,
            };
            match self.client.bulk(&[item], usize::MAX).await?.as_slice() {
                [Outcome::Written { .. }] => return Ok(highest),
                [Outcome::Unfit(words)] => return Err(self.unfit(&index, words)),
                _ => {}
            }
        }
        Err(StoreError::Unavailable {
            server: self.client.server(),
            message: format!("others keep storing profiles under the name `{name}`; it can be tried again"),
        })
    }

    pub(super) async fn profiles(&self) -> Result<Vec<ProfileSummary>, StoreError> {
        let query = json!({ "term": { "kind": "profile" } });
        let hits = self
            .client
            .scan::<ProfileDocument>(&self.own(Own::Profiles), &query, &["content"], usize::MAX)
            .await?;
        let mut profiles: Vec<ProfileSummary> = hits.iter().map(|hit| hit.source.summary()).collect();
        profiles.sort_by(|a, b| a.profile.cmp(&b.profile));
        Ok(profiles)
    }

    pub(super) async fn profile(&self, name: &str, version: Option<u32>) -> Result<Profile, StoreError> {
        let index = self.own(Own::Profiles);
        let wanted = match version {
            Some(version) => version,
            None => {
                let query = json!({ "bool": { "filter": [
                    { "term": { "kind": "profile" } }, { "term": { "name": name } },
                ] } });
                let hits =
                    self.client.scan::<ProfileDocument>(&index, &query, &["content"], usize::MAX).await?;
                let latest = hits.iter().map(|hit| hit.source.version).max();
                latest.ok_or_else(|| missing_profile(name, None))?
            }
        };
        let id = profile_id(name, wanted);
        let document = self.client.get::<ProfileDocument>(&index, &id).await?.map(|hit| hit.source);
        let document = document.ok_or_else(|| missing_profile(name, version))?;
        let told = format!("{name} version {wanted}");
        let mut bytes = to_bytes(&document.content, "profile", &told)?;
        for part in 0..document.parts {
            let hit = self.client.get::<PartDocument>(&index, &part_id(name, wanted, part)).await?;
            let part = hit.ok_or_else(|| {
                damaged("profile", &told, &"a part of it is missing; import it again from a copy")
            })?;
            bytes.extend_from_slice(&to_bytes(&part.source.content, "profile", &told)?);
        }
        if format!("{:016x}", xxh3_64(&bytes)) != document.checksum {
            return Err(damaged(
                "profile",
                &told,
                &"its checksum does not match; import it again from a copy",
            ));
        }
        Ok(Profile { summary: document.summary(), bytes })
    }

    pub(super) async fn delete_profile(&self, name: &str, version: Option<u32>) -> Result<u32, StoreError> {
        let mut filter = vec![json!({ "term": { "name": name } })];
        filter.extend(version.map(|version| json!({ "term": { "version": version } })));
        let query = |kind: &str| {
            let mut filter = filter.clone();
            filter.push(json!({ "term": { "kind": kind } }));
            json!({ "bool": { "filter": filter } })
        };
        let index = self.own(Own::Profiles);
        let removed = self.delete_found(&index, &query("profile")).await?;
        self.delete_found(&index, &query("part")).await?;
        Ok(u32::try_from(removed).unwrap_or(u32::MAX))
    }

    pub(super) async fn put_labels(&self, dataset: &str, labels: &[Label]) -> Result<(), StoreError> {
        let items = labels
            .iter()
            .map(|label| {
                // The same container and thread is the same document.
                let identity = json!([dataset, label.container, label.thread]).to_string();
                let document = json!({
                    "dataset": dataset, "container": label.container, "thread": label.thread, "label": label.label,
                    "start": label.start_ns.map(time_text), "end": label.end_ns.map(time_text), "content": label,
                });
                Ok(Item {
                    index: self.own(Own::Labels),
                    id: format!("{:032x}", xxh3_128(identity.as_bytes())),
                    action: Action::Index,
                    source: source(&document, "label", &label.container)?,
                })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        self.written(&items, "label", dataset).await
    }

    pub(super) async fn labels(&self, dataset: &str) -> Result<Vec<Label>, StoreError> {
        #[derive(Deserialize)]
        struct LabelDocument {
            content: Label,
        }
        let query = json!({ "term": { "dataset": dataset } });
        let hits = self.client.scan::<LabelDocument>(&self.own(Own::Labels), &query, &[], usize::MAX).await?;
        Ok(hits.into_iter().map(|hit| hit.source.content).collect())
    }

    /// A line that was no event, as it is kept.
    pub(super) fn dead_letter(&self, dataset: &str, letter: &DeadLetter) -> Result<Item, StoreError> {
        let document = json!({
            "dataset": dataset,
            "stream": letter.stream,
            "line": letter.line,
            "generation": letter.position.generation,
            "offset": letter.position.offset,
            "reason": letter.reason,
            "message": String::from_utf8_lossy(&letter.text),
            "text": to_text(&letter.text),
            "event": { "ingested": now_text() },
        });
        Ok(Item {
            index: self.own(Own::DeadLetters),
            id: format!("{}-{}", letter.stream, letter.line),
            action: Action::Create,
            source: source(&document, "dead letter", dataset)?,
        })
    }

    pub(super) async fn dead_letters(
        &self,
        dataset: &str,
        count: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        #[derive(Deserialize)]
        struct LetterDocument {
            stream: StreamId,
            line: u64,
            generation: u64,
            offset: u64,
            reason: String,
            text: String,
        }
        self.require_dataset(dataset).await?;
        let query = json!({ "term": { "dataset": dataset } });
        let index = self.own(Own::DeadLetters);
        let hits = self.client.scan::<LetterDocument>(&index, &query, &["message"], count).await?;
        hits.into_iter()
            .map(|hit| {
                Ok(DeadLetter {
                    stream: hit.source.stream,
                    line: hit.source.line,
                    position: Position::new(hit.source.generation, hit.source.offset),
                    reason: hit.source.reason,
                    text: to_bytes(&hit.source.text, "dead letter", &hit.id)?,
                })
            })
            .collect()
    }

    pub(super) async fn rollups(&self, index: &str) -> Result<Vec<Rollup>, StoreError> {
        if !self.has_index(index).await? {
            return Err(missing_index(index));
        }
        let everything = json!({ "match_all": {} });
        let documents = self
            .client
            .scan::<RollupDocument>(&Kind::Rollup.index(index), &everything, &[], usize::MAX)
            .await?;
        let mut sums: BTreeMap<RollupKey, Rollup> = BTreeMap::new();
        for hit in documents {
            let rollup = hit.source.rollup(index, &hit.id)?;
            match sums.entry(RollupKey::of(&rollup)) {
                std::collections::btree_map::Entry::Vacant(place) => {
                    place.insert(rollup);
                }
                std::collections::btree_map::Entry::Occupied(mut sum) => add(sum.get_mut(), &rollup),
            }
        }
        Ok(sums.into_values().collect())
    }

    /// Writes documents that must be taken, whatever was there before.
    async fn written(&self, items: &[Item], what: &'static str, name: &str) -> Result<(), StoreError> {
        for (item, outcome) in items.iter().zip(self.client.bulk(items, self.config.bulk_bytes).await?) {
            match outcome {
                Outcome::Written { .. } | Outcome::Conflict => {}
                Outcome::Unfit(words) => return Err(self.unfit(&item.index, &words)),
                Outcome::Missing => {
                    return Err(damaged(what, name, &"the server does not know what was just written"));
                }
            }
        }
        Ok(())
    }

    fn unfit(&self, index: &str, words: &str) -> StoreError {
        StoreError::Refused {
            server: self.client.server(),
            message: format!(
                "index `{index}` does not take a document of Rastro's ({words}); run `rastro migrate`"
            ),
        }
    }

    /// Removes the documents that `query` finds in one of Rastro's own indices; returns how many were there.
    pub(super) async fn delete_found(&self, index: &str, query: &Value) -> Result<u64, StoreError> {
        #[derive(Deserialize)]
        struct Nothing {}
        let mut all = 0;
        loop {
            let hits = self.client.scan::<Nothing>(index, query, &["*"], DELETED_AT_ONCE).await?;
            let is_last = hits.len() < DELETED_AT_ONCE;
            let items: Vec<Item> = hits
                .into_iter()
                .map(|hit| Item { index: hit.index, id: hit.id, action: Action::Delete, source: Vec::new() })
                .collect();
            let outcomes = self.client.bulk(&items, self.config.bulk_bytes).await?;
            let removed =
                outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Written { .. })).count();
            all += removed as u64;
            // Where none could be removed, asking again would go on for ever.
            if is_last || removed == 0 {
                return Ok(all);
            }
        }
    }
}

/// What rollups are summed by, in the order in which they are told.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RollupKey {
    interval_ns: i64,
    container: String,
    name: String,
    category: u8,
    container_name: Option<String>,
    image: Option<String>,
}

impl RollupKey {
    fn of(rollup: &Rollup) -> Self {
        let Container { id, name, image } = rollup.container.clone();
        Self {
            interval_ns: rollup.interval_ns,
            container: id,
            name: rollup.name.clone(),
            category: Category::number(rollup.category),
            container_name: name,
            image,
        }
    }
}

fn add(sum: &mut Rollup, other: &Rollup) {
    sum.count = sum.count.saturating_add(other.count);
    sum.errors = sum.errors.saturating_add(other.errors);
    sum.latency_sum_ns = sum.latency_sum_ns.saturating_add(other.latency_sum_ns);
    sum.latency_max_ns = sum.latency_max_ns.max(other.latency_max_ns);
    sum.argc_sum = sum.argc_sum.saturating_add(other.argc_sum);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_never_grows_longer_than_elasticsearch_takes() {
        let long = "x".repeat(1_000);
        assert!(part_id(&long, u32::MAX, u32::MAX).len() <= 512);
        assert_ne!(profile_id(&long, 1), profile_id(&format!("{long}y"), 1));
        assert_eq!(profile_id("nginx:1.27", 3), "nginx:1.27 3");
    }
}
