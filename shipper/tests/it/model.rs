//! Random actions on real files against a model in memory, with a shipper that is killed and started again all the time.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use rastro_broker::Broker;
use rastro_shipper::{Shipper, ShipperConfig};

use crate::{
    losing::LosingBroker,
    rig::{Rig, Running},
};

const LONGEST_LINE: usize = 500;

/// A small generator of our own, so that a seed means the same for ever.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

/// One log as it was written.
struct Log {
    path: PathBuf,
    /// What was written to each of the files that followed one another.
    generations: Vec<Generation>,
    /// The current file as its writer holds it; `None` while there is none.
    writer: Option<File>,
    /// Rotation moves all files up by one; otherwise every rotated file keeps the next number.
    shifts: bool,
    rotated: u32,
    next_line: u32,
}

#[derive(Default)]
struct Generation {
    content: Vec<u8>,
    /// It may have been truncated or deleted with parts of it unread.
    may_be_short: bool,
}

impl Log {
    fn new(path: PathBuf, shifts: bool) -> Self {
        Self { path, generations: Vec::new(), writer: None, shifts, rotated: 0, next_line: 0 }
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.writer.is_none() {
            self.writer = Some(File::options().create(true).append(true).open(&self.path).unwrap());
            self.generations.push(Generation::default());
        }
        self.writer.as_mut().unwrap().write_all(bytes).unwrap();
        self.generations.last_mut().unwrap().content.extend_from_slice(bytes);
    }

    fn end_line(&mut self) {
        let is_open =
            self.generations.last().is_some_and(|last| !matches!(last.content.last(), None | Some(b'\n')));
        if is_open && self.writer.is_some() {
            self.write(b"\n");
        }
    }

    fn line(&mut self, random: &mut Random) -> Vec<u8> {
        let length = match random.below(40) {
            0 => 2 * LONGEST_LINE,
            1 => 700,
            _ => random.below(90) as usize,
        };
        self.next_line += 1;
        let mut line = format!("line {:06} {}", self.next_line, "x".repeat(length)).into_bytes();
        line.push(b'\n');
        line
    }

    fn rotated_path(&mut self) -> PathBuf {
        let with = |number: u32| {
            let mut path = self.path.clone().into_os_string();
            path.push(format!(".{number}"));
            PathBuf::from(path)
        };
        self.rotated += 1;
        if !self.shifts {
            return with(self.rotated);
        }
        for number in (1..self.rotated).rev() {
            fs::rename(with(number), with(number + 1)).unwrap();
        }
        with(1)
    }

    /// Every line that should arrive, cut to the limit, generation by generation.
    fn expected(&self) -> Vec<Vec<Vec<u8>>> {
        let cut = |line: &[u8]| {
            let content = line.strip_suffix(b"\n").unwrap_or(line);
            [&content[..content.len().min(LONGEST_LINE)], b"\n"].concat()
        };
        let lines = |generation: &Generation| {
            generation.content.split_inclusive(|&byte| byte == b'\n').map(cut).collect()
        };
        self.generations.iter().map(lines).collect()
    }
}

