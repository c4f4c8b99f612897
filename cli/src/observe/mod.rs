//! What Rastro says of itself: logs, metrics, health.

mod health;
mod logging;
mod server;

pub(crate) use health::{Health, RoleState};
pub(crate) use logging::init as init_logging;
pub(crate) use server::Server;
