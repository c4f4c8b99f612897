//! What `strace -f -ttt -T -y` writes, rewritten in the default line format.
//!
//! | strace | becomes |
//! |---|---|
//! | a call with its result | an exit event, at the time it began plus its duration |
//! | `<unfinished ...>` and `resumed` | one exit event, where it resumed |
//! | a call that never resumed, or `= ?` | an enter event |
//! | `--- SIGCHLD …` | `signaldeliver`, an event that is no call |
//! | `+++ exited with 0 +++` | `procexit`, an event that is no call |
//! | anything else | itself: a dead letter downstream |
//!
//! strace names no processes; they are followed here from `execve`, `prctl` and `clone`. What the arguments say is limited to what
//! people want to see in an explanation: paths, addresses, commands, the beginning of data.

mod arguments;
mod line;
mod processes;

use std::collections::BTreeMap;

use rastro_format::Format;
use rastro_model::{Category, Direction, Event, syscall};

use super::converted::{Convert, pass_through};
use crate::AgentError;
use arguments::write_arguments;
use line::{Call, Outcome, What};
use processes::Processes;

/// More calls than this cannot be under way at a time; beyond it the text is no recording, and memory stays bounded.
const MAX_UNFINISHED: usize = 65_536;

/// A call that has begun.
struct Begun {
    time_ns: i64,
    /// The text up to `<unfinished ...>`.
    text: Vec<u8>,
}

/// Rewrites the lines of one strace recording.
pub struct StraceConverter {
    format: Format,
    number: u64,
    processes: Processes,
    /// By thread.
    begun: BTreeMap<Option<i64>, Begun>,
    arguments: Vec<u8>,
}

impl StraceConverter {
    /// A converter that writes lines in `format`, which should give threads and names of processes.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            number: 0,
            processes: Processes::default(),
            begun: BTreeMap::new(),
            arguments: Vec::new(),
        }
    }

    /// Appends to `out` what a line of strace (without its line break) becomes: no line, or one or more whole ones.
    pub fn line(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        let Some(line) = line::parse(raw) else { return pass_through(raw, out) };
        self.processes.meet(line.thread);
        match line.what {
            What::Call(text) => {
                if !self.call(line.thread, line.time_ns, None, text, out) {
                    pass_through(raw, out);
                }
            }
            What::Begins(text) => {
                self.end_begun(line.thread, out);
                if self.begun.len() >= MAX_UNFINISHED {
                    self.end_all(out);
                }
                if let Some(call) = Call::begun(text) {
                    self.processes.call_begins(line.thread, &call);
                }
                self.begun.insert(line.thread, Begun { time_ns: line.time_ns, text: text.to_vec() });
            }
            What::Resumes { name, rest } => {
                let begun = self.begun.remove(&line.thread);
                let mut text = begun.as_ref().map_or_else(Vec::new, |begun| begun.text.clone());
                // After a stop, strace resumes under the name of the call that restarts the other.
                let is_its_own = text.strip_prefix(name).is_some_and(|rest| rest.starts_with(b"("));
                if !is_its_own {
                    text = [name, b"("].concat();
                }
                text.extend_from_slice(rest);
                let began_ns = begun.map_or(line.time_ns, |begun| begun.time_ns);
                if !self.call(line.thread, began_ns, Some(line.time_ns), &text, out) {
                    pass_through(raw, out);
                }
            }
            What::Signal(name) => {
                self.arguments.clear();
                self.arguments.extend_from_slice(b" sig=");
                self.arguments.extend_from_slice(name);
                self.arguments.push(b' ');
                self.note(line.thread, line.time_ns, b"signaldeliver", Category::Signal, out);
            }
            What::Exits(how) => {
                self.end_begun(line.thread, out);
                self.arguments.clear();
                self.arguments.extend_from_slice(b" status=");
                self.arguments.extend(how.iter().map(|&byte| if byte == b' ' { b'_' } else { byte }));
                self.arguments.push(b' ');
                self.note(line.thread, line.time_ns, b"procexit", Category::Process, out);
                self.processes.exits(line.thread);
            }
        }
    }

    /// Appends the calls that were still under way at the end.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.end_all(out);
    }

    /// Writes a call whose text is whole; false if it cannot be read.
    fn call(
        &mut self,
        thread: Option<i64>,
        began_ns: i64,
        resumed_ns: Option<i64>,
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(call) = Call::parse(text) else { return false };
        let has_returned = match call.outcome {
            Outcome::Unknown => false,
            Outcome::Result(_) => true,
        };
        self.processes.call_ends(thread, &call);
        self.arguments.clear();
        write_arguments(&call, &mut self.arguments);
        let ended_ns = match (has_returned, resumed_ns, call.latency_ns) {
            (false, _, _) => began_ns,
            (true, Some(resumed_ns), _) => resumed_ns,
            (true, None, latency_ns) => began_ns.saturating_add(latency_ns.unwrap_or(0) as i64),
        };
        self.number += 1;
        let process = self.processes.of(thread);
        let event = Event {
            number: Some(self.number),
            time_ns: Some(ended_ns),
            direction: if has_returned { Direction::Exit } else { Direction::Enter },
            category: call.category(),
            name: call.name,
            latency_ns: call.latency_ns.filter(|_| has_returned),
            result: match call.outcome {
                Outcome::Result(result) => Some(result),
                Outcome::Unknown => None,
            },
            arguments: &self.arguments,
            thread,
            process: process.map(|process| process.id),
            process_name: process.and_then(|process| process.name.as_deref()),
            ..Event::EMPTY
        };
        self.format.write_line(&event, out);
        true
    }

    /// Writes an event that is no call, with the arguments prepared.
    fn note(
        &mut self,
        thread: Option<i64>,
        time_ns: i64,
        name: &[u8],
        category: Category,
        out: &mut Vec<u8>,
    ) {
        self.number += 1;
        let process = self.processes.of(thread);
        let event = Event {
            number: Some(self.number),
            time_ns: Some(time_ns),
            direction: Direction::Enter,
            category,
            name,
            arguments: &self.arguments,
            thread,
            process: process.map(|process| process.id),
            process_name: process.and_then(|process| process.name.as_deref()),
            ..Event::EMPTY
        };
        self.format.write_line(&event, out);
    }

    /// A call of the thread that has begun will not return: it is written as it began.
    fn end_begun(&mut self, thread: Option<i64>, out: &mut Vec<u8>) {
        let Some(begun) = self.begun.remove(&thread) else { return };
        let name = &begun.text[..memchr::memchr(b'(', &begun.text).unwrap_or(begun.text.len())];
        self.arguments.clear();
        self.arguments.push(b' ');
        self.note(thread, begun.time_ns, name, syscall::category_of(name), out);
    }

    fn end_all(&mut self, out: &mut Vec<u8>) {
        while let Some((&thread, _)) = self.begun.first_key_value() {
            self.end_begun(thread, out);
        }
    }
}