struct World {
    rig: Rig,
    random: Random,
    logs: Vec<Log>,
    running: Option<Running>,
    /// In place of the queue: a broker that takes back what it had accepted.
    losing: Option<Arc<LosingBroker>>,
    lost: usize,
    history: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let rig = Rig::new();
        let logs = (0..3).map(|number| Log::new(rig.log(&format!("{number}.log")), number != 1)).collect();
        Self {
            rig,
            random: Random(seed | 1),
            logs,
            running: None,
            losing: None,
            lost: 0,
            history: Vec::new(),
        }
    }

    fn config(&self) -> ShipperConfig {
        ShipperConfig { max_line_bytes: LONGEST_LINE, chunk_bytes: 300, ..self.rig.config() }
    }

    async fn pause(&mut self) {
        let milliseconds = self.random.below(12);
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }

    fn start(&self) -> Running {
        let Some(broker) = &self.losing else { return self.rig.start_with(self.config()) };
        let broker = Arc::clone(broker) as Arc<dyn Broker>;
        self.rig.start_shipper(Shipper::new(self.config(), broker).unwrap())
    }

    fn lose(&mut self) {
        let (share, is_told) = (self.random.below(257) as u32, self.random.below(2) == 0);
        if let Some(broker) = &self.losing {
            let lost = broker.lose(share, is_told);
            self.lost += lost;
            self.history.push(format!("{lost} chunks were lost, told: {is_told}"));
        }
    }

    async fn start_or_stop(&mut self) {
        match self.running.take() {
            None => self.running = Some(self.start()),
            Some(running) if self.random.below(3) == 0 => drop(running.stop().await),
            Some(running) => running.kill().await,
        }
    }

    async fn act(&mut self, is_lossy: bool) {
        let choice = self.random.below(if is_lossy { 120 } else { 100 });
        let which = self.random.below(self.logs.len() as u64) as usize;
        self.history.push(format!("{choice} on {which}, running: {}", self.running.is_some()));
        tracing::debug!("{}", self.history[self.history.len() - 1]);
        let random = &mut self.random;
        let log = &mut self.logs[which];
        match choice {
            0..30 => {
                for _ in 0..=random.below(20) {
                    let line = log.line(random);
                    log.write(&line);
                }
            }
            // A line in two parts, the second perhaps much later.
            30..40 => {
                let line = log.line(random);
                // Even the first part tells which line it is: no two files begin with the same bytes.
                let middle = 11 + random.below(line.len() as u64 - 11) as usize;
                log.write(&line[..middle]);
                if random.below(2) == 0 {
                    log.write(&line[middle..]);
                }
            }
            40..55 => {
                let Some(mut old) = log.writer.take() else { return };
                let rotated = log.rotated_path();
                fs::rename(&log.path, rotated).unwrap();
                // The writer may notice late; its file is still the current one.
                if random.below(2) == 0 {
                    let line = log.line(random);
                    old.write_all(&line).unwrap();
                    log.generations.last_mut().unwrap().content.extend_from_slice(&line);
                }
                if random.below(3) == 0 {
                    log.writer = Some(File::options().create(true).append(true).open(&log.path).unwrap());
                    log.generations.push(Generation::default());
                    if random.below(2) == 0 {
                        let line = log.line(random);
                        old.write_all(&line).unwrap();
                        let count = log.generations.len();
                        log.generations[count - 2].content.extend_from_slice(&line);
                    }
                }
                if !log.shifts {
                    // Which of two files is older cannot be told within one tick of the file system's clock.
                    tokio::time::sleep(Duration::from_millis(12)).await;
                }
            }
            55..62 => {
                let Some(writer) = &log.writer else { return };
                if !log.path.exists() || log.generations.last().unwrap().content.is_empty() {
                    return;
                }
                let writer = writer.try_clone().unwrap();
                let copy = log.rotated_path();
                fs::copy(&log.path, copy).unwrap();
                writer.set_len(0).unwrap();
                log.generations.push(Generation::default());
                if !log.shifts {
                    tokio::time::sleep(Duration::from_millis(12)).await;
                }
            }
            62..80 => self.start_or_stop().await,
            80..100 => {
                self.pause().await;
                self.lose();
            }
            // Truncated or deleted with whatever is unread. Half of the time nothing is.
            _ => {
                let is_read = match &self.running {
                    Some(running) if self.random.below(2) == 0 => {
                        // Drained, an unended line would be shipped as a line.
                        for log in &mut self.logs {
                            log.end_line();
                        }
                        running.drain().await;
                        true
                    }
                    _ => false,
                };
                let log = &mut self.logs[which];
                let Some(writer) = log.writer.take() else { return };
                if choice < 110 {
                    writer.set_len(0).unwrap();
                    log.writer = Some(writer);
                } else {
                    fs::remove_file(&log.path).unwrap();
                }
                log.generations.last_mut().unwrap().may_be_short = !is_read;
                if choice < 110 {
                    log.generations.push(Generation::default());
                }
            }
        }
    }

    async fn finish(mut self, what: &str) {
        if self.running.is_none() {
            self.start_or_stop().await;
        }
        let running = self.running.take().unwrap();
        running.drain().await;
        running.stop().await;
        self.rig.collect().await;
        if let Some(broker) = &self.losing {
            for chunk in broker.chunks() {
                self.rig.receive(&chunk);
            }
        }
        for log in &self.logs {
            self.compare(log, what);
        }
    }

    fn compare(&self, log: &Log, what: &str) {
        let expected = log.expected();
        if expected.iter().all(Vec::is_empty) {
            return;
        }
        let what = format!("{what}: {}", log.path.display());
        let is_whole = log.generations.iter().all(|generation| !generation.may_be_short);
        let id = rastro_shipper::stream_id("node-1", &log.path);
        let nothing = crate::rig::Received::default();
        let received = self.rig.received.get(&id).unwrap_or(&nothing);
        let mut arrived = received.bytes.split_inclusive(|&byte| byte == b'\n').peekable();
        let mut missing = 0_u64;
        for (number, (generation, lines)) in log.generations.iter().zip(&expected).enumerate() {
            for (index, line) in lines.iter().enumerate() {
                if arrived.peek() == Some(&line.as_slice()) {
                    arrived.next();
                    continue;
                }
                assert!(
                    generation.may_be_short,
                    "{what}: line {index} of generation {number} is {:?}, arrived {:?}; {:#?}",
                    String::from_utf8_lossy(line),
                    arrived.peek().map(|line| String::from_utf8_lossy(line)),
                    self.history
                );
                missing += lines[index..].iter().map(|line| line.len() as u64).sum::<u64>();
                break;
            }
        }
        assert_eq!(arrived.next(), None, "{what}: more arrived than was written");
        if is_whole {
            assert_eq!(
                received.gaps,
                [],
                "{what}: a loss was told and nothing was lost; {:#?}",
                self.history
            );
        }
        let told: u64 = received.gaps.iter().map(|gap| gap.bytes).sum();
        assert!(
            told <= missing * 3,
            "{what}: {told} bytes were told lost, {missing} were; {:#?}",
            self.history
        );
    }
}

