//! Declared sysdig formats: format strings, lines to events and events to lines. No I/O.
//!
//! A recording is text, one event a line, printed by sysdig with a format string (`-p`). The string is *declared*: it travels
//! with the file, so that a reader never guesses. [`Format::parse`] compiles it once; [`Format::parse_line`] then reads lines
//! without allocating, and [`Format::write_line`] writes them.
//!
//! | module | idea |
//! |---|---|
//! | `field` | what sysdig's fields mean and which bytes each may hold |
//! | `declaration` | format strings: fields, literals, errors with a column |
//! | `ambiguity` | which formats a container could abuse, and why the others are safe |
//! | `preset` | formats by name, and recognising them |
//! | `scan`, `time` | numbers, words and times in bytes |
//! | `line`, `fast` | a line to an event, in any format; the same without detours for Rocha's layout |
//! | `write` | an event to a line |
//! | [`arguments`] | counting, measuring and splitting `name=value` lists |
//!
//! # What no container can do
//!
//! A container chooses bytes: its arguments, paths and, with `prctl`, the 15 bytes of a thread's name. It must not be able to
//! make them look like another event or like the fixed fields (time, call, result, thread) of its own. Four rules see to that:
//!
//! 1. One line is one event. A line break in a text never reaches a log: sysdig prints unprintable bytes as `.`, and so does
//!    [`Format::write_line`].
//! 2. Every fixed field has a grammar (a number, a time, a direction, a name), and a line that breaks it is no event.
//! 3. A text without a bound (arguments, command lines, paths, buffers) is accepted at the end of a format only; what it holds
//!    can therefore only be itself.
//! 4. A process name in the middle is read as the longest name of at most 15 bytes behind which every fixed field parses.
//!    Module `ambiguity` proves when that is the true name; formats where it might not be are refused.

mod ambiguity;
pub mod arguments;
mod declaration;
mod fast;
mod field;
mod line;
mod preset;
mod scan;
mod time;
mod write;

pub use declaration::{Format, FormatError};
pub use field::Field;
pub use line::{LineError, LineErrorKind};
pub use preset::{DEFAULT, PRESETS};
pub use time::DayBase;
