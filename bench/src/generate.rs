//! Made-up work of a server, the same for the same seed: threads that run through routines of calls.

use std::io::Write;

/// Routines of a small server, as calls with category and a typical argument text.
const ROUTINES: &[&[(&str, &str, &str)]] = &[
    &[
        ("net", "accept", "fd=7(<4t>192.168.0.1:44434->192.168.0.3:80) tuple=192.168.0.1:44434->192.168.0.3:80 queuepct=0"),
        ("net", "getsockname", ""),
        ("net", "setsockopt", ""),
        ("net", "recvfrom", "res=78 data=GET /index.html HTTP/1.1..Host: localhost....User-Agent: curl/7.4 tuple=NULL"),
        ("file", "stat", "res=0 path=/var/www/index.html"),
        ("file", "open", "fd=9(<f>/var/www/index.html) name=/var/www/index.html flags=1(O_RDONLY) mode=0"),
        ("file", "fstat", "res=0"),
        ("memory", "mmap", "res=7F0A2C000000 vm_size=99192 vm_rss=5644 vm_swap=0"),
        ("file", "read", "res=512 data=<html><head><title>A page</title></head><body><p>text"),
        ("net", "writev", "res=840 data=HTTP/1.1 200 OK..Server: example..Content-Length: 512...."),
        ("memory", "munmap", "res=0 vm_size=99192 vm_rss=5644 vm_swap=0"),
        ("file", "close", "res=0"),
        ("net", "shutdown", "res=0"),
        ("file", "close", "res=0"),
    ],
    &[
        ("IPC", "futex", "res=0"),
        ("time", "clock_gettime", ""),
        ("wait", "epoll_wait", "res=1"),
        ("time", "clock_gettime", ""),
        ("IPC", "futex", "res=-110(ETIMEDOUT)"),
    ],
    &[
        ("file", "openat", "fd=11(<f>/var/lib/shop/items.db) dirfd=-100(AT_FDCWD) name=items.db flags=1(O_RDONLY)"),
        ("file", "fcntl", "res=0"),
        ("file", "lseek", "res=4096"),
        ("file", "read", "res=4096 data=................................................................"),
        ("file", "lseek", "res=8192"),
        ("file", "read", "res=4096 data=................................................................"),
        ("file", "close", "res=0"),
    ],
    &[("memory", "brk", "res=55DB0DE73000 vm_size=508 vm_rss=4 vm_swap=0"), ("memory", "mprotect", ""), ("signal", "rt_sigprocmask", "")],
];

/// A source of lines.
pub(crate) struct Generator {
    random: u64,
    number: u64,
    time_ns: i64,
    threads: Vec<(usize, usize)>,
    /// Seconds of the day part that is printed now, and its text.
    second: (i64, String),
}

impl Generator {
    /// Work of `threads` threads.
    pub(crate) fn new(seed: u64, threads: usize) -> Self {
        Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            number: 0,
            time_ns: 1_648_750_396_000_000_000,
            threads: (0..threads).map(|thread| (thread % ROUTINES.len(), 0)).collect(),
            second: (0, String::new()),
        }
    }

    fn next_random(&mut self) -> u64 {
        // xorshift64 (Marsaglia 2003): the same everywhere, and cheap beside the printing.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    /// Appends `count` lines in Rocha's format with thread id, process id and name before the arguments if `with_thread`.
    pub(crate) fn lines(&mut self, count: usize, with_thread: bool, output: &mut Vec<u8>) {
        for _ in 0..count {
            let random = self.next_random();
            let thread = (random >> 8) as usize % self.threads.len();
            let (routine, step) = self.threads[thread];
            let (category, name, arguments) = ROUTINES[routine][step];
            self.threads[thread] = if step + 1 < ROUTINES[routine].len() {
                (routine, step + 1)
            } else {
                ((random >> 32) as usize % ROUTINES.len(), 0)
            };
            self.number += 1 + (random & 1);
            self.time_ns += 2_000 + (random >> 40) as i64 % 16_000;
            let latency = 300 + (random >> 20) % 9_000;
            let result = if arguments.starts_with("res=-110") { -110 } else { (random >> 50) as i64 % 512 };
            let second = self.time_ns / 1_000_000_000;
            if self.second.0 != second {
                let of_day = second % 86_400;
                self.second = (
                    second,
                    format!("2022-03-31T{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60),
                );
            }
            let nanoseconds = self.time_ns % 1_000_000_000;
            let head = format_args!(
                "{} {}.{nanoseconds:09}+0000 < {category} {name} {latency} {result}",
                self.number, self.second.1
            );
            // Writing to a vector cannot fail.
            let _ = if with_thread {
                let id = 1000 + thread;
                writeln!(output, "{head} {id} 1000 server  {arguments} ")
            } else {
                writeln!(output, "{head}  {arguments} ")
            };
        }
    }
}
