//! Tests of the analyzer as others see it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod adfa;
mod alarms;
mod behaviour;
mod detectors;
mod learning;
mod profiles;
mod recordings;
mod scoring;
mod support;
mod vector;
mod webshop;
