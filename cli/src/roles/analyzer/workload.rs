//! Which profile a container is compared with.
//!
//! One profile an image: replicas share what they learn. A container whose image is not known belongs to the workload named
//! like its dataset; if there is no profile of that name and exactly one profile at all, it is that one's.

use std::{collections::HashMap, sync::Arc};

use rastro_analyzer::Profile;
use rastro_model::{ProfileRef, Segment};
use rastro_store::Store;

/// Name of the workload of a segment.
pub(crate) fn name_of(segment: &Segment) -> &str {
    segment.container.image.as_deref().unwrap_or(&segment.dataset)
}

/// Profiles of a store, read once a version.
#[derive(Debug, Default)]
pub(crate) struct Profiles {
    latest: HashMap<String, u32>,
    read: HashMap<ProfileRef, Arc<Profile>>,
}

impl Profiles {
    /// Looks which profiles there are now.
    pub(crate) async fn refresh(&mut self, store: &dyn Store) -> anyhow::Result<()> {
        self.latest.clear();
        for summary in store.profiles().await? {
            let version = self.latest.entry(summary.profile.name).or_default();
            *version = summary.profile.version.max(*version);
        }
        let latest = &self.latest;
        self.read.retain(|reference, _| latest.get(&reference.name) == Some(&reference.version));
        Ok(())
    }

    /// All of them, the latest version of each.
    pub(crate) fn latest(&self) -> Vec<ProfileRef> {
        let reference =
            |(name, version): (&String, &u32)| ProfileRef { name: name.clone(), version: *version };
        self.latest.iter().map(reference).collect()
    }

    /// The profile for a segment, if there is one.
    pub(crate) fn choose(&self, segment: &Segment) -> Option<ProfileRef> {
        let name = name_of(segment);
        let reference =
            |(name, version): (&String, &u32)| ProfileRef { name: name.clone(), version: *version };
        if let Some(named) = self.latest.get_key_value(name) {
            return Some(reference(named));
        }
        let is_only_one = segment.container.image.is_none() && self.latest.len() == 1;
        is_only_one.then(|| self.latest.iter().next().map(reference)).flatten()
    }

    /// The profile itself.
    pub(crate) async fn read(
        &mut self,
        store: &dyn Store,
        reference: &ProfileRef,
    ) -> anyhow::Result<Arc<Profile>> {
        if let Some(profile) = self.read.get(reference) {
            return Ok(Arc::clone(profile));
        }
        let stored = store.profile(&reference.name, Some(reference.version)).await?;
        let profile = Arc::new(Profile::from_bytes(&stored.bytes)?);
        self.read.insert(reference.clone(), Arc::clone(&profile));
        Ok(profile)
    }
}
