//! What the agent does with whole recordings and whole folders of logs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]

mod hostile;
mod log_writer;
mod real_data;
mod resume;
mod sources;
mod support;
