//! A line to an event, in any format.

use std::fmt;

use memchr::{memchr, memchr2, memmem};
use rastro_model::{Category, Direction, Event};

use crate::{
    DayBase, Format,
    ambiguity::MAX_COMM_LENGTH,
    declaration::Step,
    fast,
    field::{Field, Grammar, Target},
    scan::{self, NOT_AVAILABLE},
    time,
};

/// The most blanks that are taken for one separator in front of the text at the end of a line: Rocha's files have two
/// where others have one.
const MAX_BLANKS_BEFORE_TEXT: usize = 2;

/// The longest excerpt of a line that a reason quotes, bytes.
const MAX_EXCERPT_LENGTH: usize = 40;

/// Why a line is no event of its format. Small and made without allocating: a recording may hold nothing else.
///
/// `Display` names field and fault; [`LineError::reason`] quotes the line as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct LineError {
    kind: LineErrorKind,
    /// Counted from 1; 0 for faults of the whole line.
    field_number: u16,
    field: &'static str,
    /// Where the excerpt starts.
    at: u32,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LineErrorKind {
    /// Nothing but blanks.
    Blank,
    /// The line ends before a field that it cannot do without.
    Missing,
    /// The text between two fields is not what the format declares.
    Separator,
    /// Not a number, or one without room in the field's type.
    Number,
    /// Not a time.
    Time,
    /// Neither `<` nor `>`.
    Direction,
    /// Not a category.
    Category,
    /// Not a name of an event type.
    Name,
    /// Something stands behind the last field.
    Trailing,
}

impl LineErrorKind {
    /// The kind as one word, for counting.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blank => "blank_line",
            Self::Missing => "missing_field",
            Self::Separator => "separator",
            Self::Number => "number",
            Self::Time => "time",
            Self::Direction => "direction",
            Self::Category => "category",
            Self::Name => "name",
            Self::Trailing => "trailing_text",
        }
    }

    const fn fault(self) -> &'static str {
        match self {
            Self::Blank => "blank line",
            Self::Missing => "the line ends before it",
            Self::Separator => "it does not begin where the format says",
            Self::Number => "not a number",
            Self::Time => "not a time",
            Self::Direction => "not a direction (`<` or `>`)",
            Self::Category => "not a category",
            Self::Name => "not a name of an event type",
            Self::Trailing => "more text behind it than the format declares",
        }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field_number > 0 {
            write!(f, "field {} {}: ", self.field_number, self.field)?;
        }
        f.write_str(self.kind.fault())
    }
}

impl LineError {
    /// What is wrong.
    pub const fn kind(self) -> LineErrorKind {
        self.kind
    }

    /// sysdig's name of the field that is wrong; empty for a blank line.
    pub const fn field(self) -> &'static str {
        self.field
    }

    /// The reason in words, with the place in the line that is at fault: ``field 7 evt.rawres: `abc` is not a number``.
    pub fn reason(self, line: &[u8]) -> String {
        let from = line.get(self.at as usize..).unwrap_or_default();
        let token = &from[..memchr(b' ', from).unwrap_or(from.len()).min(MAX_EXCERPT_LENGTH)];
        if self.field_number == 0 || token.is_empty() {
            return self.to_string();
        }
        let fault = self.kind.fault();
        let joined = if fault.starts_with("not ") { "is " } else { "stands there: " };
        format!("field {} {}: `{}` {joined}{fault}", self.field_number, self.field, token.escape_ascii())
    }
}

/// How much is asked of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Demand {
    /// Fields at the end may be missing.
    Lenient,
    /// Every fixed field must be there: the end of a process name is being looked for.
    Complete,
}

impl Format {
    /// Reads a line (without its line break).
    ///
    /// Blanks are as declared; in front of the text at the end, one or two. `<NA>` and a field that the end of the line cuts
    /// off are `None`, but a line must name its event, and its direction where one is declared.
    #[inline]
    pub fn parse_line<'line>(&self, line: &'line [u8], day: DayBase) -> Result<Event<'line>, LineError> {
        if let Some(event) = self.shape().and_then(|shape| fast::parse(line, shape)) {
            return Ok(event);
        }
        self.parse_any_line(line, day)
    }

    /// [`Format::parse_line`] without the short cut for common layouts.
    pub(crate) fn parse_any_line<'line>(
        &self,
        line: &'line [u8],
        day: DayBase,
    ) -> Result<Event<'line>, LineError> {
        if line.iter().all(|&byte| byte == b' ') {
            return Err(LineError { kind: LineErrorKind::Blank, field_number: 0, field: "", at: 0 });
        }
        let mut event = Event::EMPTY;
        let reader = Reader { format: self, line, day };
        reader.read(0..self.steps().len(), 0, Demand::Lenient, &mut event)?;
        Ok(event)
    }

    /// The container that a line names, for routing: cheaper than reading the line where `container.id` stands before the first
    /// process name. `None` if the format declares none, the line gives `<NA>`, or it is no event up to there.
    pub fn container_of<'line>(&self, line: &'line [u8]) -> Option<&'line [u8]> {
        let is_container_id = |step: &Step| step.target == Target::Event(Field::ContainerId);
        let container = self.steps().iter().position(is_container_id)?;
        let before = &self.steps()[..container];
        let mut event = Event::EMPTY;
        let needed = if before.iter().any(|step| step.grammar == Grammar::ShortText) {
            self.steps().len()
        } else {
            container + 1
        };
        let reader = Reader { format: self, line, day: DayBase::default() };
        reader.read(0..needed, 0, Demand::Lenient, &mut event).ok()?;
        event.container_id
    }
}

