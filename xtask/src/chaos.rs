//! `cargo xtask chaos`: the whole pipeline as separate processes, while everything is killed, frozen, cut off and filled up.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::Args;

use crate::{
    command::{self, Build, target_directory},
    services,
};

#[expect(clippy::struct_excessive_bools, reason = "each is a switch on the command line")]
#[derive(Debug, Args)]
pub(crate) struct Chaos {
    /// About a minute and a half in all instead of the nightly form's twenty.
    #[arg(long)]
    short: bool,
    /// The same seed gives the same faults at the same times; chosen anew for each run, if not given.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Number of faults [default: 210; short: 15].
    #[arg(long, value_name = "N")]
    faults: Option<usize>,
    /// Time over which the faults are spread, as in 90s or 20m [default: a fault every 6 s; short: every 3 s].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// Calls a second that are written [default: 4000; short: 2000].
    #[arg(long, value_name = "N")]
    rate: Option<u64>,
    /// The embedded store in place of Elasticsearch: transformer and analyzer are then one process.
    #[arg(long)]
    embedded: bool,
    /// Prints one object: faults, calls_written, calls_stored, calls_lost, duplicates, scores_missing, …
    #[arg(long)]
    json: bool,
    /// Keeps logs and data of the run. They are kept anyway if something was lost.
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(chaos: &Chaos) -> anyhow::Result<()> {
    let mut command = prepare(chaos.embedded, Build::Release)?;
    for (flag, value) in [
        ("--seed", chaos.seed),
        ("--faults", chaos.faults.map(|faults| faults as u64)),
        ("--seconds", chaos.duration.map(|duration| duration.as_secs())),
        ("--rate", chaos.rate),
    ] {
        if let Some(value) = value {
            command.arg(flag).arg(value.to_string());
        }
    }
    for (flag, is_on) in [("--short", chaos.short), ("--json", chaos.json), ("--keep", chaos.keep)] {
        if is_on {
            command.arg(flag);
        }
    }
    if !command.status().context("cannot start rastro-chaos")?.success() {
        bail!("chaos: something was lost, doubled or left unscored (see above)");
    }
    Ok(())
}

/// The short form, with what the tests have built. `None` if this machine cannot have the servers.
pub(crate) fn test() -> anyhow::Result<Option<bool>> {
    let mut command = match prepare(false, Build::Debug) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("==> chaos is skipped: {error:#}");
            return Ok(None);
        }
    };
    eprintln!("==> chaos");
    // A seed whose few faults kill every server and every kind of role.
    let status = command.args(["--short", "--seed", "206"]).stdin(Stdio::null()).status()?;
    Ok(Some(status.success()))
}

/// The command that runs, with everything that it needs built and installed.
fn prepare(embedded: bool, build: Build) -> anyhow::Result<Command> {
    let servers = services::provide_servers(!embedded)?;
    let programs = command::build(&["rastro", "rastro-chaos"], build)?;
    let folder = target_directory()?.join("chaos");
    let mut command = Command::new(programs.join("rastro-chaos"));
    command.arg("run").arg("--rastro").arg(programs.join("rastro"));
    command.arg("--folder").arg(folder);
    if let Some((uid, gid)) = servers.account {
        command.arg("--account").arg(format!("{uid}:{gid}"));
    }
    if let Some((home, java)) = &servers.elasticsearch {
        command.arg("--elasticsearch").arg(home).arg("--java").arg(java);
    }
    Ok(command)
}

/// `90s`, `20m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let parse = || {
        let unit = text.chars().last()?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            _ => return None,
        };
        let number: u64 = text[..text.len() - 1].parse().ok()?;
        Some(Duration::from_secs(number.checked_mul(seconds)?))
    };
    parse().ok_or_else(|| format!("expected a time such as 90s, 20m or 1h, found `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("20m"), Ok(Duration::from_mins(20)));
        for text in ["", "90", "s", "1.5h", "9d", "18446744073709551615h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
