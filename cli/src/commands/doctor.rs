//! `rastro doctor`: what works on this machine, what is missing, what to do.

mod capture;
mod check;
mod machine;
mod servers;
mod storage;

use std::process::ExitCode;

use owo_colors::OwoColorize;
use serde_json::json;

use super::Context;
use crate::{
    args::{Global, JsonArgs},
    config::Config,
    data_dir::DataDir,
    output::{self, text},
};
use check::{Check, State};

pub(super) async fn doctor(global: &Global, arguments: &JsonArgs) -> anyhow::Result<ExitCode> {
    // A configuration that cannot be used is a finding, not the end: everything else is looked at with the defaults.
    let (context, mut checks) = match Context::new(global, Vec::new(), "error") {
        Ok(context) => {
            (context, vec![Check::ok("configuration", "valid: every key is known and in its range")])
        }
        Err(error) => {
            let mut config = Config::default();
            if let Some(data_dir) = &global.data_dir {
                config.data_dir.clone_from(data_dir);
            }
            let data_dir = DataDir::new(&config.data_dir);
            let advice = "correct it; `rastro config default` prints every key with its default. The checks below use the defaults";
            let check = Check::broken("configuration", format!("{error:#}"), advice);
            (Context { config, data_dir, quiet: global.quiet }, vec![check])
        }
    };
    let owner = context.data_dir.owner();
    checks.extend(storage::folders(&context, owner.as_deref()));
    checks.extend(servers::redis(&context).await);
    checks.extend(servers::elasticsearch(&context).await);
    checks.extend(storage::store(&context).await);
    checks.push(machine::port(&context.config.observability, owner.as_deref()));
    checks.extend(machine::limits());
    checks.push(machine::clock(jiff::Timestamp::now()));
    checks.extend(capture::checks());
    let works = checks.iter().all(|check| check.state != State::Broken);
    if arguments.json {
        output::json(&json!({ "works": works, "checks": checks }))?;
    } else {
        print(&checks, works)?;
    }
    Ok(if works { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(checks: &[Check], works: bool) -> anyhow::Result<()> {
    let colours = output::colours();
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for check in checks {
        let state = format!("{:<7}", check.state.name());
        let state = match check.state {
            _ if !colours => state,
            State::Ok => state.green().to_string(),
            State::Warn => state.yellow().to_string(),
            State::Missing => state.dimmed().to_string(),
            State::Broken => state.red().bold().to_string(),
        };
        output::line(format!("{state} {:<width$}  {}", check.name, text::printable(&check.found)))?;
        if !check.advice.is_empty() {
            output::line(format!("{:8}{:width$}  → {}", "", "", text::printable(&check.advice)))?;
        }
    }
    output::line(if works {
        "\n`rastro run` and `rastro replay` work here; what is missing limits the sources of calls"
    } else {
        "\nwhat is broken keeps `rastro run` from working"
    })
}
