//! Chunks of lines to segments of calls, rollups and dead letters.
//!
//! [`Transformer::transform`] is a pure function of a chunk and the configuration: doing a chunk twice gives the same output
//! twice, which is what turns at-least-once delivery into exactly-once content. [`role::run`] drives it between a broker and a
//! store.
//!
//! | module | idea |
//! |---|---|
//! | [`config`] | what can be configured |
//! | `origin` | what is known of a chunk before its first line: format, dataset, container, day |
//! | `transform` | the way of one chunk |
//! | `line` | the way of one event: which of the four ends of the tally it comes to |
//! | `names`, `threads`, `containers`, `local_index` | dictionaries with fast lookup |
//! | `pairing` | enter events and their exits |
//! | `part` | the calls of one container as columns, and the segment they end in |
//! | `result`, `day` | results and days that a format does not give |
//! | `details` | which arguments are kept for people |
//! | `rollup` | aggregates of a segment |
//! | `call_documents`, `window_documents` | documents beside the segments, where they are asked for |
//! | `json` | JSON without a tree of values |
//! | `dead_letter` | lines that are no event |
//! | [`role`], `writing`, `report` | the loop: take, transform; write, acknowledge; and its metrics |
//! | `overlap` | a chunk that begins inside what is stored |
//!
//! # Which line ends where
//!
//! Every line of a chunk is read and is an event or a dead letter; every event is a stored call, folded into its exit, or no
//! call. Both sums of [`rastro_model::Tally`] close for every chunk:
//!
//! - An **exit** is a call of the sequence, at its place. It has `PAIRED` if its enter lies in the same chunk.
//! - An **enter** is folded if its exit follows in the same chunk. Of a known thread, that is the next exit of the same name
//!   before the thread enters another call; where no thread is known, the first exit of the name for the first enter of it.
//! - An enter whose exit does not follow is *unfinished*: stored beside the sequence, in no window. The store settles it when
//!   the exit comes in a later chunk.
//! - An enter of a call that never returns (`exit`, `exit_group`, `sigreturn`, `rt_sigreturn`) is a call of the sequence with
//!   `ENTER`.
//! - A type that is no system call (`switch`, `procexit`, `signaldeliver`, …) is no call. Of a `drop` event, by which a source
//!   says that it lost events, the segments of the chunk get a gap of reason `source`.
//! - A line that the declared format does not fit is a dead letter with field and fault. So is every line of a file whose header
//!   cannot be used.
//!
//! # Values that are not known
//!
//! A latency of 0 means "unknown" (`SPEC` 1.2) and lacks its flag; where the enter event is in the chunk, the time between the
//! two stands in. A result that the format does not declare is read from `res=` or `fd=` at the start of the exit's arguments.
//! An event without a time gets the time of reading, plus one nanosecond a line, so that order survives.

mod call_documents;
pub mod config;
mod containers;
mod day;
mod dead_letter;
mod details;
mod json;
mod line;
mod local_index;
mod names;
mod origin;
mod overlap;
mod pairing;
mod part;
mod report;
mod result;
pub mod role;
mod rollup;
mod threads;
mod transform;
mod window_documents;
mod writing;

pub use config::{Documents, IndexNames, KeepArguments, TransformerConfig};
pub use role::{RoleConfig, TransformerError, run};
pub use transform::Transformer;
