//! Profiles by name: `NAME` for the latest version, `NAME@VERSION` for one.

use std::fmt;

use anyhow::{Context, bail};
use rastro_analyzer::Profile;
use rastro_model::ProfileRef;
use rastro_store::{ProfileSummary, Store};

/// Which profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProfileReference {
    /// Its name.
    pub(crate) name: String,
    /// Its version; the latest, if none.
    pub(crate) version: Option<u32>,
}

impl ProfileReference {
    /// Reads `NAME` or `NAME@VERSION`. Names of images may hold `@` themselves (`shop@sha256:…`): only a number behind the last
    /// one is a version.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let (name, version) = match text.rsplit_once('@') {
            Some((name, version))
                if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                let version = version
                    .parse()
                    .ok()
                    .filter(|&version| version > 0)
                    .with_context(|| format!("`{text}`: versions of profiles are numbers from 1 up"))?;
                (name, Some(version))
            }
            _ => (text, None),
        };
        if name.trim().is_empty() {
            bail!(
                "`{text}`: expected the name of a profile, as in NAME or NAME@VERSION; `rastro profile list` lists them"
            );
        }
        Ok(Self { name: name.to_owned(), version })
    }

    /// The profile as it is stored.
    pub(crate) async fn resolve(&self, store: &dyn Store) -> anyhow::Result<rastro_store::Profile> {
        Ok(store.profile(&self.name, self.version).await?)
    }

    /// The profile, read, with its name and version.
    pub(crate) async fn load(&self, store: &dyn Store) -> anyhow::Result<(ProfileRef, Profile)> {
        let stored = self.resolve(store).await?;
        let reference = stored.summary.profile;
        let profile = Profile::from_bytes(&stored.bytes)
            .with_context(|| format!("profile `{}@{}`", reference.name, reference.version))?;
        Ok((reference, profile))
    }
}

impl fmt::Display for ProfileReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A profile as a store takes it; the store gives it its version.
pub(crate) fn to_store(profile: &Profile) -> rastro_store::Profile {
    let bytes = profile.to_bytes();
    rastro_store::Profile {
        summary: ProfileSummary {
            profile: ProfileRef { name: profile.name.clone(), version: 0 },
            created_ns: profile.created_ns,
            models: profile.models().iter().map(ToString::to_string).collect(),
            calls: profile.training().calls,
            bytes: bytes.len() as u64,
        },
        bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_behind_the_last_at_sign_is_a_version() {
        let parsed = |text: &str| {
            let reference = ProfileReference::parse(text).unwrap();
            assert_eq!(reference.to_string(), text);
            (reference.name, reference.version)
        };
        assert_eq!(parsed("shop"), ("shop".to_owned(), None));
        assert_eq!(parsed("shop:1.4@2"), ("shop:1.4".to_owned(), Some(2)));
        assert_eq!(parsed("shop@sha256:0af1"), ("shop@sha256:0af1".to_owned(), None));
        assert_eq!(parsed("shop@sha256:0af1@12"), ("shop@sha256:0af1".to_owned(), Some(12)));
        assert_eq!(parsed("shop@"), ("shop@".to_owned(), None));
    }

    #[test]
    fn what_names_no_profile_is_refused() {
        for text in ["", " ", "@2", "shop@0", "shop@99999999999"] {
            assert!(ProfileReference::parse(text).is_err(), "{text:?}");
        }
    }
}
