//! What sysdig's fields mean and which bytes each may hold.

use crate::time::TimeForm;

/// The parts of an event that a format can declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// `evt.num`
    Number,
    /// Any of the times
    Time,
    /// `evt.cpu`
    Cpu,
    /// `evt.dir`
    Direction,
    /// `evt.category`
    Category,
    /// `evt.type` or `syscall.type`
    Name,
    /// `evt.latency`
    Latency,
    /// `evt.rawres` or `evt.res`
    Result,
    /// `evt.args` or `evt.info`
    Arguments,
    /// `thread.tid` or `thread.vtid`
    Thread,
    /// `proc.pid` or `proc.vpid`
    Process,
    /// `proc.name`
    ProcessName,
    /// `user.uid`
    User,
    /// `container.id`
    ContainerId,
    /// `container.name`
    ContainerName,
    /// `container.image` or `container.image.repository`
    ContainerImage,
}

/// Which bytes a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grammar {
    /// Digits, or `<NA>`.
    Unsigned,
    /// Digits behind an optional `-`, or `<NA>`.
    Signed,
    /// A time.
    Time(TimeForm),
    /// `<` or `>`.
    Direction,
    /// Letters and `/`, or `<NA>`.
    Category,
    /// The name of an event type.
    Name,
    /// Bytes without a blank, or none; chosen by whoever runs the node, not by a container.
    Word,
    /// At most 15 bytes that a container chooses, blanks among them.
    ShortText,
    /// Bytes without a bound that a container chooses: everything up to the end of the line.
    FreeText,
}

/// What a field fills in the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The field has this meaning.
    Event(Field),
    /// Whole seconds of [`Field::Time`], the fraction stands elsewhere.
    TimeSeconds,
    /// Nanoseconds to add to the whole seconds of [`Field::Time`].
    TimeFraction,
    /// Whole seconds of [`Field::Latency`].
    LatencySeconds,
    /// Nanoseconds to add to the whole seconds of [`Field::Latency`].
    LatencyFraction,
    /// The result as text: `SUCCESS`, `ENOENT`.
    ResultName,
    /// Read and left aside.
    Nothing,
}

impl Target {
    /// The part of the event that the target belongs to.
    pub(crate) const fn field(self) -> Option<Field> {
        match self {
            Self::Event(field) => Some(field),
            Self::TimeSeconds | Self::TimeFraction => Some(Field::Time),
            Self::LatencySeconds | Self::LatencyFraction => Some(Field::Latency),
            Self::ResultName => Some(Field::Result),
            Self::Nothing => None,
        }
    }
}

/// A field as it is known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KnownField {
    /// sysdig's name, or `class.*` for a field that is known by its class only.
    pub(crate) name: &'static str,
    pub(crate) grammar: Grammar,
    pub(crate) target: Target,
}

const fn known(name: &'static str, grammar: Grammar, target: Target) -> KnownField {
    KnownField { name, grammar, target }
}

