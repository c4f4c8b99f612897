//! The layout's version: every index and template of Rastro's bears it. An older one is brought up to date by `rastro migrate`, a newer one is left
//! alone.
//!
//! Mappings may gain fields in place; what must change otherwise cannot, and is refused in one sentence. Documents are never rewritten.

use std::cmp::Ordering;

use elasticsearch::http::Method;
use serde_json::{Value, json};

use super::{
    ElasticStore, Inner,
    client::{Body, encode},
    config::ElasticConfig,
    schema::{self, Kind, Own},
};
use crate::{Migration, StoreError};

/// What an index or a template says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Marked {
    name: String,
    /// Version, kind and dataset; `None` if it is not Rastro's.
    mark: Option<(u64, String, Option<String>)>,
}

impl Marked {
    fn read(name: &str, meta: &Value) -> Self {
        let meta = &meta["rastro"];
        let mark = meta["kind"].as_str().map(|kind| {
            let version = meta["version"].as_u64().unwrap_or(0);
            (version, kind.to_owned(), meta["dataset"].as_str().map(str::to_owned))
        });
        Self { name: name.to_owned(), mark }
    }
}

impl ElasticStore {
    /// Brings an older layout up to date: makes what is missing, adds to mappings and templates what they lack. Returns what it did, or,
    /// with `is_trial`, what it would do. Documents stay as they are.
    pub async fn migrate(config: ElasticConfig, is_trial: bool) -> Result<Vec<Migration>, StoreError> {
        let store = Self::unchecked(config)?;
        store.inner.migrate(is_trial).await
    }
}

impl Inner {
    /// Puts the templates by which Rastro's own indices are made when they are first written; refuses what is of another version, or
    /// someone else's.
    pub(super) async fn check_version(&self) -> Result<(), StoreError> {
        for marked in &self.marked_indices().await? {
            let own = Own::ALL.into_iter().find(|own| self.own(*own) == marked.name);
            match (&marked.mark, own) {
                (Some((_, kind, _)), Some(own)) if kind != own.name() => {
                    return Err(self.foreign(&marked.name));
                }
                (Some((version, ..)), _) => self.check_mark("index", &marked.name, *version)?,
                (None, Some(_)) => return Err(self.foreign(&marked.name)),
                // Someone else's index whose name begins like ours.
                (None, None) => {}
            }
        }
        let templates = self.template_versions().await?;
        for (name, version) in &templates {
            self.check_mark("template", name, *version)?;
        }
        let has = |own: Own| templates.iter().any(|(name, _)| *name == self.own(own));
        self.put_own_templates(|own| !has(own)).await
    }

    /// Puts the templates of the indices that `wanted` names, all at once: Elasticsearch then makes one change of them.
    async fn put_own_templates(&self, wanted: impl Fn(Own) -> bool) -> Result<(), StoreError> {
        let [first, second, third, fourth, fifth, sixth, seventh, eighth] = Own::ALL.map(|own| {
            let is_wanted = wanted(own);
            async move { if is_wanted { self.put_own_template(own).await } else { Ok(()) } }
        });
        tokio::try_join!(first, second, third, fourth, fifth, sixth, seventh, eighth).map(drop)
    }

    fn check_mark(&self, what: &str, name: &str, version: u64) -> Result<(), StoreError> {
        let needed = schema::VERSION;
        let message = match version.cmp(&needed) {
            Ordering::Equal => return Ok(()),
            Ordering::Less => format!(
                "{what} `{name}` has layout {version}, this Rastro needs {needed}; stop all roles and run `rastro migrate`"
            ),
            Ordering::Greater => format!(
                "{what} `{name}` has layout {version}, this Rastro knows {needed}; use the Rastro that made it, or a later one"
            ),
        };
        Err(StoreError::Refused { server: self.client.server(), message })
    }

    fn foreign(&self, name: &str) -> StoreError {
        StoreError::Refused {
            server: self.client.server(),
            message: format!(
                "index `{name}` is there already and was not made by Rastro (its mapping does not say so); remove it, or set another \
                 `store.prefix`"
            ),
        }
    }

    /// The template by which an index of ours is made, and comes back as it was if it is removed while others write.
    async fn put_own_template(&self, own: Own) -> Result<(), StoreError> {
        let name = self.own(own);
        let template = json!({
            "index_patterns": [name],
            "priority": 900,
            "version": schema::VERSION,
            "_meta": { "rastro": { "version": schema::VERSION, "kind": own.name() } },
            "template": { "settings": schema::settings(self.config.replicas), "mappings": own.mappings() },
        });
        let path = format!("/_index_template/{}", encode(&name));
        self.client.json::<Value>(Method::Put, &path, &[], Body::from(&template)).await.map(drop)
    }

