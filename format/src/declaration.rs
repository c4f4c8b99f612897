//! Format strings: fields and the literal text between them.

use std::fmt;

use crate::{
    ambiguity::{self, Certainty},
    fast::Shape,
    field::{self, Field, Grammar, Target},
};

/// The longest format string that is accepted, bytes.
const MAX_LENGTH: usize = 4096;

/// The most texts of bounded length in the middle of a format: each is tried at 16 lengths.
const MAX_SHORT_TEXTS: usize = 2;

/// One field of a format and the literal text in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// sysdig's name, for errors and for writing the format again.
    pub(crate) field: &'static str,
    /// Which bytes the field may hold.
    pub(crate) grammar: Grammar,
    /// What it fills.
    pub(crate) target: Target,
    /// Literal text in front.
    pub(crate) before: Box<[u8]>,
}

/// A declared sysdig format, ready to read and write lines.
///
/// ```
/// # use rastro_format::{DayBase, Format};
/// let format = Format::named("rocha").unwrap();
/// let line = b"3334 2022-03-31T18:13:17.231143686+0000 < IPC futex 0 -110  res=-110(ETIMEDOUT) ";
/// let event = format.parse_line(line, DayBase::default()).unwrap();
/// assert_eq!((event.name, event.result), (b"futex".as_slice(), Some(-110)));
/// let mut written = Vec::new();
/// format.write_line(&event, &mut written);
/// assert_eq!(written, [line.as_slice(), b"\n"].concat());
/// ```
#[derive(Debug, Clone)]
pub struct Format {
    text: Box<str>,
    steps: Box<[Step]>,
    /// Literal text behind the last field.
    after: Box<[u8]>,
    /// A text of bounded length stands before other fields: tokens must then not be mistakable for one another.
    has_text_inside: bool,
    shape: Option<Shape>,
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Format {}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A format string that cannot be used. Columns count bytes from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// No field that names the call.
    #[error("format `{text}` names no system call: add %evt.type")]
    NoName {
        /// The format string.
        text: String,
    },
    /// A `%` without a field behind it.
    #[error("format column {column}: `%` without a field name behind it (for example %evt.type)")]
    NoField {
        /// Where.
        column: usize,
    },
    /// A field that sysdig does not have.
    #[error("format column {column}: unknown field %{name}{}", hint(*nearest))]
    UnknownField {
        /// Where.
        column: usize,
        /// The field's name as given.
        name: String,
        /// The known field whose name is nearest.
        nearest: Option<&'static str>,
    },
    /// Two fields with nothing between them.
    #[error(
        "format column {column}: %{name} follows the field before it without a blank: put one between them"
    )]
    NoSeparator {
        /// Where.
        column: usize,
        /// The second field.
        name: String,
    },
    /// A text without a bound before the end.
    #[error(
        "format column {column}: %{name} may hold any text, so nothing behind it could be told apart from it: put it \
         last, and only one such field"
    )]
    TextNotLast {
        /// Where.
        column: usize,
        /// The field.
        name: String,
    },
    /// A process name that could hide what follows.
    #[error(
        "format column {column}: a process can choose a %{name} that shifts the fields behind it: put it before a number \
         and a whole time, as in `{}`",
        crate::DEFAULT
    )]
    Ambiguous {
        /// Where.
        column: usize,
        /// The field.
        name: String,
    },
    /// A part of the event is declared twice.
    #[error("format column {column}: %{name} stands twice")]
    Repeated {
        /// Where.
        column: usize,
        /// The field.
        name: String,
    },
    /// A byte that no format may hold.
    #[error(
        "format column {column}: a control character or a byte that is not ASCII; only printable ASCII is allowed"
    )]
    ControlByte {
        /// Where.
        column: usize,
    },
    /// Longer than the limit.
    #[error("format string of {length} bytes is longer than the limit of {MAX_LENGTH}")]
    TooLong {
        /// Its length.
        length: usize,
    },
}

fn hint(nearest: Option<&'static str>) -> String {
    nearest.map_or_else(
        || ": `sysdig -l` lists the fields".to_owned(),
        |nearest| format!(": did you mean %{nearest}?"),
    )
}

