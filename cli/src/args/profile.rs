//! Options of `profile`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

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
