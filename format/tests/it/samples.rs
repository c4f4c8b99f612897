//! Single lines: those of the specification, and the oddities that recordings hold.

use rastro_format::{DEFAULT, DayBase, Field, Format, LineErrorKind, arguments};
use rastro_model::{Category, Direction, Event};

const FIRST: &str = "1611 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 ";
const SECOND: &str = "3334 2022-03-31T18:13:17.231143686+0000 < IPC futex 0 -110  res=-110(ETIMEDOUT) ";

fn parse<'line>(format: &str, line: &'line str) -> Event<'line> {
    let format = Format::named(format).unwrap_or_else(|| Format::parse(format).unwrap());
    match format.parse_line(line.as_bytes(), DayBase::default()) {
        Ok(event) => event,
        Err(error) => panic!("{}: {line}", error.reason(line.as_bytes())),
    }
}

fn reason(format: &str, line: &str) -> String {
    let format = Format::named(format).unwrap_or_else(|| Format::parse(format).unwrap());
    match format.parse_line(line.as_bytes(), DayBase::default()) {
        Ok(event) => panic!("an event: {event:?}"),
        Err(error) => error.reason(line.as_bytes()),
    }
}

#[test]
fn t_1_2_the_sample_lines_are_read_and_written_byte_for_byte() {
    let event = parse("rocha", FIRST);
    assert_eq!(
        event,
        Event {
            number: Some(1611),
            time_ns: Some(1_648_750_396_977_633_722),
            direction: Direction::Exit,
            category: Category::Wait,
            name: b"select",
            latency_ns: Some(0),
            result: Some(0),
            arguments: b"res=0 ",
            ..Event::EMPTY
        }
    );
    assert_eq!(arguments::count(event.arguments), 1);
    assert_eq!(arguments::length(event.arguments), 7);
    assert_eq!(arguments::argv(event.arguments, 80).collect::<Vec<_>>(), ["res="]);
    let event = parse("rocha", SECOND);
    assert_eq!((event.category, event.result), (Category::Ipc, Some(-110)));
    let format = Format::named("rocha").unwrap();
    for line in [FIRST, SECOND] {
        let mut written = Vec::new();
        format.write_line(&parse("rocha", line), &mut written);
        assert_eq!(String::from_utf8(written).unwrap(), format!("{line}\n"));
    }
}

#[test]
fn one_blank_or_two_before_the_arguments_are_the_same() {
    let one = FIRST.replace("  res", " res");
    for format in ["rocha", "sysdig-basic"] {
        assert_eq!(parse(format, &one), parse(format, FIRST));
    }
}

#[test]
fn a_format_of_the_call_alone_works() {
    assert_eq!(parse("%evt.type", "read"), Event { name: b"read", ..Event::EMPTY });
    assert_eq!(parse("%evt.type", "42").name, b"42");
    assert_eq!(parse("*%evt.type ", "<unknown> ").name, b"<unknown>");
    assert_eq!(reason("%evt.type", "a b"), "field 1 evt.type: more text behind it than the format declares");
}

#[test]
fn unknown_values_are_none() {
    let event = parse("rocha", "7 2022-03-31T18:13:16.977633722+0000 > file read <NA> <NA>  ");
    assert_eq!((event.latency_ns, event.result, event.arguments), (None, None, b"".as_slice()));
    let event = parse("rastro", "<NA> -1 <NA> <NA> <NA> > scheduler switch 0 <NA>  next=1(a) ");
    assert_eq!((event.thread, event.process, event.process_name), (None, Some(-1), None));
    assert_eq!((event.number, event.time_ns), (None, None));
    let rich = "3 2019-07-09T22:31:10.509982263+0000 3 <NA> <NA> <NA> <NA> 0 <NA> <NA> > scheduler switch 0 <NA> next=1 ";
    let event = parse("sysdig-rich", rich);
    assert_eq!((event.container_id, event.user, event.thread), (None, None, Some(0)));
}

