//! Everything about the code that is checked without running it.

use std::process::Command;

use anyhow::{Context, bail};

use crate::{
    command::{cargo, root, step},
    licences,
};

pub(crate) fn run() -> anyhow::Result<()> {
    step("format", &mut cargo(&["fmt", "--all", "--check"]))?;
    step(
        "lints",
        &mut cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--quiet",
            "--",
            "--deny",
            "warnings",
        ]),
    )?;
    step(
        "documentation",
        cargo(&["doc", "--workspace", "--no-deps", "--document-private-items", "--locked", "--quiet"])
            .env("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private_intra_doc_links"),
    )?;
    licences::run()?;
    tables()
}

/// Whether the system-call tables are what the kernel's headers say, where the headers are those that they were made from.
fn tables() -> anyhow::Result<()> {
    eprintln!("==> system-call tables");
    let mut check = Command::new(root().join("model/scripts/syscall-tables"));
    let status = check
        .arg("--check")
        .current_dir(root())
        .status()
        .context("cannot start model/scripts/syscall-tables")?;
    match status.code() {
        Some(0) => Ok(()),
        Some(2) => {
            eprintln!(
                "    not checked: that needs python3, a C compiler and the kernel headers that they were made from"
            );
            Ok(())
        }
        _ => bail!("the system-call tables are stale: run model/scripts/syscall-tables and read the diff"),
    }
}
