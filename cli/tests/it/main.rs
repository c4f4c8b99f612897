//! The binary as its users run it.

mod damage;
mod kill;
mod recordings;
mod rescoring;
mod roles;
mod support;
mod usage;
mod webshop;
