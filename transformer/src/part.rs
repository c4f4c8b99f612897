//! The calls of one container in one chunk, and the segment they end in.

use rastro_broker::Chunk;
use rastro_model::{CallKind, Calls, Container, Detail, Gap, Segment, SegmentId, Tally, Thread, Unfinished};

use crate::{
    IndexNames,
    containers::short_id,
    line::Excess,
    local_index::LocalIndex,
    names::{Name, Names},
    origin::Origin,
    pairing::Enter,
    threads::UNKNOWN_THREAD,
};

/// Longest name or image of a container, and longest name of a process, that is kept; bytes. Kernel and runtimes stay far below.
const MAX_TEXT_LENGTH: usize = 512;

/// Calls for which room is kept between chunks, and likewise of whatever else grows with the lines of a chunk. Chunks of our own
/// shipper have fewer; a chunk of many short lines must not keep its memory for ever.
pub(crate) const KEPT_LENGTH: usize = 64 * 1024;

/// One call; column by column later.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) time_ns: i64,
    pub(crate) latency_ns: u64,
    pub(crate) result: i64,
    pub(crate) number: u64,
    pub(crate) thread: u32,
    pub(crate) args_length: u32,
    pub(crate) kind: u16,
    pub(crate) argc: u16,
    pub(crate) flags: u8,
}

/// Where a call's line and its arguments stand in the text of the chunk: start and length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) line: (u32, u32),
    pub(crate) arguments: (u32, u32),
}

#[derive(Debug, Default)]
struct LocalThread {
    id: Option<i64>,
    process: Option<i64>,
    process_name: Option<Vec<u8>>,
}

/// The calls of one container. Buffers stay when a chunk ends and serve the next.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) container: Container,
    pub(crate) tally: Tally,
    calls: Vec<Call>,
    /// By call, where there are to be documents of calls.
    sources: Vec<Source>,
    kinds: Vec<CallKind>,
    kind_numbers: LocalIndex,
    threads: Vec<LocalThread>,
    thread_numbers: LocalIndex,
    unfinished: Vec<Unfinished>,
    details: Vec<Detail>,
}

impl Part {
    /// Empties the part for a container.
    pub(crate) fn begin(&mut self, container: Container) {
        self.container = container;
        self.tally = Tally::default();
        self.calls.clear();
        self.calls.shrink_to(KEPT_LENGTH);
        self.sources.clear();
        self.sources.shrink_to(KEPT_LENGTH);
        self.kinds.clear();
        self.kind_numbers.clear();
        self.threads.clear();
        self.threads.shrink_to(KEPT_LENGTH);
        self.thread_numbers.clear();
        self.unfinished.clear();
        self.details.clear();
    }

    /// The container that a line names.
    pub(crate) fn container_of_line(id: Option<&[u8]>) -> Container {
        let id = id.map_or_else(|| crate::containers::HOST.to_owned(), short_id);
        Container { id, name: None, image: None }
    }

    /// Takes name and image from a line where they are not known yet: a source learns them a little after the first call.
    #[inline]
    pub(crate) fn learn(&mut self, name: Option<&[u8]>, image: Option<&[u8]>) {
        if self.container.name.is_none()
            && let Some(name) = name
        {
            self.container.name = Some(bounded_text(name));
        }
        if self.container.image.is_none()
            && let Some(image) = image
        {
            self.container.image = Some(bounded_text(image));
        }
    }

    /// Number of a kind of call in this segment.
    #[inline]
    pub(crate) fn kind(&mut self, number: u32, names: &Names) -> Result<u16, Excess> {
        match self.kind_numbers.get(number) {
            Some(kind) => Ok(kind as u16),
            None => self.new_kind(number, names.get(number)),
        }
    }

    #[cold]
    fn new_kind(&mut self, number: u32, name: &Name) -> Result<u16, Excess> {
        let kind =
            u16::try_from(self.kinds.len()).ok().filter(|&kind| kind < u16::MAX).ok_or(Excess::Kinds)?;
        self.kinds.push(CallKind { name: name.text(), category: name.category });
        self.kind_numbers.insert(number, u32::from(kind));
        Ok(kind)
    }

