//! Counting what a store holds, without asking Rastro.

pub mod elastic;
pub mod embedded;
