//! Direction of an event: into the kernel or out of it.

use serde::{Deserialize, Serialize};

/// `>` enter, `<` exit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The call begins; sysdig prints `>`.
    Enter,
    /// The call has ended; sysdig prints `<`.
    Exit,
}

impl Direction {
    /// The number of the direction in per-call documents: `<` → 0, `>` → 1 (`SPEC` 1.4).
    pub const fn number(self) -> u8 {
        match self {
            Self::Exit => 0,
            Self::Enter => 1,
        }
    }

    /// sysdig's letter.
    pub const fn symbol(self) -> char {
        match self {
            Self::Exit => '<',
            Self::Enter => '>',
        }
    }

    /// The direction that sysdig prints as `symbol`.
    pub const fn from_symbol(symbol: u8) -> Option<Self> {
        match symbol {
            b'<' => Some(Self::Exit),
            b'>' => Some(Self::Enter),
            _ => None,
        }
    }
}
