//! Chunks go in once and come out as they went in.

use std::time::{Duration, Instant};

use rastro_model::{Gap, GapReason, Position, Segment, SegmentId, StreamId, Tally, Unfinished};
use rastro_store::{
    ChunkOutput, Columns, DeadLetter, Label, Rendered, RenderedKind, Store, StoreError, WriteReport,
};

use crate::{
    chunk, chunk_of, container,
    home::{Home, in_both_homes},
    open, tally,
};

in_both_homes!(
    what_is_written_comes_back_as_it_was_in_the_order_of_its_stream,
    the_segment_before_is_one_of_the_same_container,
    a_chunk_that_is_stored_already_changes_nothing,
    a_missing_chunk_becomes_a_gap_that_is_counted_to_the_last_line,
    a_gap_before_a_chunk_without_calls_is_told_by_the_next_calls,
    a_chunk_that_is_stored_in_part_is_refused_and_leaves_nothing,
    an_enter_whose_exit_comes_in_a_later_chunk_is_folded_in_the_tally,
    a_lost_chunk_leaves_the_waiting_enters_unfinished,
    dead_letters_and_labels_are_kept_with_their_dataset,
    a_deleted_dataset_is_gone_gives_its_room_back_and_its_chunks_do_not_come_again,
    who_waits_for_segments_is_woken_by_them,
    reading_goes_on_while_much_is_written,
);

const WRITTEN: WriteReport = WriteReport { written: 1, duplicates: 0, gaps: 0 };

async fn what_is_written_comes_back_as_it_was_in_the_order_of_its_stream(home: &Home) {
    let store = home.open().await;
    let chunks =
        [home.chunk(1, 0, 100), home.chunk(2, 0, 50), home.chunk(1, 100, 101), home.chunk(1, 101, 300)];
    assert_eq!(store.write_chunks(&chunks).await.unwrap(), WriteReport { written: 4, ..WRITTEN });
    drop(store);

    let store = home.open().await;
    let stored = store.segments(&home.index(), 0, usize::MAX, Columns::All).await.unwrap();
    let segments: Vec<_> = stored.iter().map(|stored| stored.segment.clone()).collect();
    // Streams keep their order, not one among the others.
    let by_stream = |mut segments: Vec<Segment>| {
        segments.sort_by_key(|segment| segment.id.stream);
        segments
    };
    let written: Vec<Segment> = chunks.iter().map(|chunk| chunk.segments[0].clone()).collect();
    assert!(by_stream(segments.clone()) == by_stream(written), "what comes back is not what was written");

    let page = store.segments(&home.index(), stored[0].place, 40, Columns::Sequence).await.unwrap();
    // How many it takes depends on the order of the streams.
    let filling = if segments[1].calls.len() >= 40 { 1 } else { 2 };
    assert_eq!(page.len(), filling, "a page ends with the segment that fills it");
    assert_eq!(page[0].place, stored[1].place);
    assert_eq!(page[0].segment.calls.time_ns, segments[1].calls.time_ns);
    assert!(page[0].segment.calls.result.is_empty() && page[0].segment.details.is_empty());
    assert!(store.segments(&home.index(), stored[3].place, 40, Columns::All).await.unwrap().is_empty());

    let id = |start| SegmentId { stream: StreamId(1), start: Position::new(0, start), part: 0 };
    let wanted = chunks[2].segments[0].clone();
    assert_eq!(store.segment(id(1000)).await.unwrap(), wanted);
    assert_eq!(store.segment_before(id(1010)).await.unwrap(), Some(wanted));
    assert_eq!(store.segment_before(id(0)).await.unwrap(), None);
    let error = store.segment(id(999)).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { kind: "segment", .. }), "{error}");
    let error =
        store.segments(&home.named("shop-2022.04.01"), 0, 1, Columns::All).await.unwrap_err().to_string();
    let missing = home.named("shop-2022.04.01");
    assert_eq!(error, format!("no index `{missing}`; `rastro datasets` lists what there is"));
}

