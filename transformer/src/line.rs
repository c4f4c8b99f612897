//! The way of one event to its end in the tally.

use rastro_format::arguments;
use rastro_model::{Direction, Event, segment::flag};

use crate::{
    KeepArguments, TransformerConfig,
    containers::{Containers, MAX_CONTAINERS},
    day::Days,
    dead_letter::LinePlace,
    details,
    names::{Class, Names},
    origin::{LineFormat, Origin},
    pairing::{Enter, Pairing},
    part::{Call, Part, Source},
    result,
    threads::Threads,
};

/// An event that is well-formed and for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Excess {
    #[error("more than {} names of calls in one chunk", u16::MAX)]
    Kinds,
    #[error("more than {MAX_CONTAINERS} containers in one chunk")]
    Containers,
}

/// Everything that grows with the lines of a chunk. Kept between chunks, so that the steady state allocates only what goes out.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) names: Names,
    threads: Threads,
    containers: Containers,
    pub(crate) pairing: Pairing,
    parts: Vec<Part>,
    /// How many of `parts` belong to this chunk.
    part_count: usize,
    /// The source said that it lost events.
    pub(crate) source_dropped: bool,
}

/// Parts whose buffers are kept for the next chunk.
const KEPT_PARTS: usize = 64;

impl Scratch {
    pub(crate) fn new() -> Self {
        Self {
            names: Names::new(),
            threads: Threads::new(),
            containers: Containers::default(),
            pairing: Pairing::default(),
            parts: Vec::new(),
            part_count: 0,
            source_dropped: false,
        }
    }

    pub(crate) fn begin_chunk(&mut self) {
        self.names.begin_chunk();
        self.threads.clear();
        self.containers.clear();
        self.pairing.clear();
        self.parts.truncate(KEPT_PARTS);
        self.part_count = 0;
        self.source_dropped = false;
    }

    /// The containers of this chunk, in order of appearance.
    pub(crate) fn parts(&mut self) -> &mut [Part] {
        &mut self.parts[..self.part_count]
    }

    fn begin_part(&mut self, container: rastro_model::Container) {
        if self.part_count == self.parts.len() {
            self.parts.push(Part::default());
        }
        self.parts[self.part_count].begin(container);
        self.part_count += 1;
    }

    /// Enters that are open at the end of the chunk become unfinished calls of their containers.
    pub(crate) fn close_pairing(&mut self) {
        for enter in self.pairing.unfinished() {
            self.parts[usize::from(enter.part)].push_unfinished(enter, &self.names);
        }
    }
}

/// What the lines of one chunk have in common.
#[derive(Debug)]
pub(crate) struct Lines<'chunk> {
    pub(crate) config: &'chunk TransformerConfig,
    pub(crate) origin: &'chunk Origin,
    pub(crate) format: &'chunk LineFormat,
    /// All lines; arguments of enter events are found again in it.
    pub(crate) text: &'chunk [u8],
    pub(crate) read_ns: i64,
    /// Only of formats that give a time of day.
    pub(crate) days: Option<Days>,
}

