//! Text that sysdig printed: passed through unchanged, routed by container where the lines name it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use memchr::memchr;
use rastro_format::{DayBase, Format};
use rastro_model::{Container, LogHeader, log_header};

use super::RecordingOptions;
use crate::{
    AgentError, Lines, Progress, Source,
    civil_date::date_text,
    container::{HOST, container_id},
    error::IoContext,
    input::Input,
    line_blocks::LineBlocks,
};

/// More containers than this in one recording are a misread format.
const MAX_CONTAINERS: usize = 16_384;

const HALF_A_DAY_NS: i64 = 43_200_000_000_000;

pub(super) struct TextSource {
    path: PathBuf,
    lines: LineBlocks,
    format: Format,
    /// Header of lines that name no container.
    base: LogHeader,
    router: Option<Router>,
    clock: Option<DayClock>,
    /// The log of the line that comes next, where it is known already.
    next_log: Option<usize>,
    last_log: usize,
    logs: Vec<LogHeader>,
}

impl TextSource {
    pub(super) fn open(path: &Path, format: Format, options: &RecordingOptions) -> Result<Self, AgentError> {
        Self::new(path, Input::open(path)?, format, options)
    }

    /// A source over an input that is open already. A header at its beginning says what the container is; the format is `format`.
    pub(super) fn new(
        path: &Path,
        input: Input,
        format: Format,
        options: &RecordingOptions,
    ) -> Result<Self, AgentError> {
        let mut lines = LineBlocks::new(input);
        let first = lines.peek_line().context("read", path)?;
        let own = match first.filter(|line| line.starts_with(log_header::MAGIC)) {
            Some(line) => {
                let own = LogHeader::parse(line)
                    .map_err(|source| AgentError::Header { path: path.to_owned(), source })?;
                lines.next_line().context("read", path)?;
                Some(options.header_from(path, own)?)
            }
            None => None,
        };
        let is_own = own.is_some();
        let mut base = own.unwrap_or_else(|| options.header(path, &format));
        format.text().clone_into(&mut base.format);
        let day = options.day()?;
        let clock = format.is_time_of_day().then(|| {
            let own_day = base.date.as_deref().and_then(DayBase::from_date);
            DayClock { day: day.or(own_day).unwrap_or_default(), last_ns: None }
        });
        if let Some(clock) = &clock {
            base.date = Some(date_text(clock.day));
        }
        let router = format.has_container().then(|| {
            if !is_own {
                // A line of a node's recording that names no container belongs to a thread of the kernel.
                base.container = Container { id: HOST.to_owned(), name: Some(HOST.to_owned()), image: None };
            }
            Router::default()
        });
        Ok(Self {
            path: path.to_owned(),
            lines,
            format,
            logs: vec![base.clone()],
            base,
            router,
            clock,
            next_log: None,
            last_log: 0,
        })
    }

    /// Whether no line is left.
    pub(super) fn is_at_end(&mut self) -> Result<bool, AgentError> {
        Ok(self.lines.peek_block().context("read", &self.path)?.is_none())
    }

    /// Header of lines that name no container.
    pub(super) const fn base_header(&self) -> &LogHeader {
        &self.base
    }
}

impl Source for TextSource {
    fn next_lines(&mut self) -> Result<Option<Lines<'_>>, AgentError> {
        let Some(block) = self.lines.peek_block().context("read", &self.path)? else { return Ok(None) };
        let mut length = block.len();
        if self.router.is_some() || self.clock.is_some() {
            // As many lines as go into one log.
            let mut run = None;
            let mut position = 0;
            while position < block.len() {
                let end = memchr(b'\n', &block[position..]).map_or(block.len(), |at| position + at + 1);
                let log = match self.next_log.take() {
                    Some(log) => log,
                    None => place(
                        &block[position..end - 1],
                        &self.format,
                        self.clock.as_mut(),
                        self.router.as_mut(),
                        &mut self.base,
                        &mut self.logs,
                        self.last_log,
                    )
                    .ok_or_else(|| AgentError::TooManyContainers {
                        path: self.path.clone(),
                        limit: MAX_CONTAINERS,
                    })?,
                };
                if *run.get_or_insert(log) != log {
                    self.next_log = Some(log);
                    break;
                }
                position = end;
            }
            length = position;
            self.last_log = run.unwrap_or(self.last_log);
        }
        let log = self.last_log;
        Ok(Some(Lines { log, header: &self.logs[log], bytes: self.lines.take(length) }))
    }

    fn progress(&self) -> Progress {
        self.lines.progress()
    }

    fn cut_lines(&self) -> u64 {
        self.lines.cut_lines()
    }
}

