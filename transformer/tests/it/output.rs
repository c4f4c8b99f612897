//! What becomes of small logs.

use rastro_broker::{Chunk, Payload};
use rastro_model::{Category, Gap, GapReason, Position, Tally, segment::flag};
use rastro_store::ChunkOutput;

use crate::fixture::{READ_NS, check, chunk, chunk_with_header, header, transformer};

fn transform(format: &str, text: &str) -> ChunkOutput {
    let output = transformer(format).transform(&chunk(text.as_bytes()));
    check(&output);
    output
}

#[test]
fn a_small_log_becomes_this_segment() {
    let text = "\
70 70 nginx 1 2022-03-31T18:13:16.000000001+0000 > net accept4 0 <NA>  flags=0 
71 70 nginx: worker 2 2022-03-31T18:13:16.000000002+0000 > file openat 0 <NA>  dirfd=-100(AT_FDCWD) name=/etc/passwd 
71 70 nginx: worker 3 2022-03-31T18:13:16.000001002+0000 < file openat 1000 5  fd=5(<f>/etc/passwd) name=/etc/passwd 
0 0 <NA> 4 2022-03-31T18:13:16.000002000+0000 > scheduler switch 0 <NA>  next=0 
72 70 nginx 5 2022-03-31T18:13:16.000003000+0000 < file read 0 -11  res=-11(EAGAIN) data= 

not an event
71 70 nginx: worker 6 2022-03-31T18:13:16.000004000+0000 > process exit_group 0 <NA>  status=0 
";
    let header = header(rastro_format::DEFAULT);
    let output = transformer("rocha").transform(&chunk_with_header(&header, text.as_bytes()));
    check(&output);
    let dead_letters: Vec<(u64, &str)> =
        output.dead_letters.iter().map(|letter| (letter.line, letter.reason.as_str())).collect();
    insta::assert_compact_json_snapshot!("segments", output.segments);
    insta::assert_compact_json_snapshot!("rollups", output.rollups);
    insta::assert_compact_json_snapshot!("dead_letters", dead_letters);
}

#[test]
fn the_published_lines_are_two_calls_of_unknown_latency() {
    let output = transform(
        "rocha",
        "1611 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 \n\
         3334 2022-03-31T18:13:17.231143686+0000 < IPC futex 0 -110  res=-110(ETIMEDOUT) \n",
    );
    let segment = &output.segments[0];
    assert_eq!(segment.index, "test-2022.03.31");
    assert_eq!(segment.container.id, "0123456789ab");
    let calls = &segment.calls;
    assert_eq!((calls.name(0), calls.name(1)), ("select", "futex"));
    assert_eq!(calls.kinds[0].category, Category::Wait);
    assert_eq!(calls.number, [1611, 3334]);
    assert_eq!(calls.time_ns[0], 1_648_750_396_977_633_722);
    assert_eq!(calls.result, [0, -110]);
    assert_eq!((calls.argc[0], calls.args_length[0]), (1, 7));
    assert_eq!(calls.flags, [flag::RESULT, flag::RESULT]);
    assert_eq!(calls.threads.len(), 1);
    assert_eq!(calls.threads[0].id, None);
}

#[test]
fn a_format_of_names_alone_is_enough() {
    let output = transform("%evt.type", "read\nwrite\nswitch\nread\n");
    let calls = &output.segments[0].calls;
    assert_eq!((calls.name(0), calls.name(1), calls.name(2)), ("read", "write", "read"));
    assert_eq!(calls.kinds[0].category, Category::File, "the usual category where the source gives none");
    assert_eq!(calls.time_ns, [READ_NS, READ_NS + 1, READ_NS + 3]);
    assert_eq!(calls.number, [0, 0, 0]);
    assert_eq!(calls.flags, [0, 0, 0]);
    assert_eq!(output.segments[0].index, "test-2026.11.21");
    assert_eq!(output.tally.events_not_calls, 1);
}

#[test]
fn a_latency_that_the_source_does_not_give_is_taken_from_the_enter() {
    let output = transform(
        "%evt.rawtime %thread.tid %evt.dir %evt.type",
        "100 1 > read\n110 2 > read\n150 1 < read\n175 2 < read\n180 2 < write\n",
    );
    let calls = &output.segments[0].calls;
    assert_eq!((0..3).map(|call| calls.latency_of(call)).collect::<Vec<_>>(), [Some(50), Some(65), None]);
    let paired: Vec<bool> = calls.flags.iter().map(|flags| flags & flag::PAIRED != 0).collect();
    assert_eq!(paired, [true, true, false]);
    assert_eq!(output.tally.events_folded, 2);
}