#[test]
fn numbers_are_read_to_their_limits() {
    let line = "18446744073709551615 2022-03-31T18:13:16.977633722+0000 < memory mmap 18446744073709551615 140707378274304 ";
    let event = parse("sysdig-basic", line);
    assert_eq!((event.number, event.latency_ns), (Some(u64::MAX), Some(u64::MAX)));
    assert_eq!(event.result, Some(140_707_378_274_304));
    let user = |uid: &str| parse("%user.uid %evt.type", &format!("{uid} read")).user;
    assert_eq!((user("4294967295"), user("-1"), user("<NA>")), (Some(u32::MAX), Some(u32::MAX), None));
    assert_eq!(
        reason("%user.uid %evt.type", "4294967296 read"),
        "field 1 user.uid: `4294967296` is not a number"
    );
}

#[test]
fn fields_that_a_cut_line_lacks_are_none_but_its_call_is_needed() {
    let event = parse("rocha", "1611 2022-03-31T18:13:16.977633722+0000 < wait select");
    assert_eq!((event.name, event.latency_ns), (b"select".as_slice(), None));
    assert_eq!(
        reason("rocha", "1611 2022-03-31T18:13:16.977633722+0000 < wait"),
        "field 5 evt.type: the line ends before it"
    );
}

#[test]
fn a_reason_names_field_and_excerpt() {
    let cases = [
        ("rocha", "", "blank line"),
        ("rocha", "   ", "blank line"),
        ("rocha", "x 2022", "field 1 evt.num: `x` is not a number"),
        ("rocha", "1 2022-03-31", "field 2 evt.time.iso8601: `2022-03-31` is not a time"),
        (
            "rocha",
            "1 2022-03-31T18:13:16Z ? wait select 0 0 ",
            "field 3 evt.dir: `?` is not a direction (`<` or `>`)",
        ),
        ("rocha", "1 2022-03-31T18:13:16Z < 7 select 0 0 ", "field 4 evt.category: `7` is not a category"),
        (
            "rocha",
            "1 2022-03-31T18:13:16Z < net a=b 0 0 ",
            "field 5 evt.type: `a=b` is not a name of an event type",
        ),
        ("rocha", "1 2022-03-31T18:13:16Z < net a 0 abc ", "field 7 evt.rawres: `abc` is not a number"),
        (
            "rocha",
            "1 2022-03-31T18:13:16Z < net a\x07 0 abc ",
            "field 5 evt.type: `a\\x07` is not a name of an event type",
        ),
        ("rastro", "1 1 sh 1 yesterday < net a 0 0 ", "field 5 evt.time.iso8601: `yesterday` is not a time"),
        ("rastro", "1 1 sh", "field 4 evt.num: the line ends before it"),
    ];
    for (format, line, expected) in cases {
        assert_eq!(reason(format, line), expected, "{line}");
    }
    let long = format!("{} 1", "x".repeat(500));
    assert!(reason("rocha", &long).len() < 100);
}

#[test]
fn literal_text_between_fields_is_followed() {
    let format = "*%evt.num %evt.outputtime %evt.cpu %proc.name (%thread.tid) %evt.dir %evt.type %evt.info";
    let event = parse(format, "2 19:29:45.000000001 0 my shell (77) > read fd=3 size=8 ");
    assert_eq!((event.thread, event.process_name), (Some(77), Some(b"my shell".as_slice())));
    assert_eq!((event.time_ns, event.arguments), (Some(70_185_000_000_001), b"fd=3 size=8 ".as_slice()));
    let event = parse("[%evt.type|%container.id]", "[read|0123456789ab] ");
    assert_eq!(event.container_id, Some(b"0123456789ab".as_slice()));
    let wrong = reason("[%evt.type|%container.id]", "[read/0123456789ab]");
    assert!(wrong.starts_with("field 1 evt.type"), "{wrong}");
}

