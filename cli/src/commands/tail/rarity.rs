//! How usual a call is, as a profile knows it.

use std::{collections::HashMap, sync::Arc};

use rastro_analyzer::Profile;
use rastro_model::Container;
use rastro_store::Store;

use super::Context;
use crate::commands::profile::ProfileReference;

/// Share of the calls of training below which a call is rare.
const RARE: f64 = 1e-4;

/// How usual a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rarity {
    /// It did not occur in training.
    NeverSeen,
    /// It was less than one call in ten thousand.
    Rare,
    /// Anything else.
    Usual,
}

impl Rarity {
    /// The word in JSON.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NeverSeen => "never_seen",
            Self::Rare => "rare",
            Self::Usual => "usual",
        }
    }
}

/// What a profile knows of single calls.
#[derive(Debug)]
struct Known {
    counts: HashMap<String, u64>,
    total: u64,
}

impl Known {
    fn new(profile: &Profile) -> Self {
        let counts: HashMap<_, _> =
            profile.calls().into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        Self { total: counts.values().sum(), counts }
    }

    fn rarity(&self, name: &str) -> Rarity {
        match self.counts.get(name) {
            None | Some(0) => Rarity::NeverSeen,
            Some(&count) if (count as f64) < RARE * self.total as f64 => Rarity::Rare,
            Some(_) => Rarity::Usual,
        }
    }
}

/// The profiles by which calls are coloured.
pub(super) struct Rarities {
    /// The one that was asked for; it holds for every container.
    given: Option<Known>,
    store: Option<Arc<dyn Store>>,
    /// Profiles of images, as they are needed; `None` for an image that has none.
    by_name: HashMap<String, Option<Known>>,
}

impl Rarities {
    /// The profile of that name, or that of each container's image where none is given.
    pub(super) async fn open(context: &Context, profile: Option<&str>) -> anyhow::Result<Self> {
        let Some(profile) = profile else {
            // Without a store there is no profile, and calls are shown all the same.
            let store = context.data_dir.store().is_file().then(|| context.store_to_read()).transpose()?;
            return Ok(Self { given: None, store, by_name: HashMap::new() });
        };
        let reference = ProfileReference::parse(profile)?;
        let (_, profile) = reference.load(context.store_to_read()?.as_ref()).await?;
        Ok(Self { given: Some(Known::new(&profile)), store: None, by_name: HashMap::new() })
    }

    /// How usual the call `name` is in that container; `None` where no profile tells.
    pub(super) async fn of(&mut self, container: &Container, name: &str) -> Option<Rarity> {
        if let Some(given) = &self.given {
            return Some(given.rarity(name));
        }
        let store = self.store.as_deref()?;
        let reference = ProfileReference::of_container(container);
        if !self.by_name.contains_key(&reference.name) {
            let known = reference.load(store).await.ok().map(|(_, profile)| Known::new(&profile));
            self.by_name.insert(reference.name.clone(), known);
        }
        self.by_name.get(&reference.name)?.as_ref().map(|known| known.rarity(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_rare_below_one_in_ten_thousand() {
        let counts = [("read", 99_990), ("unlink", 9), ("chroot", 1), ("never", 0)];
        let known = Known {
            counts: counts.iter().map(|&(name, count)| (name.to_owned(), count)).collect(),
            total: 100_000,
        };
        assert_eq!(known.rarity("read"), Rarity::Usual);
        assert_eq!(known.rarity("unlink"), Rarity::Rare);
        assert_eq!(known.rarity("never"), Rarity::NeverSeen);
        assert_eq!(known.rarity("execve"), Rarity::NeverSeen);
    }
}
