//! Follows log files exactly and ships whole lines as chunks into the broker. Does not know what a line means.
//!
//! # What is promised
//! Every line that is written to a followed file arrives once, in order, however the file is created, appended to, renamed, replaced
//! or copied and truncated, and whenever the shipper is killed. Where bytes go before they could be read (a file truncated or deleted
//! unread), the loss is counted and told as a [`Gap`](rastro_model::Gap) before the next chunk.
//!
//! # How it works
//! A *stream* is a path; the files that succeed one another under it are its *generations*, told apart by a fingerprint (where the
//! file is, how it begins, and what stands before the place of reading), never by the inode alone. Nothing is kept in memory between
//! reads but a place: a file is read where it stands, from the last place up to the last line break, when a chunk is full or the
//! flush interval has passed. The broker is the authority on where a stream stands; the [`Checkpoint`] knows which file is which, and is
//! on disk before the first chunk of a file leaves.
//!
//! # Which files are one log
//! `x.log.3`, `x.log.old`, `x.log-20220331` and the like beside an included `x.log` are its rotated files, whatever the order of the
//! numbers. When a log is met for the first time, its rotated files are read first; compressed ones are left alone. Renamed to another
//! name that is included, a file is still known for what it is and not read again.
//!
//! # The limits, said plainly
//! - A file that is truncated loses what was not read yet: at most the flush interval's worth, unless it was copied first
//!   (`copytruncate`): then the copy is found by its content and read to its end. What is written between the copying and the
//!   truncation is in neither file and nobody can count it.
//! - A file that is truncated and written again so that the old place is passed with the same 64 bytes before it looks as if it had
//!   grown.
//! - A rotated-away file counts as finished once it is read to its end, its successor holds data and the grace has passed. A writer
//!   that holds on to it longer writes for nobody.
//! - Bytes lost by truncation or deletion are counted as far as they had been seen.
//! - Several files that were rotated unseen are put in order by the time of their last change, and within one tick of that clock (4 ms
//!   on most systems) by the numbers in their names.
//! - Copies are told from other files by what they begin with. Two files of one log that begin with the same 64 bytes, and of which one
//!   was rotated unseen, may be taken for one; lines with a time in them never do so.
//! - If both copies of the checkpoint are damaged, the file that now has the path is taken for the one that was shipped last if it is
//!   long enough; rotated files are not read then. This is said in the log.
//! - Beyond [`ShipperConfig::max_open_files`] files rest closed; one that is written and deleted between two looks is lost.
//! - Directory links are not followed below a pattern's fixed part; file links are.

mod arrivals;
mod checkpoint;
mod claims;
mod config;
mod cut;
mod discover;
mod error;
mod fingerprint;
mod follower;
mod locate;
mod resume;
mod run;
mod status;
mod stream;
mod tail;
mod watch;

pub use checkpoint::Checkpoint;
pub use config::ShipperConfig;
pub use error::ShipperError;
pub use run::Shipper;
pub use status::{ShipperHandle, Status, StreamStatus, Totals};
pub use stream::stream_id;
