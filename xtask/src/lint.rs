//! Everything about the code that is checked without running it.

use std::process::Command;

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
    let tables = root().join("model/scripts/syscall-tables");
    if std::path::Path::new("/usr/include/asm-generic/unistd.h").is_file() {
        step("system-call tables are current", Command::new(tables).arg("--check").current_dir(root()))?;
    } else {
        eprintln!(
            "==> system-call tables: not checked, the kernel's headers (linux-libc-dev) are not installed"
        );
    }
    Ok(())
}
