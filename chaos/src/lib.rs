//! The whole pipeline as separate processes, under faults and under measurement.
//!
//! | module | idea |
//! |---|---|
//! | [`plan`], [`random`] | which faults happen when, from a seed |
//! | [`rig`], [`process`], [`servers`] | the pipeline's processes, and a Redis and an Elasticsearch of their own |
//! | [`proxy`], [`disk`], [`clock`] | what faults are done through |
//! | [`writer`] | the load, every call known beforehand |
//! | [`faults`] | doing faults and undoing them |
//! | [`facts`], [`rest`], [`check`] | counting what is stored without asking Rastro |
//! | [`chaos`] | all of it together |

pub mod chaos;
pub mod check;
pub mod clock;
pub mod disk;
pub mod facts;
pub mod faults;
pub mod plan;
pub mod process;
pub mod proxy;
pub mod random;
pub mod rest;
pub mod rig;
pub mod servers;
pub mod writer;
