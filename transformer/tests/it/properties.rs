//! What holds for any lines.

use proptest::prelude::*;
use rastro_model::segment::flag;
use rastro_store::ChunkOutput;

use crate::fixture::{chain, check, chunk, chunk_with_header, header, settled, transformer};

const FORMATS: [&str; 9] = [
    "rastro",
    "rocha",
    "sysdig-basic",
    "sysdig-rich",
    "lidds-2019",
    "lidds-2021",
    "%evt.type",
    "%container.id %evt.dir %evt.type",
    "%evt.rawtime %thread.tid %evt.dir %evt.type",
];

/// Bytes in which pieces of real lines occur often enough to get far into a parser.
fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => proptest::sample::select(vec![
            "1611 ", "2022-03-31T18:13:16.977633722+0000 ", "18:13:16.9 ", "< ", "> ", "wait ", "file ", "read ",
            "exit_group ", "switch ", "drop ", "execve ", "0 ", "-110 ", "<NA> ", " res=0 ", "fd=3(<f>/x) ", "\n", "\n\n",
            "3100 3100 nginx: w 7 2022-03-31T18:13:16.977633722+0000 < file openat 5 3  fd=3 name=/x \n",
            "aaaabbbbcccc > read\n", "aaaabbbbcccc < read\n", "-9223372036854775808 1 > read\n",
            "9223372036854775807 1 < read\n", "#rastro {}\n",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn both_sums_close_for_any_bytes(
        bytes in hostile_bytes(),
        format in proptest::sample::select(FORMATS.to_vec()),
        read_ns in any::<i64>(),
    ) {
        let mut chunk = chunk(&bytes);
        chunk.read_ns = read_ns;
        let mut transformer = transformer(format);
        let output = transformer.transform(&chunk);
        check(&output);
        prop_assert_eq!(output.tally.dead_letters, output.dead_letters.len() as u64);
        prop_assert_eq!(transformer.transform(&chunk), output);
    }

    #[test]
    fn any_header_is_used_or_refused_with_a_reason(
        line in proptest::collection::vec(any::<u8>(), 0..200),
        format in "[*%a-z. ]{0,40}",
        dataset in "[ -~]{0,12}",
        id in "[ -~]{0,80}",
    ) {
        let mut any_header = chunk(b"1 read\n2 write\n");
        any_header.header = Some(line);
        let mut well_formed = header(&format);
        well_formed.dataset = Some(dataset);
        well_formed.container.id = id;
        let mut transformer = transformer("rocha");
        for chunk in [any_header, chunk_with_header(&well_formed, b"1 read\n2 write\n")] {
            let output = transformer.transform(&chunk);
            check(&output);
            prop_assert!(output.dead_letters.iter().all(|letter| !letter.reason.is_empty()));
        }
    }

    /// Calls with a line of their own each: what a line becomes depends on that line alone.
    #[test]
    fn no_line_alters_the_event_of_another(lines in proptest::collection::vec(exit_line(), 0..20)) {
        let mut transformer = transformer("rastro");
        let mut alone = Vec::new();
        for line in &lines {
            let output = transformer.transform(&chunk(line));
            // A text that holds a line break would be two lines of two events, and both would be seen here.
            prop_assert_eq!(output.tally.lines_read, 1);
            alone.extend(calls(&[output]));
        }
        let together = transformer.transform(&chunk(&lines.concat()));
        check(&together);
        prop_assert_eq!(calls(&[together]), alone);
    }

    #[test]
    fn where_a_recording_is_cut_makes_no_difference(
        (with_threads, steps) in (any::<bool>(), proptest::collection::vec(step(), 0..120)),
        cuts in proptest::collection::vec(0_usize..160, 0..8),
    ) {
        let lines = recording(&steps, with_threads);
        let mut cuts = cuts;
        cuts.sort_unstable();
        let mut transformer = transformer("%evt.rawtime %thread.tid %evt.dir %evt.type %evt.rawres %evt.args");
        let mut take = |cuts: &[usize]| -> Vec<ChunkOutput> {
            chain(&lines, cuts).iter().map(|chunk| transformer.transform(chunk)).collect()
        };
        let (whole, parts) = (take(&[]), take(&cuts));
        whole.iter().chain(&parts).for_each(check);
        prop_assert_eq!(calls(&whole), calls(&parts));
        prop_assert_eq!(settled(&whole), settled(&parts));
    }
}

/// A line in the default format with texts that try to be something else.
fn exit_line() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof!["[ -~]{1,15}", Just("1 2 < file read".to_owned()), Just("<NA>".to_owned())];
    let arguments = prop_oneof![
        "[ -~]{0,40}",
        Just("name=x 12 2022-03-31T18:13:16.977633722+0000 < process execve 0 0  res=0 ".to_owned()),
        Just("data=.71 70 x 3 2022-03-31T18:13:16.000001002+0000 > file openat 0 0 ".to_owned()),
    ];
    let line = (0_u32..5, name, any::<u32>(), -5_i64..5, arguments).prop_map(
        |(thread, name, time, result, arguments)| {
            format!(
                "{thread} 70 {name} 9 2022-03-31T18:13:16.{:09}+0000 < file read 7 {result}  {arguments}\n",
                time % 1_000_000_000
            )
            .into_bytes()
        },
    );
    prop_oneof![6 => line, 1 => "[ -~]{0,30}".prop_map(|text| format!("{text}\n").into_bytes())]
}

