//! `cargo xtask bench`: the benchmarks of `bench/`, built as they are shipped.

use clap::Args;

use crate::{
    command::{Build, build, cargo, step, target_directory},
    services,
};

#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Small volumes: a minute in all instead of many.
    #[arg(long)]
    quick: bool,
    /// Prints a list of {name, value, unit, against, ratio}.
    #[arg(long)]
    json: bool,
    /// Measures only the groups that have this in their name: parsing, detectors, shipping, rotation, idle, trail, volume, pipeline, away. One part of
    /// the pipeline's is pipeline/shipping, pipeline/segments, pipeline/calls or pipeline/delay.
    #[arg(value_name = "GROUP")]
    group: Option<String>,
    /// The same.
    #[arg(long, value_name = "TEXT", conflicts_with = "group")]
    only: Option<String>,
}

pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    let programs = build(&["rastro", "rastro-chaos"], Build::Release)?;
    let mut command = cargo(&["run", "--release", "--quiet", "--package", "rastro-bench", "--"]);
    let target = target_directory()?;
    match services::provide_servers(true) {
        Ok(services::Servers { account, elasticsearch: Some((home, java)) }) => {
            services::provide_rsyslog();
            command.arg("--writer").arg(programs.join("rastro-chaos"));
            command.arg("--elasticsearch").arg(home).arg("--java").arg(java);
            command.arg("--folder").arg(target.join("chaos"));
            if let Some((uid, gid)) = account {
                command.arg("--account").arg(format!("{uid}:{gid}"));
            }
        }
        Ok(_) => {}
        Err(error) => eprintln!("==> what needs servers is left out: {error:#}"),
    }
    command.arg("--rastro").arg(programs.join("rastro"));
    if bench.quick {
        command.arg("--quick");
    }
    if bench.json {
        command.arg("--json");
    }
    if let Some(only) = bench.group.as_ref().or(bench.only.as_ref()) {
        command.arg("--only").arg(only);
    }
    step("benchmarks", &mut command)
}
