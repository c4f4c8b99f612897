//! The command line: what can be said, with examples. What is done with it stands in `commands/`.
#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "these comments are the text of --help, not Markdown"
)]

mod alarms;
mod config;
mod eval;
mod learning;
mod profile;
mod stored;
mod trail;

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};

pub(crate) use alarms::{AlarmsArgs, ExplainArgs};
pub(crate) use config::{ConfigAction, ConfigArgs};
pub(crate) use eval::{EvalArgs, EvalUnit};
pub(crate) use learning::{ScoreAction, ScoreArgs, TrainArgs};
pub(crate) use profile::{ProfileAction, ProfileArgs};
pub(crate) use stored::{
    DatasetsAction, DatasetsArgs, DeadLettersArgs, ExportArgs, ExportFormat, MigrateArgs,
};
pub(crate) use trail::{ReplayArgs, RunArgs, Table, TailArgs};

/// Intrusion detection from the system calls of containers.
#[derive(Debug, Parser)]
#[command(
    name = "rastro",
    version,
    max_term_width = 110,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        rastro replay normal.log.gz --dataset shop       a recording through the whole trail\n  \
        rastro train shop                                learn what is normal\n  \
        rastro replay attack.log.gz --dataset shop       score another one\n  \
        rastro alarms                                    what was found\n  \
        rastro explain latest                            and why\n  \
        rastro run -c rastro.toml                        follow log files for as long as it lives"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads a command line, program name first.
    ///
    /// clap keeps a repeated global option of the last place alone, before or behind the command. So that no `--set` is dropped
    /// in silence, all of them are moved to one place.
    pub(crate) fn parse_from_all(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let (mut rest, mut settings) = (Vec::new(), Vec::new());
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let text = argument.to_string_lossy();
            if text == "--set" {
                settings.push(argument);
                settings.extend(arguments.next());
            } else if text.starts_with("--set=") {
                settings.push(argument);
            } else if text == "--" {
                rest.append(&mut settings);
                rest.push(argument);
                rest.extend(arguments);
                break;
            } else {
                rest.push(argument);
            }
        }
        rest.append(&mut settings);
        Self::try_parse_from(rest)
    }
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Configuration file [default: rastro.toml here, or /etc/rastro/rastro.toml, if there is one].
    #[arg(
        short,
        long,
        global = true,
        env = "RASTRO_CONFIG",
        value_name = "FILE",
        help_heading = "Global options"
    )]
    pub(crate) config: Option<PathBuf>,
    /// Folder of everything that Rastro keeps [default: rastro-data].
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Sets any configuration key, for example --set analyzer.windows=[6,10]; may be repeated.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", help_heading = "Global options")]
    pub(crate) settings: Vec<String>,
    /// Log level: error, warn, info, debug, trace.
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Global options")]
    pub(crate) log: Option<String>,
    /// Says nothing but errors beside the result.
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run every role in this process, following log files for as long as it lives.
    #[command(after_help = "Examples:\n  rastro run\n  rastro run -c rastro.toml\n  \
        rastro run --set 'shipper.include=[\"/var/log/sysdig/*.log\"]' --set transformer.format=rocha")]
    Run(RunArgs),
    /// Run the agent alone: rotation and retention of the log files.
    #[command(after_help = "Example:\n  rastro agent -c rastro.toml")]
    Agent,
    /// Run the shipper alone: log files to the queue.
    #[command(after_help = "Examples:\n  rastro shipper -c rastro.toml\n  \
        rastro shipper --set 'shipper.include=[\"/var/log/sysdig/*.log\"]' --set 'broker.urls=[\"rediss://10.0.0.4:6379\"]'")]
    Shipper,
    /// Run the transformer alone: the queue to the store.
    #[command(after_help = "Example:\n  rastro transformer -c rastro.toml")]
    Transformer,
    /// Run the analyzer alone: the store's segments to scores and alarms.
    #[command(after_help = "Example:\n  rastro analyzer -c rastro.toml")]
    Analyzer,
    /// Send recordings through the whole trail, as if they happened now.
    #[command(after_help = "Examples:\n  \
        rastro replay web.log.gz --dataset web --image shop:1.4\n  \
        rastro replay capture.log --format '*%evt.num %evt.time.iso8601 %evt.dir %evt.category %evt.type %evt.latency %evt.rawres %evt.args'\n  \
        rastro replay capture.scap                       needs an installed sysdig\n  \
        rastro replay ADFA/attack.txt.gz --table i386    one trace a line; labels from attack.labels beside it\n  \
        rastro replay web.log.gz --speed 10              ten times as fast as it happened")]
    Replay(ReplayArgs),
    /// List datasets with their indices, or delete one.
    #[command(
        after_help = "Examples:\n  rastro datasets\n  rastro datasets --json\n  rastro datasets delete web"
    )]
    Datasets(DatasetsArgs),
    /// Learn a profile from the stored calls of a dataset.
    #[command(after_help = "Examples:\n  rastro train web\n  \
        rastro train web --profile shop:1.4 --detector stide:n=6 --detector bosc:w=10\n  \
        rastro train web --from 2026-11-21T08:00:00Z --to 2026-11-21T10:00:00Z")]
    Train(TrainArgs),
    /// Score a stored dataset again, with any detector, window size and profile.
    #[command(after_help = "Examples:\n  rastro score web\n  \
        rastro score web --detector stide --window 6 --window 10 --profile shop:1.4@2\n  \
        rastro score web-2026.11.20 web-2026.11.21 --name second-look --top 10\n  \
        rastro score diff live second-look")]
    Score(ScoreArgs),
    /// List alarms, the most recent first.
    #[command(
        after_help = "Examples:\n  rastro alarms\n  rastro alarms -n 5 --container 0123456789ab --json"
    )]
    Alarms(AlarmsArgs),
    /// Tell why an alarm was raised.
    #[command(after_help = "Examples:\n  rastro explain latest\n  rastro explain 5c8e1f0a9b3d2e47-0-0-0-256")]
    Explain(ExplainArgs),
    /// Look at profiles and move them around.
    #[command(after_help = "Examples:\n  rastro profile list\n  rastro profile show shop:1.4\n  \
        rastro profile diff shop:1.4@1 shop:1.4@2\n  \
        rastro profile export shop:1.4 --output shop.profile    and elsewhere: rastro profile import shop.profile")]
    Profile(ProfileArgs),
    /// Write a dataset to files that others can read, with a data card.
    #[command(after_help = "Examples:\n  rastro export web --format parquet --output web-dataset\n  \
        rastro export web --format lidds --output web-lidds      what `rastro eval web-lidds` reads\n  \
        rastro export web --format ndjson --output - | head")]
    Export(ExportArgs),
    /// Measure detectors on labelled recordings.
    #[command(after_help = "Examples:\n  \
        rastro eval ADFA-LD --detector all --html report.html    a folder as its authors lay it out\n  \
        rastro eval LID-DS-2021/CVE-2017-7529 --detector stide:n=6\n  \
        rastro eval --train training.txt.gz --normal validation.txt.gz --attack attack.txt.gz --detector stide:n=6 --detector bosc:w=10\n  \
        rastro eval shop                                         a dataset of the store that has labels\n  \
        rastro eval --train shop-normal --normal shop-later --attack shop-attacked --plot roc.svg")]
    Eval(EvalArgs),
    /// Say what works on this machine, what is missing and what to do.
    #[command(after_help = "Examples:\n  rastro doctor\n  rastro doctor -c rastro.toml --json")]
    Doctor(JsonArgs),
    /// Show calls on the screen as they come, coloured by rarity.
    #[command(
        after_help = "Examples:\n  rastro tail\n  rastro tail 0123456789ab\n  rastro tail /var/log/sysdig/0123456789ab.log"
    )]
    Tail(TailArgs),
    /// List lines that were no event, with the reason.
    #[command(after_help = "Examples:\n  rastro dead-letters web\n  rastro dead-letters web -n 100 --json")]
    DeadLetters(DeadLettersArgs),
    /// Bring the store's templates, mappings and tables up to the layout of this Rastro.
    #[command(after_help = "Examples:\n  rastro migrate --dry-run\n  rastro migrate --json")]
    Migrate(MigrateArgs),
    /// Print or check configuration.
    #[command(
        after_help = "Examples:\n  rastro config default > rastro.toml\n  rastro config check -c rastro.toml"
    )]
    Config(ConfigArgs),
    /// Print completions for a shell.
    #[command(after_help = "Example:\n  rastro completions bash > /etc/bash_completion.d/rastro")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct JsonArgs {
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_count_wherever_they_stand() {
        let parse =
            |line: &str| Cli::parse_from_all(line.split(' ').map(OsString::from)).unwrap().global.settings;
        assert_eq!(parse("rastro --set a=1 --set=b=2 run --set c=3"), ["a=1", "b=2", "c=3"]);
        assert_eq!(parse("rastro --set a=1 replay -- --set"), ["a=1"]);
        assert!(Cli::parse_from_all(["rastro", "run", "--set"].map(OsString::from)).is_err());
    }

    #[test]
    fn the_command_line_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }
}
