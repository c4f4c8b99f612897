//! Segments made for tests, and the shared data.

use std::{io::Read, path::PathBuf};

use rastro_model::{
    CallKind, Calls, Category, Container, Position, Segment, SegmentId, StreamId, Tally, Thread,
};

/// One call as a test gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) thread: Option<i64>,
    pub(crate) time_ns: i64,
}

/// The calls cut into segments of `size` calls of one stream.
pub(crate) fn segments(stream: u64, container: &str, calls: &[Call], size: usize) -> Vec<Segment> {
    calls
        .chunks(size)
        .enumerate()
        .map(|(place, calls)| segment(stream, container, (place * size) as u64, calls))
        .collect()
}

/// One segment that begins at byte `start` of its stream.
pub(crate) fn segment(stream: u64, container: &str, start: u64, calls: &[Call]) -> Segment {
    let mut columns = Calls::default();
    for (number, call) in calls.iter().enumerate() {
        let kind = CallKind { name: call.name.clone(), category: Category::Other };
        let thread = Thread {
            id: call.thread,
            process: call.thread,
            process_name: call.thread.map(|_| "shop".to_owned()),
        };
        columns.kind.push(place_in(&mut columns.kinds, kind) as u16);
        columns.thread.push(place_in(&mut columns.threads, thread) as u32);
        columns.number.push(start + number as u64);
        columns.time_ns.push(call.time_ns);
        columns.latency_ns.push(0);
        columns.result.push(0);
        columns.argc.push(0);
        columns.args_length.push(0);
        columns.flags.push(0);
    }
    Segment {
        id: SegmentId { stream: StreamId(stream), start: Position::new(0, start), part: 0 },
        dataset: "test".to_owned(),
        index: "test-2026.11.21".to_owned(),
        node: "worker-1".to_owned(),
        architecture: "x86_64".to_owned(),
        container: Container {
            id: container.to_owned(),
            name: Some("webshop".to_owned()),
            image: Some("shop:1".to_owned()),
        },
        end: Position::new(0, start + calls.len() as u64),
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

/// Calls of several threads as proptest makes them: names `0`..`names`, now and then a thread's `exit`.
pub(crate) fn any_calls(names: u8, longest: usize) -> impl proptest::strategy::Strategy<Value = Vec<Call>> {
    use proptest::prelude::*;
    let call = (0..names, 0i64..4, 0u8..20).prop_map(|(name, thread, ending)| Call {
        name: if ending == 0 { "exit".to_owned() } else { format!("call{name}") },
        thread: (thread > 0).then_some(thread),
        time_ns: 0,
    });
    proptest::collection::vec(call, 0..longest).prop_map(|mut calls| {
        for (place, call) in calls.iter_mut().enumerate() {
            call.time_ns = place as i64 * 1_000_000;
        }
        calls
    })
}

/// One call after another, a millisecond apart, of one thread.
pub(crate) fn calls_of(thread: i64, names: &[&str]) -> Vec<Call> {
    let call = |(place, name): (usize, &&str)| Call {
        name: (*name).to_owned(),
        thread: Some(thread),
        time_ns: place as i64 * 1_000_000,
    };
    names.iter().enumerate().map(call).collect()
}

/// A profile trained on these segments.
pub(crate) fn trained(models: &[&str], segments: &[Segment]) -> rastro_analyzer::Profile {
    let mut trainer = rastro_analyzer::Trainer::new("shop:1", &options(models));
    for segment in segments {
        trainer.learn(segment);
    }
    trainer.finish(7)
}

/// Training with these models.
pub(crate) fn options(models: &[&str]) -> rastro_analyzer::TrainingOptions {
    let models = models.iter().map(|text| rastro_analyzer::ModelSpec::parse(text).unwrap()).collect();
    rastro_analyzer::TrainingOptions { models, ..Default::default() }
}

/// A folder of the shared data, or `None` with a message where it is absent.
pub(crate) fn shared_data(folder: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: the shared data `{}` is not here", path.display());
    None
}

/// A gzipped text.
pub(crate) fn read_gzip(path: &std::path::Path) -> String {
    let file = std::fs::File::open(path).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}
