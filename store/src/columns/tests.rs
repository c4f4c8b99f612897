use proptest::prelude::*;
use rastro_model::{CallKind, Calls, Category, Detail, GapReason, StreamId, Thread, Unfinished};

use super::*;

/// Numbers of every size, small ones most often.
fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift)
}

fn signed() -> impl Strategy<Value = i64> {
    prop_oneof![
        number().prop_map(|value| value as i64),
        number().prop_map(|value| (value as i64).wrapping_neg())
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("read".to_owned()),
        Just("futex".to_owned()),
        Just("accept".to_owned()),
        Just("<unknown>".to_owned()),
        "\\PC{0,12}"
    ]
}

fn call_kind() -> impl Strategy<Value = CallKind> {
    (name(), 0_u8..17)
        .prop_map(|(name, category)| CallKind { name, category: Category::from_number(category).unwrap() })
}

fn thread() -> impl Strategy<Value = Thread> {
    (prop::option::of(signed()), prop::option::of(signed()), prop::option::of("\\PC{0,15}"))
        .prop_map(|(id, process, process_name)| Thread { id, process, process_name })
}

fn calls() -> impl Strategy<Value = Calls> {
    let columns = |kinds: Vec<CallKind>, threads: Vec<Thread>| {
        let call = (
            (0..kinds.len() as u16, 0..threads.len() as u32),
            (number(), signed(), number(), signed()),
            (any::<u16>(), any::<u32>(), any::<u8>()),
        );
        prop::collection::vec(call, 0..150).prop_map(move |rows| {
            let mut calls = Calls { kinds: kinds.clone(), threads: threads.clone(), ..Calls::default() };
            for ((kind, thread), (number, time, latency, result), (argc, args_length, flags)) in rows {
                calls.kind.push(kind);
                calls.thread.push(thread);
                calls.number.push(number);
                calls.time_ns.push(time);
                calls.latency_ns.push(latency);
                calls.result.push(result);
                calls.argc.push(argc);
                calls.args_length.push(args_length);
                calls.flags.push(flags);
            }
            calls
        })
    };
    let kinds = prop_oneof![
        4 => prop::collection::vec(call_kind(), 1..20),
        1 => prop::collection::vec(call_kind(), 250..300)
    ];
    let threads = prop_oneof![4 => prop::collection::vec(thread(), 1..6), 1 => prop::collection::vec(thread(), 250..300)];
    (kinds, threads).prop_flat_map(move |(kinds, threads)| columns(kinds, threads))
}