impl Format {
    /// Compiles a format string as sysdig's `-p` takes it. A leading `*` (print events that lack a field) is kept in the text
    /// and means nothing to a reader: `<NA>` is always understood.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        if text.len() > MAX_LENGTH {
            return Err(FormatError::TooLong { length: text.len() });
        }
        if let Some(place) = text.bytes().position(|byte| !(0x20..0x7f).contains(&byte)) {
            return Err(FormatError::ControlByte { column: place + 1 });
        }
        let mut fields = split(text)?;
        // Blanks at the end of a format are the blanks that sysdig puts behind arguments.
        let after: Box<[u8]> = fields.after.trim_end_matches(' ').as_bytes().into();
        choose_sources(&mut fields.declared);
        check_texts(&fields.declared, fields.after)?;
        let columns: Vec<usize> = fields.declared.iter().map(|declared| declared.column).collect();
        let steps: Box<[Step]> = fields.declared.into_iter().map(|declared| declared.step).collect();
        if !steps.iter().any(|step| step.target == Target::Event(Field::Name)) {
            return Err(FormatError::NoName { text: text.to_owned() });
        }
        let mut has_text_inside = false;
        for (index, step) in steps.iter().enumerate() {
            if step.grammar != Grammar::ShortText || index + 1 == steps.len() {
                continue;
            }
            has_text_inside = true;
            if ambiguity::certainty(&steps[index + 1..]) == Certainty::Ambiguous {
                let name = step.field.to_owned();
                return Err(FormatError::Ambiguous { column: columns[index], name });
            }
        }
        let shape = Shape::of(&steps, after.is_empty());
        Ok(Self { text: text.into(), steps, after, has_text_inside, shape })
    }

    /// The format string as it was declared.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the format declares that part of an event.
    pub fn has(&self, field: Field) -> bool {
        self.steps.iter().any(|step| step.target.field() == Some(field))
    }

    /// Whether lines name their container, so that one file may hold several.
    pub fn has_container(&self) -> bool {
        self.has(Field::ContainerId)
    }

    /// Whether lines name their thread.
    pub fn has_thread(&self) -> bool {
        self.has(Field::Thread)
    }

    /// Whether lines give a time of day only: [`DayBase`](crate::DayBase) says of which day.
    pub fn is_time_of_day(&self) -> bool {
        self.steps.iter().any(|step| {
            step.target.field() == Some(Field::Time)
                && step.grammar == Grammar::Time(crate::time::TimeForm::TimeOfDay)
        })
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(crate) fn after(&self) -> &[u8] {
        &self.after
    }

    pub(crate) const fn has_text_inside(&self) -> bool {
        self.has_text_inside
    }

    pub(crate) const fn shape(&self) -> Option<Shape> {
        self.shape
    }
}

/// A field of the string, with what is needed to speak of it.
struct Declared {
    step: Step,
    /// Place in the table of fields: the lower wins where two fill the same part.
    place: usize,
    column: usize,
    name: String,
}

struct Fields<'text> {
    declared: Vec<Declared>,
    after: &'text str,
}

/// Cuts the string into fields and literals.
fn split(text: &str) -> Result<Fields<'_>, FormatError> {
    let mut declared: Vec<Declared> = Vec::new();
    let mut rest = text.strip_prefix('*').unwrap_or(text);
    while let Some(percent) = rest.find('%') {
        let before = &rest[..percent];
        let column = text.len() - rest.len() + percent + 1;
        let behind = &rest[percent + 1..];
        let length = name_length(behind);
        let name = &behind[..length];
        if name.is_empty() {
            return Err(FormatError::NoField { column });
        }
        let Some((place, known)) = field::find(name) else {
            return Err(FormatError::UnknownField {
                column,
                name: name.to_owned(),
                nearest: field::nearest(name),
            });
        };
        if before.is_empty() && !declared.is_empty() {
            return Err(FormatError::NoSeparator { column, name: name.to_owned() });
        }
        if known.target != Target::Nothing && declared.iter().any(|other| other.name == name) {
            return Err(FormatError::Repeated { column, name: name.to_owned() });
        }
        let step = Step {
            field: known.name,
            grammar: known.grammar,
            target: known.target,
            before: before.as_bytes().into(),
        };
        declared.push(Declared { step, place, column, name: name.to_owned() });
        rest = &behind[length..];
    }
    Ok(Fields { declared, after: rest })
}

/// Length of the field name at the start: letters, digits, dots and underscores, and an index in brackets.
fn name_length(text: &str) -> usize {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_');
    let word = text.bytes().take_while(|&byte| is_word(byte)).count();
    let index = text[word..].strip_prefix('[').and_then(|index| index.find(']')).map_or(0, |end| end + 2);
    // A full stop behind a field is literal text.
    word + index - usize::from(index == 0 && text[..word].ends_with('.'))
}

/// Where several fields give the same part of an event, one fills it and the others are read and left aside.
fn choose_sources(declared: &mut [Declared]) {
    for index in 0..declared.len() {
        let Some(part) = declared[index].step.target.field() else { continue };
        let is_outdone = declared.iter().any(|other| {
            let fills_alone = matches!(other.step.target, Target::Event(_));
            other.step.target.field() == Some(part) && fills_alone && other.place < declared[index].place
        });
        let is_outdone_by_sum = matches!(declared[index].step.target, Target::Event(_))
            && declared.iter().any(|other| {
                matches!(other.step.target, Target::TimeSeconds | Target::LatencySeconds)
                    && other.step.target.field() == Some(part)
                    && other.place < declared[index].place
            });
        if is_outdone || is_outdone_by_sum {
            declared[index].step.target = Target::Nothing;
        }
    }
}

/// Checks that texts stand where they can be told from what follows.
fn check_texts(declared: &[Declared], after: &str) -> Result<(), FormatError> {
    let last = declared.len().saturating_sub(1);
    let mut short_texts = 0;
    for (index, field) in declared.iter().enumerate() {
        let is_followed = index < last || !after.trim_end_matches(' ').is_empty();
        let name = || field.name.clone();
        match field.step.grammar {
            Grammar::FreeText if is_followed => {
                return Err(FormatError::TextNotLast { column: field.column, name: name() });
            }
            Grammar::ShortText => {
                short_texts += 1;
                if short_texts > MAX_SHORT_TEXTS {
                    return Err(FormatError::Ambiguous { column: field.column, name: name() });
                }
            }
            _ => {}
        }
    }
    Ok(())
}
