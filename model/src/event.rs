//! One parsed line.

use crate::{Category, Direction};

/// One event as a line tells it, borrowed from the line.
///
/// A field that the format does not declare, or that the line gives as `<NA>`, is `None`. Texts are bytes: a container
/// chooses what stands in them, so nothing may be assumed of their encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'line> {
    /// `evt.num`.
    pub number: Option<u64>,
    /// Time of the event, nanoseconds since 1970-01-01T00:00:00Z.
    pub time_ns: Option<i64>,
    /// `evt.cpu`.
    pub cpu: Option<u32>,
    /// `evt.dir`; an event without a declared direction is an exit.
    pub direction: Direction,
    /// `evt.category`.
    pub category: Category,
    /// `evt.type` or `syscall.type`: the name of the call as the source prints it.
    pub name: &'line [u8],
    /// `evt.latency`, nanoseconds.
    pub latency_ns: Option<u64>,
    /// `evt.rawres`; negative = −errno.
    pub result: Option<i64>,
    /// `evt.args` as printed, from the first byte of the first argument; empty where not declared.
    pub arguments: &'line [u8],
    /// `thread.tid`.
    pub thread: Option<i64>,
    /// `proc.pid`.
    pub process: Option<i64>,
    /// `proc.name`.
    pub process_name: Option<&'line [u8]>,
    /// `user.uid`.
    pub user: Option<u32>,
    /// `container.id`.
    pub container_id: Option<&'line [u8]>,
    /// `container.name`.
    pub container_name: Option<&'line [u8]>,
    /// `container.image`.
    pub container_image: Option<&'line [u8]>,
}

impl Event<'_> {
    /// An exit event of which nothing is known yet.
    pub const EMPTY: Self = Self {
        number: None,
        time_ns: None,
        cpu: None,
        direction: Direction::Exit,
        category: Category::Unknown,
        name: b"",
        latency_ns: None,
        result: None,
        arguments: b"",
        thread: None,
        process: None,
        process_name: None,
        user: None,
        container_id: None,
        container_name: None,
        container_image: None,
    };
}
