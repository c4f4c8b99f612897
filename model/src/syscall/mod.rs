//! System calls: names, numbers, categories, and which names are none.
//!
//! The tables are made by `model/scripts/syscall-tables` from the kernel's own headers. Names are those that a source
//! prints; where sysdig's name differs from the kernel's, [`number`] knows both.

mod aarch64;
mod category;
mod i386;
mod x86_64;

use std::{fmt, str::FromStr, sync::LazyLock};

pub use category::category_of;

use crate::stream::InvalidId;

/// Whose numbers are meant: a name has another number on every architecture.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// 64-bit x86; Rocha's documents use these numbers.
    #[default]
    X86_64,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit x86, on its own or under a 64-bit kernel; ADFA-LD's numbers.
    I386,
}

impl Architecture {
    /// Every architecture that has a table.
    pub const ALL: [Self; 3] = [Self::X86_64, Self::Aarch64, Self::I386];

    /// The architecture's name as `uname -m` prints it (i386 for all of 32-bit x86).
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::I386 => "i386",
        }
    }

    const fn table(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::X86_64 => x86_64::BY_NAME,
            Self::Aarch64 => aarch64::BY_NAME,
            Self::I386 => i386::BY_NAME,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Architecture {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text {
            "x86_64" | "amd64" => Ok(Self::X86_64),
            "aarch64" | "arm64" => Ok(Self::Aarch64),
            "i386" | "i486" | "i586" | "i686" => Ok(Self::I386),
            _ => Err(InvalidId {
                text: text.to_owned(),
                expected: "an architecture (x86_64, aarch64 or i386)",
            }),
        }
    }
}

/// sysdig's names (and names of other architectures) beside the kernel's names for the same call, in order of preference.
/// They are tried only where the architecture has no call of the very name: `accept` has its own number on x86_64.
const ALIASES: &[(&str, &[&str])] = &[
    ("accept", &["accept4"]),
    ("epoll_create", &["epoll_create1"]),
    ("eventfd", &["eventfd2"]),
    ("fadvise64_64", &["fadvise64"]),
    ("fcntl64", &["fcntl"]),
    ("fstat64", &["fstat"]),
    ("fstatat64", &["newfstatat"]),
    ("fstatfs64", &["fstatfs"]),
    ("ftruncate64", &["ftruncate"]),
    ("getdents", &["getdents64"]),
    ("inotify_init", &["inotify_init1"]),
    ("llseek", &["_llseek", "lseek"]),
    ("lstat64", &["lstat"]),
    ("mmap2", &["mmap"]),
    ("newfstatat", &["fstatat64"]),
    ("newselect", &["_newselect", "select"]),
    ("pipe", &["pipe2"]),
    ("pread", &["pread64"]),
    ("prlimit", &["prlimit64"]),
    ("pwrite", &["pwrite64"]),
    ("sendfile64", &["sendfile"]),
    ("signalfd", &["signalfd4"]),
    ("sigreturn", &["rt_sigreturn"]),
    ("stat64", &["stat"]),
    ("statfs64", &["statfs"]),
    ("truncate64", &["truncate"]),
    ("ugetrlimit", &["getrlimit"]),
    ("umount", &["umount2"]),
];

/// Number of the call that a source prints as `name`.
pub fn number(architecture: Architecture, name: &str) -> Option<u32> {
    let exact = |name: &str| {
        let table = architecture.table();
        table.binary_search_by_key(&name, |&(other, _)| other).ok().map(|index| table[index].1)
    };
    exact(name).or_else(|| {
        let alias = ALIASES.binary_search_by_key(&name, |&(other, _)| other).ok()?;
        ALIASES[alias].1.iter().find_map(|kernel_name| exact(kernel_name))
    })
}

/// The kernel's name of call `number`.
pub fn name(architecture: Architecture, number: u32) -> Option<&'static str> {
    static BY_NUMBER: LazyLock<[Vec<Option<&'static str>>; 3]> =
        LazyLock::new(|| Architecture::ALL.map(|architecture| by_number(architecture.table())));
    *BY_NUMBER[architecture as usize].get(number as usize)?
}

