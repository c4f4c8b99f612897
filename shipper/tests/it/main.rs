//! What the shipper promises, seen from outside: real files, the real queue.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of the tests are tests, too")]

mod follow;
mod model;
mod recover;
mod rig;
