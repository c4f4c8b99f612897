//! Which profile scores what, and models that a profile was not trained with.

use std::{collections::HashMap, sync::Arc};

use anyhow::bail;
use rastro_analyzer::{ModelSpec, Profile, Scorer, Trainer, TrainingOptions};
use rastro_model::{ProfileRef, Segment};
use rastro_store::{Columns, Store};

use crate::{
    commands::{
        analyzer_input::{columns_of, pages, within},
        profile::ProfileReference,
    },
    output::text,
    roles::analyzer::{Profiles, Settings},
};

/// The calls of a segment that the profile was trained on, as far as it says.
fn learned_from(profile: &Profile, segment: Segment) -> Option<Segment> {
    let image = segment.container.image.as_deref().unwrap_or("");
    let source = profile.sources().iter().find(|source| {
        source.index == segment.index
            && source.container == segment.container.id
            && source.node == segment.node
            && source.image == image
    })?;
    within(segment, Some(source.start_ns), Some(source.end_ns.saturating_add(1)))
}

/// Profiles to score with.
pub(super) struct ChosenProfiles {
    store: Arc<dyn Store>,
    settings: Settings,
    /// The one that was named, if one was.
    named: Option<ProfileRef>,
    /// Models that were asked for; none means all of the profile.
    models: Vec<ModelSpec>,
    profiles: Profiles,
    /// Profiles that have every model that was asked for.
    complete: HashMap<ProfileRef, Arc<Profile>>,
}

impl ChosenProfiles {
    pub(super) async fn new(
        store: &Arc<dyn Store>,
        settings: &Settings,
        named: Option<&str>,
        models: Vec<ModelSpec>,
    ) -> anyhow::Result<Self> {
        let named = match named {
            Some(text) => Some(ProfileReference::parse(text)?.resolve(store.as_ref()).await?.summary.profile),
            None => None,
        };
        let mut profiles = Profiles::default();
        profiles.refresh(store.as_ref()).await?;
        Ok(Self {
            store: Arc::clone(store),
            settings: settings.clone(),
            named,
            models,
            profiles,
            complete: HashMap::new(),
        })
    }

    /// What scoring reads of a segment: where no model was named, what the models of any profile may need.
    pub(super) async fn columns(&mut self) -> anyhow::Result<Columns> {
        if !self.models.is_empty() {
            return Ok(columns_of(&self.models));
        }
        let possible = match &self.named {
            Some(reference) => vec![reference.clone()],
            None => self.profiles.latest(),
        };
        for reference in possible {
            // One that cannot be read is an error where it is used.
            let Ok(profile) = self.profiles.read(self.store.as_ref(), &reference).await else { continue };
            if columns_of(&profile.models()) == Columns::All {
                return Ok(Columns::All);
            }
        }
        Ok(Columns::Sequence)
    }

    /// A scorer for the workload of `segment`; `None` if there is no profile for it.
    pub(super) async fn scorer(&mut self, segment: &Segment) -> anyhow::Result<Option<Scorer>> {
        let Some(reference) = self.named.clone().or_else(|| self.profiles.choose(segment)) else {
            return Ok(None);
        };
        let profile = match self.complete.get(&reference) {
            Some(profile) => Arc::clone(profile),
            None => {
                let profile = self.profiles.read(self.store.as_ref(), &reference).await?;
                let profile = self.completed(profile, &reference).await?;
                self.complete.insert(reference.clone(), Arc::clone(&profile));
                profile
            }
        };
        Ok(Some(Scorer::new(profile, reference.version, self.settings.scoring(self.models.clone()))?))
    }

    /// The profile, with the models that were asked for and that it lacks trained from the calls that it was trained on itself.
    async fn completed(&self, profile: Arc<Profile>, reference: &ProfileRef) -> anyhow::Result<Arc<Profile>> {
        let known = profile.models();
        let missing: Vec<String> =
            self.models.iter().filter(|model| !known.contains(model)).map(ToString::to_string).collect();
        if missing.is_empty() {
            return Ok(profile);
        }
        let options = TrainingOptions { models: self.models.clone(), frame: self.settings.frame };
        let mut trainer = Trainer::new(&profile.name, &options);
        let datasets = self.store.datasets().await?;
        let stored = datasets.iter().flat_map(|dataset| &dataset.indices).map(|index| index.name.as_str());
        let is_source = |index: &str| profile.sources().iter().any(|source| source.index == index);
        for index in stored.filter(|index| is_source(index)) {
            let mut pages = pages(&self.store, index, columns_of(&self.models));
            while let Some(page) = pages.recv().await {
                for stored in page? {
                    if let Some(segment) = learned_from(&profile, stored.segment) {
                        trainer.learn(&segment);
                    }
                }
            }
        }
        let trained = trainer.finish(profile.created_ns);
        let (found, learned) = (trained.training().calls, profile.training().calls);
        if found != learned {
            let why = if found < learned {
                format!(
                    "only {} of the {} calls that it was trained on are still stored",
                    text::count(found),
                    text::count(learned)
                )
            } else {
                // A profile names the first and the last call of what it learned from, and nothing between them.
                format!(
                    "it was trained on {} of the {} calls that are stored of that time, which it does not name",
                    text::count(learned),
                    text::count(found)
                )
            };
            bail!(
                "profile `{}@{}` has no model {}, and {why}: train it with `rastro train DATASET --profile {} --detector {}`",
                reference.name,
                reference.version,
                missing.join(", "),
                reference.name,
                missing.join(" --detector "),
            );
        }
        tracing::warn!(
            profile = reference.name,
            models = missing.join(", "),
            "trained from the profile's own sources"
        );
        Ok(Arc::new(trained))
    }
}
