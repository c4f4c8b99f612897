//! How many calls a second one core scores: `cargo run --release -p rastro-analyzer --example speed`.
//!
//! Segments of 3,000 calls are scored again and again, with everything that scoring does live: threads told apart, levels, frames,
//! calibrated scores. Streams: a web server's, as recorded (threads come and go); ADFA-LD's normal traces as 32 threads that
//! take turns of some calls; the same without thread ids. Times are processor time, so that a busy machine matters less.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people at the command line")]

use std::{io::Read, path::Path, sync::Arc, time::Instant};

use rastro_analyzer::{ModelSpec, Profile, Scorer, ScoringOptions, Trainer, TrainingOptions};
use rastro_model::{
    CallKind, Calls, Category, Container, Position, Segment, SegmentId, StreamId, Tally, Thread,
};

const SEGMENT_CALLS: usize = 3000;
const SCORED_CALLS: usize = 60_000_000;
const TRAINED_CALLS: usize = 1_000_000;

fn main() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if !data.is_dir() {
        println!("the shared data is not here: `{}`", data.display());
        return;
    }
    let webshop = |threads: bool| -> Vec<(String, Option<i64>)> {
        (1..=10)
            .flat_map(|number| webshop_calls(&data.join("webshop-strace/recordings"), number, threads))
            .collect()
    };
    let streams = [
        ("webshop, threads", webshop(true)),
        ("webshop, no threads", webshop(false)),
        ("adfa-ld, 32 threads", adfa_calls(&data.join("adfa-ld"), true)),
        ("adfa-ld, no threads", adfa_calls(&data.join("adfa-ld"), false)),
    ];
    println!(
        "{:<22}{:<12}{:>12}{:>12}{:>10}{:>10}",
        "stream", "model", "trained/s", "scored/s", "distinct", "unseen"
    );
    for (name, calls) in &streams {
        let segments: Vec<Segment> = calls.chunks(SEGMENT_CALLS).enumerate().map(segment).collect();
        for models in
            ["stide:n=6", "stide:n=10", "bosc:w=6", "bosc:w=10", "stide:n=6 stide:n=10 bosc:w=6 bosc:w=10"]
        {
            measure(name, models, &segments);
        }
    }
}

