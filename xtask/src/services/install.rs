//! Getting what a service needs from Debian, where this may be done.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

use super::account::is_root;
use crate::command::step;

/// Asked by Debian's packages whether they may start what they install.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Whether a program can be run.
pub(super) fn has(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Sees to it that `program` is there, from the Debian packages `packages`.
pub(super) fn ensure(program: &str, packages: &[&str]) -> anyhow::Result<()> {
    if has(program) {
        return Ok(());
    }
    install(packages).with_context(|| format!("`{program}` is not installed"))?;
    if !has(program) {
        bail!("the packages {} are installed, and `{program}` still cannot be run", packages.join(", "));
    }
    Ok(())
}

/// Installs Debian packages.
pub(super) fn install(packages: &[&str]) -> anyhow::Result<()> {
    let by_hand = format!("run `apt-get install {}`", packages.join(" "));
    if !has("apt-get") {
        bail!("{by_hand}, or what your system calls it");
    }
    if !is_root() {
        bail!("{by_hand} as root");
    }
    let _policy = StartNothing::begin()?;
    step("apt-get update", Command::new("apt-get").args(["update", "-qq"]))?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages);
    step("apt-get install", install.env("DEBIAN_FRONTEND", "noninteractive"))
}

/// While it lives, packages start nothing: a Redis of the system's own on its well-known port is not what was asked for.
struct StartNothing {
    is_ours: bool,
}

impl StartNothing {
    fn begin() -> anyhow::Result<Self> {
        if Path::new(POLICY).is_file() {
            return Ok(Self { is_ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")
            .and_then(|()| fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot write `{POLICY}`"))?;
        Ok(Self { is_ours: true })
    }
}

impl Drop for StartNothing {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = fs::remove_file(POLICY);
        }
    }
}
