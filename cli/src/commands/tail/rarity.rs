//! How usual a call is, as a profile knows it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use rastro_analyzer::Profile;
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
    /// Names of the profiles that there are.
    names: BTreeSet<String>,
    /// Those of them that were needed so far; `None` for one that cannot be read.
    read: HashMap<String, Option<Known>>,
}

impl Rarities {
    /// The profile of that name, or that of each container's image where none is given.
    pub(super) async fn open(context: &Context, profile: Option<&str>) -> anyhow::Result<Self> {
        let mut rarities = Self { given: None, store: None, names: BTreeSet::new(), read: HashMap::new() };
        if let Some(profile) = profile {
            let (_, profile) =
                ProfileReference::parse(profile)?.load(context.store_to_read().await?.as_ref()).await?;
            rarities.given = Some(Known::new(&profile));
        } else if !context.config.store.is_embedded() {
            // A node need not have a way to the store: calls are shown all the same.
            if let Err(error) = rarities.look_into_store(context).await
                && !context.quiet
            {
                eprintln!("calls are shown without colours of rarity: {error:#}");
            }
        } else if context.data_dir.store().is_file() {
            rarities.look_into_store(context).await?;
        }
        Ok(rarities)
    }

    async fn look_into_store(&mut self, context: &Context) -> anyhow::Result<()> {
        let store = context.store_to_read().await?;
        self.names = store.profiles().await?.into_iter().map(|summary| summary.profile.name).collect();
        self.store = Some(store);
        Ok(())
    }

    /// How usual the call `name` is in that workload; `None` where no profile tells.
    pub(super) async fn of(&mut self, workload: &Workload, name: &str) -> Option<Rarity> {
        if let Some(given) = &self.given {
            return Some(given.rarity(name));
        }
        let store = self.store.as_deref()?;
        let profile = workload.profile(&self.names)?;
        if !self.read.contains_key(profile) {
            let reference = ProfileReference { name: profile.to_owned(), version: None };
            let known = reference.load(store).await.ok().map(|(_, profile)| Known::new(&profile));
            self.read.insert(profile.to_owned(), known);
        }
        self.read.get(profile)?.as_ref().map(|known| known.rarity(name))
    }
}

/// What a container runs, as far as its log file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Workload {
    pub(super) image: Option<String>,
    pub(super) dataset: String,
}

impl Workload {
    /// The profile that the analyzer compares it with: that of its image; without an image that of its dataset, else the only one.
    fn profile<'a>(&'a self, names: &'a BTreeSet<String>) -> Option<&'a str> {
        let name = self.image.as_ref().unwrap_or(&self.dataset);
        let only_one = || names.first().filter(|_| self.image.is_none() && names.len() == 1);
        names.get(name).or_else(only_one).map(String::as_str)
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

    #[test]
    fn a_workload_has_the_profile_that_the_analyzer_takes() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
        let workload =
            |image: Option<&str>| Workload { image: image.map(str::to_owned), dataset: "web".to_owned() };
        assert_eq!(workload(Some("shop:1")).profile(&names(&["shop:1", "web"])), Some("shop:1"));
        assert_eq!(workload(Some("shop:2")).profile(&names(&["shop:1"])), None);
        assert_eq!(workload(None).profile(&names(&["shop:1", "web"])), Some("web"));
        assert_eq!(workload(None).profile(&names(&["shop:1"])), Some("shop:1"));
        assert_eq!(workload(None).profile(&names(&["a", "b"])), None);
    }
}