/// The log of a line, or `None` if there are too many. A line that is no event goes where the line before it went.
fn place(
    line: &[u8],
    format: &Format,
    clock: Option<&mut DayClock>,
    router: Option<&mut Router>,
    base: &mut LogHeader,
    logs: &mut Vec<LogHeader>,
    last_log: usize,
) -> Option<usize> {
    let mut router = router;
    if let Some(clock) = clock {
        let Ok(event) = format.parse_line(line, DayBase::default()) else { return Some(last_log) };
        if clock.passes_midnight(event.time_ns) {
            base.date = Some(date_text(clock.day));
            match &mut router {
                Some(router) => router.forget(),
                None => logs.push(base.clone()),
            }
        }
    }
    let Some(router) = router else { return Some(logs.len() - 1) };
    match format.container_of(line) {
        Some(id) => router.log_of(id, base, logs, |base| container_in(line, id, format, base)),
        // `<NA>`, or no event at all.
        None if format.parse_line(line, DayBase::default()).is_ok() => {
            router.log_of(b"", base, logs, Container::clone)
        }
        None => Some(last_log),
    }
}

/// The container `id` with what the line says of it.
fn container_in(line: &[u8], id: &[u8], format: &Format, base: &Container) -> Container {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let event = format.parse_line(line, DayBase::default()).ok();
    let container = Container {
        id: container_id(id),
        name: text(event.and_then(|event| event.container_name)),
        image: text(event.and_then(|event| event.container_image)),
    };
    if container.id == base.id { merge(container, base) } else { container }
}

/// What a line says of a container, with what is known of it anyway.
fn merge(container: Container, known: &Container) -> Container {
    Container {
        id: container.id,
        name: container.name.or_else(|| known.name.clone()),
        image: container.image.or_else(|| known.image.clone()),
    }
}

/// Which log the lines of a container go to.
#[derive(Default)]
struct Router {
    logs: HashMap<Box<[u8]>, usize>,
    /// The container of the line before: neighbours mostly are of one container.
    last_id: Vec<u8>,
    last_log: Option<usize>,
}

impl Router {
    /// From here on every container has a new log.
    fn forget(&mut self) {
        self.logs.clear();
        self.last_log = None;
    }

    /// The log of the container `id`, made as `container` says when it is first seen; `None` if there are too many.
    fn log_of(
        &mut self,
        id: &[u8],
        base: &LogHeader,
        logs: &mut Vec<LogHeader>,
        container: impl FnOnce(&Container) -> Container,
    ) -> Option<usize> {
        if let Some(log) = self.last_log.filter(|_| self.last_id == id) {
            return Some(log);
        }
        let log = if let Some(&log) = self.logs.get(id) {
            log
        } else {
            if self.logs.len() >= MAX_CONTAINERS {
                return None;
            }
            let header = LogHeader { container: container(&base.container), ..base.clone() };
            // Lines without an id and lines with the id of the base are of one log, and so are ids that agree in their first digits.
            let is_same =
                |known: &LogHeader| known.container.id == header.container.id && known.date == header.date;
            let log = logs.iter().position(is_same).unwrap_or_else(|| {
                logs.push(header);
                logs.len() - 1
            });
            self.logs.insert(id.into(), log);
            log
        };
        self.last_id.clear();
        self.last_id.extend_from_slice(id);
        self.last_log = Some(log);
        Some(log)
    }
}

/// Which day it is in a recording whose lines give a time of day only.
struct DayClock {
    day: DayBase,
    last_ns: Option<i64>,
}

impl DayClock {
    /// Whether midnight lies between the line before and a line at this time of day. Only a step back of more than half a day is
    /// midnight: the clocks of two processors may differ a little.
    fn passes_midnight(&mut self, time_of_day_ns: Option<i64>) -> bool {
        let Some(time_ns) = time_of_day_ns else { return false };
        let passes = self.last_ns.is_some_and(|last_ns| last_ns - time_ns > HALF_A_DAY_NS);
        if passes {
            self.day = self.day.next();
        }
        self.last_ns = Some(time_ns);
        passes
    }
}
