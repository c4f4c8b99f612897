//! Any bytes as a profile file, as they are and as contents of a file that is sound otherwise: refused or read, without panic and
//! within bounded memory; what was read is written as the same profile.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rastro_analyzer::{DETECTORS, ModelSpec, Profile, Trainer, TrainingOptions};
use rastro_model::{
    Calls, Category, Container, Position, Segment, SegmentId, StreamId, Tally,
    segment::{CallKind, Thread},
};
use xxhash_rust::xxh3::xxh3_64;

/// Contents of the sections of a sound profile, with their tags.
static SOUND: LazyLock<Vec<([u8; 4], Vec<u8>)>> = LazyLock::new(|| {
    let models = DETECTORS.iter().filter_map(|info| ModelSpec::parse(info.name).ok()).collect();
    let mut trainer = Trainer::new("fuzz", &TrainingOptions { models, frame: 16 });
    trainer.learn(&segment());
    let file = trainer.finish(0).to_bytes();
    let mut rest = &file[16..file.len() - 8];
    let mut sections = Vec::new();
    while !rest.is_empty() {
        let number =
            |place: usize| u32::from_le_bytes(rest[place..place + 4].try_into().expect("four bytes"));
        let (length, compressed) = (number(4) as usize, number(8) as usize);
        let content = zstd::bulk::decompress(&rest[12..12 + compressed], length).expect("a sound section");
        sections.push((rest[..4].try_into().expect("four bytes"), content));
        rest = &rest[12 + compressed..];
    }
    sections
});

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    let Some((&choice, rest)) = bytes.split_first() else { return };
    let mut sections = SOUND.clone();
    let section = usize::from(choice >> 1) % sections.len();
    let content = &mut sections[section].1;
    if choice & 1 == 0 {
        content.clear();
        content.extend_from_slice(rest);
    } else {
        // Bytes to overwrite, each told by three bytes: where (two) and with what.
        for patch in rest.chunks_exact(3) {
            let place = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % content.len();
            content[place] = patch[2];
        }
    }
    check(&file_of(&sections));
});

fn check(bytes: &[u8]) {
    let Ok(profile) = Profile::from_bytes(bytes) else { return };
    let written = profile.to_bytes();
    let again = Profile::from_bytes(&written).expect("what was written can be read");
    assert_eq!(again.to_bytes(), written);
    // What a command would do with it.
    let _ = profile.to_json(1.0);
    let _ = profile.diff(&again, 10);
    let _ = profile.merged(&again, "merged");
    let options = rastro_analyzer::ScoringOptions::default();
    if let Ok(mut scorer) = rastro_analyzer::Scorer::new(profile.into(), 1, options) {
        let segment = segment();
        let scores = scorer.score_segment(&segment);
        let _ = scorer.alarms(&segment, &scores);
    }
}

fn file_of(sections: &[([u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut file = b"RASTROPF\x01\0\0\0".to_vec();
    file.extend_from_slice(&(sections.len() as u32).to_le_bytes());
    for (tag, content) in sections {
        let compressed = zstd::bulk::compress(content, 1).expect("memory can be compressed");
        file.extend_from_slice(tag);
        file.extend_from_slice(&(content.len() as u32).to_le_bytes());
        file.extend_from_slice(&(compressed.len() as u32).to_le_bytes());
        file.extend_from_slice(&compressed);
    }
    let checksum = xxh3_64(&file);
    file.extend_from_slice(&checksum.to_le_bytes());
    file
}

/// A few calls of two threads.
fn segment() -> Segment {
    const CALLS: usize = 60;
    let numbers = |modulus: usize| (0..CALLS).map(move |call| call * call % modulus);
    Segment {
        id: SegmentId { stream: StreamId(7), start: Position::START, part: 0 },
        dataset: "fuzz".to_owned(),
        index: "fuzz-2022.03.31".to_owned(),
        node: "node".to_owned(),
        architecture: "x86_64".to_owned(),
        container: Container { id: "host".to_owned(), ..Container::default() },
        end: Position::new(0, 6000),
        gap: None,
        read_ns: 0,
        tally: Tally {
            lines_read: CALLS as u64,
            events_parsed: CALLS as u64,
            calls_stored: CALLS as u64,
            ..Tally::default()
        },
        calls: Calls {
            kinds: ["read", "write", "futex", "openat", "close"]
                .map(|name| CallKind { name: name.to_owned(), category: Category::File })
                .to_vec(),
            threads: [1, 2].map(|id| Thread { id: Some(id), process: Some(1), process_name: None }).to_vec(),
            kind: numbers(5).map(|kind| kind as u16).collect(),
            thread: numbers(2).map(|thread| thread as u32).collect(),
            number: (0..CALLS as u64).collect(),
            time_ns: (0..CALLS as i64).map(|call| call * 1000).collect(),
            latency_ns: vec![0; CALLS],
            result: vec![0; CALLS],
            argc: vec![0; CALLS],
            args_length: vec![0; CALLS],
            flags: vec![0; CALLS],
        },
        unfinished: Vec::new(),
        details: Vec::new(),
    }
}
