//! Which indices this process analyses, where several analyzers share the work.
//!
//! An index belongs to one analyzer at a time: it holds a claim and renews it for as long as there is work. When it dies, the claim
//! runs out and another takes the index up from the place that was written last. A process that only seemed dead finds its writes
//! refused (`Superseded`): the claim keeps work apart, the place keeps it right.
//!
//! An index in which nothing has happened for long is given up, so that years of stored days cost nothing but a look now and then.
//! Whoever has the least to do takes a new index first: the others wait a little.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use rastro_store::{Columns, Store, StoreError};

use super::LIVE;

/// How long a claim holds without being renewed.
const LEASE: Duration = Duration::from_secs(10);

/// When it is renewed.
const RENEW: Duration = Duration::from_secs(3);

/// When an index that another analyzer holds is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(2);

/// An index without new segments for so long is given up.
const REST_AFTER: Duration = Duration::from_mins(10);

/// When an index that was given up for want of work is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// How much longer each index at work makes this process wait before it takes a new one, if it is not alone.
const WAIT_FOR_EACH: Duration = Duration::from_millis(200);

/// The longest that it waits.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// How an index stands with this process.
#[derive(Debug, Clone, Copy)]
enum Standing {
    /// Seen, and not asked for yet.
    New { since: Instant },
    /// Ours.
    Held { renewed: Instant, worked: Instant },
    /// Another analyzer has it.
    Refused { asked: Instant },
    /// Given up for want of work behind this place.
    Resting { place: u64, looked: Instant },
}

/// The claims of this process.
pub(super) struct Claims {
    store: Arc<dyn Store>,
    owner: String,
    standings: HashMap<String, Standing>,
    /// Another analyzer was met.
    has_company: bool,
}

impl Claims {
    /// No claims yet, for an analyzer on `node`.
    pub(super) fn new(store: Arc<dyn Store>, node: &str) -> Self {
        let unique = RandomState::new().hash_one(std::process::id());
        Self { store, owner: format!("{node}-{unique:016x}"), standings: HashMap::new(), has_company: false }
    }

    /// Whether `index` is this process's to work on now. `at_once` looks also where it is not yet time to.
    pub(super) async fn take(&mut self, index: &str, at_once: bool) -> Result<bool, StoreError> {
        let now = Instant::now();
        let standing = self.standings.get(index).copied().unwrap_or(Standing::New { since: now });
        let mut last_work = now;
        match standing {
            Standing::Held { renewed, worked } => {
                if renewed.elapsed() < RENEW {
                    return Ok(true);
                }
                last_work = worked;
            }
            Standing::New { since } => {
                if !at_once && self.has_company && since.elapsed() < self.patience() {
                    self.standings.insert(index.to_owned(), standing);
                    return Ok(false);
                }
            }
            Standing::Refused { asked } => {
                if !at_once && asked.elapsed() < ASK_AGAIN {
                    return Ok(false);
                }
            }
            Standing::Resting { place, looked } => {
                if !at_once && looked.elapsed() < LOOK_AGAIN {
                    return Ok(false);
                }
                self.standings.insert(index.to_owned(), Standing::Resting { place, looked: now });
                if self.store.segments(index, place, 1, Columns::Sequence).await?.is_empty() {
                    return Ok(false);
                }
            }
        }
        let is_ours = self.store.claim(LIVE, index, &self.owner, LEASE).await?;
        self.has_company |= !is_ours;
        let standing = if is_ours {
            Standing::Held { renewed: now, worked: last_work }
        } else {
            Standing::Refused { asked: now }
        };
        self.standings.insert(index.to_owned(), standing);
        Ok(is_ours)
    }

    /// How long a new index is left to others.
    fn patience(&self) -> Duration {
        let at_work = self
            .standings
            .values()
            .filter(|standing| matches!(standing, Standing::Held { worked, .. } if worked.elapsed() < LEASE));
        (WAIT_FOR_EACH * at_work.count() as u32).min(LONGEST_WAIT)
    }

    /// There was something to do in `index`.
    pub(super) fn worked(&mut self, index: &str) {
        if let Some(Standing::Held { worked, .. }) = self.standings.get_mut(index) {
            *worked = Instant::now();
        }
    }

    /// Gives `index` up if nothing has happened in it for long; true if it was given up.
    pub(super) async fn rest(&mut self, index: &str, place: u64) -> bool {
        match self.standings.get(index) {
            Some(Standing::Held { worked, .. }) if worked.elapsed() >= REST_AFTER => {
                self.release(index).await;
                let resting = Standing::Resting { place, looked: Instant::now() };
                self.standings.insert(index.to_owned(), resting);
                true
            }
            _ => false,
        }
    }

    /// Another analyzer has gone on with `index`.
    pub(super) fn lost(&mut self, index: &str) {
        self.has_company = true;
        self.standings.insert(index.to_owned(), Standing::Refused { asked: Instant::now() });
    }

    /// Whether another analyzer has `index`, as far as is known.
    pub(super) fn is_others(&self, index: &str) -> bool {
        !matches!(self.standings.get(index), Some(Standing::Held { .. } | Standing::Resting { .. }))
    }

    /// Forgets indices that are not there any more.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        self.standings.retain(|index, _| is_there(index));
    }

    /// Gives everything up, so that others need not wait for the claims to run out.
    pub(super) async fn release_all(&mut self) {
        let held: Vec<String> = self
            .standings
            .iter()
            .filter(|(_, standing)| matches!(standing, Standing::Held { .. }))
            .map(|(index, _)| index.clone())
            .collect();
        for index in held {
            self.release(&index).await;
        }
        self.standings.clear();
    }

    /// A claim that cannot be given up now runs out by itself.
    async fn release(&self, index: &str) {
        if let Err(error) = self.store.release_claim(LIVE, index, &self.owner).await {
            tracing::debug!(index, %error, "a claim could not be given up; it runs out by itself");
        }
    }
}
