//! Calls that a server makes, with the arguments that sysdig prints.

use ResultOf::{Descriptor, Error, Size, Zero};

/// A call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) category: &'static str,
    pub(super) name: &'static str,
    /// Arguments up to the result; empty if the call has none.
    pub(super) before: &'static str,
    /// Arguments behind the result.
    pub(super) after: &'static str,
    pub(super) result: ResultOf,
    /// Shortest latency.
    pub(super) latency_ns: u64,
}

/// What a call returns.
#[derive(Debug)]
pub(super) enum ResultOf {
    Zero,
    /// The error of that number.
    Error(i64),
    /// A small number.
    Descriptor,
    /// This number mostly, a lower one at times.
    Size(usize),
}

const fn call(
    category: &'static str,
    name: &'static str,
    (before, after): (&'static str, &'static str),
    result: ResultOf,
    latency_ns: u64,
) -> Call {
    Call { category, name, before, after, result, latency_ns }
}

/// The calls, common ones first.
pub(super) const CALLS: [Call; 44] = [
    call(
        "file",
        "read",
        ("res=", " data=<html><head><title>A page</title></head><body><p>Some text that"),
        Size(4096),
        700,
    ),
    call("file", "close", ("res=", ""), Zero, 300),
    call("IPC", "futex", ("res=", ""), Zero, 900),
    call(
        "net",
        "recvfrom",
        ("res=", " data=GET /index.html HTTP/1.1..Host: localhost....User-Agent: curl/7.4 tuple=NULL"),
        Size(512),
        1500,
    ),
    call(
        "file",
        "openat",
        (
            "fd=",
            "(<f>/var/www/static/index.html) dirfd=-100(AT_FDCWD) name=/var/www/static/index.html flags=1(O_RDONLY) mode=0",
        ),
        Descriptor,
        2100,
    ),
    call(
        "net",
        "writev",
        ("res=", " data=HTTP/1.1 200 OK..Server: example..Content-Length: 512..Content-Type: text/html.."),
        Size(840),
        5200,
    ),
    call("file", "fstat", ("res=", ""), Zero, 350),
    call("wait", "epoll_wait", ("res=", ""), Size(3), 12_000),
    call("time", "clock_gettime", ("", ""), Zero, 280),
    call("IPC", "futex", ("res=", "(EAGAIN)"), Error(11), 450),
    call("file", "stat", ("res=", " path=/var/www/static/index.html"), Zero, 1200),
    call(
        "net",
        "accept",
        ("fd=", "(<4t>192.168.0.1:44434->192.168.0.3:80) tuple=192.168.0.1:44434->192.168.0.3:80 queuepct=0"),
        Descriptor,
        3000,
    ),
    call("file", "lseek", ("res=", ""), Size(65_536), 290),
    call("memory", "mmap", ("res=", " vm_size=99192 vm_rss=5644 vm_swap=0"), Size(1 << 30), 1900),
    call("memory", "munmap", ("res=", " vm_size=99192 vm_rss=5644 vm_swap=0"), Zero, 3900),
    call("net", "shutdown", ("res=", ""), Zero, 4100),
    call("net", "setsockopt", ("", ""), Zero, 500),
    call("net", "getsockname", ("", ""), Zero, 420),
    call("file", "fcntl", ("res=", ""), Zero, 260),
    call(
        "file",
        "write",
        ("res=", " data=127.0.0.1 - - [31/Mar/2022:18:13:16 +0000] \"GET /index.html HTTP/1.1\" 200 512"),
        Size(180),
        2600,
    ),
    call("wait", "poll", ("res=", " fds=7:41"), Size(2), 9000),
    call("signal", "rt_sigprocmask", ("", ""), Zero, 250),
    call("memory", "brk", ("res=", " vm_size=508 vm_rss=4 vm_swap=0"), Size(1 << 30), 800),
    call("memory", "mprotect", ("", ""), Zero, 1700),
    call("wait", "epoll_ctl", ("", ""), Zero, 600),
    call("IPC", "futex", ("res=", "(ETIMEDOUT)"), Error(110), 50_000),
    call("file", "access", ("res=", "(ENOENT) name=/etc/ld.so.preload"), Error(2), 1300),
    call("net", "sendto", ("res=", " data=..............example.com....."), Size(64), 3300),
    call(
        "net",
        "connect",
        ("res=", "(EINPROGRESS) tuple=192.168.0.3:51022->192.168.0.9:5432"),
        Error(115),
        7000,
    ),
    call("net", "socket", ("fd=", "(<4>)"), Descriptor, 1600),
    call("net", "recvmsg", ("res=", "(EAGAIN) size=0 data= tuple=NULL"), Error(11), 700),
    call("file", "getdents", ("", ""), Zero, 2800),
    call("I/O", "ioctl", ("res=", ""), Zero, 520),
    call(
        "file",
        "pread",
        ("res=", " data=................................................................"),
        Size(4096),
        2200,
    ),
    call("file", "fdatasync", ("", ""), Zero, 90_000),
    call("sleep", "nanosleep", ("res=", ""), Zero, 60_000),
    call("process", "getpid", ("", ""), Zero, 200),
    call("user", "getuid", ("uid=", "(root)"), Zero, 210),
    call("signal", "rt_sigaction", ("", ""), Zero, 240),
    call(
        "process",
        "clone",
        ("res=", " exe=server args=-f./etc/server.conf. tid=1000(server) pid=1000(server) ptid=1(init) cwd="),
        Descriptor,
        40_000,
    ),
    call("file", "unlink", ("res=", " path=/var/lib/server/session.tmp"), Zero, 9000),
    call("file", "rename", ("res=", " oldpath=/var/lib/server/a.tmp newpath=/var/lib/server/a"), Zero, 8000),
    call("process", "wait4", ("", ""), Zero, 20_000),
    call(
        "process",
        "execve",
        ("res=", " exe=/usr/bin/logger args=-t.server. tid=1000(logger) pid=1000(logger) cwd=/ fdlimit=1024"),
        Zero,
        150_000,
    ),
];