#[test]
fn several_fields_of_one_meaning_are_read_once() {
    let event =
        parse("%evt.rawtime.s %evt.rawtime.ns %evt.latency.s %evt.latency.ns %evt.type", "5 7 1 2 read");
    assert_eq!((event.time_ns, event.latency_ns), (Some(5_000_000_007), Some(1_000_000_002)));
    let event = parse("%evt.rawtime.ns %evt.rawtime.s %evt.type", "7 5 read");
    assert_eq!(event.time_ns, Some(5_000_000_007));
    let event = parse(
        "%thread.vtid %thread.tid %syscall.type %evt.type %evt.time %evt.rawtime",
        "1 2 a b 00:00:01 9",
    );
    assert_eq!((event.thread, event.name, event.time_ns), (Some(2), b"b".as_slice(), Some(9)));
    let result = |text: &str| parse("%evt.type %evt.res", &format!("read {text}")).result;
    assert_eq!((result("SUCCESS"), result("ENOENT"), result("<NA>")), (Some(0), Some(-2), None));
    assert_eq!(parse("%evt.res %evt.rawres %evt.type", "SUCCESS 7 read").result, Some(7));
}

#[test]
fn text_that_nobody_reads_is_skipped() {
    let event = parse("%k8s.pod.name %proc.ppid %evt.type %evt.arg.path", "web-1 7 open /a b c");
    assert_eq!((event.name, event.arguments), (b"open".as_slice(), b"".as_slice()));
}

#[test]
fn a_container_is_found_without_reading_the_line() {
    let rich = Format::named("sysdig-rich").unwrap();
    let line = b"23 2017-09-23T00:44:29.900617765+0000 1 59fd49aa4072 a b garbage";
    assert_eq!(rich.container_of(line), Some(b"59fd49aa4072".as_slice()));
    assert_eq!(rich.container_of(b"23 2017-09-23T00:44:29.900617765+0000 1 <NA> <NA> <NA> "), None);
    assert_eq!(rich.container_of(b" "), None);
    assert_eq!(Format::named("rocha").unwrap().container_of(FIRST.as_bytes()), None);
    let behind = Format::parse("%proc.name %thread.tid %container.id %evt.type").unwrap();
    assert_eq!(behind.container_of(b"my sh 7 0123456789ab read"), Some(b"0123456789ab".as_slice()));
}

#[test]
fn a_format_tells_what_it_holds() {
    let format = |name: &str| Format::named(name).unwrap();
    assert!(format("sysdig-rich").has_container() && !format("rocha").has_container());
    assert!(format("rastro").has_thread() && !format("rocha").has_thread());
    assert!(format("lidds-2019").is_time_of_day() && !format("lidds-2021").is_time_of_day());
    assert!(format("lidds-2019").has(Field::Arguments) && !format("lidds-2019").has(Field::Result));
    assert_eq!(Format::parse(DEFAULT).unwrap(), format("rastro"));
}

#[test]
fn lines_cut_by_a_carriage_return_or_other_control_bytes_are_read_as_bytes() {
    let format = Format::named("rocha").unwrap();
    let line = b"1 2022-03-31T18:13:16.977633722+0000 < net send 0 1  data=a\x00\x1b[2J\xff\r ";
    let event = format.parse_line(line, DayBase::default()).unwrap();
    assert_eq!(event.arguments, b"data=a\x00\x1b[2J\xff\r ");
    let mut written = Vec::new();
    format.write_line(&event, &mut written);
    assert!(written.ends_with(b"data=a..[2J.. \n"));
    let error = Format::parse("%evt.type").unwrap().parse_line(b"read\r", DayBase::default()).unwrap_err();
    assert_eq!(error.kind(), LineErrorKind::Name);
}

