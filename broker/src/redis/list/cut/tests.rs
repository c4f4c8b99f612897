//! Cutting documents into chunks.

use proptest::prelude::*;

use super::{super::document, *};

fn filebeat(path: &str, offset: u64, message: &str) -> Document {
    let text = serde_json::json!({
        "@timestamp": "2022-03-31T18:13:20.123Z", "host": {"name": "worker-0"}, "message": message,
        "log": {"offset": offset, "file": {"path": path}},
    });
    document::read("k8s", text.to_string().as_bytes())
}

#[derive(Default)]
struct World {
    ends: HashMap<StreamId, StreamEnd>,
    memory: Memory,
}

impl World {
    fn cut(&mut self, documents: Vec<Document>) -> Cut {
        cut(documents, &mut self.ends, &mut self.memory, 1).unwrap()
    }
}

fn text(chunk: &Chunk) -> String {
    let mut text = Vec::new();
    chunk.payload.decompress(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn neighbouring_lines_of_a_file_are_one_chunk_whatever_lies_between_them() {
    let mut world = World::default();
    let cut = world.cut(vec![
        filebeat("/a.log", 100, "one"),
        filebeat("/b.log", 0, "other"),
        filebeat("/a.log", 104, "two"),
        // An empty line lies between.
        filebeat("/a.log", 109, "three"),
    ]);
    assert_eq!(cut.chunks.len(), 2);
    let chunk = &cut.chunks[0];
    assert_eq!(
        (chunk.previous, chunk.start, chunk.end),
        (Position::START, Position::new(0, 100), Position::new(0, 115))
    );
    assert_eq!((chunk.first_line, chunk.lines, text(chunk).as_str()), (0, 3, "one\ntwo\nthree\n"));
    assert_eq!(
        (chunk.node.as_str(), chunk.path.as_slice(), chunk.read_ns),
        ("worker-0", b"/a.log".as_slice(), 1_648_750_400_123_000_000)
    );
    let next = world.cut(vec![filebeat("/a.log", 115, "four")]);
    assert_eq!((next.chunks[0].previous, next.chunks[0].first_line), (Position::new(0, 115), 3));
}

#[test]
fn an_offset_that_goes_back_is_another_file_and_one_that_was_there_is_a_repeat() {
    let mut world = World::default();
    world.cut(vec![
        filebeat("/a.log", 0, "one"),
        filebeat("/a.log", 4, "two"),
        filebeat("/a.log", 8, "three"),
    ]);
    // Filebeat sends again what it had sent, and goes on.
    let again = world.cut(vec![
        filebeat("/a.log", 4, "two"),
        filebeat("/a.log", 8, "three"),
        filebeat("/a.log", 14, "four"),
    ]);
    assert_eq!((again.repeats, again.chunks.len()), (2, 1));
    assert_eq!((text(&again.chunks[0]).as_str(), again.chunks[0].first_line), ("four\n", 3));
    // The file was rotated; a line that is late is of the old one, and nothing is dropped.
    let rotated = world.cut(vec![
        filebeat("/a.log", 0, "one"),
        filebeat("/a.log", 19, "late"),
        filebeat("/a.log", 4, "new"),
    ]);
    let places: Vec<_> = rotated.chunks.iter().map(|chunk| (chunk.start, text(chunk))).collect();
    assert_eq!(
        places,
        [(Position::new(1, 0), "one\nlate\n".to_owned()), (Position::new(2, 4), "new\n".to_owned())]
    );
    assert_eq!(rotated.repeats, 0);
}

#[test]
fn without_offsets_the_order_counts() {
    let mut world = World::default();
    let document = |message: &str| {
        let text = serde_json::json!({"message": message, "source": "/a.log", "host": "n"});
        document::read("k8s", text.to_string().as_bytes())
    };
    let first = world.cut(vec![document("same"), document("same")]);
    assert_eq!(text(&first.chunks[0]), "same\nsame\n");
    let second = world.cut(vec![document("same")]);
    assert_eq!((second.chunks[0].start, second.chunks[0].first_line), (Position::new(0, 10), 2));
}

#[test]
fn our_own_shippers_documents_have_their_places_back() {
    let own = |generation: u64, offset: u64, message: &str, rest: &str| {
        let text = format!(
            r#"{{"@timestamp":"2022-03-31T18:13:20.123Z","host":{{"name":"n"}},"message":"{message}","log":{{"offset":{offset},"file":{{"path":"/a.log"}}}},
            "rastro":{{"generation":{generation},"length":{}{rest}}}}}"#,
            message.len() + 1
        );
        document::read("k8s", text.as_bytes())
    };
    let header = r##","header":"#rastro {}""##;
    let mut world = World::default();
    let cut = world.cut(vec![
        own(0, 11, "one", header),
        own(0, 15, "two", header),
        own(0, 15, "two", header),
        own(2, 0, "other", r#","gap":{"bytes":9,"lines":3,"reason":"truncated"}"#),
    ]);
    assert_eq!((cut.repeats, cut.strange, cut.chunks.len()), (1, 0, 2));
    let first = &cut.chunks[0];
    assert_eq!(first.header.as_deref(), Some(b"#rastro {}\n".as_slice()));
    assert_eq!((first.start, first.end, first.lines), (Position::new(0, 11), Position::new(0, 19), 2));
    let second = &cut.chunks[1];
    assert_eq!((second.previous, second.start), (first.end, Position::new(2, 0)));
    assert_eq!(
        (second.header.as_ref(), second.gap.as_ref().map(|gap| gap.bytes), second.first_line),
        (None, Some(9), 5)
    );
}

#[test]
fn long_lines_are_cut_and_counted_and_large_runs_are_several_chunks() {
    let mut world = World::default();
    let long = "x".repeat(LONGEST_LINE + 5);
    let cut =
        world.cut(vec![filebeat("/a.log", 0, &long), filebeat("/a.log", long.len() as u64 + 1, "next")]);
    assert_eq!(cut.chunks.len(), 2);
    assert_eq!((cut.chunks[0].cut_lines, cut.chunks[0].payload.raw_length()), (1, LONGEST_LINE + 1));
    assert_eq!(cut.chunks[0].end, cut.chunks[1].start);
}

proptest! {
    #[test]
    fn whatever_offsets_say_no_line_is_lost_and_places_rise(
        lines in prop::collection::vec((0_u64..60, 0_u32..1000), 1..60),
        batch in 1_usize..20,
    ) {
        let mut world = World::default();
        let mut ends: HashMap<StreamId, (Position, u64)> = HashMap::new();
        let mut arrived = Vec::new();
        let mut repeats = 0;
        // Numbered, so that none is a repeat.
        let written: Vec<String> = lines.iter().enumerate().map(|(index, (_, number))| format!("{index} {number}")).collect();
        let documents: Vec<_> =
            lines.iter().zip(&written).map(|((offset, _), line)| (*offset, line.clone())).collect();
        for part in documents.chunks(batch) {
            let cut = world.cut(part.iter().map(|(offset, line)| filebeat("/a.log", *offset, line)).collect());
            repeats += cut.repeats;
            for chunk in &cut.chunks {
                let (end, next_line) = ends.get(&chunk.stream).copied().unwrap_or_default();
                prop_assert_eq!((chunk.previous, chunk.first_line), (end, next_line));
                prop_assert!(chunk.start >= end && chunk.end > chunk.start);
                prop_assert_eq!(chunk.start.generation, chunk.end.generation);
                ends.insert(chunk.stream, (chunk.end, chunk.first_line + u64::from(chunk.lines)));
                arrived.extend(text(chunk).lines().map(str::to_owned));
            }
        }
        prop_assert_eq!(repeats, 0);
        prop_assert_eq!(arrived, written);
    }
}
