//! The command line: what can be said, with examples. What is done with it stands in `commands/`.
#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "these comments are the text of --help, not Markdown"
)]

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    Agent,
    /// Run the shipper alone: log files to the queue.
    Shipper,
    /// Run the transformer alone: the queue to the store.
    Transformer,
    /// Run the analyzer alone: the store's segments to scores and alarms.
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
    Doctor(JsonArgs),
    /// Show calls on the screen as they come, coloured by rarity.
    #[command(
        after_help = "Examples:\n  rastro tail\n  rastro tail 0123456789ab\n  rastro tail /var/log/sysdig/0123456789ab.log"
    )]
    Tail(TailArgs),
    /// List lines that were no event, with the reason.
    DeadLetters(DeadLettersArgs),
    /// Bring the store's templates, mappings and tables up to the layout of this Rastro.
    #[command(after_help = "Examples:\n  rastro migrate --dry-run\n  rastro migrate --json")]
    Migrate(MigrateArgs),
    /// Print or check configuration.
    Config(ConfigArgs),
    /// Print completions for a shell.
    #[command(after_help = "Example:\n  rastro completions bash > /etc/bash_completion.d/rastro")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Where /metrics, /healthz and /readyz answer.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct JsonArgs {
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Recordings, plain or gzipped: sysdig text, .scap, LID-DS, traces of numbers, UNM's pairs of numbers, strace text.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// sysdig format of the lines: a format string, or rastro, rocha, sysdig-basic, sysdig-rich, lidds-2019, lidds-2021,
    /// traces, unm, strace, lttng [default: told by the file, or recognised beyond doubt].
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// How fast: 1 as it happened, N times as fast, or max.
    #[arg(long, default_value = "max")]
    pub(crate) speed: String,
    /// Dataset that the calls go to [default: the configuration's].
    #[arg(long)]
    pub(crate) dataset: Option<String>,
    /// Image that the recorded container ran, where the recording does not say; profiles are keyed by it.
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// Table that names the numbers of traces; without one they are opaque symbols.
    #[arg(long, value_enum)]
    pub(crate) table: Option<Table>,
    /// Day (yyyy-mm-dd) of recordings that give a time of day only.
    #[arg(long, value_name = "DAY")]
    pub(crate) date: Option<String>,
    /// Ends when all of it is stored and scored (the default).
    #[arg(long, overrides_with = "no_drain")]
    pub(crate) drain: bool,
    /// Ends when all of it is in the queue; the next command that runs the roles does the rest.
    #[arg(long)]
    pub(crate) no_drain: bool,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Table {
    I386,
    #[value(name = "x86_64")]
    X8664,
    Aarch64,
}

