//! A profile for tests.

use rastro_analyzer::{ModelSpec, Profile, Trainer, TrainingOptions};
use rastro_model::{
    CallKind, Calls, Category, Container, Position, Segment, SegmentId, StreamId, Tally, Thread,
    segment::flag,
};

/// A profile that was trained on `names`, over and over in order.
pub(super) fn profile(name: &str, names: &[&str]) -> Profile {
    let length = 3000;
    let segment = Segment {
        id: SegmentId { stream: StreamId(1), start: Position::START, part: 0 },
        dataset: "shop".to_owned(),
        index: "shop-2026.11.21".to_owned(),
        node: "worker-0".to_owned(),
        architecture: "x86_64".to_owned(),
        container: Container {
            id: "0123456789ab".to_owned(),
            name: None,
            image: Some("shop:1.4".to_owned()),
        },
        end: Position::new(0, 1),
        gap: None,
        read_ns: 1,
        tally: Tally::default(),
        calls: Calls {
            kinds: names
                .iter()
                .map(|&name| CallKind { name: name.to_owned(), category: Category::File })
                .collect(),
            threads: vec![Thread { id: Some(7), process: Some(7), process_name: Some("shop".to_owned()) }],
            kind: (0..length).map(|call| (call % names.len()) as u16).collect(),
            thread: vec![0; length],
            number: vec![0; length],
            time_ns: (0..length as i64).map(|call| 1_795_000_000_000_000_000 + call * 1_000_000).collect(),
            latency_ns: vec![0; length],
            result: vec![0; length],
            argc: vec![0; length],
            args_length: vec![0; length],
            flags: vec![flag::RESULT; length],
        },
        unfinished: Vec::new(),
        details: Vec::new(),
    };
    let models = ModelSpec::parse("stide:n=6").into_iter().chain(ModelSpec::parse("bosc:w=10")).collect();
    let mut trainer = Trainer::new(name, &TrainingOptions { models, ..TrainingOptions::default() });
    trainer.learn(&segment);
    trainer.finish(1_795_000_000_000_000_000)
}
