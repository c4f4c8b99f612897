//! Enter events and their exits, within one chunk.
//!
//! A known thread has one call at a time: the next exit of the same name belongs to it, and entering another call leaves it
//! unfinished. Where threads are not known, calls of one name return in the order in which they began: a guess about which is
//! which, but not about how many. The store applies the same rule across chunks, so that where a chunk ends makes no
//! difference to the counts.

use crate::{part::KEPT_LENGTH, threads::UNKNOWN_THREAD};

const NONE: u32 = u32::MAX;

/// An enter event that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Enter {
    /// Number of the container in the chunk.
    pub(crate) part: u16,
    /// Number of the name.
    pub(crate) name: u32,
    /// When, if the source says so.
    pub(crate) known_time_ns: Option<i64>,
    /// When, in any case.
    pub(crate) time_ns: i64,
    /// Id of the thread.
    pub(crate) thread_id: Option<i64>,
    /// Where its arguments start in the chunk, and how long they are.
    pub(crate) arguments: (u32, u32),
}

#[derive(Debug)]
struct Seen {
    enter: Enter,
    pairing: u32,
    /// The next one of the same name, where threads are not known.
    next: u32,
    is_open: bool,
}

/// Open calls of one name of which the thread is not known, oldest first.
#[derive(Debug, Clone, Copy)]
struct Queue {
    first: u32,
    last: u32,
}

const EMPTY_QUEUE: Queue = Queue { first: NONE, last: NONE };

/// The enter events of a chunk.
#[derive(Debug, Default)]
pub(crate) struct Pairing {
    seen: Vec<Seen>,
    /// By thread: the call that it is in.
    current: Vec<u32>,
    /// By name.
    queues: Vec<Queue>,
}

impl Pairing {
    pub(crate) fn clear(&mut self) {
        self.seen.clear();
        self.seen.shrink_to(KEPT_LENGTH);
        self.current.clear();
        self.current.shrink_to(KEPT_LENGTH);
        self.queues.clear();
    }

    /// A call begins. `pairing` stands for its name.
    #[inline]
    pub(crate) fn enter(&mut self, thread: u32, pairing: u32, enter: Enter) {
        let number = self.seen.len() as u32;
        self.seen.push(Seen { enter, pairing, next: NONE, is_open: true });
        if thread == UNKNOWN_THREAD {
            let name = pairing as usize;
            if name >= self.queues.len() {
                self.queues.resize(name + 1, EMPTY_QUEUE);
            }
            let queue = &mut self.queues[name];
            if queue.first == NONE {
                queue.first = number;
            } else {
                self.seen[queue.last as usize].next = number;
            }
            queue.last = number;
        } else {
            let thread = thread as usize;
            if thread >= self.current.len() {
                self.current.resize(thread + 1, NONE);
            }
            self.current[thread] = number;
        }
    }

    /// A call ends: its enter, if that was seen.
    #[inline]
    pub(crate) fn exit(&mut self, thread: u32, pairing: u32) -> Option<Enter> {
        let open = if thread == UNKNOWN_THREAD {
            &mut self.queues.get_mut(pairing as usize)?.first
        } else {
            self.current.get_mut(thread as usize)?
        };
        let seen = self.seen.get_mut(*open as usize)?;
        if seen.pairing != pairing {
            return None;
        }
        *open = seen.next;
        seen.is_open = false;
        Some(seen.enter)
    }

    /// A thread enters a call that will never return: what it was in stays unfinished.
    #[inline]
    pub(crate) fn leave(&mut self, thread: u32) {
        if thread != UNKNOWN_THREAD
            && let Some(current) = self.current.get_mut(thread as usize)
        {
            *current = NONE;
        }
    }

    /// Enters without an exit, in order of their beginning.
    pub(crate) fn unfinished(&self) -> impl Iterator<Item = &Enter> {
        self.seen.iter().filter(|seen| seen.is_open).map(|seen| &seen.enter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: u32 = 0;
    const WRITE: u32 = 1;

    fn at(time_ns: i64) -> Enter {
        Enter { part: 0, name: 0, known_time_ns: None, time_ns, thread_id: None, arguments: (0, 0) }
    }

    fn unfinished(pairing: &Pairing) -> Vec<i64> {
        pairing.unfinished().map(|enter| enter.time_ns).collect()
    }

    #[test]
    fn an_exit_finds_the_enter_of_its_thread() {
        let mut pairing = Pairing::default();
        pairing.enter(1, READ, at(10));
        pairing.enter(2, READ, at(20));
        assert_eq!(pairing.exit(1, READ), Some(at(10)));
        assert_eq!(pairing.exit(1, READ), None);
        assert_eq!(pairing.exit(3, READ), None);
        assert_eq!(unfinished(&pairing), [20]);
    }

    #[test]
    fn an_exit_of_another_name_leaves_the_call_open() {
        let mut pairing = Pairing::default();
        pairing.enter(1, READ, at(10));
        assert_eq!(pairing.exit(1, WRITE), None);
        assert_eq!(pairing.exit(1, READ), Some(at(10)));
    }

    #[test]
    fn entering_another_call_leaves_the_first_unfinished() {
        let mut pairing = Pairing::default();
        pairing.enter(1, READ, at(10));
        pairing.enter(1, WRITE, at(11));
        assert_eq!(pairing.exit(1, READ), None);
        assert_eq!(pairing.exit(1, WRITE), Some(at(11)));
        pairing.enter(1, READ, at(12));
        pairing.leave(1);
        assert_eq!(pairing.exit(1, READ), None);
        assert_eq!(unfinished(&pairing), [10, 12]);
    }

    #[test]
    fn without_threads_the_first_of_a_name_returns_first() {
        let mut pairing = Pairing::default();
        for (time, name) in [(1, READ), (2, WRITE), (3, READ), (4, READ)] {
            pairing.enter(UNKNOWN_THREAD, name, at(time));
        }
        assert_eq!(pairing.exit(UNKNOWN_THREAD, READ), Some(at(1)));
        assert_eq!(pairing.exit(UNKNOWN_THREAD, READ), Some(at(3)));
        assert_eq!(pairing.exit(UNKNOWN_THREAD, WRITE), Some(at(2)));
        assert_eq!(pairing.exit(UNKNOWN_THREAD, WRITE), None);
        pairing.leave(UNKNOWN_THREAD);
        pairing.enter(UNKNOWN_THREAD, WRITE, at(5));
        assert_eq!(pairing.exit(UNKNOWN_THREAD, WRITE), Some(at(5)));
        assert_eq!(unfinished(&pairing), [4]);
    }
}
