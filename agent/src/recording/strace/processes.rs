//! Who is who: processes and their names, followed through `clone`, `execve` and `prctl`.

use std::collections::HashMap;

use super::line::{Call, Outcome};

/// Names are cut to this by the kernel, bytes.
const NAME_LENGTH: usize = 15;

/// More threads than this are not remembered at a time.
const MAX_THREADS: usize = 65_536;

#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) id: i64,
    pub(super) name: Option<Vec<u8>>,
}

#[derive(Debug, Default)]
pub(super) struct Processes {
    threads: HashMap<i64, Process>,
    /// Threads that are making another thread, the latest last, and whether it will be of the same process.
    making: Vec<(i64, bool)>,
}

impl Processes {
    pub(super) fn of(&self, thread: Option<i64>) -> Option<&Process> {
        self.threads.get(&thread?)
    }

    /// A line of the thread was seen. A thread that nobody has announced is the child of the call that is under way: strace always
    /// shows the call's beginning before the child's first line.
    pub(super) fn meet(&mut self, thread: Option<i64>) {
        let Some(thread) = thread.filter(|thread| !self.threads.contains_key(thread)) else { return };
        if self.threads.len() >= MAX_THREADS {
            self.threads.clear();
        }
        let process = match self.making.last() {
            Some(&(parent, is_same_process)) => self.child(parent, thread, is_same_process),
            None => Process { id: thread, name: None },
        };
        self.threads.insert(thread, process);
    }

    pub(super) fn call_begins(&mut self, thread: Option<i64>, call: &Call<'_>) {
        if let Some(thread) = thread.filter(|_| makes_thread(call)) {
            self.making.retain(|&(parent, _)| parent != thread);
            self.making.push((thread, makes_same_process(call)));
        }
    }

    pub(super) fn call_ends(&mut self, thread: Option<i64>, call: &Call<'_>) {
        let (Some(thread), Outcome::Result(result)) = (thread, call.outcome) else { return };
        if makes_thread(call) {
            self.making.retain(|&(parent, _)| parent != thread);
            if result > 0 {
                let child = self.child(thread, result, makes_same_process(call));
                // The child may have run something already: then its name is its own.
                self.threads.entry(result).and_modify(|known| known.id = child.id).or_insert(child);
            }
            return;
        }
        let name = match call.name {
            b"execve" | b"execveat" if result == 0 => call
                .arguments
                .iter()
                .find_map(|argument| string(argument))
                .map(|path| path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)),
            b"prctl" if result == 0 && call.arguments.first() == Some(&&b"PR_SET_NAME"[..]) => {
                call.arguments.get(1).and_then(|argument| string(argument))
            }
            _ => return,
        };
        if let (Some(name), Some(process)) = (name, self.threads.get_mut(&thread)) {
            process.name = Some(name[..name.len().min(NAME_LENGTH)].to_vec());
        }
    }

    pub(super) fn exits(&mut self, thread: Option<i64>) {
        let Some(thread) = thread else { return };
        self.threads.remove(&thread);
        self.making.retain(|&(parent, _)| parent != thread);
    }

    fn child(&self, parent: i64, thread: i64, is_same_process: bool) -> Process {
        let parent = self.threads.get(&parent);
        let id = parent.filter(|_| is_same_process).map_or(thread, |parent| parent.id);
        Process { id, name: parent.and_then(|parent| parent.name.clone()) }
    }
}

fn makes_thread(call: &Call<'_>) -> bool {
    matches!(call.name, b"clone" | b"clone3" | b"fork" | b"vfork")
}

fn makes_same_process(call: &Call<'_>) -> bool {
    call.arguments.iter().any(|argument| memchr::memmem::find(argument, b"CLONE_THREAD").is_some())
}

fn string(argument: &[u8]) -> Option<&[u8]> {
    argument.strip_prefix(b"\"")?.strip_suffix(b"\"")
}
