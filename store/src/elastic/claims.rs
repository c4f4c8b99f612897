//! Who analyses what.
//!
//! A claim is a document with its owner and a beat that the owner renews. Another analyzer takes it over once it has seen the same
//! beat for the time of the lease *by its own monotonic clock*: clocks that jump or differ between machines give nobody a second
//! owner. An owner that was stopped for longer finds out when it writes its place, which is compared before it is set.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    Inner,
    bulk::{Action, Item, Outcome},
    documents::source,
    schema::Own,
};
use crate::StoreError;

/// Claims of others, as they were seen.
#[derive(Debug, Default)]
pub(super) struct Claims {
    seen: Mutex<HashMap<String, Seen>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    sequence: u64,
    since: Instant,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claim {
    job: String,
    index: String,
    /// Empty once it was given up.
    owner: String,
    beat: u64,
}

impl Inner {
    pub(super) async fn claim(
        &self,
        job: &str,
        index: &str,
        owner: &str,
        lease: Duration,
    ) -> Result<bool, StoreError> {
        let id = format!("{job} {index}");
        let found = self.client.get::<Claim>(&self.own(Own::Claims), &id).await?;
        let (action, beat) = match found {
            None => (Action::Create, 0),
            Some(hit) => {
                let is_free = hit.source.owner.is_empty() || hit.source.owner == owner;
                if !is_free && !self.is_abandoned(&id, hit.sequence, lease) {
                    return Ok(false);
                }
                (Action::Replace { sequence: hit.sequence, term: hit.term }, hit.source.beat + 1)
            }
        };
        let claim = Claim { job: job.to_owned(), index: index.to_owned(), owner: owner.to_owned(), beat };
        let is_ours = self.put_claim(&id, action, &claim).await?;
        if is_ours {
            self.claims.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
        Ok(is_ours)
    }

    pub(super) async fn release_claim(&self, job: &str, index: &str, owner: &str) -> Result<(), StoreError> {
        let id = format!("{job} {index}");
        let Some(hit) = self.client.get::<Claim>(&self.own(Own::Claims), &id).await? else { return Ok(()) };
        if hit.source.owner != owner {
            return Ok(());
        }
        let claim = Claim { owner: String::new(), beat: hit.source.beat + 1, ..hit.source };
        let action = Action::Replace { sequence: hit.sequence, term: hit.term };
        self.put_claim(&id, action, &claim).await.map(drop)
    }

    async fn put_claim(&self, id: &str, action: Action, claim: &Claim) -> Result<bool, StoreError> {
        let item = Item {
            index: self.own(Own::Claims),
            id: id.to_owned(),
            action,
            source: source(claim, "claim", id)?,
        };
        let outcomes = self.client.bulk(&[item], usize::MAX).await?;
        Ok(matches!(outcomes.as_slice(), [Outcome::Written { .. }]))
    }

    /// Whether the claim of another has not been renewed for `lease`.
    fn is_abandoned(&self, id: &str, sequence: u64, lease: Duration) -> bool {
        let mut seen = self.claims.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match seen.get(id) {
            Some(seen) if seen.sequence == sequence => now.duration_since(seen.since) >= lease,
            _ => {
                seen.insert(id.to_owned(), Seen { sequence, since: now });
                false
            }
        }
    }
}
