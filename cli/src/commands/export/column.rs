//! The columns of an exported call: their names are those of the published per-call documents (`SPEC` 1.4) and Rastro's
//! additions to them. Every form of file and the data card are made from this one table.

use rastro_model::{
    Segment,
    segment::flag,
    syscall::{self, Architecture},
};

use super::labels::Labels;

/// What kind of values a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A time, nanoseconds since the epoch.
    Time,
    /// A time as sysdig prints it.
    TimeText,
    /// A whole number from 0 up.
    Unsigned,
    /// A whole number.
    Signed,
    /// Text; a container may have chosen its bytes.
    Text,
}

impl Form {
    /// Name of the form in data cards.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Time => "time (UTC)",
            Self::TimeText => "text (time)",
            Self::Unsigned => "unsigned integer",
            Self::Signed => "integer",
            Self::Text => "text",
        }
    }
}

/// What one call has in one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Nothing is known.
    Unknown,
    /// Of [`Form::Time`] and [`Form::TimeText`].
    Time(i64),
    /// Of [`Form::Unsigned`].
    Unsigned(u64),
    /// Of [`Form::Signed`].
    Signed(i64),
    /// Of [`Form::Text`].
    Text(&'a str),
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Self::Unknown, Self::Text)
    }
}

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    /// Name in every form of file.
    pub(super) name: &'static str,
    /// What kind of values it holds.
    pub(super) form: Form,
    /// Unit of its numbers; empty where they have none.
    pub(super) unit: &'static str,
    /// What it means, for the data card.
    pub(super) meaning: &'static str,
    /// Whether an NDJSON document has the member even where the value is unknown.
    pub(super) always: bool,
    /// What a call has in it.
    pub(super) value: for<'r> fn(&'r Rows<'_>, usize) -> Value<'r>,
}

macro_rules! column {
    ($name:literal, $form:ident, $unit:literal, $always:literal, $meaning:literal, $value:expr) => {
        Column {
            name: $name,
            form: Form::$form,
            unit: $unit,
            always: $always,
            meaning: $meaning,
            value: $value,
        }
    };
}

