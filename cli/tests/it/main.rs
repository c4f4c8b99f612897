//! The binary as its users run it.

mod kill;
mod recordings;
mod roles;
mod support;
mod usage;
mod webshop;
