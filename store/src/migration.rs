//! What a change of a store's layout did.

/// One thing that was brought up to date, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// `index`, `template` or `tables`, with its name.
    pub what: String,
    /// The version that it had; `None` if it was not there.
    pub from: Option<u64>,
    /// The version that it has now.
    pub to: u64,
}
