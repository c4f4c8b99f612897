//! Licences of everything that is linked: Apache-2.0 must allow each of them.
//!
//! Advisories need a database that lives outside the package registries: where `cargo deny` is installed and has a network,
//! `cargo deny check` does both by the same `deny.toml`.

use anyhow::bail;
use cargo_metadata::MetadataCommand;
use spdx::{Expression, LicenseReq};

use crate::command::root;

/// Licences that may be linked into an Apache-2.0 program. `deny.toml` holds the same list.
const ALLOWED: &[&str] = &[
    "Apache-2.0",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "BSL-1.0",
    "CC0-1.0",
    "Unlicense",
    "Unicode-3.0",
    "CDLA-Permissive-2.0",
    "MPL-2.0",
];

pub(crate) fn run() -> anyhow::Result<()> {
    eprintln!("==> licences");
    let metadata =
        MetadataCommand::new().current_dir(root()).other_options(vec!["--locked".to_owned()]).exec()?;
    let mut refused = Vec::new();
    for package in &metadata.packages {
        let licence = package.license.as_deref().unwrap_or("none declared");
        // Old manifests write `MIT/Apache-2.0`.
        let is_allowed = Expression::parse(&licence.replace('/', " OR "))
            .is_ok_and(|expression| expression.evaluate(is_allowed));
        if !is_allowed {
            refused.push(format!("{} {}: {licence}", package.name, package.version));
        }
    }
    if !refused.is_empty() {
        bail!(
            "these dependencies have licences that are not on the list in xtask/src/licences.rs:\n  {}",
            refused.join("\n  ")
        );
    }
    eprintln!("    {} packages, all allowed", metadata.packages.len());
    Ok(())
}

fn is_allowed(requirement: &LicenseReq) -> bool {
    requirement.license.id().is_some_and(|id| ALLOWED.contains(&id.name))
}
