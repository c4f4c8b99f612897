//! What no container can do, over any bytes that it may choose.

use proptest::prelude::*;
use rastro_format::{DayBase, Format, PRESETS};
use rastro_model::{Category, Direction, Event, syscall};

/// An event whose texts are owned.
#[derive(Debug, Clone)]
struct Owned {
    numbers: (Option<u64>, i64, u32, Option<u64>, Option<i64>),
    thread: i64,
    user: Option<u32>,
    direction: Direction,
    category: Category,
    name: String,
    process_name: Vec<u8>,
    arguments: Vec<u8>,
    container: Option<String>,
}

impl Owned {
    fn event(&self) -> Event<'_> {
        let (number, time_ns, cpu, latency_ns, result) = self.numbers;
        Event {
            number,
            time_ns: Some(time_ns),
            cpu: Some(cpu),
            direction: self.direction,
            category: self.category,
            name: self.name.as_bytes(),
            latency_ns,
            result,
            arguments: &self.arguments,
            thread: Some(self.thread),
            process: Some(self.thread),
            process_name: Some(&self.process_name),
            user: self.user,
            container_id: self.container.as_deref().map(str::as_bytes),
            container_name: self.container.as_deref().map(str::as_bytes),
            container_image: None,
        }
    }

    /// The event as far as the format can carry it.
    fn as_carried_by(&self, preset: &str) -> Event<'_> {
        let event = self.event();
        match preset {
            "rocha" | "sysdig-basic" => Event {
                cpu: None,
                thread: None,
                process: None,
                process_name: None,
                user: None,
                container_id: None,
                container_name: None,
                ..event
            },
            "rastro" => Event { cpu: None, user: None, container_id: None, container_name: None, ..event },
            "sysdig-rich" => event,
            "lidds-2019" => Event {
                // The recordings of the property lie on the day that reading starts from.
                category: Category::Unknown,
                latency_ns: None,
                result: None,
                process: None,
                container_id: None,
                container_name: None,
                ..event
            },
            "sysdig-default" => Event {
                category: Category::Unknown,
                latency_ns: None,
                result: None,
                process: None,
                user: None,
                container_id: None,
                container_name: None,
                ..event
            },
            "sysdig-container" => Event {
                category: Category::Unknown,
                latency_ns: None,
                result: None,
                process: None,
                user: None,
                ..event
            },
            "lidds-2021" => Event {
                number: None,
                cpu: None,
                category: Category::Unknown,
                latency_ns: None,
                result: None,
                container_id: None,
                container_name: None,
                ..event
            },
            other => panic!("{other}"),
        }
    }
}

/// Names of calls: short ones first, as they leave a process name the most room.
fn call() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "dup",
            "brk",
            "bpf",
            "open",
            "read",
            "<unknown>",
            "switch",
            "rt_sigprocmask"
        ])
        .prop_map(str::to_owned),
        (0_u32..335).prop_filter_map("a number without a call", |number| {
            syscall::name(syscall::Architecture::X86_64, number).map(str::to_owned)
        }),
    ]
}

/// Printable names, many of them made of what stands behind a name in a line: a name, then fields in the order of a format,
/// then perhaps the beginning of arguments.
fn process_name() -> impl Strategy<Value = Vec<u8>> {
    let start = prop::sample::select(vec!["", "a", "sh", " ", "a "]);
    let fields = prop::sample::select(vec![
        " 7 < dup",
        " 7 < dup x=",
        " 7 dup <",
        " 7 dup < x=",
        " 7 <",
        " (7) < dup",
        " (7) < dup x=",
        " (7:1) < dup",
        " 0 < net dup 0",
        " 0 < net dup",
        " < net dup 0 0",
        " net dup 0 0",
        " dup 0 0",
        " 1",
        " <NA>",
        " 1 <NA> < net",
        " 7",
        " 00:00:01.5",
    ]);
    let piece = prop::sample::select(vec![
        " ", " ", "(", ")", "0", "7", "<", ">", "<NA>", "net", "dup", "a", "x=", "-1",
    ]);
    prop_oneof![
        "[ -~]{0,15}".prop_map(String::into_bytes),
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat().into_bytes()),
        (start, fields).prop_map(|(start, fields)| format!("{start}{fields}").into_bytes()),
    ]
    .prop_map(|mut name| {
        name.truncate(15);
        name
    })
    .prop_filter("how sysdig prints that there is no name", |name| name != b"<NA>")
}

/// Arguments as sysdig prints them: `name=`, then whatever a container likes. Many look like the middle of a line.
fn arguments() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        " ",
        " ",
        "0",
        "7",
        "<",
        ">",
        "net",
        "dup",
        "x=1",
        "fd=3(<f>/a",
        "<NA>",
        "2022-03-31T18:13:16.977633722+0000",
        "7 < net dup 0 0  x=1",
        "7 < dup x=1",
        "7 dup < x=1",
        " 1 2022-03-31T18:13:16.977633722+0000 < net dup 0 0  x=1",
    ]);
    prop_oneof![
        Just(Vec::new()),
        ("[a-z_]{1,8}=", "[ -~]{0,40}").prop_map(|(name, value)| format!("{name}{value}").into_bytes()),
        (prop::sample::select(vec!["res=", "fd=", "data=", "a="]), prop::collection::vec(piece, 0..12))
            .prop_map(|(name, pieces)| format!("{name}{}", pieces.concat()).into_bytes()),
    ]
}

