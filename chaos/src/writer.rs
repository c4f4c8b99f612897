//! The load: what an agent would write, line by line known beforehand.
//!
//! Every container's calls are numbered from 1 without holes and everything in a line follows from its number, so a writer that was
//! killed writes the same bytes again: [`LogWriter::begin_replay`] goes on at the very byte.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use rastro_agent::{LogWriter, LogWriterConfig};
use rastro_format::Format;
use rastro_model::{Container, LogHeader};
use rastro_shipper::Checkpoint;
use serde::{Deserialize, Serialize};

use crate::random::Random;

/// How often lines are written.
const TICK: Duration = Duration::from_millis(20);

/// Calls of a round that every thread makes over and over, now and then another one.
const ROUTINE: [(&str, &str, &str); 9] = [
    ("net", "accept", "fd=7(<4t>192.168.0.1:44434->192.168.0.3:80) queuepct=0"),
    ("net", "recvfrom", "res=512 data=GET /index.html HTTP/1.1..Host: localhost tuple=NULL"),
    ("file", "stat", "res=0 path=/var/www/static/index.html"),
    ("file", "openat", "fd=8(<f>/var/www/static/index.html) dirfd=-100(AT_FDCWD) flags=1(O_RDONLY) mode=0"),
    ("file", "fstat", "res=0"),
    ("file", "read", "res=4096 data=<html><head><title>A page</title></head>"),
    ("net", "writev", "res=840 data=HTTP/1.1 200 OK..Server: example"),
    ("file", "close", "res=0"),
    ("IPC", "futex", "res=0"),
];

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Number of containers, each with a file of its own.
    pub containers: u32,
    /// Calls a second, all containers together.
    pub rate: u64,
    /// Calls of all containers together after which it ends by itself; 0 for none.
    pub limit: u64,
    /// Size at which a file is rotated, bytes.
    pub rotate_bytes: u64,
    /// When the first call was made, nanoseconds since the epoch.
    pub base_ns: i64,
    /// Datasets that the containers are spread over.
    pub datasets: Vec<String>,
    /// How often a container does what it never did before.
    pub oddity: Option<Oddity>,
}

/// Bursts of calls that are no part of a container's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oddity {
    /// From this call of the container on.
    pub from: u64,
    /// One burst in so many calls.
    pub every: u64,
    /// Calls of a burst.
    pub calls: u64,
}

/// What a burst is made of.
const ODD: [(&str, &str, &str); 5] = [
    ("process", "execve", "res=0 exe=/bin/sh args=-c.id. tid=1000(sh) pid=1000(sh) cwd=/"),
    ("user", "setuid", "uid=0(root)"),
    ("process", "ptrace", "res=0 addr=0 data=0"),
    ("file", "chmod", "res=0 filename=/tmp/x mode=0777"),
    ("net", "connect", "res=0 tuple=192.168.0.3:51022->10.9.9.9:4444"),
];

/// Where it is written.
#[derive(Debug, Clone)]
pub struct Places {
    /// Folder of the log files.
    pub logs: PathBuf,
    /// Where the shipper keeps its checkpoint: what it has not read is not deleted.
    pub shipper: PathBuf,
    /// The writer ends when this file appears.
    pub stop: PathBuf,
    /// The writer leaves there how many calls each container has made.
    pub counts: PathBuf,
}

/// Id of a container of the load.
pub fn container_id(number: u32) -> String {
    format!("c0ffee{number:06x}")
}

/// Writes until it is told to stop; says how many calls each container has made.
pub fn write(load: &Load, places: &Places) -> anyhow::Result<()> {
    let config = LogWriterConfig {
        max_file_bytes: load.rotate_bytes,
        max_file_age: None,
        keep_files: 3,
        max_total_bytes: u64::MAX / 2,
        ..LogWriterConfig::default()
    };
    let state = places.shipper.clone();
    let mut writer = LogWriter::open(&places.logs, config)?.with_shipped(Box::new(move |path: &Path| {
        let shipped = Checkpoint::load(&state).ok().map(|checkpoint| checkpoint.shipped_bytes(path));
        shipped.and_then(Result::ok).unwrap_or(0)
    }));
    writer.begin_replay(u128::from(load.base_ns.unsigned_abs()))?;
    let mut containers = Vec::new();
    for number in 0..load.containers {
        containers.push((number, writer.log(&header(load, number)?)?, Lines::new(load, number)));
    }
    let mut text = Vec::new();
    loop {
        let is_last = places.stop.exists();
        let elapsed = now_ns().saturating_sub(load.base_ns).max(0) as u128;
        let due = (elapsed * u128::from(load.rate) / 1_000_000_000) as u64;
        let due = if load.limit > 0 { due.min(load.limit) } else { due };
        for (number, log, lines) in &mut containers {
            let share = u64::from(load.containers);
            let due = due / share + u64::from(u64::from(*number) < due % share);
            // In parts, so that what must be caught up is not held in memory at once.
            while lines.made < due {
                text.clear();
                lines.push(due.min(lines.made + 1024), &mut text);
                writer.append(*log, &text)?;
            }
        }
        writer.flush()?;
        if is_last || (load.limit > 0 && due == load.limit) {
            break;
        }
        std::thread::sleep(TICK);
    }
    let counts: std::collections::BTreeMap<String, u64> =
        containers.iter().map(|(number, _, lines)| (container_id(*number), lines.made)).collect();
    let beside = places.counts.with_extension("new");
    fs::write(&beside, serde_json::to_vec(&counts)?)?;
    fs::rename(&beside, &places.counts).context("the counts cannot be written")
}

