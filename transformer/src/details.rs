//! Which arguments are kept for people, and how.

use rastro_format::arguments::pairs;

/// Calls whose arguments matter to security, sorted: programs started, files named, addresses, rights, other processes, the
/// kernel itself.
const RELEVANT: &[&str] = &[
    "accept",
    "accept4",
    "add_key",
    "bind",
    "bpf",
    "capset",
    "chdir",
    "chmod",
    "chown",
    "chroot",
    "connect",
    "creat",
    "delete_module",
    "execve",
    "execveat",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchownat",
    "finit_module",
    "fsmount",
    "init_module",
    "io_uring_setup",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "kill",
    "lchown",
    "link",
    "linkat",
    "listen",
    "memfd_create",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "mount",
    "mount_setattr",
    "move_mount",
    "open",
    "open_by_handle_at",
    "open_tree",
    "openat",
    "openat2",
    "perf_event_open",
    "pidfd_getfd",
    "pivot_root",
    "prctl",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "reboot",
    "rename",
    "renameat",
    "renameat2",
    "request_key",
    "rmdir",
    "seccomp",
    "setdomainname",
    "setfsgid",
    "setfsuid",
    "setgid",
    "setgroups",
    "sethostname",
    "setns",
    "setregid",
    "setresgid",
    "setresuid",
    "setreuid",
    "setuid",
    "setxattr",
    "socket",
    "swapoff",
    "swapon",
    "symlink",
    "symlinkat",
    "tgkill",
    "tkill",
    "umount",
    "umount2",
    "unlink",
    "unlinkat",
    "unshare",
    "userfaultfd",
];

/// Whether the arguments of calls of this name are kept by default.
pub(crate) fn is_relevant(name: &[u8]) -> bool {
    RELEVANT.binary_search_by_key(&name, |relevant| relevant.as_bytes()).is_ok()
}

/// The arguments of a call for people: those of its exit, and of its enter those that the exit does not repeat
/// (sysdig prints some on one side only). Cut at `limit` bytes; bytes that are not UTF-8 are replaced.
pub(crate) fn text(exit: &[u8], enter: &[u8], limit: usize) -> String {
    let exit = exit.trim_ascii();
    let mut bytes = exit[..exit.len().min(limit)].to_vec();
    // Only what fits is looked at: arguments may be as long as a line.
    for pair in pairs(&enter[..enter.len().min(limit)]) {
        if bytes.len() >= limit || pairs(exit).any(|other| other.name == pair.name) {
            continue;
        }
        if !bytes.is_empty() {
            bytes.push(b' ');
        }
        bytes.extend_from_slice(pair.name);
        bytes.push(b'=');
        bytes.extend_from_slice(pair.value.trim_ascii_end());
    }
    let mut text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    text.truncate(text.floor_char_boundary(limit));
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_calls_are_sorted_for_the_search_in_them() {
        assert!(RELEVANT.is_sorted_by(|a, b| a < b));
        assert!(
            is_relevant(b"execve") && is_relevant(b"connect") && !is_relevant(b"read") && !is_relevant(b"")
        );
    }

    #[test]
    fn what_only_the_enter_says_is_added() {
        assert_eq!(
            text(b"res=-2(ENOENT) tuple=0->ff /run/socket ", b"fd=3(<u>) ", 256),
            "res=-2(ENOENT) tuple=0->ff /run/socket fd=3(<u>)"
        );
        assert_eq!(
            text(b"fd=3(<u>) ", b"domain=1(AF_LOCAL) type=1 proto=0 ", 256),
            "fd=3(<u>) domain=1(AF_LOCAL) type=1 proto=0"
        );
        assert_eq!(text(b" res=0 path=/tmp/x ", b"path=/tmp/y ", 256), "res=0 path=/tmp/x");
        assert_eq!(text(b"  ", b"", 256), "");
        assert_eq!(text(b"", b"path=/tmp/y ", 256), "path=/tmp/y");
    }

    proptest! {
        #[test]
        fn no_text_is_longer_than_the_limit(
            exit in proptest::collection::vec(any::<u8>(), 0..80),
            enter in "([a-c]=[ -~]{0,9} ){0,6}",
            limit in 0_usize..64,
        ) {
            prop_assert!(text(&exit, enter.as_bytes(), limit).len() <= limit);
        }
    }
}