/// The first of the seeds, and how many: more of them by `RASTRO_TEST_SEEDS=<first>+<count>`.
fn seeds() -> std::ops::Range<u64> {
    let given = std::env::var("RASTRO_TEST_SEEDS").ok();
    let range =
        given.as_deref().map(|text| text.split_once('+').expect("RASTRO_TEST_SEEDS is <first>+<count>"));
    let (first, count) =
        range.map_or((0, 12), |(first, count)| (first.parse().unwrap(), count.parse().unwrap()));
    first..first + count
}

async fn run(is_lossy: bool) {
    for seed in seeds() {
        let mut world = World::new((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for _ in 0..120 {
            world.act(is_lossy).await;
        }
        world.finish(&format!("seed {seed}")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_arrives_once_and_in_order_whatever_happens_to_files_and_shipper() {
    run(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_truncation_and_deletion_only_unread_ends_of_files_are_missing() {
    run(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_broker_that_takes_back_what_it_had_accepted_every_line_arrives_once_and_in_order_too() {
    let mut lost = 0;
    for seed in seeds() {
        let mut world = World::new((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        world.losing = Some(Arc::new(LosingBroker::default()));
        for _ in 0..120 {
            world.act(false).await;
        }
        lost += world.lost;
        world.finish(&format!("seed {seed}, losing")).await;
    }
    assert!(lost > 0, "nothing was lost that could prove anything");
}
