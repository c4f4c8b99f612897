//! Profiles: bytes with a name and a version that never comes twice.

use rastro_model::ProfileRef;
use rusqlite::{Connection, Row, Transaction, params};
use xxhash_rust::xxh3::xxh3_64;

use super::{failure::Failure, names::not_found};
use crate::{Profile, ProfileSummary, StoreError};

const SUMMARY: &str = "name, version, created_ns, models, calls, length(bytes)";

fn read_summary(row: &Row<'_>) -> Result<ProfileSummary, Failure> {
    let profile = ProfileRef { name: row.get(0)?, version: row.get(1)? };
    let models: String = row.get(3)?;
    Ok(ProfileSummary {
        created_ns: row.get(2)?,
        models: serde_json::from_str(&models).map_err(|error| damaged(&profile, &error.to_string()))?,
        calls: row.get::<_, i64>(4)?.cast_unsigned(),
        bytes: row.get(5)?,
        profile,
    })
}

fn damaged(profile: &ProfileRef, message: &str) -> Failure {
    let name = format!("{} version {}", profile.name, profile.version);
    StoreError::Damaged { what: "profile", name, message: message.to_owned() }.into()
}

/// Stores a profile; returns its version.
pub(super) fn put(transaction: &Transaction<'_>, profile: &Profile) -> Result<u32, Failure> {
    let summary = &profile.summary;
    let version: u32 = transaction.query_row(
        "INSERT INTO profile_names (name, highest_version) VALUES (?, 1)
         ON CONFLICT (name) DO UPDATE SET highest_version = highest_version + 1 RETURNING highest_version",
        [&summary.profile.name],
        |row| row.get(0),
    )?;
    let models = serde_json::to_string(&summary.models)
        .map_err(|error| damaged(&summary.profile, &error.to_string()))?;
    transaction.execute(
        "INSERT INTO profiles (name, version, created_ns, models, calls, checksum, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![
            summary.profile.name,
            version,
            summary.created_ns,
            models,
            summary.calls.cast_signed(),
            xxh3_64(&profile.bytes).cast_signed(),
            profile.bytes
        ],
    )?;
    Ok(version)
}

/// All profiles, by name and version.
pub(super) fn list(connection: &Connection) -> Result<Vec<ProfileSummary>, Failure> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {SUMMARY} FROM profiles ORDER BY name, version"))?;
    let mut rows = statement.query([])?;
    let mut profiles = Vec::new();
    while let Some(row) = rows.next()? {
        profiles.push(read_summary(row)?);
    }
    Ok(profiles)
}

/// A profile at a version, or at its latest.
pub(super) fn get(connection: &Connection, name: &str, version: Option<u32>) -> Result<Profile, Failure> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {SUMMARY}, checksum, bytes FROM profiles WHERE name = ?1 AND version = ifnull(?2, version)
         ORDER BY version DESC LIMIT 1"
    ))?;
    let mut rows = statement.query(params![name, version])?;
    let Some(row) = rows.next()? else {
        let name = version.map_or_else(|| name.to_owned(), |version| format!("{name} version {version}"));
        return Err(not_found("profile", &name, "`rastro profile list` lists what there is"));
    };
    let summary = read_summary(row)?;
    let (checksum, bytes): (i64, Vec<u8>) = (row.get(6)?, row.get(7)?);
    if xxh3_64(&bytes).cast_signed() != checksum {
        return Err(damaged(&summary.profile, "its checksum does not match; import it again from a copy"));
    }
    Ok(Profile { summary, bytes })
}

/// Removes a profile at a version, or all versions; the versions are not given again.
pub(super) fn delete(
    transaction: &Transaction<'_>,
    name: &str,
    version: Option<u32>,
) -> Result<u32, Failure> {
    let removed = transaction.execute(
        "DELETE FROM profiles WHERE name = ?1 AND version = ifnull(?2, version)",
        params![name, version],
    )?;
    Ok(removed as u32)
}