struct Reader<'format, 'line> {
    format: &'format Format,
    line: &'line [u8],
    day: DayBase,
}

impl<'line> Reader<'_, 'line> {
    /// Reads the fields of `steps`, the first of which (with the literal in front of it) starts at `position`.
    fn read(
        &self,
        steps: std::ops::Range<usize>,
        position: usize,
        demand: Demand,
        event: &mut Event<'line>,
    ) -> Result<(), LineError> {
        let all = self.format.steps();
        let line = self.line;
        let mut position = position;
        for index in steps.clone() {
            let step = &all[index];
            if position >= line.len() && step.grammar != Grammar::Word {
                return self.end_of_line(index, demand);
            }
            position = self.skip_separator(index, position)?;
            if position >= line.len() && !matches!(step.grammar, Grammar::Word | Grammar::ShortText) {
                return self.end_of_line(index, demand);
            }
            let error = |kind| self.error(kind, index, position);
            match step.grammar {
                Grammar::Unsigned => {
                    let (value, end) =
                        self.number(index, position, scan::unsigned).ok_or(error(LineErrorKind::Number))?;
                    assign_unsigned(event, step.target, value).ok_or(error(LineErrorKind::Number))?;
                    position = end;
                }
                Grammar::Signed => {
                    let (value, end) =
                        self.number(index, position, scan::signed).ok_or(error(LineErrorKind::Number))?;
                    assign_signed(event, step.target, value).ok_or(error(LineErrorKind::Number))?;
                    position = end;
                }
                Grammar::Time(form) => {
                    let parse = |line: &[u8], position| time::parse(line, position, form, self.day);
                    let (value, end) =
                        self.number(index, position, parse).ok_or(error(LineErrorKind::Time))?;
                    if step.target == Target::Event(Field::Time) {
                        event.time_ns = value;
                    }
                    position = end;
                }
                Grammar::Direction => {
                    let direction = self.direction(index, position).ok_or(error(LineErrorKind::Direction))?;
                    (event.direction, position) = direction;
                }
                Grammar::Category => {
                    let end = self.word_end(index, position);
                    let name = &line[position..end];
                    let is_word = name.iter().all(|&b| b.is_ascii_alphabetic() || matches!(b, b'/' | b'_'));
                    if name.is_empty() || !is_word && name != NOT_AVAILABLE {
                        return Err(error(LineErrorKind::Category));
                    }
                    event.category = fast::category(name).unwrap_or_else(|| Category::from_name(name));
                    position = end;
                }
                Grammar::Name => {
                    let end = scan::name_end(line, position)
                        .filter(|&end| self.ends_field(index, end))
                        .filter(|&end| {
                            !(self.format.has_text_inside() && scan::is_mistakable_name(&line[position..end]))
                        })
                        .ok_or(error(LineErrorKind::Name))?;
                    if step.target == Target::Event(Field::Name) {
                        event.name = &line[position..end];
                    }
                    position = end;
                }
                Grammar::Word => {
                    let end = self.word_end(index, position);
                    assign_word(event, step.target, &line[position..end]);
                    position = end;
                }
                Grammar::ShortText if index + 1 < all.len() => {
                    return self.read_short_text(index, position, event);
                }
                Grammar::ShortText => {
                    // The text ends the line: whatever stands there is it.
                    let end = line.len() - self.format.after().len().min(line.len() - position);
                    if step.target == Target::Event(Field::ProcessName) {
                        event.process_name = available(&line[position..end]);
                    }
                    position = end;
                }
                Grammar::FreeText => {
                    let text = &line[position..];
                    if step.target == Target::Event(Field::Arguments) {
                        event.arguments = text;
                    }
                    position = line.len();
                }
            }
        }
        if steps.end == all.len() { self.check_rest(steps.end - 1, position) } else { Ok(()) }
    }

    /// Reads a text of at most 15 bytes in the middle of a line, and everything behind it: the longest text behind which the
    /// rest parses, or else the text up to the first blank (pseudo names such as `container:aa4cdedd3574` are longer).
    fn read_short_text(
        &self,
        index: usize,
        position: usize,
        event: &mut Event<'line>,
    ) -> Result<(), LineError> {
        let steps = self.format.steps();
        let rest = index + 1..steps.len();
        let separator = &steps[index + 1].before;
        let before = *event;
        let read_with = |length: usize, event: &mut Event<'line>| {
            let end = position + length;
            let behind = self.line.get(end..)?;
            if !begins_with(behind, separator) {
                return None;
            }
            *event = before;
            self.read(rest.clone(), end, Demand::Complete, event).ok()?;
            if steps[index].target == Target::Event(Field::ProcessName) {
                event.process_name = available(&self.line[position..end]);
            }
            Some(())
        };
        for length in (0..=MAX_COMM_LENGTH).rev() {
            if read_with(length, event).is_some() {
                return Ok(());
            }
        }
        let first = memmem::find(&self.line[position..], separator)
            .ok_or_else(|| self.error(LineErrorKind::Missing, index + 1, self.line.len()))?;
        if first > MAX_COMM_LENGTH && read_with(first, event).is_some() {
            return Ok(());
        }
        // Not an event: say what is wrong if the name ends at the first blank, as most do.
        *event = before;
        self.read(rest, position + first, Demand::Complete, event)
    }

    /// The line ends before field `index`: fine if the rest may be missing.
    fn end_of_line(&self, index: usize, demand: Demand) -> Result<(), LineError> {
        let missing = &self.format.steps()[index..];
        let is_needed = |step: &Step| match demand {
            Demand::Lenient => {
                matches!(step.target, Target::Event(Field::Name | Field::Direction))
            }
            Demand::Complete => step.grammar != Grammar::FreeText,
        };
        match missing.iter().position(is_needed) {
            None => Ok(()),
            Some(needed) => Err(self.error(LineErrorKind::Missing, index + needed, self.line.len())),
        }
    }

    /// Where field `index` begins, `position` being the end of the field before.
    fn skip_separator(&self, index: usize, position: usize) -> Result<usize, LineError> {
        let step = &self.format.steps()[index];
        let rest = &self.line[position..];
        let is_blank = || step.before.iter().all(|&byte| byte == b' ');
        if step.grammar == Grammar::FreeText && index > 0 && is_blank() {
            let most = step.before.len().max(MAX_BLANKS_BEFORE_TEXT);
            let blanks = rest.iter().take(most).take_while(|&&byte| byte == b' ').count();
            if blanks > 0 || rest.is_empty() {
                return Ok(position + blanks);
            }
        } else if begins_with(rest, &step.before) {
            return Ok(position + step.before.len());
        }
        Err(self.error(LineErrorKind::Separator, index, position))
    }

    /// A field that `parse` reads, or `<NA>`.
    fn number<T>(
        &self,
        index: usize,
        position: usize,
        parse: impl Fn(&[u8], usize) -> Option<(T, usize)>,
    ) -> Option<(Option<T>, usize)> {
        let (value, end) = match parse(self.line, position) {
            Some((value, end)) => (Some(value), end),
            None if self.line[position..].starts_with(NOT_AVAILABLE) => {
                (None, position + NOT_AVAILABLE.len())
            }
            None => return None,
        };
        self.ends_field(index, end).then_some((value, end))
    }

    fn direction(&self, index: usize, position: usize) -> Option<(Direction, usize)> {
        if let Some(direction) = Direction::from_symbol(self.line[position])
            && self.ends_field(index, position + 1)
        {
            return Some((direction, position + 1));
        }
        // Later sysdigs may not know it. Where a text stands in the middle, the direction is what tells the fields apart.
        let end = position + NOT_AVAILABLE.len();
        let is_unknown = self.line[position..].starts_with(NOT_AVAILABLE) && !self.format.has_text_inside();
        (is_unknown && self.ends_field(index, end)).then_some((Direction::Exit, end))
    }

    /// Whether field `index` may end at `end`: a blank, the end of the line, or the next literal stands there.
    fn ends_field(&self, index: usize, end: usize) -> bool {
        let rest = &self.line[end..];
        let literal = self.literal_behind(index);
        matches!(rest.first(), None | Some(b' ')) || (!literal.is_empty() && rest.starts_with(literal))
    }

    fn literal_behind(&self, index: usize) -> &[u8] {
        self.format.steps().get(index + 1).map_or(self.format.after(), |step| &step.before)
    }

    fn word_end(&self, index: usize, position: usize) -> usize {
        let rest = &self.line[position..];
        let end = match self.literal_behind(index).first() {
            Some(&byte) if byte != b' ' => memchr2(b' ', byte, rest),
            _ => memchr(b' ', rest),
        };
        position + end.unwrap_or(rest.len())
    }

    /// Whether the line ends as it should behind its last field: the format's last literal, then blanks.
    fn check_rest(&self, last: usize, position: usize) -> Result<(), LineError> {
        let rest = &self.line[position..];
        let after = self.format.after();
        if rest.is_empty() && after.is_empty() {
            return Ok(());
        }
        let behind = rest.strip_prefix(after).unwrap_or(rest);
        if behind.iter().all(|&byte| byte == b' ') && (rest.is_empty() || rest.starts_with(after)) {
            return Ok(());
        }
        let kind = if rest.starts_with(after) { LineErrorKind::Trailing } else { LineErrorKind::Separator };
        Err(self.error(kind, last, position))
    }

    fn error(&self, kind: LineErrorKind, index: usize, at: usize) -> LineError {
        LineError {
            kind,
            field_number: u16::try_from(index + 1).unwrap_or(u16::MAX),
            field: self.format.steps().get(index).map_or("", |step| step.field),
            at: u32::try_from(at).unwrap_or(u32::MAX),
        }
    }
}