/// What a process can try with `prctl(PR_SET_NAME)`: each name completes a forged line of its format.
#[test]
fn a_name_that_looks_like_the_fields_behind_it_stays_a_name() {
    let cases = [
        ("lidds-2019", "1 00:00:01.5 0 0 ", "a 7 < dup", " 4242 > open fd=3(<f>/x) ", 4242),
        ("lidds-2019", "1 00:00:01.5 0 0 ", "a 7 < dup x=1", " 4242 > open fd=3(<f>/x) ", 4242),
        ("lidds-2019", "1 00:00:01.5 0 0 ", "a 7 <", " 4242 > open fd=3(<f>/x) ", 4242),
        ("lidds-2021", "5 0 4242 ", "a 7 dup < x=1", " 4242 open > fd=3(<f>/x) ", 4242),
        ("lidds-2021", "5 0 4242 ", "a 7 dup <", " 4242 open > fd=3(<f>/x) ", 4242),
        ("sysdig-default", "1 00:00:01.5 0 ", "a (7) < dup", " (4242) > open fd=3(<f>/x) ", 4242),
        (
            "sysdig-default",
            "1 00:00:01.5 0 ",
            "a (7) < dup x=1",
            " (4242) > open fd=3(<f>/x) (7) < dup ",
            4242,
        ),
        (
            "sysdig-container",
            "1 00:00:01.5 0 web (0123456789ab) ",
            "a (7:7) < dup",
            " (4242:1) > open fd=3(<f>/x) ",
            4242,
        ),
        (
            "sysdig-rich",
            "1 2022-03-31T18:13:16Z 0 x y z 1 4242 ",
            " 0 < net dup 0",
            " 5 > file open 0 <NA> < net x 0 0 ",
            4242,
        ),
        (
            "sysdig-rich",
            "1 2022-03-31T18:13:16Z 0 x y z 1 4242 ",
            "a 0 < net dup 0",
            " 5 > file open 0 0 fd=3 ",
            4242,
        ),
        (
            "rastro",
            "4242 1 ",
            "a 7",
            " 9 2022-03-31T18:13:16Z > file open 0 0  fd=3 9 2022-03-31T18:13:16Z < net x 0 0 ",
            4242,
        ),
        ("rastro", "4242 1 ", "  ", " 9 2022-03-31T18:13:16Z > file open 0 0  ", 4242),
    ];
    for (format, before, name, behind, thread) in cases {
        let line = format!("{before}{name}{behind}");
        let event = parse(format, &line);
        assert_eq!(event.process_name, Some(name.as_bytes()), "{line}");
        assert_eq!((event.thread, event.name), (Some(thread), b"open".as_slice()), "{line}");
        assert_eq!(event.direction, Direction::Enter, "{line}");
    }
}

#[test]
fn beside_a_process_name_a_number_is_no_call() {
    let wrong = reason("rastro", "1 1 sh 1 2022-03-31T18:13:16Z < net 42 0 0 ");
    assert_eq!(wrong, "field 8 evt.type: `42` is not a name of an event type");
    let wrong = reason("sysdig-rich", "1 2022-03-31T18:13:16Z 0 x y z 1 2 sh 0 <NA> net read 0 0 ");
    assert_eq!(wrong, "field 11 evt.dir: `<NA>` is not a direction (`<` or `>`)");
}

#[test]
fn fields_may_be_parted_by_other_marks_than_blanks() {
    let format = Format::parse(
        "*%evt.num,%evt.time.iso8601,%evt.dir,%evt.category,%evt.type,%evt.latency,%evt.rawres,%evt.args",
    )
    .unwrap();
    let line = b"4,2019-07-09T22:31:10.509983997+0000,<,wait,pselect6,7,<NA>,res=1, 2 ";
    let event = format.parse_line(line, DayBase::default()).unwrap();
    assert_eq!(
        (event.category, event.name, event.latency_ns),
        (Category::Wait, b"pselect6".as_slice(), Some(7))
    );
    assert_eq!((event.result, event.arguments), (None, b"res=1, 2 ".as_slice()));
}
