//! The usual category of a call, for sources that print none.
//!
//! sysdig decides by the descriptor where a call has one (`read` of a socket is `net`, of a pipe `ipc`); here stands what
//! it prints for the ordinary case, and for calls that it puts nowhere (`unknown`, `other`) the nearest of its categories.

use std::{collections::HashMap, sync::LazyLock};

use crate::Category;

/// The calls of each category, by names without the suffixes `64`, `32` and `_time64` of wider variants.
const BY_CATEGORY: &[(Category, &str)] = &[
    (
        Category::File,
        "access chdir chmod chown chroot close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 \
         fadvise fadvise64_64 fallocate fanotify_init fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl \
         fdatasync fgetxattr flistxattr flock fremovexattr fsconfig fsetxattr fsmount fsopen fspick fstat fstatat fstatfs \
         fsync ftruncate futimesat getcwd getdents getxattr ioctl lchown lgetxattr link linkat listmount listxattr \
         llistxattr llseek _llseek lookup_dcookie lremovexattr lseek lsetxattr lstat mkdir mkdirat mknod mknodat mount \
         mount_setattr move_mount name_to_handle_at newfstatat oldfstat oldlstat oldstat open open_by_handle_at open_tree \
         openat openat2 pread preadv preadv2 pwrite pwritev pwritev2 quotactl quotactl_fd read readahead readdir readlink \
         readlinkat readv removexattr rename renameat renameat2 rmdir setxattr stat statfs statmount statx symlink \
         symlinkat sync sync_file_range sync_file_range2 syncfs sysfs truncate umount umount2 unlink unlinkat ustat utime \
         utimensat utimes write writev",
    ),
    (
        Category::Net,
        "accept accept4 bind connect getpeername getpmsg getsockname getsockopt listen nfsservctl putpmsg recv recvfrom \
         recvmmsg recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socket socketcall socketpair",
    ),
    (
        Category::Wait,
        "_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old \
         newselect pause poll ppoll pselect6 select wait4 waitid waitpid",
    ),
    (
        Category::Ipc,
        "eventfd eventfd2 futex futex_requeue futex_wait futex_waitv futex_wake inotify_add_watch inotify_init \
         inotify_init1 inotify_rm_watch ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl \
         msgget msgrcv msgsnd pipe pipe2 process_vm_readv process_vm_writev semctl semget semop semtimedop shmat shmctl \
         shmdt shmget",
    ),
    (
        Category::Memory,
        "brk cachestat get_mempolicy madvise map_shadow_stack mbind membarrier memfd_create memfd_secret migrate_pages \
         mincore mlock mlock2 mlockall mmap mmap2 move_pages mprotect mremap mseal msync munlock munlockall munmap \
         pkey_alloc pkey_free pkey_mprotect process_madvise process_mrelease remap_file_pages set_mempolicy \
         set_mempolicy_home_node userfaultfd",
    ),
    (
        Category::Process,
        "acct arch_prctl capget capset clone clone3 execve execveat exit exit_group fork get_robust_list \
         get_thread_area getcpu getpgid getpgrp getpid getpriority getppid getrlimit getrusage getsid gettid ioperm \
         iopl ioprio_get ioprio_set kcmp landlock_add_rule landlock_create_ruleset landlock_restrict_self modify_ldt \
         nice personality pidfd_getfd pidfd_open pivot_root prctl prlimit prof profil ptrace rseq sched_get_priority_max \
         sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval \
         sched_setaffinity sched_setattr sched_setparam sched_setscheduler set_robust_list set_thread_area \
         set_tid_address setns setpgid setpriority setrlimit setsid ugetrlimit ulimit umask unshare uselib vfork \
         vm86 vm86old",
    ),
    (Category::Sleep, "clock_nanosleep nanosleep sched_yield"),
    (
        Category::System,
        "_sysctl add_key afs_syscall bdflush bpf create_module delete_module finit_module get_kernel_syms getrandom \
         gtty idle init_module kexec_file_load kexec_load keyctl lock lsm_get_self_attr lsm_list_modules \
         lsm_set_self_attr mpx olduname oldolduname perf_event_open query_module reboot request_key security \
         setdomainname sethostname stty swapoff swapon sysinfo syslog tuxcall uname vhangup vserver break",
    ),
    (
        Category::Signal,
        "kill pidfd_send_signal restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn \
         rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sgetmask sigaction sigaltstack signal signalfd signalfd4 \
         sigpending sigprocmask sigreturn sigsuspend ssetmask tgkill tkill",
    ),
    (
        Category::User,
        "getegid geteuid getgid getgroups getresgid getresuid getuid setfsgid setfsuid setgid setgroups setregid \
         setresgid setresuid setreuid setuid",
    ),
    (
        Category::Time,
        "adjtimex alarm clock_adjtime clock_getres clock_gettime clock_settime ftime getitimer gettimeofday setitimer \
         settimeofday stime time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create \
         timerfd_gettime timerfd_settime times",
    ),
    (Category::Other, "<unknown> seccomp syscall"),
    (
        Category::Io,
        "io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit io_uring_enter io_uring_register \
         io_uring_setup sendfile splice tee vmsplice",
    ),
    (Category::Scheduler, "sched_switch switch"),
];

/// The category that sysdig usually prints for a call of that name; unknown names are [`Category::Unknown`].
pub fn category_of(name: &[u8]) -> Category {
    static CATEGORIES: LazyLock<HashMap<&'static [u8], Category>> = LazyLock::new(|| {
        let names = BY_CATEGORY.iter().flat_map(|&(category, names)| {
            names.split_ascii_whitespace().map(move |name| (name.as_bytes(), category))
        });
        names.collect()
    });
    // `getuid32`, `pread64` and `futex_time64` do what the calls without the suffix do.
    let variants =
        [Some(name), name.strip_suffix(b"_time64"), name.strip_suffix(b"64"), name.strip_suffix(b"32")];
    variants.into_iter().flatten().find_map(|name| CATEGORIES.get(name)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::Architecture;

    #[test]
    fn every_call_of_the_kernel_has_a_category() {
        for architecture in Architecture::ALL {
            for (call, _) in architecture.table() {
                assert_ne!(category_of(call.as_bytes()), Category::Unknown, "{architecture} {call}");
            }
        }
    }

    #[test]
    fn no_call_has_two_categories() {
        let mut names: Vec<&str> =
            BY_CATEGORY.iter().flat_map(|(_, names)| names.split_ascii_whitespace()).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn categories_are_those_that_sysdig_prints() {
        for (name, category) in [
            ("select", Category::Wait),
            ("futex", Category::Ipc),
            ("open", Category::File),
            ("sendto", Category::Net),
            ("mmap", Category::Memory),
            ("execve", Category::Process),
            ("sched_yield", Category::Sleep),
            ("keyctl", Category::System),
            ("sigreturn", Category::Signal),
            ("getuid32", Category::User),
            ("clock_gettime64", Category::Time),
            ("<unknown>", Category::Other),
            ("no_such_call", Category::Unknown),
        ] {
            assert_eq!(category_of(name.as_bytes()), category, "{name}");
        }
    }
}
