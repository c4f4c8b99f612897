//! Lines of two numbers, the id of a process and a system call: the form of the data sets of the University of New Mexico
//! (S. Forrest, S. Hofmeyr, A. Somayaji, T. Longstaff, "A sense of self for Unix processes", IEEE S&P 1996).
//!
//! Each line is an exit event of the process's one thread. The recording tells no time, so calls lie a microsecond apart. Numbers are
//! opaque symbols (`#5`) unless a table names them: most of these sets are of SunOS.

use std::path::Path;

use rastro_format::{DayBase, Format};
use rastro_model::{
    Category, Direction, Event,
    syscall::{self, Architecture},
};

use super::{RecordingOptions, converted::Convert, converted::pass_through, default_format};
use crate::AgentError;

const NS_PER_CALL: i64 = 1_000;

pub(super) struct PidCallsConverter {
    format: Format,
    table: Option<Architecture>,
    start_ns: i64,
    calls: u64,
}

impl PidCallsConverter {
    pub(super) fn new(path: &Path, options: &RecordingOptions) -> Result<Self, AgentError> {
        Ok(Self {
            format: default_format(path)?,
            table: options.table,
            start_ns: options.day()?.unwrap_or(DayBase::default()).0,
            calls: 0,
        })
    }
}

impl Convert for PidCallsConverter {
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), AgentError> {
        let Some((process, number)) = pair(line) else {
            pass_through(line, out);
            return Ok(());
        };
        let symbol;
        let name = if let Some(name) = self.table.and_then(|table| syscall::name(table, number)) {
            name
        } else {
            symbol = format!("#{number}");
            &symbol
        };
        let event = Event {
            number: Some(self.calls + 1),
            time_ns: Some(self.start_ns.saturating_add(self.calls as i64 * NS_PER_CALL)),
            direction: Direction::Exit,
            category: if self.table.is_some() {
                syscall::category_of(name.as_bytes())
            } else {
                Category::Unknown
            },
            name: name.as_bytes(),
            thread: Some(i64::from(process)),
            ..Event::EMPTY
        };
        self.calls += 1;
        self.format.write_line(&event, out);
        Ok(())
    }
}

/// Whether a line is one of a process and a call.
pub(super) fn is_pid_call(line: &[u8]) -> bool {
    pair(line).is_some()
}

fn pair(line: &[u8]) -> Option<(u32, u32)> {
    let mut numbers = std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(|token| {
        // `parse` would take a sign as well.
        token.bytes().all(|byte| byte.is_ascii_digit()).then(|| token.parse().ok()).flatten()
    });
    let pair = (numbers.next()??, numbers.next()??);
    numbers.next().is_none().then_some(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(options: &RecordingOptions, text: &[&str]) -> Vec<String> {
        let mut converter = PidCallsConverter::new(Path::new("sendmail.int"), options).unwrap();
        let mut out = Vec::new();
        for line in text {
            converter.line(line.as_bytes(), &mut out).unwrap();
        }
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_pair_is_a_call_of_a_thread_and_anything_else_is_passed_through() {
        let lines = lines(&RecordingOptions::default(), &["  552 5", "553\t112", "552 x", "552 5 6", ""]);
        assert_eq!(lines.len(), 5);
        let format = default_format(Path::new("x")).unwrap();
        let event = |line: &str| {
            let event = format.parse_line(line.as_bytes(), DayBase::default()).unwrap();
            (event.thread, String::from_utf8(event.name.to_vec()).unwrap())
        };
        assert_eq!(event(&lines[0]), (Some(552), "#5".to_owned()));
        assert_eq!(event(&lines[1]), (Some(553), "#112".to_owned()));
        assert_eq!(lines[2..], ["552 x", "552 5 6", ""]);
    }

    #[test]
    fn a_table_names_the_numbers() {
        let options = RecordingOptions { table: Some(Architecture::I386), ..RecordingOptions::default() };
        assert!(lines(&options, &["1 11"])[0].contains("execve"));
    }
}