prop_compose! {
    fn segment()(
        calls in calls(),
        numbers in prop::collection::vec(number(), 13),
        texts in prop::collection::vec("\\PC{0,10}", 4),
        container_name in prop::option::of("\\PC{0,10}"),
        gap in prop::option::of((number(), prop::option::of(number()))),
        unfinished in prop::collection::vec((name(), prop::option::of(signed()), signed()), 0..4),
        details in prop::collection::vec((any::<u32>(), "\\PC{0,30}"), 0..4),
    ) -> Segment {
        Segment {
            id: SegmentId {
                stream: StreamId(numbers[0]),
                start: Position::new(numbers[1], numbers[2]),
                part: numbers[3] as u16,
            },
            dataset: texts[0].clone(),
            index: texts[1].clone(),
            node: texts[2].clone(),
            architecture: "x86_64".into(),
            container: Container { id: texts[3].clone(), name: container_name, image: None },
            end: Position::new(numbers[4], numbers[5]),
            gap: gap.map(|(bytes, lines)| Gap { bytes, lines, reason: GapReason::Source }),
            read_ns: numbers[6] as i64,
            tally: Tally {
                lines_read: numbers[7],
                events_parsed: numbers[8],
                dead_letters: numbers[9],
                calls_stored: numbers[10],
                events_folded: numbers[11],
                events_not_calls: numbers[12],
                calls_lost: 0,
            },
            calls,
            unfinished: unfinished.into_iter().map(|(name, thread, time_ns)| Unfinished { name, thread, time_ns }).collect(),
            details: details.into_iter().map(|(call, arguments)| Detail { call, arguments }).collect(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_segment_comes_back_as_it_went(segment in segment()) {
        let blobs = encode(&segment).unwrap();
        let whole = decode(Envelope::of(&segment), &blobs.sequence, Some(&blobs.rest)).unwrap();
        prop_assert_eq!(&whole, &segment);

        let sequence = decode(Envelope::of(&segment), &blobs.sequence, None).unwrap();
        prop_assert_eq!(&sequence.calls.kind, &segment.calls.kind);
        prop_assert_eq!(&sequence.calls.kinds, &segment.calls.kinds);
        prop_assert_eq!(&sequence.calls.thread, &segment.calls.thread);
        prop_assert_eq!(&sequence.calls.threads, &segment.calls.threads);
        prop_assert_eq!(&sequence.calls.time_ns, &segment.calls.time_ns);
        prop_assert!(sequence.calls.result.is_empty() && sequence.details.is_empty());
    }

    #[test]
    fn sizes_of_the_columns_add_up_to_the_blobs(segment in segment()) {
        let (blobs, sizes) = encode_measured(&segment).unwrap();
        let SequenceSizes { dictionaries, kinds, threads, times } = sizes.sequence;
        let RestSizes { numbers, latencies, results, argument_counts, argument_lengths, flags, details } = sizes.rest;
        let sum = dictionaries + kinds + threads + times + numbers + latencies + results + argument_counts
            + argument_lengths + flags + details + sizes.overhead;
        prop_assert_eq!(sum, blobs.sequence.len() + blobs.rest.len());
    }

    #[test]
    fn no_changed_byte_goes_unnoticed(segment in segment(), place in any::<prop::sample::Index>(), bit in 0..8) {
        let blobs = encode(&segment).unwrap();
        let mut sequence = blobs.sequence.clone();
        *place.get_mut(&mut sequence) ^= 1_u8 << bit;
        prop_assert!(decode(Envelope::of(&segment), &sequence, None).is_err());
        let mut rest = blobs.rest;
        *place.get_mut(&mut rest) ^= 1_u8 << bit;
        prop_assert!(decode(Envelope::of(&segment), &blobs.sequence, Some(&rest)).is_err());
    }

    /// Whoever can write the file can also write the checksum.
    #[test]
    fn a_changed_blob_with_a_right_checksum_never_panics(
        segment in segment(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let blobs = encode(&segment).unwrap();
        let forge = |blob: &[u8]| {
            let mut forged = blob[..blob.len() - CHECKSUM_LENGTH].to_vec();
            for (place, byte) in &changes {
                *place.get_mut(&mut forged) = *byte;
            }
            forged[0] = VERSION;
            seal(&mut forged);
            forged
        };
        let check = |decoded: Result<Segment, DecodeError>| decoded.is_ok_and(|segment| !segment.calls.is_consistent());
        prop_assert!(!check(decode(Envelope::of(&segment), &forge(&blobs.sequence), Some(&blobs.rest))));
        prop_assert!(!check(decode(Envelope::of(&segment), &blobs.sequence, Some(&forge(&blobs.rest)))));
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let envelope = Envelope {
            id: SegmentId { stream: StreamId(0), start: Position::START, part: 0 },
            dataset: String::new(),
            index: String::new(),
            node: String::new(),
            architecture: String::new(),
            container: Container::default(),
            gap: None,
        };
        prop_assert!(decode(envelope.clone(), &bytes, None).is_err());
        bytes.insert(0, VERSION);
        seal(&mut bytes);
        let _ = decode(envelope, &bytes, None);
    }
}

#[test]
fn a_blob_of_a_later_form_is_refused_by_name() {
    let mut blob = vec![VERSION + 1, 1, 2, 3];
    seal(&mut blob);
    assert_eq!(open(&blob), Err(DecodeError::Version(VERSION + 1)));
}

#[test]
fn an_inconsistent_segment_is_refused() {
    let calls = Calls { kind: vec![0], ..Calls::default() };
    let segment = Segment {
        id: SegmentId { stream: StreamId(0), start: Position::START, part: 0 },
        dataset: "d".into(),
        index: "d".into(),
        node: String::new(),
        architecture: String::new(),
        container: Container::default(),
        end: Position::START,
        gap: None,
        read_ns: 0,
        tally: Tally::default(),
        calls,
        unfinished: Vec::new(),
        details: Vec::new(),
    };
    assert_eq!(encode(&segment), Err(EncodeError::Inconsistent(segment.id)));
}
