//! One finding of the doctor.

use serde::Serialize;

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It works.
    Ok,
    /// It works, and could fail or be slow later.
    Warn,
    /// It is not there; only what needs it does not work.
    Missing,
    /// It keeps `rastro run` from working.
    Broken,
}

impl State {
    /// The word that is printed.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Missing => "missing",
            Self::Broken => "broken",
        }
    }
}

/// What was looked at, how it stands, what was found and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) state: State,
    pub(super) found: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) advice: String,
}

impl Check {
    /// It works.
    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Ok, found: found.into(), advice: String::new() }
    }

    /// It works, with a reservation.
    pub(super) fn warn(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, state: State::Warn, found: found.into(), advice: advice.into() }
    }

    /// It is not there.
    pub(super) fn missing(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, state: State::Missing, found: found.into(), advice: advice.into() }
    }

    /// It keeps `rastro run` from working.
    pub(super) fn broken(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, state: State::Broken, found: found.into(), advice: advice.into() }
    }
}
