//! Options of `eval`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