async fn the_segment_before_is_one_of_the_same_container(home: &Home) {
    let store = home.open().await;
    let mut chunks = [home.chunk(1, 0, 10), home.chunk(1, 10, 20), home.chunk(1, 20, 30)];
    chunks[1].segments[0].container.id = "host".into();
    // What is known of a container may grow; it stays the same container.
    chunks[2].segments[0].container.name = None;
    store.write_chunks(&chunks).await.unwrap();
    let before = store.segment_before(chunks[2].segments[0].id).await.unwrap();
    assert_eq!(before.as_ref(), Some(&chunks[0].segments[0]));
    assert_eq!(store.segment_before(chunks[1].segments[0].id).await.unwrap(), None);
    let ids: Vec<_> = store.datasets().await.unwrap()[0].indices[0]
        .containers
        .iter()
        .map(|container| (container.id.clone(), container.name.is_some()))
        .collect();
    assert_eq!(
        ids,
        [("0123456789ab".to_owned(), false), ("0123456789ab".to_owned(), true), ("host".to_owned(), true)]
    );
}

async fn a_chunk_that_is_stored_already_changes_nothing(home: &Home) {
    let store = home.open().await;
    store.write_chunks(&[home.chunk(1, 0, 10), home.chunk(1, 10, 20)]).await.unwrap();
    let before = (store.datasets().await.unwrap(), store.rollups(&home.index()).await.unwrap());
    let report = store.write_chunks(&[home.chunk(1, 0, 10), home.chunk(1, 10, 20)]).await.unwrap();
    assert_eq!(report, WriteReport { written: 0, duplicates: 2, gaps: 0 });
    assert_eq!((store.datasets().await.unwrap(), store.rollups(&home.index()).await.unwrap()), before);
    assert_eq!(before.1[0].count, 20);
    assert_eq!(before.1[0].latency_max_ns, 20);
    assert_eq!(before.0[0].tally, tally(20));
    assert_eq!(before.0[0].indices[0].calls, 20);
    assert_eq!(store.stream_tally(StreamId(1)).await.unwrap(), tally(20));
    assert_eq!(store.stream_end(StreamId(1)).await.unwrap(), Some((Position::new(0, 200), 20)));
    assert_eq!(store.stream_end(StreamId(9)).await.unwrap(), None);
}

async fn a_missing_chunk_becomes_a_gap_that_is_counted_to_the_last_line(home: &Home) {
    let store = home.open().await;
    let report = store
        .write_chunks(&[home.chunk(1, 0, 10), home.chunk(1, 15, 20), home.chunk(1, 20, 30)])
        .await
        .unwrap();
    assert_eq!(report, WriteReport { written: 3, duplicates: 0, gaps: 1 });
    let gaps: Vec<_> = store
        .segments(&home.index(), 0, usize::MAX, Columns::Sequence)
        .await
        .unwrap()
        .into_iter()
        .map(|stored| stored.segment.gap)
        .collect();
    assert_eq!(gaps, [None, Some(Gap { bytes: 50, lines: Some(5), reason: GapReason::Queue }), None]);
    let summary = &store.datasets().await.unwrap()[0];
    assert_eq!((summary.lost_lines, summary.lost_bytes), (5, 50));
}

async fn a_gap_before_a_chunk_without_calls_is_told_by_the_next_calls(home: &Home) {
    let store = home.open().await;
    let mut silent = home.chunk(1, 10, 20);
    silent.segments.clear();
    silent.gap = Some(Gap { bytes: 3, lines: None, reason: GapReason::Truncated });
    store.write_chunks(&[home.chunk(1, 0, 10), silent]).await.unwrap();
    store.write_chunks(&[home.chunk(1, 20, 30), home.chunk(1, 30, 40)]).await.unwrap();
    let gaps: Vec<_> = store
        .segments(&home.index(), 0, usize::MAX, Columns::Sequence)
        .await
        .unwrap()
        .into_iter()
        .map(|stored| stored.segment.gap)
        .collect();
    assert_eq!(gaps, [None, Some(Gap { bytes: 3, lines: None, reason: GapReason::Truncated }), None]);
    let summary = &store.datasets().await.unwrap()[0];
    assert_eq!((summary.lost_lines, summary.lost_bytes), (0, 3));
}

