//! Running other programs from the root of the workspace.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, bail};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// `cargo` as this program was started by, in the root of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    command
}

/// Runs a step to its end, and fails if it fails.
pub(crate) fn step(name: &str, command: &mut Command) -> anyhow::Result<()> {
    eprintln!("==> {name}");
    let begun = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("{name}: cannot start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    eprintln!("    {name}: {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// What a program prints on its standard output, if it succeeds.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output =
        command.output().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!(
            "{command:?} failed ({})\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output.stdout)
}

/// How the program is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// As the tests are: nothing is built that they have not built.
    Debug,
    /// As it is shipped.
    Release,
}

impl Build {
    /// The folder of it.
    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

/// Builds programs of the workspace and says where they are.
pub(crate) fn build(packages: &[&str], build: Build) -> anyhow::Result<PathBuf> {
    let mut arguments = vec!["build"];
    for package in packages {
        arguments.extend(["--package", package]);
    }
    if build == Build::Release {
        arguments.push("--release");
    }
    step("build", &mut cargo(&arguments))?;
    Ok(target_directory()?.join(build.folder()))
}

/// Where cargo builds to.
pub(crate) fn target_directory() -> anyhow::Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new().current_dir(root()).no_deps().exec()?;
    Ok(metadata.target_directory.into_std_path_buf())
}
