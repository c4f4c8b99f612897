//! Detectors, profiles, training, scoring, calibration, explanation, evaluation. Does not know where data lives: segments and bytes come
//! in, profiles, scores and alarms go out.
//!
//! | module | idea |
//! |---|---|
//! | [`alphabet`] | symbols for the names of calls |
//! | `registry` | the one table of detectors; `stide:n=6` |
//! | [`detector`] | what a detector is |
//! | `stide`, `tstide`, `bosc` | detectors of windows never seen |
//! | `graph` | which call follows which |
//! | `context`, `context_tree`, `context_judge` | Markov chain and context model: calls that are improbable |
//! | [`behaviour`] | arguments, results and times of calls |
//! | `fitted`, `ensemble` | models fitted to a sample of frames, alone and together |
//! | `window_set`, `window_counts` | sets of windows, for scoring and for learning |
//! | `sequences`, `frames` | from segments to the calls of each thread, and to frames |
//! | `novelty` | from windows to frames: how strong is a burst of unseen windows |
//! | `containers` | what is remembered between segments |
//! | `training` | segments in, a profile out |
//! | [`profile`], `profile_file` | what is known of a workload, and its file |
//! | `calibration` | from raw scores to 0–100 |
//! | `learner` | learning live, where there is no profile yet |
//! | [`engine`] | scoring, with the place kept |
//! | [`evaluation`], [`roc`] | how good a detector is on labelled traces |
//! | `explain`, `occlusion`, `alarms`, `message` | why, and what an analyst is shown |

mod alarms;
pub mod alphabet;
pub mod behaviour;
mod bosc;
mod calibration;
mod containers;
mod context;
mod context_judge;
mod context_tree;
pub mod detector;
pub mod engine;
mod ensemble;
pub mod evaluation;
mod explain;
mod fitted;
mod frames;
mod graph;
mod learner;
mod message;
#[cfg(feature = "neural")]
pub mod neural;
mod novelty;
mod occlusion;
pub mod profile;
mod profile_file;
mod registry;
pub mod roc;
mod sequences;
mod stide;
mod training;
mod tstide;
pub mod vector;
mod window_counts;
mod window_set;

pub use calibration::{Calibration, THRESHOLD};
pub use engine::{DEFAULT_FRAME, Scorer, ScorerError, ScoringOptions};
pub use learner::{Learner, LearnerOptions};
pub use profile::{Profile, ProfileDiff};
pub use profile_file::ProfileError;
pub use registry::{DETECTORS, ModelSpec, SpecError};
pub use training::{Trainer, TrainingOptions, TrainingProgress, TrainingStateError};