async fn a_chunk_that_is_stored_in_part_is_refused_and_leaves_nothing(home: &Home) {
    let store = home.open().await;
    store.write_chunks(&[home.chunk(1, 0, 10)]).await.unwrap();
    let error = store.write_chunks(&[home.chunk(2, 0, 10), home.chunk(1, 5, 15)]).await.unwrap_err();
    let StoreError::Overlap { stream, known, next_line } = error else { panic!("{error}") };
    assert_eq!((stream, known, next_line), (StreamId(1), Position::new(0, 100), 10));
    assert_eq!(store.stream_end(StreamId(2)).await.unwrap(), None);
    store.write_chunks(&[home.chunk(2, 0, 10)]).await.unwrap();
}

#[tokio::test]
async fn documents_that_an_embedded_store_does_not_keep_are_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut output = chunk(1, 0, 10);
    output.rendered = vec![Rendered {
        kind: RenderedKind::Call,
        segment: output.segments[0].id,
        id_prefix: "a-".into(),
        bytes: b"{}".to_vec(),
        ends: vec![2],
    }];
    let error = store.write_chunks(&[output]).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("transformer.documents"), "{error}");
    assert_eq!(store.stream_end(StreamId(1)).await.unwrap(), None);
}

fn enters(mut chunk: ChunkOutput, enters: u64) -> ChunkOutput {
    for enter in 0..enters {
        let (thread, time_ns) = (Some(1000 + enter as i64), crate::DAY);
        chunk.segments[0].unfinished.push(Unfinished { name: "read".into(), thread, time_ns });
    }
    chunk.tally.lines_read += enters;
    chunk.tally.events_parsed += enters;
    chunk.tally.calls_stored += enters;
    chunk
}

async fn an_enter_whose_exit_comes_in_a_later_chunk_is_folded_in_the_tally(home: &Home) {
    let store = home.open().await;
    store.write_chunks(&[enters(home.chunk(1, 0, 10), 3)]).await.unwrap();
    assert_eq!(store.stream_tally(StreamId(1)).await.unwrap().calls_stored, 13);
    drop(store);

    let store = home.open().await;
    let mut exits = home.chunk(1, 10, 13);
    for (thread, id) in exits.segments[0].calls.threads.iter_mut().zip([1000, 1001]) {
        thread.id = Some(id);
    }
    exits.segments[0].calls.kind = vec![0, 0, 0];
    store.write_chunks(&[exits]).await.unwrap();
    let settled =
        Tally { lines_read: 16, events_parsed: 16, calls_stored: 14, events_folded: 2, ..Tally::default() };
    assert_eq!(store.stream_tally(StreamId(1)).await.unwrap(), settled);
    assert!(settled.is_closed());
    assert_eq!(store.datasets().await.unwrap()[0].tally, settled);
}

async fn a_lost_chunk_leaves_the_waiting_enters_unfinished(home: &Home) {
    let store = home.open().await;
    let mut exit = home.chunk(1, 11, 12);
    exit.segments[0].calls.kind = vec![0];
    exit.segments[0].calls.threads[1].id = Some(1000);
    store.write_chunks(&[enters(home.chunk(1, 0, 10), 1), exit]).await.unwrap();
    assert_eq!(store.stream_tally(StreamId(1)).await.unwrap().events_folded, 0);
}

async fn dead_letters_and_labels_are_kept_with_their_dataset(home: &Home) {
    let store = home.open().await;
    let letter = |line: u64| DeadLetter {
        stream: StreamId(u64::MAX),
        line,
        position: Position::new(0, line * 10),
        reason: "blank line".into(),
        text: b"\xff \0".to_vec(),
    };
    let mut output = home.chunk(u64::MAX, 0, 10);
    output.dead_letters = vec![letter(3), letter(4), letter(5)];
    store.write_chunks(&[output]).await.unwrap();
    assert_eq!(store.dead_letters(&home.dataset(), 2).await.unwrap(), [letter(3), letter(4)]);
    assert!(store.dead_letters(&home.named("nothing"), 2).await.is_err());

    let label = |thread, label: &str| Label {
        container: container().id,
        thread,
        start_ns: Some(1),
        end_ns: None,
        label: label.into(),
    };
    store.put_labels(&home.dataset(), &[label(None, "normal"), label(Some(7), "normal")]).await.unwrap();
    store.put_labels(&home.dataset(), &[label(None, "attack")]).await.unwrap();
    assert_eq!(
        store.labels(&home.dataset()).await.unwrap(),
        [label(Some(7), "normal"), label(None, "attack")]
    );
    assert_eq!(store.labels(&home.named("nothing")).await.unwrap(), []);
}

