//! The project's own chores: `cargo xtask demo`, `test`, `bench`, `chaos`, `lint`.

mod bench;
mod chaos;
mod command;
mod demo;
mod licences;
mod lint;
mod services;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Set-up, demo, tests and benchmarks of Rastro.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Build Rastro and take a bundled recording of an attack through the whole trail.
    Demo(demo::Demo),
    /// Format, lints, licences and every test.
    Test(test::Test),
    /// Format, lints, licences and generated files, without the tests.
    Lint,
    /// Measure, each figure beside a peer or limit of the same run.
    Bench(bench::Bench),
    /// Kill, freeze, cut off and fill up everything under load, and count that nothing is lost, doubled or left unscored.
    Chaos(chaos::Chaos),
    /// Start, end and show the project's own Redis and Elasticsearch, for tests and benchmarks.
    Services(services::Services),
    /// Check the licences of all dependencies.
    Licences,
}

fn main() -> ExitCode {
    let outcome = match Xtask::parse().chore {
        Chore::Demo(demo) => demo::run(&demo),
        Chore::Test(test) => test::run(&test),
        Chore::Lint => lint::run(),
        Chore::Bench(bench) => bench::run(&bench),
        Chore::Chaos(chaos) => chaos::run(&chaos),
        Chore::Services(services) => services::run(&services),
        Chore::Licences => licences::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