/// Every column, in the order in which files hold them.
pub(super) const COLUMNS: &[Column] = &[
    column!("@timestamp", Time, "", true, "when the call returned", |rows, call| rows.time(call)),
    column!(
        "timestamp",
        TimeText,
        "",
        true,
        "the same time as sysdig prints it, with nanoseconds and offset",
        |rows, call| rows.time(call)
    ),
    column!(
        "event_number",
        Unsigned,
        "",
        true,
        "running number of the event in its capture; gaps are normal",
        |rows, call| {
            match rows.segment.calls.number[call] {
                0 => Value::Unknown,
                number => Value::Unsigned(number),
            }
        }
    ),
    column!(
        "event_direction",
        Unsigned,
        "",
        true,
        "0: the call returned; 1: a call that never returns, at its beginning",
        |rows, call| { Value::Unsigned(u64::from(rows.segment.calls.flags[call] & flag::ENTER != 0)) }
    ),
    column!(
        "systemcall_type",
        Unsigned,
        "",
        true,
        "number of the call's category (table below)",
        |rows, call| { Value::Unsigned(u64::from(rows.kind(call).category.number())) }
    ),
    column!(
        "systemcall",
        Unsigned,
        "",
        true,
        "the kernel's number of the call on `host.architecture`; unknown for names that its table does not have",
        |rows, call| {
            let number = rows.numbers[usize::from(rows.segment.calls.kind[call])];
            number.map_or(Value::Unknown, |number| Value::Unsigned(u64::from(number)))
        }
    ),
    column!(
        "systemcall_name",
        Text,
        "",
        true,
        "name of the call as the source prints it; compare calls by it",
        |rows, call| { Value::Text(&rows.kind(call).name) }
    ),
    column!("systemcall_type_name", Text, "", true, "name of the call's category", |rows, call| {
        Value::Text(rows.kind(call).category.name())
    }),
    column!("latency", Unsigned, "ns", true, "time between enter and exit", |rows, call| {
        rows.segment.calls.latency_of(call).map_or(Value::Unknown, Value::Unsigned)
    }),
    column!(
        "return_value",
        Signed,
        "",
        true,
        "raw return value; negative: the error's number with its sign turned",
        |rows, call| { rows.segment.calls.result_of(call).map_or(Value::Unknown, Value::Signed) }
    ),
    column!("argc", Unsigned, "arguments", true, "number of arguments (`name=value` pairs)", |rows, call| {
        Value::Unsigned(u64::from(rows.segment.calls.argc[call]))
    }),
    column!(
        "args_length",
        Unsigned,
        "characters",
        true,
        "length of the arguments as printed, the blanks around them included",
        |rows, call| Value::Unsigned(u64::from(rows.segment.calls.args_length[call]))
    ),
    column!(
        "container.id",
        Text,
        "",
        true,
        "first 12 hexadecimal digits of the container's id, or `host`",
        |rows, _| { Value::Text(&rows.segment.container.id) }
    ),
    column!("container.image.name", Text, "", true, "image that the container runs", |rows, _| {
        rows.segment.container.image.as_deref().into()
    }),
    column!("container.name", Text, "", true, "name of the container", |rows, _| {
        rows.segment.container.name.as_deref().into()
    }),
    column!("host.name", Text, "", true, "node that the call was recorded on", |rows, _| Value::Text(
        &rows.segment.node
    )),
    column!("host.architecture", Text, "", true, "whose numbers `systemcall` holds", |rows, _| {
        Value::Text(&rows.segment.architecture)
    }),
    column!(
        "process.name",
        Text,
        "",
        true,
        "name of the process, bytes that are not UTF-8 replaced",
        |rows, call| { rows.thread(call).process_name.as_deref().into() }
    ),
    column!("process.pid", Signed, "", true, "process id", |rows, call| {
        rows.thread(call).process.map_or(Value::Unknown, Value::Signed)
    }),
    column!("process.thread.id", Signed, "", true, "thread id", |rows, call| {
        rows.thread(call).id.map_or(Value::Unknown, Value::Signed)
    }),
    column!(
        "arguments",
        Text,
        "",
        false,
        "arguments as printed, where they were kept, cut at a limit",
        |rows, call| {
            let details = &rows.segment.details;
            let kept = details.binary_search_by_key(&(call as u32), |detail| detail.call).ok();
            kept.map(|place| details[place].arguments.as_str()).into()
        }
    ),
    column!(
        "label",
        Text,
        "",
        false,
        "what someone says of the call: `normal`, or the kind of attack",
        |rows, call| { rows.label(call).into() }
    ),
];

/// The calls of a segment as rows.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    segment: &'a Segment,
    labels: Labels<'a>,
    /// Kernel's number of each kind of call.
    numbers: Vec<Option<u32>>,
}

impl<'a> Rows<'a> {
    /// The rows of `segment`, with those of the dataset's `labels` that are about it.
    pub(super) fn new(segment: &'a Segment, labels: &'a [rastro_store::Label]) -> Self {
        let architecture: Option<Architecture> = segment.architecture.parse().ok();
        let number = |name: &str| architecture.and_then(|architecture| syscall::number(architecture, name));
        Self {
            segment,
            labels: Labels::of_container(labels, &segment.container.id),
            numbers: segment.calls.kinds.iter().map(|kind| number(&kind.name)).collect(),
        }
    }

    /// Number of rows.
    pub(super) const fn len(&self) -> usize {
        self.segment.calls.len()
    }

    /// What someone says of call `call`.
    pub(super) fn label(&self, call: usize) -> Option<&str> {
        self.labels.of(self.thread(call).id, self.segment.calls.time_ns[call])
    }

    fn kind(&self, call: usize) -> &rastro_model::CallKind {
        &self.segment.calls.kinds[usize::from(self.segment.calls.kind[call])]
    }

    fn thread(&self, call: usize) -> &rastro_model::Thread {
        &self.segment.calls.threads[self.segment.calls.thread[call] as usize]
    }

    fn time(&self, call: usize) -> Value<'_> {
        match self.segment.calls.time_ns[call] {
            0 => Value::Unknown,
            time_ns => Value::Time(time_ns),
        }
    }
}