fn by_number(table: &[(&'static str, u32)]) -> Vec<Option<&'static str>> {
    let length = table.iter().map(|&(_, number)| number as usize + 1).max().unwrap_or(0);
    let mut names = vec![None; length];
    for &(name, number) in table {
        names[number as usize] = Some(name);
    }
    names
}

/// Types of events that are no system calls: sysdig's notes about processes, containers and itself, and the kernel's
/// tracepoints as other recorders print them. Sorted.
const OTHER_EVENTS: &[&str] = &[
    // What sysdig prints for `syscall.type` where an event is none.
    "<NA>",
    "asyncevent",
    "container",
    "cpu_hotplug",
    "drop",
    "groupadded",
    "groupdeleted",
    "infra",
    "k8s",
    "mesos",
    "notification",
    "page_fault",
    "pluginevent",
    "procexit",
    "procinfo",
    "sched_migrate_task",
    "sched_process_exec",
    "sched_process_exit",
    "sched_process_fork",
    "sched_process_free",
    "sched_stat_runtime",
    "sched_switch",
    "sched_wakeup",
    "sched_wakeup_new",
    "sched_waking",
    "signal_deliver",
    "signal_generate",
    "signaldeliver",
    "switch",
    "sysdigevent",
    "tracer",
    "useradded",
    "userdeleted",
];

/// Whether an event of this type is a system call. All are but the known others: a call that the source does not know
/// (`<unknown>`), that this crate's tables do not know, or an opaque symbol is a call all the same.
pub fn is_system_call(name: &[u8]) -> bool {
    OTHER_EVENTS.binary_search_by_key(&name, |other| other.as_bytes()).is_err()
}

/// Whether the call leaves no exit event behind when it succeeds: its enter event is all there is.
pub fn never_returns(name: &[u8]) -> bool {
    matches!(name, b"exit" | b"exit_group" | b"sigreturn" | b"rt_sigreturn")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_published_documents() {
        assert_eq!(number(Architecture::X86_64, "select"), Some(23));
        assert_eq!(number(Architecture::X86_64, "futex"), Some(202));
        assert_eq!(number(Architecture::I386, "execve"), Some(11));
        assert_eq!(number(Architecture::Aarch64, "execve"), Some(221));
        assert_eq!(number(Architecture::X86_64, "no_such_call"), None);
        assert_eq!(number(Architecture::X86_64, "<unknown>"), None);
    }

    #[test]
    fn sysdigs_names_have_the_kernels_numbers() {
        assert_eq!(number(Architecture::X86_64, "pread"), number(Architecture::X86_64, "pread64"));
        assert_eq!(number(Architecture::X86_64, "sigreturn"), Some(15));
        assert_eq!(number(Architecture::I386, "sigreturn"), Some(119));
        assert_eq!(number(Architecture::X86_64, "umount"), Some(166));
        assert_eq!(number(Architecture::X86_64, "accept"), Some(43));
        assert_eq!(number(Architecture::I386, "accept"), Some(364));
        assert_eq!(number(Architecture::Aarch64, "getdents"), Some(61));
        assert_eq!(number(Architecture::X86_64, "stat64"), Some(4));
        assert_eq!(number(Architecture::I386, "newfstatat"), Some(300));
    }

    #[test]
    fn every_number_gives_back_its_name() {
        for architecture in Architecture::ALL {
            for &(call, its_number) in architecture.table() {
                assert_eq!(number(architecture, call), Some(its_number), "{architecture} {call}");
                assert_eq!(name(architecture, its_number), Some(call), "{architecture} {its_number}");
            }
            assert_eq!(name(architecture, u32::MAX), None);
        }
        assert_eq!(name(Architecture::I386, 223), None);
    }

    #[test]
    fn every_table_is_sorted_for_the_search_in_it() {
        for architecture in Architecture::ALL {
            assert!(architecture.table().is_sorted_by(|a, b| a.0 < b.0), "{architecture}");
        }
        assert!(ALIASES.is_sorted_by(|a, b| a.0 < b.0));
        assert!(OTHER_EVENTS.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn every_alias_means_a_call_somewhere() {
        for (alias, targets) in ALIASES {
            for target in *targets {
                let known =
                    Architecture::ALL.iter().any(|a| a.table().iter().any(|(call, _)| call == target));
                assert!(known, "{alias} means {target}, which no architecture has");
            }
        }
    }

    #[test]
    fn notes_about_processes_and_containers_are_no_calls() {
        for other in
            ["switch", "procexit", "signaldeliver", "container", "drop", "notification", "page_fault", "<NA>"]
        {
            assert!(!is_system_call(other.as_bytes()), "{other}");
        }
        for call in ["read", "<unknown>", "#42", "sched_yield", "a_call_of_next_year", ""] {
            assert!(is_system_call(call.as_bytes()), "{call}");
        }
        for architecture in Architecture::ALL {
            for (call, _) in architecture.table() {
                assert!(is_system_call(call.as_bytes()), "{call}");
            }
        }
    }

    #[test]
    fn a_call_that_ends_its_thread_never_returns() {
        assert!(never_returns(b"exit_group") && never_returns(b"exit") && never_returns(b"rt_sigreturn"));
        assert!(!never_returns(b"execve") && !never_returns(b"read"));
    }

    #[test]
    fn an_architecture_survives_printing() {
        for architecture in Architecture::ALL {
            assert_eq!(architecture.to_string().parse(), Ok(architecture));
        }
        assert_eq!("arm64".parse(), Ok(Architecture::Aarch64));
        assert!("sparc".parse::<Architecture>().unwrap_err().to_string().contains("x86_64, aarch64 or i386"));
    }
}
