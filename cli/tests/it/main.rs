//! The binary as its users run it.
#![allow(clippy::unwrap_used, reason = "a test whose parts cannot be set up has failed")]

mod damage;
mod kill;
mod recordings;
mod rescoring;
mod roles;
mod support;
mod usage;
mod webshop;