fn measure(name: &str, models: &str, segments: &[Segment]) {
    let specs: Vec<ModelSpec> = models.split(' ').map(|text| ModelSpec::parse(text).unwrap()).collect();
    let mut trainer =
        Trainer::new("speed", &TrainingOptions { models: specs.clone(), ..TrainingOptions::default() });
    let trained = segments.iter().take(segments.len().div_ceil(2));
    let begin = Moment::now();
    for segment in trained.clone() {
        trainer.learn(segment);
    }
    let profile: Arc<Profile> = Arc::new(trainer.finish(0));
    // Short training data is learned again until it can be timed; each time from nothing.
    let mut learned: usize = trained.clone().map(|segment| segment.calls.len()).sum();
    while learned < TRAINED_CALLS {
        let mut trainer =
            Trainer::new("speed", &TrainingOptions { models: specs.clone(), ..TrainingOptions::default() });
        for segment in trained.clone() {
            trainer.learn(segment);
            learned += segment.calls.len();
        }
        trainer.finish(0);
    }
    let training = learned as f64 / begin.seconds_since();
    let options = ScoringOptions { explain_from: f64::INFINITY, ..ScoringOptions::default() };
    let mut scorer = Scorer::new(Arc::clone(&profile), 1, options).unwrap();
    let (mut calls, mut windows, mut unseen) = (0, 0u64, 0u64);
    let begin = Moment::now();
    while calls < SCORED_CALLS {
        for segment in segments {
            for frame in scorer.score_segment(segment).iter().flat_map(|scores| &scores.frames) {
                windows += u64::from(frame.windows);
                unseen += u64::from(frame.unseen);
            }
            calls += segment.calls.len();
        }
    }
    let scoring = calls as f64 / begin.seconds_since();
    let distinct: u64 = profile.to_json(1.0)["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["distinct"].as_u64().unwrap())
        .sum();
    let model = if models.contains(' ') { "all four" } else { models };
    println!(
        "{name:<22}{model:<12}{:>10.1} M{:>10.1} M{distinct:>10}{:>8.2} %",
        training / 1e6,
        scoring / 1e6,
        100.0 * unseen as f64 / windows as f64
    );
}

/// A moment in this thread's processor time, where the system tells it; else on the clock.
struct Moment {
    processor_ns: Option<u64>,
    clock: Instant,
}

impl Moment {
    fn now() -> Self {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let processor_ns = text.and_then(|text| text.split(' ').next().and_then(|field| field.parse().ok()));
        Self { processor_ns, clock: Instant::now() }
    }

    fn seconds_since(&self) -> f64 {
        match (Self::now().processor_ns, self.processor_ns) {
            (Some(now), Some(then)) => (now - then) as f64 / 1e9,
            _ => self.clock.elapsed().as_secs_f64(),
        }
    }
}

fn read_gzip(path: &Path) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

fn webshop_calls(folder: &Path, number: usize, threads: bool) -> Vec<(String, Option<i64>)> {
    let lines = read_gzip(&folder.join(format!("web-{number:02}.log.gz")));
    let ids = read_gzip(&folder.join(format!("web-{number:02}.threads.tsv.gz")));
    let ids = ids.lines().skip(1).map(|line| line.split('\t').nth(1).unwrap().parse().unwrap());
    let names = lines.lines().map(|line| line.split(' ').nth(4).unwrap().to_owned());
    names.zip(ids).map(|(name, id): (String, i64)| (name, threads.then_some(id))).collect()
}

/// Normal traces, 32 at a time, each taking turns of 1 to 16 calls.
fn adfa_calls(folder: &Path, threads: bool) -> Vec<(String, Option<i64>)> {
    let text = read_gzip(&folder.join("training.txt.gz"));
    let mut waiting = text.lines().enumerate();
    let mut running: Vec<(i64, std::str::SplitWhitespace<'_>)> = Vec::new();
    let mut calls = Vec::new();
    let mut random = 1u64;
    loop {
        while running.len() < 32 {
            let Some((number, trace)) = waiting.next() else { break };
            running.push((number as i64, trace.split_whitespace()));
        }
        if running.is_empty() {
            return calls;
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let place = (random >> 33) as usize % running.len();
        for _ in 0..=(random >> 60) {
            let (thread, trace) = &mut running[place];
            if let Some(name) = trace.next() {
                calls.push((name.to_owned(), threads.then_some(*thread)));
            } else {
                running.swap_remove(place);
                break;
            }
        }
    }
}

fn segment((place, calls): (usize, &[(String, Option<i64>)])) -> Segment {
    let mut columns = Calls::default();
    for (number, (name, id)) in calls.iter().enumerate() {
        let kind = CallKind { name: name.clone(), category: Category::Other };
        let thread = Thread { id: *id, process: None, process_name: None };
        columns.kind.push(place_in(&mut columns.kinds, kind) as u16);
        columns.thread.push(place_in(&mut columns.threads, thread) as u32);
        columns.time_ns.push((place * SEGMENT_CALLS + number) as i64 * 100_000);
    }
    Segment {
        id: SegmentId {
            stream: StreamId(1),
            start: Position::new(0, (place * SEGMENT_CALLS) as u64),
            part: 0,
        },
        dataset: "speed".to_owned(),
        index: "speed-1970.01.01".to_owned(),
        node: "here".to_owned(),
        architecture: "x86_64".to_owned(),
        container: Container { id: "host".to_owned(), ..Container::default() },
        end: Position::new(0, (place * SEGMENT_CALLS + calls.len()) as u64),
        gap: None,
        read_ns: 0,
        tally: Tally::default(),
        calls: columns,
        unfinished: Vec::new(),
        details: Vec::new(),
    }
}

fn place_in<T: PartialEq>(dictionary: &mut Vec<T>, entry: T) -> usize {
    dictionary.iter().position(|known| *known == entry).unwrap_or_else(|| {
        dictionary.push(entry);
        dictionary.len() - 1
    })
}