    /// Rastro's own indices, those of all datasets, and whatever else is named like the former.
    async fn marked_indices(&self) -> Result<Vec<Marked>, StoreError> {
        let mut names = vec![format!("{}-*", self.config.prefix)];
        names.extend(Kind::ALL.map(|kind| self.alias(kind)));
        let path = format!("/{}/_mapping", names.join(","));
        // With a filter an index without a mark would not be told at all.
        let query = [
            ("filter_path", "*.mappings._meta,*.mappings.dynamic"),
            ("ignore_unavailable", "true"),
            ("allow_no_indices", "true"),
        ];
        let answer: Option<Value> = self.client.json_if_found(Method::Get, &path, &query, Body::None).await?;
        let mut marked: Vec<Marked> = answer
            .as_ref()
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, index)| Marked::read(name, &index["mappings"]["_meta"]))
            .collect();
        for own in Own::ALL {
            let name = self.own(own);
            if !marked.iter().any(|index| index.name == name) && self.has_index(&name).await? {
                marked.push(Marked { name, mark: None });
            }
        }
        marked.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(marked)
    }

    /// Rastro's templates.
    pub(super) async fn template_versions(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let templates = self.marked_templates().await?;
        Ok(templates.into_iter().filter_map(|marked| Some((marked.name, marked.mark?.0))).collect())
    }

    async fn marked_templates(&self) -> Result<Vec<Marked>, StoreError> {
        let path = format!("/_index_template/{}-*", encode(&self.config.prefix));
        let answer: Option<Value> = self.client.json_if_found(Method::Get, &path, &[], Body::None).await?;
        let templates = answer.as_ref().and_then(|answer| answer["index_templates"].as_array());
        Ok(templates
            .into_iter()
            .flatten()
            .filter_map(|template| {
                Some(Marked::read(template["name"].as_str()?, &template["index_template"]["_meta"]))
            })
            .filter(|marked| marked.mark.is_some())
            .collect())
    }

    async fn migrate(&self, is_trial: bool) -> Result<Vec<Migration>, StoreError> {
        let mut done = Vec::new();
        let indices = self.marked_indices().await?;
        // Looked through before anything is changed.
        for marked in &indices {
            let is_own = Own::ALL.into_iter().any(|own| self.own(own) == marked.name);
            match &marked.mark {
                Some((version, ..)) if *version > schema::VERSION => {
                    self.check_mark("index", &marked.name, *version)?;
                }
                None if is_own => return Err(self.foreign(&marked.name)),
                _ => {}
            }
        }
        let templates = self.marked_templates().await?;
        for own in Own::ALL {
            let name = self.own(own);
            if !templates.iter().any(|marked| marked.name == name) {
                done.push(Migration { what: format!("template `{name}`"), from: None, to: schema::VERSION });
                if !is_trial {
                    self.put_own_template(own).await?;
                }
            }
        }
        for marked in templates {
            let Some((version, kind, dataset)) = marked.mark else { continue };
            if version > schema::VERSION {
                self.check_mark("template", &marked.name, version)?;
            }
            if version >= schema::VERSION {
                continue;
            }
            done.push(Migration {
                what: format!("template `{}`", marked.name),
                from: Some(version),
                to: schema::VERSION,
            });
            if is_trial {
                continue;
            }
            if let Some(own) = Own::ALL.into_iter().find(|own| dataset.is_none() && own.name() == kind) {
                self.put_own_template(own).await?;
            } else if let (Some(dataset), Some(kind)) = (dataset, kind_named(&kind)) {
                let template = schema::template(&self.config.prefix, &dataset, kind, self.config.replicas);
                let path = format!("/_index_template/{}", encode(&marked.name));
                self.client.json::<Value>(Method::Put, &path, &[], Body::from(&template)).await?;
            }
        }
        for marked in indices {
            let Some((version, kind, dataset)) = marked.mark else { continue };
            if version >= schema::VERSION {
                continue;
            }
            let mappings =
                match (Own::ALL.into_iter().find(|own| self.own(*own) == marked.name), kind_named(&kind)) {
                    (Some(own), _) => own.mappings(),
                    (None, Some(kind)) => kind.mappings(dataset.as_deref().unwrap_or_default()),
                    (None, None) => continue,
                };
            done.push(Migration {
                what: format!("index `{}`", marked.name),
                from: Some(version),
                to: schema::VERSION,
            });
            if !is_trial {
                self.put_mapping(&marked.name, &mappings).await?;
            }
        }
        Ok(done)
    }

    async fn put_mapping(&self, index: &str, mappings: &Value) -> Result<(), StoreError> {
        let path = format!("/{}/_mapping", encode(index));
        let answer = self.client.send(Method::Put, &path, &[], Body::from(mappings)).await?;
        if answer.status == 400 {
            let message = format!(
                "index `{index}` cannot be brought up to date in place ({}); remove it (its dataset: `rastro datasets`), or keep it for \
                 the Rastro that made it under another `store.prefix`",
                answer.words()
            );
            return Err(StoreError::Refused { server: self.client.server(), message });
        }
        answer.success().map(drop)
    }
}

fn kind_named(name: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bears_no_mark_is_not_ours() {
        assert_eq!(Marked::read("a", &Value::Null).mark, None);
        assert_eq!(Marked::read("a", &json!({ "rastro": { "version": 3 } })).mark, None);
        let mark = json!({ "rastro": { "version": 3, "kind": "segments", "dataset": "web" } });
        assert_eq!(Marked::read("a", &mark).mark, Some((3, "segments".into(), Some("web".into()))));
        // Before versions were written down.
        let mark = json!({ "rastro": { "kind": "streams" } });
        assert_eq!(Marked::read("a", &mark).mark, Some((0, "streams".into(), None)));
    }
}
