//! The same without detours for Rocha's layout: number, time, direction, category, name, latency, result, arguments.
//!
//! It reads what every line of an ordinary recording looks like and gives up (`None`) on anything else, so that what a line
//! means, and what is wrong with one, is decided in one place: `line`. Whatever it accepts, `line` reads the same way.

use memchr::memchr;
use rastro_model::{Category, Direction, Event};

use crate::{
    ambiguity::MAX_COMM_LENGTH,
    declaration::Step,
    field::{Field, Target},
    scan, time,
};

/// A layout that has a short cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Rocha's eight fields.
    Plain,
    /// Thread, process and name of the process in front of them.
    WithThread,
}

const PLAIN: [Field; 8] = [
    Field::Number,
    Field::Time,
    Field::Direction,
    Field::Category,
    Field::Name,
    Field::Latency,
    Field::Result,
    Field::Arguments,
];

impl Shape {
    /// The short cut for a format, if there is one.
    pub(crate) fn of(steps: &[Step], nothing_behind: bool) -> Option<Self> {
        let is_blank = |before: &[u8]| before.iter().all(|&byte| byte == b' ');
        let separated = steps.iter().enumerate().all(|(index, step)| match index {
            0 => step.before.is_empty(),
            _ if step.target == Target::Event(Field::Arguments) => {
                is_blank(&step.before) && step.before.len() <= 2
            }
            _ => *step.before == *b" ",
        });
        let fields: Vec<Option<Field>> = steps
            .iter()
            .map(|step| if let Target::Event(field) = step.target { Some(field) } else { None })
            .collect();
        let is_iso = steps.iter().any(|step| step.field == "evt.time.iso8601");
        if !separated || !nothing_behind || !is_iso {
            return None;
        }
        let plain = PLAIN.map(Some);
        match fields
            .strip_prefix([Some(Field::Thread), Some(Field::Process), Some(Field::ProcessName)].as_slice())
        {
            Some(rest) if rest == plain => Some(Self::WithThread),
            None if fields == plain => Some(Self::Plain),
            _ => None,
        }
    }
}

/// Reads a line of that layout, or gives up.
#[inline]
pub(crate) fn parse(line: &[u8], shape: Shape) -> Option<Event<'_>> {
    let mut event = Event::EMPTY;
    let mut position = 0;
    if shape == Shape::WithThread {
        let (thread, end) = scan::signed(line, 0)?;
        let (process, end) = scan::signed(line, blank(line, end)?)?;
        let name_at = blank(line, end)?;
        event.thread = Some(thread);
        event.process = Some(process);
        // Number and time behind the first blank make the name certain (see `ambiguity`); a name with blanks is left to `line`.
        let length = memchr(b' ', line.get(name_at..name_at + MAX_COMM_LENGTH + 1)?)?;
        let name = &line[name_at..name_at + length];
        if name == scan::NOT_AVAILABLE {
            return None;
        }
        event.process_name = Some(name);
        position = name_at + length + 1;
    }
    let (number, end) = scan::unsigned(line, position)?;
    let (time_ns, end) = time::iso8601_utc(line, blank(line, end)?)?;
    let direction_at = blank(line, end)?;
    let direction = Direction::from_symbol(*line.get(direction_at)?)?;
    let category_at = blank(line, direction_at + 1)?;
    let category_length = memchr(b' ', line.get(category_at..)?.get(..16)?)?;
    let category = category(&line[category_at..category_at + category_length])?;
    let name_at = category_at + category_length + 1;
    let name_end = scan::name_end(line, name_at)?;
    let name = &line[name_at..name_end];
    if shape == Shape::WithThread && scan::is_mistakable_name(name) {
        return None;
    }
    let (latency_ns, end) = available(line, blank(line, name_end)?, scan::unsigned)?;
    let (result, end) = available(line, blank(line, end)?, scan::signed)?;
    let arguments_at = blank(line, end)?;
    let arguments_at = arguments_at + usize::from(line.get(arguments_at) == Some(&b' '));
    event.number = Some(number);
    event.time_ns = Some(time_ns);
    event.direction = direction;
    event.category = category;
    event.name = name;
    event.latency_ns = latency_ns;
    event.result = result;
    event.arguments = &line[arguments_at..];
    Some(event)
}