    /// Number of a thread in this segment. Its process is named as it was last: after `execve`, by what it became.
    #[inline]
    pub(crate) fn thread(
        &mut self,
        number: u32,
        id: Option<i64>,
        process: Option<i64>,
        process_name: Option<&[u8]>,
    ) -> u32 {
        let local = self.thread_numbers.get(number).unwrap_or_else(|| {
            let local = self.threads.len() as u32;
            self.threads.push(LocalThread { id, ..LocalThread::default() });
            self.thread_numbers.insert(number, local);
            local
        });
        // Events without a thread id come from any process.
        if number != UNKNOWN_THREAD {
            let thread = &mut self.threads[local as usize];
            if process.is_some() {
                thread.process = process;
            }
            if process_name.is_some() && thread.process_name.as_deref() != process_name {
                thread.process_name = process_name.map(<[u8]>::to_vec);
            }
        }
        local
    }

    #[inline]
    pub(crate) fn push(&mut self, call: Call) {
        self.calls.push(call);
        self.tally.calls_stored += 1;
    }

    /// Remembers where the last call was read.
    #[inline]
    pub(crate) fn push_source(&mut self, source: Source) {
        self.sources.push(source);
    }

    /// Keeps the arguments of the last call.
    pub(crate) fn push_detail(&mut self, arguments: String) {
        let call = self.calls.len().saturating_sub(1) as u32;
        self.details.push(Detail { call, arguments });
    }

    pub(crate) fn push_unfinished(&mut self, enter: &Enter, names: &Names) {
        self.tally.calls_stored += 1;
        self.unfinished.push(Unfinished {
            name: names.get(enter.name).text(),
            thread: enter.thread_id,
            time_ns: enter.time_ns,
        });
    }

    pub(crate) fn calls(&self) -> &[Call] {
        &self.calls
    }

    pub(crate) fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The segment, if there is any call in it.
    pub(crate) fn finish(
        &mut self,
        part: u16,
        chunk: &Chunk,
        origin: &Origin,
        gap: Option<Gap>,
        index_names: IndexNames,
    ) -> Option<Segment> {
        let first_ns = match (self.calls.first(), self.unfinished.first()) {
            (Some(call), _) => call.time_ns,
            (None, Some(unfinished)) => unfinished.time_ns,
            (None, None) => return None,
        };
        Some(Segment {
            id: SegmentId { stream: chunk.stream, start: chunk.start, part },
            dataset: origin.dataset.clone(),
            index: index_names.of(&origin.dataset, first_ns),
            node: chunk.node.clone(),
            architecture: origin.architecture.clone(),
            container: self.container.clone(),
            end: chunk.end,
            gap,
            read_ns: chunk.read_ns,
            tally: self.tally,
            calls: self.columns(),
            unfinished: std::mem::take(&mut self.unfinished),
            details: std::mem::take(&mut self.details),
        })
    }

    fn columns(&mut self) -> Calls {
        let calls = &self.calls;
        Calls {
            kinds: std::mem::take(&mut self.kinds),
            threads: self.threads.drain(..).map(Thread::from).collect(),
            kind: calls.iter().map(|call| call.kind).collect(),
            thread: calls.iter().map(|call| call.thread).collect(),
            number: calls.iter().map(|call| call.number).collect(),
            time_ns: calls.iter().map(|call| call.time_ns).collect(),
            latency_ns: calls.iter().map(|call| call.latency_ns).collect(),
            result: calls.iter().map(|call| call.result).collect(),
            argc: calls.iter().map(|call| call.argc).collect(),
            args_length: calls.iter().map(|call| call.args_length).collect(),
            flags: calls.iter().map(|call| call.flags).collect(),
        }
    }
}

impl From<LocalThread> for Thread {
    fn from(thread: LocalThread) -> Self {
        Self {
            id: thread.id,
            process: thread.process,
            process_name: thread.process_name.as_deref().map(bounded_text),
        }
    }
}

fn bounded_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_TEXT_LENGTH)]).into_owned()
}
