//! Whether each role runs, and whether it is ready to work.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;

/// State of one role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum RoleState {
    /// It works.
    Ready,
    /// It has ended as asked.
    Stopped,
    /// It has ended by an error.
    Failed {
        /// The error.
        reason: String,
    },
}

/// States of all roles of this process.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health {
    roles: Arc<Mutex<BTreeMap<&'static str, RoleState>>>,
}

impl Health {
    /// Sets the state of a role.
    pub(crate) fn set(&self, role: &'static str, state: RoleState) {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner).insert(role, state);
    }

    /// The states now.
    pub(crate) fn roles(&self) -> BTreeMap<&'static str, RoleState> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether no role has failed.
    pub(crate) fn is_alive(&self) -> bool {
        !self.roles().values().any(|state| matches!(state, RoleState::Failed { .. }))
    }

    /// Whether every role works.
    pub(crate) fn is_ready(&self) -> bool {
        let roles = self.roles();
        !roles.is_empty() && roles.values().all(|state| *state == RoleState::Ready)
    }
}