impl Lines<'_> {
    /// Takes the event of a line in. Nothing is changed if there is no room for it.
    #[inline]
    pub(crate) fn take(
        &mut self,
        event: &Event<'_>,
        LinePlace { index, offset }: LinePlace,
        length: usize,
        scratch: &mut Scratch,
    ) -> Result<(), Excess> {
        let category = self.format.has_category.then_some(event.category);
        let name_number = scratch.names.number(event.name, category);
        let part_number = self.part(event, scratch)?;
        let name = scratch.names.get(name_number);
        let part = &mut scratch.parts[usize::from(part_number)];
        let pairing = name.pairing;

        let (flags, enter) = match (name.class, event.direction) {
            (Class::Drop | Class::Other, _) => {
                scratch.source_dropped |= name.class == Class::Drop;
                part.tally.events_not_calls += 1;
                part.tally.events_parsed += 1;
                return Ok(());
            }
            (Class::Call, Direction::Enter) => {
                let thread = scratch.threads.number(event.thread);
                let (known_time_ns, time_ns) = self.time(event, index);
                let enter = Enter {
                    part: part_number,
                    name: name_number,
                    known_time_ns,
                    time_ns,
                    thread_id: event.thread,
                    arguments: self.locate(event.arguments),
                };
                scratch.pairing.enter(thread, pairing, enter);
                part.tally.events_parsed += 1;
                return Ok(());
            }
            (Class::NeverReturns, Direction::Enter) => (flag::ENTER, false),
            (Class::Call | Class::NeverReturns, Direction::Exit) => (0, true),
        };

        let is_detailed = match self.config.keep_arguments {
            KeepArguments::Relevant => name.is_relevant,
            KeepArguments::All => true,
            KeepArguments::None => false,
        };
        let result = match event.result {
            None if !self.format.has_result && event.direction == Direction::Exit => {
                result::of_arguments(name, event.arguments)
            }
            known => known,
        };
        let kind = part.kind(name_number, &scratch.names)?;
        part.tally.events_parsed += 1;
        let thread_number = scratch.threads.number(event.thread);
        let enter = if enter {
            scratch.pairing.exit(thread_number, pairing)
        } else {
            scratch.pairing.leave(thread_number);
            None
        };
        let (known_time_ns, time_ns) = self.time(event, index);
        // 0 is "unknown" (SPEC 1.2).
        let latency = event.latency_ns.filter(|&latency| latency > 0).or_else(|| {
            let began = enter?.known_time_ns?;
            u64::try_from(known_time_ns?.checked_sub(began)?).ok().filter(|&latency| latency > 0)
        });
        let has = |known: bool, flag: u8| if known { flag } else { 0 };
        let thread = part.thread(thread_number, event.thread, event.process, event.process_name);
        part.push(Call {
            time_ns,
            latency_ns: latency.unwrap_or(0),
            result: result.unwrap_or(0),
            number: event.number.unwrap_or(0),
            thread,
            args_length: arguments::length(event.arguments),
            kind,
            argc: u16::try_from(arguments::count(event.arguments)).unwrap_or(u16::MAX),
            flags: flags
                | has(result.is_some(), flag::RESULT)
                | has(latency.is_some(), flag::LATENCY)
                | has(enter.is_some(), flag::PAIRED),
        });
        if self.config.documents.calls {
            part.push_source(Source {
                line: (offset as u32, length as u32),
                arguments: self.locate(event.arguments),
            });
        }
        if is_detailed {
            let of_enter = enter.map_or(&[][..], |enter| self.located(enter.arguments));
            let text = details::text(event.arguments, of_enter, self.config.detail_limit);
            if !text.is_empty() {
                part.push_detail(text);
            }
        }
        if let Some(enter) = enter {
            scratch.parts[usize::from(enter.part)].tally.events_folded += 1;
        }
        Ok(())
    }

    /// The container of the event.
    #[inline]
    fn part(&self, event: &Event<'_>, scratch: &mut Scratch) -> Result<u16, Excess> {
        if !self.format.has_container {
            if scratch.part_count == 0 {
                scratch.begin_part(self.origin.container.clone());
            }
            // A format may declare a container's name without its id.
            scratch.parts[0].learn(event.container_name, event.container_image);
            return Ok(0);
        }
        let (number, is_new) = scratch.containers.number(event.container_id).ok_or(Excess::Containers)?;
        if is_new {
            scratch.begin_part(Part::container_of_line(event.container_id));
        }
        scratch.parts[usize::from(number)].learn(event.container_name, event.container_image);
        Ok(number)
    }

    /// When the event was: as far as the source says, and in any case.
    #[inline]
    fn time(&mut self, event: &Event<'_>, index: u64) -> (Option<i64>, i64) {
        let known = match (event.time_ns, &mut self.days) {
            (Some(time_ns), Some(days)) => Some(days.place(time_ns)),
            (known, _) => known,
        };
        (known, known.unwrap_or_else(|| self.read_ns.saturating_add(index as i64)))
    }

    /// Where a part of the chunk's text is, free of its lifetime.
    #[inline]
    fn locate(&self, part: &[u8]) -> (u32, u32) {
        let start = part.as_ptr().addr().wrapping_sub(self.text.as_ptr().addr());
        (start as u32, part.len() as u32)
    }

    fn located(&self, (start, length): (u32, u32)) -> &[u8] {
        let start = start as usize;
        self.text.get(start..start.saturating_add(length as usize)).unwrap_or_default()
    }
}
