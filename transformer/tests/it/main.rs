//! What becomes of chunks, seen from outside.

#![allow(clippy::unwrap_used, reason = "the helpers of the tests are tests, too")]

mod documents;
mod fixture;
mod output;
mod properties;
mod recordings;
mod role;
mod scripted_store;
