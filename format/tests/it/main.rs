//! The crate from outside: real recordings, and what no container can do.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod declarations;
mod properties;
mod recordings;
mod samples;
mod shared_data;