#[derive(Debug, Args)]
pub(crate) struct DatasetsArgs {
    #[command(subcommand)]
    pub(crate) action: Option<DatasetsAction>,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DatasetsAction {
    /// Delete a dataset with its scores and alarms; its profiles stay.
    Delete {
        /// The dataset.
        dataset: String,
        /// Does it without asking.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// Datasets or indices to learn from.
    #[arg(required = true, value_name = "DATASET")]
    pub(crate) datasets: Vec<String>,
    /// Name of the profile [default: one profile for each image, by its name].
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Detector, as in stide or stide:n=6; may be repeated [default: the configuration's].
    #[arg(long, value_name = "NAME[:KEY=VALUE,…]")]
    pub(crate) detector: Vec<String>,
    /// Window size, calls; may be repeated [default: the configuration's].
    #[arg(long, value_name = "CALLS")]
    pub(crate) window: Vec<u32>,
    /// Learns from this container alone (id or name).
    #[arg(long)]
    pub(crate) container: Option<String>,
    /// Learns from calls since this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Learns from calls before this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Adds to the latest version of the profile instead of starting anew.
    #[arg(long)]
    pub(crate) add: bool,
    /// Learns from containers in alarm too: for alarms that were false.
    #[arg(long)]
    pub(crate) include_alarms: bool,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct ScoreArgs {
    #[command(subcommand)]
    pub(crate) action: Option<ScoreAction>,
    /// Datasets or indices.
    #[arg(required = true, value_name = "DATASET")]
    pub(crate) datasets: Vec<String>,
    /// Detector; may be repeated [default: every model of the profile].
    #[arg(long, value_name = "NAME[:KEY=VALUE,…]")]
    pub(crate) detector: Vec<String>,
    /// Window size, calls; may be repeated.
    #[arg(long, value_name = "CALLS")]
    pub(crate) window: Vec<u32>,
    /// Profile, as in NAME or NAME@VERSION [default: that of each container's image].
    #[arg(long, value_name = "NAME[@VERSION]")]
    pub(crate) profile: Option<String>,
    /// Name under which the scores are kept [default: offline].
    #[arg(long, default_value = "offline")]
    pub(crate) name: String,
    /// Prints so many of the most anomalous frames.
    #[arg(long, default_value_t = 3)]
    pub(crate) top: usize,
    /// Computes and prints only; keeps no scores.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScoreAction {
    /// Show two scorings of the same data side by side: what alarms in one and not in the other.
    #[command(after_help = "Examples:\n  rastro score diff live offline\n  \
        rastro score diff live second-look web-2026.11.21 --top 20 --json")]
    Diff {
        /// One scoring: live, or the name given to `rastro score`.
        before: String,
        /// The other.
        after: String,
        /// Datasets or indices [default: all that both have scored].
        #[arg(value_name = "DATASET")]
        datasets: Vec<String>,
        /// Prints so many of the frames that changed sides.
        #[arg(long, default_value_t = 5)]
        top: usize,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AlarmsArgs {
    /// The latest N alone.
    #[arg(short, long, value_name = "N")]
    pub(crate) number: Option<usize>,
    /// Of this dataset.
    #[arg(long)]
    pub(crate) dataset: Option<String>,
    /// Of this container (id or name).
    #[arg(long)]
    pub(crate) container: Option<String>,
    /// Of this scoring: live, or the name given to `rastro score` [default: live].
    #[arg(long, default_value = "live")]
    pub(crate) scoring: String,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Id of the alarm, or `latest`, or `worst`.
    pub(crate) alarm: String,
    /// Calls to show before and after the first unusual one.
    #[arg(long, default_value_t = 12)]
    pub(crate) context: usize,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ProfileArgs {
    #[command(subcommand)]
    pub(crate) action: ProfileAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileAction {
    /// List profiles with their versions.
    List {
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what a profile knows.
    Show {
        /// The profile, as in NAME or NAME@VERSION.
        profile: String,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what one profile knows that the other does not: drift between versions, or between the tags of an image.
    #[command(after_help = "Examples:\n  rastro profile diff shop:1.4 shop:1.5\n  \
        rastro profile diff shop@1 shop@2 --fail-on 'execve|ptrace|connect'")]
    Diff {
        /// One profile.
        before: String,
        /// The other.
        after: String,
        /// Ends with exit code 3 if a call is new whose name this regular expression matches, as in 'execve|ptrace|connect': for
        /// the pipeline that releases an image.
        #[arg(long, value_name = "REGEX")]
        fail_on: Option<String>,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make one profile that knows what several know.
    Merge {
        /// Profiles to merge.
        #[arg(required = true, num_args = 2..)]
        profiles: Vec<String>,
        /// Name of the merged profile.
        #[arg(long, value_name = "NAME")]
        into: String,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write a profile to a file.
    Export {
        /// The profile.
        profile: String,
        /// The file; - for standard output.
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Read a profile from a file; it is checked first and runs no code.
    Import {
        /// The file.
        file: PathBuf,
        /// Name to give it [default: the name it has].
        #[arg(long)]
        name: Option<String>,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Delete a profile at a version, or at all versions.
    Delete {
        /// The profile, as in NAME or NAME@VERSION.
        profile: String,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The dataset.
    pub(crate) dataset: String,
    /// Form of the files.
    #[arg(long, value_enum, default_value = "ndjson")]
    pub(crate) format: ExportFormat,
    /// Folder to write to [default: <DATASET>-export]; - writes the calls alone to standard output (ndjson and csv).
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// One JSON document a call.
    Ndjson,
    /// One row a call, with a header.
    Csv,
    /// Columns, compressed.
    Parquet,
    /// The folders of ADFA-LD: numbers of calls, one file a thread.
    Adfa,
    /// The folders of LID-DS 2021: archives of lines with a description, one a container.
    Lidds,
}

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// Labelled recordings: folders of ADFA-LD or LID-DS or with a recordings.tsv, and datasets of the store that have labels.
    #[arg(value_name = "DIR|DATASET")]
    pub(crate) labelled: Vec<PathBuf>,
    /// Normal recordings to learn from: files, folders of files, or datasets of the store.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub(crate) train: Vec<PathBuf>,
    /// Normal recordings to set thresholds on [default: training recordings, held out in turn].
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub(crate) calibrate: Vec<PathBuf>,
    /// Normal recordings to measure false alarms on.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub(crate) normal: Vec<PathBuf>,
    /// Attacks; kinds are read from <file>.labels beside, or are the names of folders.
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub(crate) attack: Vec<PathBuf>,
    /// Detector, learner from labels (forest, logistic), or all of them; may be repeated [default: ensemble, stide:n=6 and bosc:w=10].
    #[arg(long, value_name = "NAME[:KEY=VALUE,…]|all")]
    pub(crate) detector: Vec<String>,
    /// What is judged as a whole: the calls of a thread, or a recording frame by frame as live [default: what the data are].
    #[arg(long, value_enum)]
    pub(crate) unit: Option<EvalUnit>,
    /// sysdig format of recordings that do not say what they are.
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Decides what is drawn at random; the same seed gives the same figures.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Parts of the training traces that are held out in turn to set thresholds; 0 sets none.
    #[arg(long, default_value_t = 5)]
    pub(crate) folds: usize,
    /// Resamples for the 95 % intervals; 0 gives none.
    #[arg(long, default_value_t = 1000)]
    pub(crate) resamples: usize,
    /// Writes the curves as a picture (SVG).
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Writes everything as one page (HTML) that needs no other file.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EvalUnit {
    /// The calls of one thread, whatever their number.
    Trace,
    /// A recording; its worst frame counts.
    Recording,
}

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// Files, or containers by id or name [default: every log file of the data directory].
    #[arg(value_name = "FILE|CONTAINER")]
    pub(crate) what: Vec<String>,
    /// sysdig format of files without a header.
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// Shows the last N calls of each file first.
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    pub(crate) lines: usize,
    /// Ends at the end of the files instead of following them.
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// Profile to colour by [default: that of the container's image].
    #[arg(long, value_name = "NAME[@VERSION]")]
    pub(crate) profile: Option<String>,
    /// Prints JSON, one object a call.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeadLettersArgs {
    /// The dataset.
    pub(crate) dataset: String,
    /// The oldest N.
    #[arg(short, long, default_value_t = 20, value_name = "N")]
    pub(crate) number: usize,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Says what would be done, and changes nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigAction {
    /// Print a configuration file in which every key stands with its default.
    Default,
    /// Check the configuration as it would be used, and print it.
    Check,
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
