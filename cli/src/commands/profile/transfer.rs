//! Profiles to files, from files, and several into one.

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::Path,
};

use anyhow::{Context as _, bail};
use rastro_analyzer::Profile;
use rastro_model::ProfileRef;
use serde_json::json;

use super::{Context, ProfileReference, to_store};
use crate::output::{self, text};

/// The largest profile file that is read, bytes. Real ones are some hundred kilobytes.
const MAX_FILE_BYTES: u64 = 256 << 20;

pub(super) async fn export(context: &Context, profile: &str, output: &Path) -> anyhow::Result<()> {
    let stored = ProfileReference::parse(profile)?.resolve(context.store_to_read().await?.as_ref()).await?;
    if output == Path::new("-") {
        std::io::stdout().lock().write_all(&stored.bytes)?;
        return Ok(());
    }
    write_whole(output, &stored.bytes)?;
    let reference = stored.summary.profile;
    output::line(format!(
        "wrote `{}@{}` to `{}`: {} bytes; `rastro profile import` reads it elsewhere",
        text::printable(&reference.name),
        reference.version,
        output.display(),
        text::count(stored.bytes.len() as u64)
    ))
}

pub(super) async fn import(
    context: &Context,
    file: &Path,
    name: Option<&str>,
    json: bool,
) -> anyhow::Result<()> {
    let mut profile = read(file)?;
    if let Some(name) = name {
        profile.name = plain_name(name)?;
    }
    put(context, &profile, json, "imported").await
}

pub(super) async fn merge(
    context: &Context,
    profiles: &[String],
    into: &str,
    json: bool,
) -> anyhow::Result<()> {
    let into = plain_name(into)?;
    let store = context.store_to_read().await?;
    let mut merged: Option<Profile> = None;
    for text in profiles {
        let (_, profile) = ProfileReference::parse(text)?.load(store.as_ref()).await?;
        merged = Some(match merged {
            None => profile,
            Some(merged) => merged.merged(&profile, &into).with_context(|| {
                format!("`{text}` shares no model with the profiles before it: train them with the same `--detector`")
            })?,
        });
    }
    let Some(mut merged) = merged else { bail!("nothing to merge") };
    merged.name = into;
    put(context, &merged, json, "merged").await
}

async fn put(context: &Context, profile: &Profile, json: bool, what: &str) -> anyhow::Result<()> {
    let stored = to_store(profile);
    let version = context.store_to_make().await?.put_profile(&stored).await?;
    let reference = ProfileRef { name: profile.name.clone(), version };
    if json {
        return output::json(&json!({
            "name": reference.name, "version": reference.version,
            "models": stored.summary.models, "calls": stored.summary.calls, "bytes": stored.summary.bytes,
        }));
    }
    output::line(format!(
        "{what}: `{}@{version}`, {} calls of training, {}",
        text::printable(&reference.name),
        text::count(stored.summary.calls),
        stored.summary.models.join(" ")
    ))
}

/// A name without a version.
fn plain_name(name: &str) -> anyhow::Result<String> {
    let reference = ProfileReference::parse(name)?;
    if reference.version.is_some() {
        bail!("`{name}`: a new profile gets its version from the store; give the name alone");
    }
    Ok(reference.name)
}

fn read(path: &Path) -> anyhow::Result<Profile> {
    let place = || format!("cannot read `{}`", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(place)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).with_context(place)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        bail!("`{}` is larger than any profile ({MAX_FILE_BYTES} bytes)", path.display());
    }
    Profile::from_bytes(&bytes).with_context(|| format!("`{}` cannot be used as a profile", path.display()))
}

/// Writes a file so that it is there whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".partial");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write()
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::profile::sample;

    #[test]
    fn a_profile_survives_a_file_and_a_damaged_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.rprofile");
        let profile = sample::profile("shop", &["read", "write"]);
        let bytes = profile.to_bytes();
        write_whole(&path, &bytes).unwrap();
        assert_eq!(read(&path).unwrap().to_bytes(), bytes);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let mut damaged = bytes;
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        fs::write(&path, damaged).unwrap();
        let message = format!("{:#}", read(&path).unwrap_err());
        assert!(message.contains("cannot be used as a profile"), "{message}");
        assert!(write_whole(&folder.path().join("no/such/folder"), b"x").is_err());
    }

    #[test]
    fn a_new_profile_cannot_choose_its_version() {
        assert!(plain_name("shop@2").is_err());
        assert_eq!(plain_name("shop:1.4").unwrap(), "shop:1.4");
    }
}