type Call = (String, Option<i64>, i64, Option<i64>, u16, u32, bool);

/// The sequence of calls: name, thread, time, result, arguments, whether it is an enter.
fn calls(outputs: &[ChunkOutput]) -> Vec<Call> {
    let segments = outputs.iter().flat_map(|output| &output.segments);
    segments
        .flat_map(|segment| {
            let calls = &segment.calls;
            (0..calls.len()).map(|call| {
                (
                    calls.name(call).to_owned(),
                    calls.threads[calls.thread[call] as usize].id,
                    calls.time_ns[call],
                    calls.result_of(call),
                    calls.argc[call],
                    calls.args_length[call],
                    calls.flags[call] & flag::ENTER != 0,
                )
            })
        })
        .collect()
}

/// What a thread does next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Enter(usize),
    /// Returns from the call that it is in.
    Return,
    /// An exit whose enter was lost.
    StrayExit,
    /// Ends or returns from a signal, without an exit event.
    NeverReturn(usize),
    Switch,
}

fn step() -> impl Strategy<Value = (i64, Step)> {
    let step = prop_oneof![
        5 => (0_usize..3).prop_map(Step::Enter),
        5 => Just(Step::Return),
        1 => Just(Step::StrayExit),
        1 => (0_usize..2).prop_map(Step::NeverReturn),
        1 => Just(Step::Switch),
    ];
    (1_i64..5, step)
}

/// Lines of threads that do these steps, one nanosecond apart.
fn recording(steps: &[(i64, Step)], with_threads: bool) -> Vec<Vec<u8>> {
    const NAMES: [&str; 3] = ["read", "futex", "execve"];
    let mut inside = [None; 5];
    let mut lines = Vec::new();
    for (time, &(thread, step)) in (1_000_000_000_000_000_000_u64..).zip(steps) {
        let state = &mut inside[thread as usize];
        let (direction, name) = match step {
            Step::Enter(name) => {
                *state = Some(name);
                ('>', NAMES[name])
            }
            Step::Return => match state.take() {
                Some(name) => ('<', NAMES[name]),
                None => continue,
            },
            Step::StrayExit => ('<', "clone"),
            Step::NeverReturn(name) => {
                *state = None;
                ('>', ["exit", "rt_sigreturn"][name])
            }
            Step::Switch => ('>', "switch"),
        };
        let result = if direction == '<' { (thread - 2).to_string() } else { "<NA>".to_owned() };
        let thread = if with_threads { thread.to_string() } else { "<NA>".to_owned() };
        lines.push(format!("{time} {thread} {direction} {name} {result} res={result} \n").into_bytes());
    }
    lines
}
