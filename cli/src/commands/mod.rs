//! What the commands do. One file a command; all of them get a [`Context`].

mod alarms;
mod analyzer_input;
mod config;
mod datasets;
mod dead_letters;
mod doctor;
mod eval;
mod explain;
mod export;
mod migrate;
mod profile;
mod replay;
mod run;
mod score;
mod tail;
mod train;

pub(crate) use profile::to_store;

use std::{process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::CommandFactory;
use rastro_store::Store;

use crate::{
    args::{Cli, Command, Global},
    config::{Config, Sources},
    data_dir::DataDir,
    observe,
    roles::store::{self, Access},
};

/// What every command works with: checked configuration and the data directory.
pub(crate) struct Context {
    /// The configuration, all layers together.
    pub(crate) config: Config,
    /// Where everything lies.
    pub(crate) data_dir: DataDir,
    /// Say nothing but errors beside the result.
    pub(crate) quiet: bool,
}

impl Context {
    fn new(global: &Global, extra: Vec<(&'static str, String)>, default_level: &str) -> anyhow::Result<Self> {
        let mut flags = extra;
        if let Some(data_dir) = &global.data_dir {
            let text = data_dir.to_str().context("`--data-dir`: expected a path that is UTF-8")?;
            flags.push(("data_dir", format!("{text:?}")));
        }
        if let Some(level) = &global.log {
            flags.push(("log.level", format!("{level:?}")));
        }
        let sources = Sources { file: global.config.clone(), settings: global.settings.clone(), flags };
        let mut config = crate::config::load(&sources)?;
        if config.log.level == Config::default().log.level {
            // A command that answers and ends says less than a role that lives.
            default_level.clone_into(&mut config.log.level);
        }
        observe::init_logging(&config.log, global.quiet);
        let data_dir = DataDir::new(&config.data_dir);
        Ok(Self { config, data_dir, quiet: global.quiet })
    }

    /// The store, to read. Works beside a running `rastro run`.
    pub(crate) async fn store_to_read(&self) -> anyhow::Result<Arc<dyn Store>> {
        store::open(&self.config, &self.data_dir, Access::Read).await
    }

    /// The store, to write profiles and scores. Works beside a running `rastro run`.
    pub(crate) async fn store_to_write(&self) -> anyhow::Result<Arc<dyn Store>> {
        store::open(&self.config, &self.data_dir, Access::Change).await
    }

    /// The same where nothing need be stored yet.
    pub(crate) async fn store_to_make(&self) -> anyhow::Result<Arc<dyn Store>> {
        store::open(&self.config, &self.data_dir, Access::Make).await
    }
}

/// Does what the command line says.
pub(crate) fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    let global = cli.global;
    let context = |level: &str| Context::new(&global, Vec::new(), level);
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
    };
    match cli.command {
        Command::Run(arguments) => {
            let flags = arguments
                .listen
                .iter()
                .map(|listen| ("observability.listen", format!("{listen:?}")))
                .collect();
            let context = Context::new(&global, flags, "info")?;
            runtime()?.block_on(run::run(&context, run::Roles::ALL))
        }
        Command::Agent => runtime()?.block_on(run::run(&context("info")?, run::Roles::AGENT)),
        Command::Shipper => runtime()?.block_on(run::run(&context("info")?, run::Roles::SHIPPER)),
        Command::Transformer => runtime()?.block_on(run::run(&context("info")?, run::Roles::TRANSFORMER)),
        Command::Analyzer => runtime()?.block_on(run::run(&context("info")?, run::Roles::ANALYZER)),
        Command::Replay(arguments) => {
            runtime()?.block_on(replay::replay(&context("warn,rastro::alarm=off")?, &arguments))
        }
        Command::Datasets(arguments) => runtime()?.block_on(datasets::datasets(&context("warn")?, arguments)),
        Command::Train(arguments) => runtime()?.block_on(train::train(&context("warn")?, &arguments)),
        Command::Score(arguments) => runtime()?.block_on(score::score(&context("warn")?, &arguments)),
        Command::Alarms(arguments) => runtime()?.block_on(alarms::alarms(&context("warn")?, &arguments)),
        Command::Explain(arguments) => runtime()?.block_on(explain::explain(&context("warn")?, &arguments)),
        Command::Profile(arguments) => {
            runtime()?.block_on(profile::profile(&context("warn")?, arguments.action))
        }
        Command::Export(arguments) => runtime()?.block_on(export::export(&context("warn")?, &arguments)),
        Command::Eval(arguments) => eval::eval(&runtime()?, &context("warn")?, &arguments),
        Command::Doctor(arguments) => runtime()?.block_on(doctor::doctor(&global, &arguments)),
        Command::Tail(arguments) => runtime()?.block_on(tail::tail(&context("warn")?, &arguments)),
        Command::DeadLetters(arguments) => {
            runtime()?.block_on(dead_letters::dead_letters(&context("warn")?, &arguments))
        }
        Command::Migrate(arguments) => runtime()?.block_on(migrate::migrate(&context("warn")?, &arguments)),
        Command::Config(arguments) => config::config(&global, &arguments.action),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "rastro", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}