fn event() -> impl Strategy<Value = Owned> {
    let numbers = (
        prop::option::of(any::<u64>()),
        0_i64..86_400_000_000_000,
        0_u32..1024,
        prop::option::of(any::<u64>()),
        prop::option::of(prop_oneof![-200_i64..200, any::<i64>()]),
    );
    let words = (call(), process_name(), arguments(), prop::option::of("[0-9a-f]{12}"));
    let user = prop::option::of(prop_oneof![0_u32..10, Just(u32::MAX)]);
    (numbers, 1_i64..100_000, user, any::<bool>(), 0_u8..17, words).prop_map(
        |(numbers, thread, user, enters, category, (name, process_name, arguments, container))| Owned {
            numbers,
            thread,
            user,
            direction: if enters { Direction::Enter } else { Direction::Exit },
            category: Category::from_number(category).unwrap(),
            name,
            process_name,
            arguments,
            container,
        },
    )
}

/// The condition under which the proof (module `ambiguity`) holds for the formats of LID-DS. Every line that sysdig prints for
/// a thread id of three digits or more satisfies it.
fn leaves_no_room(event: &Owned) -> bool {
    let first_argument = event.arguments.iter().take_while(|&&byte| byte != b' ').count();
    let thread = event.thread.to_string().len();
    event.process_name.len() + thread + event.name.len() + first_argument > 10
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn true_fields_come_back_whatever_a_container_calls_itself_and_passes(event in event()) {
        for (preset, _) in PRESETS {
            let needs_room = ["lidds-2019", "lidds-2021", "sysdig-default", "sysdig-container"];
            if needs_room.contains(&preset) && !leaves_no_room(&event) {
                continue;
            }
            let format = Format::named(preset).unwrap();
            let mut line = Vec::new();
            format.write_line(&event.event(), &mut line);
            prop_assert_eq!(line.pop(), Some(b'\n'));
            let read = format.parse_line(&line, DayBase::default());
            prop_assert_eq!(read, Ok(event.as_carried_by(preset)), "{}: {}", preset, line.escape_ascii());
        }
    }

    #[test]
    fn in_the_default_format_not_even_arguments_without_names_shift_a_field(
        event in event(),
        arguments in "([!-~][ -~]{0,60})?",
    ) {
        let event = Owned { arguments: arguments.into_bytes(), ..event };
        let format = Format::named("rastro").unwrap();
        let mut line = Vec::new();
        format.write_line(&event.event(), &mut line);
        line.pop();
        prop_assert_eq!(format.parse_line(&line, DayBase::default()), Ok(event.as_carried_by("rastro")));
    }

    #[test]
    fn an_event_is_one_line_and_its_neighbours_are_unharmed_whatever_its_texts_hold(
        name in prop::collection::vec(any::<u8>(), 0..80),
        process_name in prop::collection::vec(any::<u8>(), 0..40),
        arguments in prop::collection::vec(any::<u8>(), 0..80),
        container in prop::collection::vec(any::<u8>(), 0..20),
        neighbour in event(),
    ) {
        let hostile = Event {
            name: &name,
            process_name: Some(&process_name),
            arguments: &arguments,
            container_id: Some(&container),
            container_image: Some(&container),
            result: Some(-1),
            ..neighbour.event()
        };
        for (preset, _) in PRESETS {
            let format = Format::named(preset).unwrap();
            let mut text = Vec::new();
            format.write_line(&neighbour.event(), &mut text);
            let before = text.len();
            format.write_line(&hostile, &mut text);
            let behind = text.len();
            format.write_line(&neighbour.event(), &mut text);
            prop_assert_eq!(memchr::memchr_iter(b'\n', &text).count(), 3);
            prop_assert!(text.iter().all(|&byte| byte == b'\n' || (0x20..0x7f).contains(&byte)));
            prop_assert_eq!(&text[..before], &text[behind..]);
            let line = &text[before..behind - 1];
            if preset == "rocha" || preset == "rastro" {
                let read = format.parse_line(line, DayBase::default()).unwrap();
                prop_assert_eq!((read.number, read.time_ns, read.result), (hostile.number, hostile.time_ns, Some(-1)));
                prop_assert_eq!(read.direction, hostile.direction);
                // Written again it is the same line: what was to be changed was changed the first time.
                let mut again = Vec::new();
                format.write_line(&read, &mut again);
                prop_assert_eq!(&again[..again.len() - 1], line);
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
        for (preset, _) in PRESETS {
            let format = Format::named(preset).unwrap();
            if let Err(error) = format.parse_line(&line, DayBase::default()) {
                prop_assert!(error.reason(&line).len() < 300);
            }
            format.container_of(&line);
        }
        Format::detect(&[&line]);
    }

    #[test]
    fn lines_damaged_anywhere_make_no_reader_panic(
        event in event(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        for (preset, _) in PRESETS {
            let format = Format::named(preset).unwrap();
            let mut line = Vec::new();
            format.write_line(&event.event(), &mut line);
            let place = at.index(line.len());
            line[place] = byte;
            for line in [&line[..], &line[..cut.index(line.len())]] {
                if let Err(error) = format.parse_line(line, DayBase(i64::MAX)) {
                    error.reason(line);
                }
                format.container_of(line);
            }
        }
    }

    #[test]
    fn no_text_makes_the_compiler_of_formats_panic(text in "\\PC{0,60}", fields in prop::collection::vec("%[a-z.\\[\\]]{0,12} ?", 0..6)) {
        let _ = Format::parse(&text);
        if let Ok(format) = Format::parse(&fields.concat()) {
            prop_assert_eq!(format.text(), fields.concat());
        }
    }
}