impl Convert for StraceConverter {
    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<(), AgentError> {
        Self::line(self, line, out);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        Self::finish(self, out);
    }
}

/// Whether a line looks like strace's.
pub(super) fn is_strace(line: &[u8]) -> bool {
    line::parse(line).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(text: &str) -> Vec<String> {
        let mut converter = StraceConverter::new(Format::named("rastro").unwrap());
        let mut out = Vec::new();
        for line in text.lines() {
            converter.line(line.as_bytes(), &mut out);
        }
        converter.finish(&mut out);
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_call_is_an_exit_event_at_the_time_it_ended() {
        let lines = convert(
            r#"7     1795245645.370599 execve("/usr/bin/env", ["env", "-i", "A=b c"], 0x7ffe87b59798 /* 38 vars */) = 0 <0.000353>
7     1795245645.374931 openat(AT_FDCWD</srv/app>, "/etc/ld.so.preload", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No such file or directory) <0.000042>
7     1795245645.371922 openat(AT_FDCWD</srv/app>, "/etc/x", O_RDONLY) = 3</etc/x> <0.000050>
7     1795245645.375026 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7fa57b99c000 <0.000052>"#,
        );
        assert_eq!(
            lines,
            [
                "7 7 env 1 2026-11-21T07:20:45.370952000+0000 < process execve 353000 0  res=0 exe=/usr/bin/env args=-i.A=b c. ",
                "7 7 env 2 2026-11-21T07:20:45.374973000+0000 < file openat 42000 -2  res=-2(ENOENT) name=/etc/ld.so.preload flags=O_RDONLY|O_CLOEXEC ",
                "7 7 env 3 2026-11-21T07:20:45.371972000+0000 < file openat 50000 3  fd=3(<f>/etc/x) name=/etc/x flags=O_RDONLY ",
                "7 7 env 4 2026-11-21T07:20:45.375078000+0000 < memory mmap 52000 140348720005120  res=7fa57b99c000 ",
            ]
        );
    }

    #[test]
    fn an_unfinished_call_is_one_event_where_it_resumed() {
        let lines = convert(
            r#"1 5.000001 read(3<pipe:[99]>,  <unfinished ...>
2 5.000002 close(4) = 0 <0.000001>
1 5.000009 <... read resumed>"a\nb", 4096) = 3 <0.000008>"#,
        );
        assert_eq!(
            lines,
            [
                "2 2 <NA> 1 1970-01-01T00:00:05.000003000+0000 < file close 1000 0  res=0 fd=4 ",
                "1 1 <NA> 2 1970-01-01T00:00:05.000009000+0000 < IPC read 8000 3  res=3 fd=3(<p>) data=a.b ",
            ]
        );
    }

    #[test]
    fn children_have_the_process_and_the_name_of_their_parent_until_they_run_something() {
        let lines = convert(
            r#"1 1.0 execve("/usr/bin/python3", ["python3"], 0x1 /* 2 vars */) = 0 <0.000001>
1 1.1 clone(child_stack=0x1, flags=CLONE_VM|CLONE_THREAD|CLONE_SIGHAND <unfinished ...>
2 1.2 getpid() = 1 <0.000001>
1 1.3 <... clone resumed>, parent_tid=[2], tls=0x1) = 2 <0.2>
1 1.4 vfork( <unfinished ...>
3 1.5 execve("/bin/sh", ["sh", "-c", "id"], 0x1 /* 2 vars */) = 0 <0.000001>
1 1.6 <... vfork resumed>) = 3 <0.1>
3 1.7 getuid() = 0 <0.000001>"#,
        );
        let who: Vec<&str> = lines.iter().map(|line| &line[..line.find(" 1970").unwrap()]).collect();
        assert_eq!(
            who,
            ["1 1 python3 1", "2 1 python3 2", "1 1 python3 3", "3 3 sh 4", "1 1 python3 5", "3 3 sh 6",]
        );
    }

    #[test]
    fn signals_exits_and_calls_without_a_result_are_enter_events() {
        let lines = convert(
            r"1 1.0 poll([{fd=3, events=POLLIN}], 1, -1 <unfinished ...>
1 1.1 --- SIGTERM {si_signo=SIGTERM, si_code=SI_USER, si_pid=9, si_uid=0} ---
1 1.2 <... poll resumed>) = ? ERESTART_RESTARTBLOCK (Interrupted by signal) <0.2>
1 1.3 futex(0x1, FUTEX_WAIT_PRIVATE, 0, NULL <unfinished ...>
1 1.4 +++ killed by SIGKILL +++
2 1.5 exit_group(3) = ?
2 1.6 +++ exited with 3 +++
3 1.7 accept4(5<socket:[7]>,  <unfinished ...>",
        );
        let what: Vec<&str> = lines.iter().map(|line| &line[line.find("+0000 ").unwrap() + 6..]).collect();
        assert_eq!(
            what,
            [
                "> signal signaldeliver <NA> <NA>  sig=SIGTERM ",
                "< wait poll 200000000 -516  res=-516 ",
                "> IPC futex <NA> <NA>  ",
                "> process procexit <NA> <NA>  status=killed_by_SIGKILL ",
                "> process exit_group <NA> <NA>  status=3 ",
                "> process procexit <NA> <NA>  status=exited_with_3 ",
                "> net accept4 <NA> <NA>  ",
            ]
        );
    }

    #[test]
    fn a_line_that_is_not_straces_is_passed_through() {
        let odd = ["", "strace: Process 7 attached", "7 1.0 read(3", "7 1.0 read(3) 4", "#rastro {}"];
        assert_eq!(convert(&odd.join("\n")), odd);
    }

    #[test]
    fn what_a_path_or_a_buffer_holds_is_no_syntax() {
        let lines = convert(
            r#"7 1.0 openat(AT_FDCWD</a) = 3>, "/b\") = 7 <0.000009>", O_RDONLY) = 3</b") = 7> <0.000001>
7 1.1 write(1</a)>, "\n7 1.0 execve(\"/bin/sh\") = 0\n", 9) = 9 <0.000001>"#,
        );
        assert!(
            lines[0].ends_with(
                "file openat 1000 3  fd=3(<f>/b\") = 7) name=/b\") = 7 <0.000009> flags=O_RDONLY "
            ),
            "{lines:?}"
        );
        assert!(lines[1].ends_with("fd=1(<f>/a)) data=.7 1.0 execve(\"/bin/sh\") = 0. "), "{lines:?}");
        assert_eq!(lines.len(), 2);
    }
}
