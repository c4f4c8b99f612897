//! Options of the commands that look after what is stored.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

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
pub(crate) struct MigrateArgs {
    /// Says what would be done, and changes nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
