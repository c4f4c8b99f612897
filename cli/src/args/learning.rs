//! Options of `train` and `score`.

use clap::{Args, Subcommand};

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
    /// Name under which the scores are kept.
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
