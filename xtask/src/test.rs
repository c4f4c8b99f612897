//! `cargo xtask test`: what `.ci/run` runs.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use anyhow::{Context, bail};
use clap::Args;

use crate::{chaos, command::cargo, lint, services};

#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Leaves format, lints and licences out.
    #[arg(long)]
    only_tests: bool,
    /// Passed on to `cargo test`.
    #[arg(last = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(test: &Test) -> anyhow::Result<()> {
    if !test.only_tests {
        lint::run()?;
    }
    services::provide_redis();
    let elasticsearch = services::elasticsearch_for_tests();
    eprintln!("==> tests");
    let mut command = cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    let mut child =
        command.args(&test.arguments).stdout(Stdio::piped()).spawn().context("cannot start cargo test")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    let mut totals = Totals::default();
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read what cargo test prints")?;
        totals.add(&line);
        println!("{line}");
    }
    let status = child.wait()?;
    // Chaos brings servers of its own, and two at a time are one too many for a small machine.
    drop(elasticsearch);
    // Chosen tests were asked for, not all of them.
    if test.arguments.is_empty()
        && let Some(nothing_lost) = chaos::test()?
    {
        totals.passed += u64::from(nothing_lost);
        totals.failed += u64::from(!nothing_lost);
    }
    // There is a test runner for each crate; the last word is the sum of theirs.
    println!("\n{} passed, {} failed", totals.passed, totals.failed);
    if !status.success() {
        bail!("tests failed ({status})");
    }
    if totals.failed > 0 {
        bail!("chaos: something was lost, doubled or left unscored (see above)");
    }
    Ok(())
}

/// Sums over the runners.
#[derive(Debug, Default, PartialEq, Eq)]
struct Totals {
    passed: u64,
    failed: u64,
}

impl Totals {
    /// Adds a runner's summary: `test result: ok. 54 passed; 0 failed; 0 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some(summary) = line.strip_prefix("test result: ") else { return };
        for part in summary.split(['.', ';']) {
            match part.trim().split_once(' ') {
                Some((count, "passed")) => self.passed += count.parse().unwrap_or(0),
                Some((count, "failed")) => self.failed += count.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_runners_are_added() {
        let mut totals = Totals::default();
        totals.add(
            "test result: ok. 54 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.76s",
        );
        totals.add("test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        totals.add("test result::tests::anything_else_is_no_result ... ok");
        assert_eq!(totals, Totals { passed: 57, failed: 2 });
    }
}