#[test]
fn a_result_that_the_format_does_not_declare_is_read_from_the_arguments() {
    let output = transform(
        "lidds-2019",
        "10 00:10:46.675969994 6 999 mysqld 22467 < futex res=-110(ETIMEDOUT) \n\
         11 00:10:46.675981363 6 999 mysqld 22467 < open fd=3(<f>/etc/passwd) name=/etc/passwd \n\
         12 00:10:46.675985028 6 999 mysqld 22467 < sched_yield \n",
    );
    let calls = &output.segments[0].calls;
    let results: Vec<Option<i64>> = (0..3).map(|call| calls.result_of(call)).collect();
    assert_eq!(results, [Some(-110), Some(3), None]);
    assert_eq!(calls.threads[0].process_name.as_deref(), Some("mysqld"));
}

#[test]
fn a_time_of_day_wraps_at_midnight() {
    let mut header = header("%evt.time %evt.type");
    header.date = Some("2021-09-01".to_owned());
    let text = b"23:59:59.999999999 read\n00:00:00.000000001 read\n";
    let output = transformer("rocha").transform(&chunk_with_header(&header, text));
    check(&output);
    let times = &output.segments[0].calls.time_ns;
    assert_eq!(times[1] - times[0], 2);
    assert_eq!(output.segments[0].index, "test-2021.09.01");
}

#[test]
fn every_container_of_a_file_has_its_segment() {
    let output = transform(
        "%container.id %container.name %container.image %evt.type",
        "aaaaaaaaaaaa web <NA> read\n<NA> <NA> <NA> switch\nbbbbbbbbbbbb db db:2 write\naaaaaaaaaaaa web web:1 write\n\
         host host <NA> open\n",
    );
    let segments: Vec<(u16, &str, Option<&str>, usize)> = output
        .segments
        .iter()
        .map(|s| (s.id.part, s.container.id.as_str(), s.container.image.as_deref(), s.calls.len()))
        .collect();
    assert_eq!(
        segments,
        [(0, "aaaaaaaaaaaa", Some("web:1"), 2), (1, "host", None, 1), (2, "bbbbbbbbbbbb", Some("db:2"), 1)]
    );
    assert_eq!(output.segments[1].tally.events_not_calls, 1);
}

#[test]
fn a_container_without_calls_has_no_segment_and_is_counted() {
    let output = transform("%container.id %evt.type", "aaaaaaaaaaaa read\nbbbbbbbbbbbb switch\n");
    assert_eq!(output.segments.len(), 1);
    assert_eq!((output.tally.events_parsed, output.tally.events_not_calls), (2, 1));
}

#[test]
fn enters_without_exit_stand_beside_the_sequence() {
    let output = transform(
        "%evt.rawtime %thread.tid %evt.dir %evt.type",
        "100 1 > read\n101 2 > futex\n102 1 > write\n103 1 < write\n104 2 > exit_group\n",
    );
    let segment = &output.segments[0];
    let unfinished: Vec<(&str, Option<i64>, i64)> =
        segment.unfinished.iter().map(|u| (u.name.as_str(), u.thread, u.time_ns)).collect();
    assert_eq!(unfinished, [("read", Some(1), 100), ("futex", Some(2), 101)]);
    let calls = &segment.calls;
    assert_eq!((calls.name(0), calls.name(1)), ("write", "exit_group"));
    assert_eq!(calls.flags[1], flag::ENTER);
    assert_eq!((output.tally.calls_stored, output.tally.events_folded), (4, 1));
}

#[test]
fn rollups_add_up_calls_by_interval_whatever_their_order() {
    // Intervals of 10 s; the third call steps back over the border, as between processors.
    let output = transform(
        "%evt.rawtime %evt.type %evt.latency %evt.rawres %evt.args",
        "9000000000 read 5 -11 a=1 b=2 \n10000000000 read 7 0 \n9999999999 read 90 -4 c=3 \n\
         10000000001 read 0 <NA> \n10000000002 write 1 1 \n-1 write 1 1 \n",
    );
    let rollups: Vec<_> = output
        .rollups
        .iter()
        .map(|r| {
            let sums = (r.count, r.errors, r.latency_sum_ns, r.latency_max_ns, r.argc_sum);
            (r.interval_ns, r.name.as_str(), sums)
        })
        .collect();
    assert_eq!(
        rollups,
        [
            (0, "read", (2, 2, 95, 90, 3)),
            (10_000_000_000, "read", (2, 0, 7, 7, 0)),
            (10_000_000_000, "write", (1, 0, 1, 1, 0)),
        ]
    );
    assert_eq!(output.dead_letters[0].reason, "field 1 evt.rawtime: `-1` is not a time");
}