/// Fields known by name. Where two of a format fill the same part of the event, the one that stands first here does.
const FIELDS: &[KnownField] = {
    use Grammar::{Category, Direction, FreeText, Name, ShortText, Signed, Time, Unsigned, Word};
    use Target::{Event, LatencyFraction, LatencySeconds, Nothing, ResultName, TimeFraction, TimeSeconds};
    &[
        known("evt.num", Unsigned, Event(Field::Number)),
        known("evt.time.iso8601", Time(TimeForm::Iso8601), Event(Field::Time)),
        known("evt.rawtime", Time(TimeForm::EpochNanoseconds), Event(Field::Time)),
        known("evt.rawtime.s", Unsigned, TimeSeconds),
        known("evt.rawtime.ns", Unsigned, TimeFraction),
        known("evt.datetime", Time(TimeForm::DateTime), Event(Field::Time)),
        known("evt.datetime.s", Time(TimeForm::DateTime), Event(Field::Time)),
        known("evt.outputtime", Time(TimeForm::TimeOfDay), Event(Field::Time)),
        known("evt.time", Time(TimeForm::TimeOfDay), Event(Field::Time)),
        known("evt.time.s", Time(TimeForm::TimeOfDay), Event(Field::Time)),
        known("evt.cpu", Unsigned, Event(Field::Cpu)),
        known("evt.dir", Direction, Event(Field::Direction)),
        known("evt.category", Category, Event(Field::Category)),
        known("evt.type", Name, Event(Field::Name)),
        known("syscall.type", Name, Event(Field::Name)),
        known("evt.latency", Unsigned, Event(Field::Latency)),
        known("evt.latency.s", Unsigned, LatencySeconds),
        known("evt.latency.ns", Unsigned, LatencyFraction),
        known("evt.rawres", Signed, Event(Field::Result)),
        known("evt.res", Word, ResultName),
        known("evt.args", FreeText, Event(Field::Arguments)),
        known("evt.info", FreeText, Event(Field::Arguments)),
        known("thread.tid", Signed, Event(Field::Thread)),
        known("thread.vtid", Signed, Event(Field::Thread)),
        known("proc.pid", Signed, Event(Field::Process)),
        known("proc.vpid", Signed, Event(Field::Process)),
        known("proc.name", ShortText, Event(Field::ProcessName)),
        known("user.uid", Signed, Event(Field::User)),
        known("container.id", Word, Event(Field::ContainerId)),
        known("container.name", Word, Event(Field::ContainerName)),
        known("container.image", Word, Event(Field::ContainerImage)),
        known("container.image.repository", Word, Event(Field::ContainerImage)),
        // Read and left aside.
        known("container.full_id", Word, Nothing),
        known("container.type", Word, Nothing),
        known("container.privileged", Word, Nothing),
        known("container.image.id", Word, Nothing),
        known("container.image.tag", Word, Nothing),
        known("container.image.digest", Word, Nothing),
        known("evt.latency.human", Word, Nothing),
        known("evt.latency.quantized", Word, Nothing),
        known("evt.deltatime", Unsigned, Nothing),
        known("evt.deltatime.s", Unsigned, Nothing),
        known("evt.deltatime.ns", Unsigned, Nothing),
        known("evt.reltime", Unsigned, Nothing),
        known("evt.reltime.s", Unsigned, Nothing),
        known("evt.reltime.ns", Unsigned, Nothing),
        known("evt.count", Unsigned, Nothing),
        known("evt.failed", Word, Nothing),
        known("evt.is_io", Word, Nothing),
        known("evt.is_io_read", Word, Nothing),
        known("evt.is_io_write", Word, Nothing),
        known("evt.is_wait", Word, Nothing),
        known("evt.is_syslog", Word, Nothing),
        known("evt.io_dir", Word, Nothing),
        known("evt.wait_latency", Unsigned, Nothing),
        known("evt.buflen", Unsigned, Nothing),
        known("evt.around", Word, Nothing),
        known("fd.num", Signed, Nothing),
        known("fd.type", Word, Nothing),
        known("fd.typechar", Word, Nothing),
        known("fd.cip", Word, Nothing),
        known("fd.sip", Word, Nothing),
        known("fd.cport", Signed, Nothing),
        known("fd.sport", Signed, Nothing),
        known("fd.lport", Signed, Nothing),
        known("fd.rport", Signed, Nothing),
        known("fd.lip", Word, Nothing),
        known("fd.rip", Word, Nothing),
        known("fd.l4proto", Word, Nothing),
        known("fd.sockfamily", Word, Nothing),
        known("fd.is_server", Word, Nothing),
        known("fd.dev", Signed, Nothing),
        known("fd.ino", Signed, Nothing),
        known("fd.uid", Word, Nothing),
        known("group.gid", Signed, Nothing),
        known("k8s.ns.name", Word, Nothing),
        known("k8s.ns.id", Word, Nothing),
        known("k8s.pod.name", Word, Nothing),
        known("k8s.pod.id", Word, Nothing),
        known("k8s.pod.uid", Word, Nothing),
        known("k8s.pod.ip", Word, Nothing),
        known("k8s.rc.name", Word, Nothing),
        known("k8s.rs.name", Word, Nothing),
        known("k8s.svc.name", Word, Nothing),
        known("k8s.deployment.name", Word, Nothing),
        known("proc.ppid", Signed, Nothing),
        known("proc.pvpid", Signed, Nothing),
        known("proc.pgid", Signed, Nothing),
        known("proc.vpgid", Signed, Nothing),
        known("proc.sid", Signed, Nothing),
        known("proc.sessionid", Signed, Nothing),
        known("proc.tty", Signed, Nothing),
        known("proc.loginshellid", Signed, Nothing),
        known("proc.nchilds", Unsigned, Nothing),
        known("proc.nthreads", Unsigned, Nothing),
        known("proc.fdopencount", Unsigned, Nothing),
        known("proc.fdlimit", Signed, Nothing),
        known("proc.vmsize", Unsigned, Nothing),
        known("proc.vmrss", Unsigned, Nothing),
        known("proc.vmswap", Unsigned, Nothing),
        known("proc.duration", Signed, Nothing),
        known("proc.is_container_healthcheck", Word, Nothing),
        known("proc.pname", ShortText, Nothing),
        known("thread.ismain", Word, Nothing),
        known("thread.pfmajor", Unsigned, Nothing),
        known("thread.pfminor", Unsigned, Nothing),
        known("user.loginuid", Signed, Nothing),
        // Texts whose names are near to others': they are meant, not mistyped.
        known("fd.types", FreeText, Nothing),
        known("proc.aname", FreeText, Nothing),
        known("proc.apid", FreeText, Nothing),
        known("proc.sname", FreeText, Nothing),
    ]
};