async fn a_deleted_dataset_is_gone_gives_its_room_back_and_its_chunks_do_not_come_again(home: &Home) {
    let store = home.open().await;
    let mut other = home.chunk(2, 0, 10);
    let (other_name, other_index) = (home.named("other"), home.named("other-2022.03.31"));
    other.dataset.clone_from(&other_name);
    other.segments[0].dataset.clone_from(&other_name);
    other.segments[0].index.clone_from(&other_index);
    other.rollups[0].index.clone_from(&other_index);
    store.write_chunks(&[other]).await.unwrap();
    let empty = store.size().await.unwrap();
    for number in 0..20 {
        store.write_chunks(&[home.chunk(1, number * 20_000, (number + 1) * 20_000)]).await.unwrap();
    }
    let full = store.size().await.unwrap();
    // A server writes to its disk when it pleases.
    assert!(!home.is_embedded() || full > empty + 500_000, "{empty} {full}");
    store.delete_dataset(&home.dataset()).await.unwrap();
    let left = store.size().await.unwrap();
    assert!(!home.is_embedded() || left < empty + 200_000, "{empty} {full} {left}");

    let names: Vec<_> = store.datasets().await.unwrap().into_iter().map(|dataset| dataset.name).collect();
    assert_eq!(names, [other_name]);
    assert!(store.segments(&home.index(), 0, 1, Columns::All).await.is_err());
    assert!(store.segment(home.segment(1, 0, 20_000).id).await.is_err());
    assert!(matches!(
        store.delete_dataset(&home.dataset()).await,
        Err(StoreError::NotFound { kind: "dataset", .. })
    ));
    assert_eq!(store.write_chunks(&[home.chunk(1, 0, 20_000)]).await.unwrap().duplicates, 1);
    assert_eq!(store.write_chunks(&[home.chunk(1, 400_000, 400_001)]).await.unwrap(), WRITTEN);
    assert_eq!(store.segments(&other_index, 0, 1, Columns::All).await.unwrap().len(), 1);
}

async fn who_waits_for_segments_is_woken_by_them(home: &Home) {
    let store = home.open().await;
    let started = Instant::now();
    store.wait_for_segments(Duration::from_millis(300)).await;
    assert!(started.elapsed() >= Duration::from_millis(300), "nothing was written");
    let waiting = {
        let store = std::sync::Arc::clone(&store);
        tokio::spawn(async move { store.wait_for_segments(Duration::from_mins(1)).await })
    };
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!waiting.is_finished());
    store.write_chunks(&[home.chunk(1, 0, 10)]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
    // What came while nobody waited counts as well, and only once.
    store.write_chunks(&[home.chunk(1, 10, 20)]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), store.wait_for_segments(Duration::from_mins(1)))
        .await
        .unwrap();
    let started = Instant::now();
    store.wait_for_segments(Duration::from_millis(100)).await;
    assert!(started.elapsed() >= Duration::from_millis(100));
}

async fn reading_goes_on_while_much_is_written(home: &Home) {
    let store = home.open().await;
    store.write_chunks(&[home.chunk(1, 0, 100)]).await.unwrap();
    let writing = {
        let (store, dataset) = (std::sync::Arc::clone(&store), home.dataset());
        tokio::spawn(async move {
            for batch in 0..20 {
                let chunks: Vec<_> = (0..5)
                    .map(|number| 100 + (batch * 5 + number) * 5000)
                    .map(|from| chunk_of(&dataset, 1, from, from + 5000))
                    .collect();
                store.write_chunks(&chunks).await.unwrap();
            }
        })
    };
    let (mut place, mut next, mut reads) = (0, 0, 0_u32);
    while next < 100 + 100 * 5000 {
        for stored in store.segments(&home.index(), place, 20_000, Columns::All).await.unwrap() {
            assert_eq!(stored.segment.id.start.offset, next * 10);
            next += stored.segment.calls.len() as u64;
            place = stored.place;
        }
        reads += 1;
        let summary = &store.datasets().await.unwrap()[0];
        // A server has no transactions over many documents.
        let is_whole = (summary.indices[0].calls - 100) % 25_000 == 0;
        assert!(!home.is_embedded() || is_whole, "a reader sees whole transactions only");
    }
    writing.await.unwrap();
    assert!(reads > 3);
}