/// `starts_with` for literals, which are a single blank or nothing nearly always: that spares a call.
#[inline]
fn begins_with(text: &[u8], literal: &[u8]) -> bool {
    match literal {
        [] => true,
        [byte] => text.first() == Some(byte),
        _ => text.starts_with(literal),
    }
}

/// The text, unless it is how sysdig prints that there is none.
fn available(text: &[u8]) -> Option<&[u8]> {
    (text != NOT_AVAILABLE).then_some(text)
}

/// `None` for a number that the target has no room for.
fn assign_unsigned(event: &mut Event<'_>, target: Target, value: Option<u64>) -> Option<()> {
    const SECOND_NS: u64 = 1_000_000_000;
    match target {
        Target::Event(Field::Number) => event.number = value,
        Target::Event(Field::Latency) => event.latency_ns = value,
        Target::Event(Field::Cpu) => {
            event.cpu = value.map(u32::try_from).transpose().ok()?;
        }
        // The two halves may stand in either order.
        Target::TimeSeconds => {
            let fraction = event.time_ns.unwrap_or(0);
            event.time_ns = match value {
                Some(value) => {
                    let seconds = i64::try_from(value).ok()?;
                    Some(seconds.checked_mul(SECOND_NS as i64)?.checked_add(fraction)?)
                }
                None => None,
            };
        }
        Target::TimeFraction => {
            let fraction = i64::try_from(value.unwrap_or(0)).ok()?;
            event.time_ns = Some(event.time_ns.unwrap_or(0).checked_add(fraction)?);
        }
        Target::LatencySeconds => {
            let fraction = event.latency_ns.unwrap_or(0);
            event.latency_ns = match value {
                Some(value) => Some(value.checked_mul(SECOND_NS)?.checked_add(fraction)?),
                None => None,
            };
        }
        Target::LatencyFraction => {
            event.latency_ns = match value {
                Some(value) => Some(event.latency_ns.unwrap_or(0).checked_add(value)?),
                None => event.latency_ns,
            };
        }
        _ => {}
    }
    Some(())
}