/// Classes of sysdig's fields. A field of them that [`FIELDS`] does not name may hold anything.
const CLASSES: &[&str] = &[
    "container.*",
    "evt.*",
    "fd.*",
    "fdlist.*",
    "group.*",
    "k8s.*",
    "mesos.*",
    "proc.*",
    "span.*",
    "evtin.*",
    "syscall.*",
    "syslog.*",
    "thread.*",
    "user.*",
];

/// The field of that name, and its place in the table: of two fields for one part of the event the lower place wins.
///
/// A field that only its class is known of is accepted, unless it looks like a slip of the pen.
pub(crate) fn find(name: &str) -> Option<(usize, KnownField)> {
    if let Some(place) = FIELDS.iter().position(|field| field.name == name) {
        return Some((place, FIELDS[place]));
    }
    let (class, rest) = name.split_once('.')?;
    let class = CLASSES.iter().find(|known| known.strip_suffix(".*") == Some(class))?;
    let is_well_formed =
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"._[]-/".contains(&b));
    let is_slip = FIELDS.iter().any(|field| match edit_distance(name, field.name) {
        0 | 1 => true,
        2 => letters(name) == letters(field.name),
        _ => false,
    });
    (is_well_formed && !is_slip).then_some((usize::MAX, known(class, Grammar::FreeText, Target::Nothing)))
}

/// The known field whose name is nearest to `name`, for a hint; none if all are far.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let name = &name[..name.len().min(64)];
    // Of names equally far away, the one with the same letters was meant: they were only typed in another order.
    let farness = |field: &'static str| (edit_distance(name, field), letters(name) != letters(field), field);
    let (distance, _, nearest) = FIELDS.iter().map(|field| farness(field.name)).min()?;
    (distance <= 1 + name.len() / 3).then_some(nearest)
}

fn letters(text: &str) -> Vec<u8> {
    let mut letters = text.as_bytes().to_vec();
    letters.sort_unstable();
    letters
}

/// Levenshtein distance, row by row.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, byte_a) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, byte_b) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(byte_a != byte_b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_the_field_that_was_meant() {
        assert_eq!(nearest("evt.tpye"), Some("evt.type"));
        assert_eq!(nearest("proc.names"), Some("proc.name"));
        assert_eq!(nearest("thread.id"), Some("thread.tid"));
        assert_eq!(nearest("zzzzzzzzzzzzzzzzzzzzzzzzzzzzz"), None);
    }

    #[test]
    fn a_field_known_by_its_class_only_may_hold_anything() {
        for name in ["evt.arg.path", "evt.arg[0]", "proc.cmdline", "fd.name", "k8s.pod.labels", "user.name"] {
            let (_, field) = find(name).unwrap();
            assert_eq!((field.grammar, field.target), (Grammar::FreeText, Target::Nothing), "{name}");
        }
        for name in ["evt", "evt.", "nosuch.name", "evt.a b", "evt.tpye", "proc.nam", ""] {
            assert_eq!(find(name), None, "{name}");
        }
    }
}
