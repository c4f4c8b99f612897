//! Integration tests of the chores' files.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod compose;
