//! The binary as its users run it.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod damage;
mod demo;
mod doctor;
mod elastic;
mod elasticsearch;
mod eval;
mod explain;
mod export;
mod kill;
mod migrate;
mod profile;
mod recordings;
mod redis;
mod rescoring;
mod roles;
mod support;
mod tail;
mod usage;
mod webshop;
