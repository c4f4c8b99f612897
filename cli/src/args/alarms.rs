//! Options of `alarms` and `explain`.

use clap::Args;

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
    /// Of this scoring: live, or the name given to `rastro score`.
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