/// Nanoseconds since the epoch.
pub fn now_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as i64)
}

fn header(load: &Load, number: u32) -> anyhow::Result<LogHeader> {
    let format = Format::named("rastro").context("there is no format `rastro`")?;
    Ok(LogHeader {
        version: 1,
        format: format.text().to_owned(),
        dataset: Some(load.datasets[number as usize % load.datasets.len()].clone()),
        container: Container {
            id: container_id(number),
            name: Some(format!("server-{number}")),
            image: Some("chaos/server:1".to_owned()),
        },
        architecture: None,
        date: None,
    })
}

/// The lines of one container.
struct Lines {
    made: u64,
    random: Random,
    base_ns: i64,
    oddity: Option<Oddity>,
    /// Time between two calls of this container.
    interval_ns: f64,
    /// The second of which the text is, and the text.
    second: (i64, String),
}

impl Lines {
    fn new(load: &Load, number: u32) -> Self {
        Self {
            made: 0,
            random: Random::new(u64::from(number)),
            base_ns: load.base_ns,
            oddity: load.oddity,
            interval_ns: 1e9 * f64::from(load.containers) / load.rate as f64,
            second: (i64::MIN, String::new()),
        }
    }

    /// Appends lines until `count` are made.
    fn push(&mut self, count: u64, text: &mut Vec<u8>) {
        while self.made < count {
            let step = self.made % ROUTINE.len() as u64;
            let is_odd = self
                .oddity
                .is_some_and(|oddity| self.made >= oddity.from && self.made % oddity.every < oddity.calls);
            let (category, name, arguments) = if is_odd {
                ODD[(self.made % ODD.len() as u64) as usize]
            } else if self.random.below(500) == 0 {
                ROUTINE[self.random.below(ROUTINE.len() as u64) as usize]
            } else {
                ROUTINE[step as usize]
            };
            let thread = 1_000 + self.made / 64 % 4;
            let time_ns = self.base_ns + (self.made as f64 * self.interval_ns) as i64;
            let latency = 300 + self.random.below(9_000);
            self.made += 1;
            let second = time_ns.div_euclid(1_000_000_000);
            if self.second.0 != second {
                self.second = (second, date(second));
            }
            // Writing into memory does not fail.
            let _ = writeln!(
                text,
                "{thread} 1000 server {} {}.{:09}+0000 < {category} {name} {latency} 0  {arguments} ",
                self.made,
                self.second.1,
                time_ns.rem_euclid(1_000_000_000),
            );
        }
    }
}

/// A second since the epoch as `2022-03-31T07:00:00` (civil calendar after Howard Hinnant, 2013).
fn date(second: i64) -> String {
    let (days, of_day) = (second.div_euclid(86_400), second.rem_euclid(86_400));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use rastro_format::DayBase;

    use super::*;

    fn load() -> Load {
        Load {
            containers: 3,
            rate: 1_000,
            limit: 0,
            rotate_bytes: 1 << 20,
            base_ns: 1_648_710_000_123_456_789,
            datasets: vec!["a".to_owned(), "b".to_owned()],
            oddity: Some(Oddity { from: 100, every: 200, calls: 40 }),
        }
    }

    #[test]
    fn every_line_is_a_call_with_its_number_and_time() {
        let format = Format::named("rastro").unwrap();
        let mut text = Vec::new();
        Lines::new(&load(), 1).push(5_000, &mut text);
        let mut count = 0;
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            let event = format.parse_line(&line[..line.len() - 1], DayBase::default()).unwrap();
            count += 1;
            assert_eq!(event.number, Some(count));
            assert!(event.thread.is_some());
        }
        assert_eq!(count, 5_000);
        assert_eq!(date(1_648_710_000), "2022-03-31T07:00:00");
        assert_eq!(date(951_782_399), "2000-02-28T23:59:59");
    }

    #[test]
    fn lines_do_not_depend_on_how_they_are_asked_for() {
        let (mut whole, mut parts) = (Vec::new(), Vec::new());
        Lines::new(&load(), 0).push(1_000, &mut whole);
        let mut lines = Lines::new(&load(), 0);
        for count in [1, 7, 500, 1_000] {
            lines.push(count, &mut parts);
        }
        assert_eq!(whole, parts);
    }

    #[test]
    fn a_writer_that_begins_again_writes_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let places = Places {
            logs: folder.path().join("logs"),
            shipper: folder.path().join("shipper"),
            stop: folder.path().join("stop"),
            counts: folder.path().join("counts"),
        };
        let load = Load { base_ns: now_ns() - 1_000_000_000, ..load() };
        fs::write(&places.stop, "").unwrap();
        let lines = || -> usize {
            let files = fs::read_dir(&places.logs).unwrap().map(|entry| entry.unwrap().path());
            let files = files.filter(|path| path.is_file());
            // The first line of a file is its header.
            files.map(|path| fs::read_to_string(path).unwrap().lines().count() - 1).sum()
        };
        let counted = || -> u64 {
            let counts: std::collections::BTreeMap<String, u64> =
                serde_json::from_slice(&fs::read(&places.counts).unwrap()).unwrap();
            counts.values().sum()
        };
        write(&load, &places).unwrap();
        let first = counted();
        assert!(first >= 1_000);
        assert_eq!(lines() as u64, first);
        write(&load, &places).unwrap();
        assert!(counted() > first);
        assert_eq!(lines() as u64, counted());
    }
}
