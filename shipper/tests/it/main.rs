//! What the shipper promises, seen from outside: real files, the real queue.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of the tests are tests, too")]

mod bounds;
mod follow;
mod losing;
mod model;
mod recover;
mod redis;
mod rig;
#[path = "../../../broker/tests/it/redis/server.rs"]
#[allow(dead_code, reason = "its other parts are for the broker's own tests")]
mod server;