#[test]
fn a_source_that_dropped_events_leaves_a_gap() {
    let output = transform("%evt.type", "read\ndrop\nread\n");
    assert_eq!(output.segments[0].gap, Some(Gap { bytes: 0, lines: None, reason: GapReason::Source }));
    assert_eq!(output.gap, None, "the stream itself has no hole");
    assert_eq!(output.tally.events_not_calls, 1);
}

#[test]
fn a_dead_letter_says_where_and_why() {
    let text = "1611 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 \n \n1612 yesterday < wait select 0 0 \n";
    let mut chunk = chunk(text.as_bytes());
    chunk.first_line = 40;
    chunk.start = Position::new(2, 1000);
    let output = transformer("rocha").transform(&chunk);
    let letters: Vec<(u64, Position, &str, &[u8])> = output
        .dead_letters
        .iter()
        .map(|d| (d.line, d.position, d.reason.as_str(), d.text.as_slice()))
        .collect();
    assert_eq!(
        letters,
        [
            (41, Position::new(2, 1066), "blank line", b" ".as_slice()),
            (
                42,
                Position::new(2, 1068),
                "field 2 evt.time.iso8601: `yesterday` is not a time",
                b"1612 yesterday < wait select 0 0 ".as_slice()
            ),
        ]
    );
}

#[test]
fn every_line_behind_a_header_that_cannot_be_used_is_a_dead_letter_with_that_reason() {
    for (line, reason) in [
        (b"#rastro {".to_vec(), "header line holds no valid JSON"),
        (header("%no.such.field").to_line().unwrap(), "header, `format`"),
    ] {
        let chunk = Chunk { header: Some(line), ..chunk(b"read\nwrite\n") };
        let output = transformer("%evt.type").transform(&chunk);
        check(&output);
        assert_eq!(output.tally.dead_letters, 2);
        assert!(output.dead_letters.iter().all(|letter| letter.reason.starts_with(reason)), "{output:?}");
    }
}

#[test]
fn a_chunk_that_cannot_be_read_is_a_gap_of_all_its_lines() {
    let good = chunk(b"read\nwrite\nread\n");
    // The length and checksum of one payload in front of the block of another.
    let mut encoded = good.encode().unwrap();
    let last = encoded.len() - 1;
    encoded[last] ^= 0xff;
    let damaged = Chunk::decode(&encoded).unwrap();
    assert!(damaged.payload.decompress(&mut Vec::new()).is_err());
    let own = Gap { bytes: 7, lines: Some(2), reason: GapReason::Truncated };
    let output = transformer("%evt.type").transform(&Chunk { gap: Some(own), ..damaged });
    assert_eq!(output.gap, Some(Gap { bytes: 7 + 16, lines: Some(5), reason: GapReason::Queue }));
    assert_eq!(output.tally, Tally::default());
    assert!(output.segments.is_empty() && output.dead_letters.is_empty());
}

#[test]
fn a_chunk_gives_the_same_output_whatever_came_before() {
    let mut used = transformer("rocha");
    let first = chunk(b"1611 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 \nx\n");
    let second =
        chunk_with_header(&header("%container.id %thread.tid %evt.dir %evt.type"), b"a 1 > read\nb 2 < x\n");
    let before = (used.transform(&first), used.transform(&second));
    for _ in 0..3 {
        assert_eq!((used.transform(&first), used.transform(&second)), before);
    }
    assert_eq!(transformer("rocha").transform(&second), before.1);
}

#[test]
fn names_beyond_the_dictionary_are_dead_letters() {
    use std::fmt::Write;
    let mut text = String::new();
    for number in 0..66_000 {
        writeln!(text, "call{number}").unwrap();
    }
    writeln!(text, "call7").unwrap();
    let output = transform("%evt.type", &text);
    assert_eq!(output.segments[0].calls.kinds.len(), 65_535);
    assert_eq!(output.segments[0].calls.len(), 65_535 + 1);
    assert_eq!(output.tally.dead_letters, 66_000 - 65_535);
    assert_eq!(output.dead_letters[0].reason, "more than 65535 names of calls in one chunk");
}

#[test]
fn an_empty_chunk_is_nothing() {
    let output =
        transformer("rocha").transform(&Chunk { payload: Payload::compress(b"").unwrap(), ..chunk(b"") });
    check(&output);
    assert_eq!(output.tally, Tally::default());
}