/// Steps over a blank.
#[inline]
fn blank(line: &[u8], position: usize) -> Option<usize> {
    (line.get(position) == Some(&b' ')).then_some(position + 1)
}

/// A number or `<NA>`.
#[inline]
fn available<T>(
    line: &[u8],
    position: usize,
    parse: impl Fn(&[u8], usize) -> Option<(T, usize)>,
) -> Option<(Option<T>, usize)> {
    if let Some((value, end)) = parse(line, position) {
        return Some((Some(value), end));
    }
    let end = position + scan::NOT_AVAILABLE.len();
    (line.get(position..end) == Some(scan::NOT_AVAILABLE)).then_some((None, end))
}

/// The category of a name in the letter case that sysdig prints.
#[inline]
pub(crate) fn category(name: &[u8]) -> Option<Category> {
    Some(match name {
        b"file" => Category::File,
        b"net" => Category::Net,
        b"wait" => Category::Wait,
        b"IPC" | b"ipc" => Category::Ipc,
        b"memory" => Category::Memory,
        b"process" => Category::Process,
        b"sleep" => Category::Sleep,
        b"system" => Category::System,
        b"signal" => Category::Signal,
        b"user" => Category::User,
        b"time" => Category::Time,
        b"unknown" => Category::Unknown,
        b"other" => Category::Other,
        b"scheduler" => Category::Scheduler,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{DayBase, Format};

    const LINES: [&str; 8] = [
        "1611 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 ",
        "3334 2022-03-31T18:13:17.231143686+0000 < IPC futex 0 -110  res=-110(ETIMEDOUT) ",
        "7 2022-03-31T18:13:17.231143686+0000 > file read <NA> <NA> ",
        "7 2022-03-31T18:13:17.231143686+0000 > file read 0 <NA>",
        "22467 -1 my shell 7 3334 2022-03-31T18:13:17.231143686+0000 < IPC futex 0 -110  res=-110(ETIMEDOUT) ",
        "22467 22467 sh 3334 2022-03-31T18:13:17.231143686+0000 < net recvfrom 18446744073709551615 5  res=5 data=a b ",
        "1 1 container:aa4cdedd3574 3334 2022-03-31T18:13:17.231143686+0000 > process container 0 <NA>  json={ ",
        "<NA> <NA> <NA> 3334 2022-03-31T18:13:17.231143686+0000 > scheduler switch 0 <NA>  next=1 ",
    ];

    #[test]
    fn presets_in_rochas_layout_have_the_short_cut() {
        let shape = |name: &str| Format::named(name).and_then(|format| format.shape());
        assert_eq!(shape("rocha"), Some(Shape::Plain));
        assert_eq!(shape("sysdig-basic"), Some(Shape::Plain));
        assert_eq!(shape("rastro"), Some(Shape::WithThread));
        assert_eq!(shape("sysdig-rich"), None);
        let close =
            "%evt.num %evt.rawtime %evt.dir %evt.category %evt.type %evt.latency %evt.rawres %evt.args";
        assert_eq!(Format::parse(close).unwrap().shape(), None);
    }

    #[test]
    fn ordinary_lines_take_the_short_cut() {
        for (line, shape) in
            [(LINES[0], Shape::Plain), (LINES[1], Shape::Plain), (LINES[5], Shape::WithThread)]
        {
            assert!(parse(line.as_bytes(), shape).is_some(), "{line}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn what_the_short_cut_reads_the_long_way_reads_alike(
            line in 0..LINES.len(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(b" 0<>-N=a.\n".to_vec())), 0..4),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut line = LINES[line].as_bytes().to_vec();
            for (place, byte) in changes {
                let place = place.index(line.len());
                line[place] = byte;
            }
            if let Some(cut) = cut {
                line.truncate(cut.index(line.len()));
            }
            for name in ["rocha", "sysdig-basic", "rastro"] {
                let format = Format::named(name).unwrap();
                if let Some(event) = parse(&line, format.shape().unwrap()) {
                    let slowly = format.parse_any_line(&line, DayBase::default());
                    prop_assert_eq!(slowly, Ok(event), "{}: {}", name, line.escape_ascii());
                }
            }
        }
    }
}