/// `None` for a number that the target has no room for.
fn assign_signed(event: &mut Event<'_>, target: Target, value: Option<i64>) -> Option<()> {
    match target {
        Target::Event(Field::Result) => event.result = value,
        Target::Event(Field::Thread) => event.thread = value,
        Target::Event(Field::Process) => event.process = value,
        Target::Event(Field::User) => {
            event.user = match value {
                // Later sysdigs print "no user" with its sign, earlier ones without.
                Some(-1) => Some(u32::MAX),
                Some(value) => Some(u32::try_from(value).ok()?),
                None => None,
            };
        }
        _ => {}
    }
    Some(())
}

fn assign_word<'line>(event: &mut Event<'line>, target: Target, word: &'line [u8]) {
    let word = available(word).filter(|word| !word.is_empty());
    match target {
        Target::Event(Field::ContainerId) => event.container_id = word,
        Target::Event(Field::ContainerName) => event.container_name = word,
        Target::Event(Field::ContainerImage) => event.container_image = word,
        Target::ResultName => event.result = word.and_then(result_of_name),
        _ => {}
    }
}

/// `evt.res`: `SUCCESS`, the name of an error, or a number.
fn result_of_name(name: &[u8]) -> Option<i64> {
    if name == b"SUCCESS" {
        return Some(0);
    }
    if let Some(error) = rastro_model::errno::number(name) {
        return Some(-i64::from(error));
    }
    scan::signed(name, 0).filter(|&(_, end)| end == name.len()).map(|(value, _)| value)
}
