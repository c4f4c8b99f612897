use rastro_model::{CallKind, Calls, Category, Container, SegmentId, StreamId, Tally, Thread, Unfinished};

use super::*;

const DATASET: i64 = 1;

/// A segment of calls given as (thread, name, flags) and unfinished enters as (thread, name, time); call `n` ends at time `n`.
fn segment(calls: &[(Option<i64>, &str, u8)], unfinished: &[(Option<i64>, &str, i64)]) -> Segment {
    let mut columns = Calls::default();
    for (time, &(thread, name, flags)) in calls.iter().enumerate() {
        // Every call has entries of its own: a dictionary need not be free of repeats.
        columns.kind.push(columns.kinds.len() as u16);
        columns.kinds.push(CallKind { name: name.into(), category: Category::Other });
        columns.thread.push(columns.threads.len() as u32);
        columns.threads.push(Thread {
            id: thread,
            process: None,
            process_name: Some(format!("after {time}")),
        });
        columns.time_ns.push(time as i64);
        columns.flags.push(flags);
    }
    Segment {
        id: SegmentId { stream: StreamId(1), start: Position::START, part: 0 },
        dataset: "d".into(),
        index: "d-1970.01.01".into(),
        node: "n".into(),
        architecture: "x86_64".into(),
        container: Container::default(),
        end: Position::START,
        gap: None,
        read_ns: 0,
        tally: Tally::default(),
        calls: columns,
        unfinished: unfinished
            .iter()
            .map(|&(thread, name, time_ns)| Unfinished { name: name.into(), thread, time_ns })
            .collect(),
        details: Vec::new(),
    }
}

/// How many enters return when these chunks follow one another.
fn settled(chunks: &[Segment]) -> u64 {
    let mut open = OpenEnters::default();
    chunks
        .iter()
        .flat_map(|segment| open.advance(Crossings::of(std::slice::from_ref(segment)), DATASET))
        .map(|(_, enters)| enters)
        .sum()
}

const EXIT: u8 = 0;
const PAIRED: u8 = flag::PAIRED;
const ENTER: u8 = flag::ENTER;

#[test]
fn an_exit_in_a_later_chunk_settles_its_enter_once() {
    let enter = segment(&[], &[(Some(7), "read", 0)]);
    let exits = segment(&[(Some(7), "read", EXIT), (Some(7), "read", EXIT)], &[]);
    let empty = segment(&[], &[]);
    assert_eq!(settled(&[enter.clone(), exits.clone()]), 1);
    assert_eq!(settled(&[enter.clone(), empty, exits.clone()]), 1);
    assert_eq!(settled(&[enter.clone(), exits.clone(), exits.clone()]), 1);
    assert_eq!(settled(&[exits, enter]), 0);
}

#[test]
fn an_exit_of_another_thread_or_name_or_with_an_enter_of_its_own_settles_nothing() {
    let enter = segment(&[], &[(Some(7), "read", 0)]);
    for (thread, name, flags) in
        [(8, "read", EXIT), (7, "write", EXIT), (7, "read", PAIRED), (7, "read", ENTER)]
    {
        assert_eq!(
            settled(&[enter.clone(), segment(&[(Some(thread), name, flags)], &[])]),
            0,
            "{thread} {name}"
        );
    }
}

#[test]
fn a_thread_that_enters_another_call_leaves_its_open_one_unfinished() {
    let enter = segment(&[], &[(Some(7), "read", 0)]);
    let exit = segment(&[(Some(7), "read", EXIT)], &[]);
    for other in [
        segment(&[(Some(7), "write", PAIRED)], &[]),
        segment(&[(Some(7), "exit", ENTER)], &[]),
        segment(&[(Some(7), "write", PAIRED), (Some(7), "read", EXIT)], &[]),
        segment(&[], &[(Some(7), "write", 0)]),
    ] {
        assert_eq!(settled(&[enter.clone(), other, exit.clone()]), 0);
    }
    // Inside one chunk likewise: the second enter or the call behind it proves that the first is left.
    assert_eq!(settled(&[segment(&[], &[(Some(7), "read", 0), (Some(7), "write", 1)]), exit.clone()]), 0);
    assert_eq!(settled(&[segment(&[(Some(7), "write", PAIRED)], &[(Some(7), "read", -1)]), exit.clone()]), 0);
    assert_eq!(settled(&[segment(&[(Some(7), "write", PAIRED)], &[(Some(7), "read", 1)]), exit]), 1);
}

