//! The vocabulary of the trail. Every other crate speaks these types; this one knows none of them and does no I/O.
//!
//! | module | idea |
//! |---|---|
//! | [`stream`] | where bytes come from: streams, positions, gaps |
//! | [`log_header`] | the first line of an agent's log file |
//! | [`category`], [`direction`] | numbers for sysdig's words (`SPEC` 1.4) |
//! | [`syscall`], [`errno`] | names and numbers of system calls and errors |
//! | [`event`] | one parsed line |
//! | [`segment`] | an ordered run of one container's calls, as columns |
//! | [`tally`] | conservation: where every line went |
//! | [`score`], [`alarm`] | what the analyzer says of a segment |
//! | [`dataset`] | names of datasets and of their indices |

pub mod alarm;
pub mod category;
pub mod dataset;
pub mod direction;
pub mod errno;
pub mod event;
pub mod log_header;
pub mod score;
pub mod segment;
pub mod stream;
pub mod syscall;
pub mod tally;

pub use alarm::{Alarm, AlarmId};
pub use category::Category;
pub use direction::Direction;
pub use event::Event;
pub use log_header::LogHeader;
pub use score::{CallFigure, FigureExtent, FrameScore, ProfileRef, Reason, SegmentScores};
pub use segment::{CallKind, Calls, Container, Detail, Segment, SegmentId, Thread, Unfinished};
pub use stream::{Gap, GapReason, Position, StreamId};
pub use tally::Tally;
