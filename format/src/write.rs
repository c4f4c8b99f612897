//! An event to a line.

use rastro_model::Event;

use crate::{
    Format,
    ambiguity::MAX_COMM_LENGTH,
    field::{Field, Grammar, Target},
    scan, time,
};

impl Format {
    /// Appends the event as a line, line break included. A part of the event that the format does not declare is left out, a
    /// declared part that the event lacks is `<NA>`.
    ///
    /// Whatever the texts hold, it is exactly one line, and reading it gives the event back (where a process name stands before
    /// arguments, under the condition that is told in `ambiguity`): bytes that are not printable ASCII become `.`, blanks in words
    /// `_`; process names are cut at 15 bytes, and arguments lose blanks in front.
    pub fn write_line(&self, event: &Event<'_>, line: &mut Vec<u8>) {
        for step in self.steps() {
            line.extend_from_slice(&step.before);
            let Target::Event(field) = step.target else {
                self.write_part(step.target, event, line);
                continue;
            };
            match field {
                Field::Number => push_optional(line, event.number, push_unsigned),
                Field::Time => push_optional(line, event.time_ns, |line, time_ns| {
                    if let Grammar::Time(form) = step.grammar {
                        time::write(line, time_ns, form);
                    }
                }),
                Field::Cpu => push_optional(line, event.cpu.map(u64::from), push_unsigned),
                Field::Direction => line.push(event.direction.symbol() as u8),
                Field::Category => line.extend_from_slice(event.category.name().as_bytes()),
                Field::Name => push_name(line, event.name),
                Field::Latency => push_optional(line, event.latency_ns, push_unsigned),
                Field::Result => push_optional(line, event.result, push_signed),
                Field::Arguments => push_arguments(line, event.arguments),
                Field::Thread => push_optional(line, event.thread, push_signed),
                Field::Process => push_optional(line, event.process, push_signed),
                Field::ProcessName => push_process_name(line, event.process_name),
                Field::User => push_optional(line, event.user.map(u64::from), push_unsigned),
                Field::ContainerId => push_word(line, event.container_id),
                Field::ContainerName => push_word(line, event.container_name),
                Field::ContainerImage => push_word(line, event.container_image),
            }
        }
        line.extend_from_slice(self.after());
        line.push(b'\n');
    }

    /// A field that holds part of a value, or something that events do not keep.
    fn write_part(&self, target: Target, event: &Event<'_>, line: &mut Vec<u8>) {
        const SECOND_NS: u64 = 1_000_000_000;
        let time_ns = event.time_ns.and_then(|time_ns| u64::try_from(time_ns).ok());
        let latency_has_seconds = self.steps().iter().any(|step| step.target == Target::LatencySeconds);
        match target {
            Target::TimeSeconds => push_optional(line, time_ns.map(|time| time / SECOND_NS), push_unsigned),
            Target::TimeFraction => push_optional(line, time_ns.map(|time| time % SECOND_NS), push_unsigned),
            Target::LatencySeconds => {
                push_optional(line, event.latency_ns.map(|ns| ns / SECOND_NS), push_unsigned);
            }
            Target::LatencyFraction => push_optional(
                line,
                event.latency_ns.map(|ns| if latency_has_seconds { ns % SECOND_NS } else { ns }),
                push_unsigned,
            ),
            Target::ResultName => push_result_name(line, event.result),
            Target::Nothing | Target::Event(_) => line.extend_from_slice(scan::NOT_AVAILABLE),
        }
    }
}

/// Appends a number in decimal digits.
pub(crate) fn push_unsigned(line: &mut Vec<u8>, value: u64) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    let mut rest = value;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    line.extend_from_slice(&digits[start..]);
}

fn push_signed(line: &mut Vec<u8>, value: i64) {
    if value < 0 {
        line.push(b'-');
    }
    push_unsigned(line, value.unsigned_abs());
}

fn push_optional<T>(line: &mut Vec<u8>, value: Option<T>, push: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        Some(value) => push(line, value),
        None => line.extend_from_slice(scan::NOT_AVAILABLE),
    }
}

/// A byte as sysdig prints it.
const fn printable(byte: u8) -> u8 {
    if matches!(byte, 0x20..0x7f) { byte } else { b'.' }
}

fn push_name(line: &mut Vec<u8>, name: &[u8]) {
    if name.is_empty() || name == scan::NOT_AVAILABLE {
        line.extend_from_slice(b"<unknown>");
        return;
    }
    let name = &name[..name.len().min(scan::MAX_NAME_LENGTH)];
    if scan::is_mistakable_name(name) {
        // A bare number or direction would be taken for another field.
        line.push(b'#');
    }
    let room = scan::MAX_NAME_LENGTH - usize::from(scan::is_mistakable_name(name));
    line.extend(name.iter().take(room).map(|&byte| if scan::is_name_byte(byte) { byte } else { b'_' }));
}

fn push_arguments(line: &mut Vec<u8>, arguments: &[u8]) {
    let start = arguments.iter().take_while(|&&byte| byte == b' ').count();
    line.extend(arguments[start..].iter().map(|&byte| printable(byte)));
}

fn push_process_name(line: &mut Vec<u8>, name: Option<&[u8]>) {
    push_optional(line, name, |line, name| {
        line.extend(name.iter().take(MAX_COMM_LENGTH).map(|&byte| printable(byte)));
    });
}

fn push_word(line: &mut Vec<u8>, word: Option<&[u8]>) {
    push_optional(line, word.filter(|word| !word.is_empty()), |line, word| {
        line.extend(word.iter().map(|&byte| if byte == b' ' { b'_' } else { printable(byte) }));
    });
}

fn push_result_name(line: &mut Vec<u8>, result: Option<i64>) {
    push_optional(line, result, |line, result| match rastro_model::errno::of_result(result) {
        Some(error) => line.extend_from_slice(error.as_bytes()),
        None if result == 0 => line.extend_from_slice(b"SUCCESS"),
        None => push_signed(line, result),
    });
}