#[test]
fn without_thread_ids_names_are_matched_in_number() {
    let enters = segment(&[], &[(None, "read", 0), (None, "read", 0), (None, "write", 0)]);
    let exit = |name| segment(&[(None, name, EXIT)], &[]);
    assert_eq!(settled(&[enters.clone(), exit("read")]), 1);
    assert_eq!(settled(&[enters.clone(), exit("read"), exit("read"), exit("read")]), 2);
    assert_eq!(settled(&[enters.clone(), segment(&[(None, "poll", PAIRED)], &[]), exit("write")]), 1);
    assert_eq!(settled(&[enters, segment(&[(Some(7), "read", EXIT)], &[])]), 0);
}

#[test]
fn an_enter_is_settled_in_the_dataset_that_counts_it() {
    let mut open = OpenEnters::default();
    let enter = |thread| Crossings::of(&[segment(&[], &[(Some(thread), "read", 0)])]);
    assert!(open.advance(enter(1), 10).is_empty());
    assert!(open.advance(enter(2), 20).is_empty());
    let exits = segment(&[(Some(1), "read", EXIT), (Some(2), "read", EXIT)], &[]);
    assert_eq!(open.advance(Crossings::of(&[exits]), 20), [(10, 1), (20, 1)]);
    assert!(open.is_empty());
}

#[test]
fn enters_that_never_return_are_bounded() {
    let mut open = OpenEnters::default();
    for round in 0..3 {
        let enters: Vec<_> =
            (0..30_000_i64).map(|thread| (Some(round * 30_000 + thread), "read", 0)).collect();
        open.advance(Crossings::of(&[segment(&[], &enters)]), DATASET);
    }
    assert_eq!(open.waiting.len(), MAX_OPEN);
    assert_eq!(open.waiting.last().unwrap().thread, Some(89_999));
}

fn extent(previous: u64, start: u64, end: u64, first_line: u64) -> Extent {
    Extent {
        start: Position::new(0, start),
        end: Position::new(0, end),
        previous: Position::new(0, previous),
        first_line,
    }
}

fn end(offset: u64, next_line: u64) -> End {
    End { position: Position::new(0, offset), next_line }
}

#[test]
fn a_chunk_follows_repeats_or_leaves_a_hole() {
    assert_eq!(End::default().step(extent(0, 0, 10, 0), None), Step::Next(None));
    // A header lies between the beginning and the first line.
    assert_eq!(End::default().step(extent(0, 30, 40, 0), None), Step::Next(None));
    assert_eq!(end(10, 1).step(extent(0, 0, 10, 0), None), Step::Duplicate);
    assert_eq!(end(20, 2).step(extent(0, 0, 10, 0), None), Step::Duplicate);
    assert_eq!(end(10, 1).step(extent(10, 10, 20, 1), None), Step::Next(None));
    assert_eq!(end(10, 1).step(extent(5, 5, 20, 1), None), Step::Overlap);
    let hole = Gap { bytes: 90, lines: Some(9), reason: GapReason::Queue };
    assert_eq!(end(10, 1).step(extent(100, 100, 120, 10), None), Step::Next(Some(hole)));
}

#[test]
fn a_gap_of_its_own_is_kept_and_a_hole_beside_it_is_added() {
    let own = Gap { bytes: 7, lines: Some(2), reason: GapReason::Truncated };
    assert_eq!(end(10, 1).step(extent(10, 17, 20, 1), Some(&own)), Step::Next(Some(own.clone())));
    let both = Gap { bytes: 97, lines: Some(11), reason: GapReason::Truncated };
    assert_eq!(end(10, 1).step(extent(100, 100, 120, 10), Some(&own)), Step::Next(Some(both)));
    let uncounted = Gap { lines: None, ..own };
    let both = Gap { bytes: 97, lines: Some(9), reason: GapReason::Truncated };
    assert_eq!(end(10, 1).step(extent(100, 100, 120, 10), Some(&uncounted)), Step::Next(Some(both)));
}

#[test]
fn a_hole_that_spans_files_counts_lines_exactly_and_bytes_as_far_as_they_are_known() {
    let later = Extent {
        start: Position::new(3, 50),
        end: Position::new(3, 60),
        previous: Position::new(3, 50),
        first_line: 40,
    };
    let hole = Gap { bytes: 50, lines: Some(39), reason: GapReason::Queue };
    assert_eq!(end(10, 1).step(later, None), Step::Next(Some(hole)));
}
