//! Format strings: what is accepted, and what an error says.

use rastro_format::{Format, FormatError, PRESETS};

fn error(format: &str) -> String {
    Format::parse(format).unwrap_err().to_string()
}

#[test]
fn formats_of_sysdigs_own_manuals_are_accepted() {
    for format in [
        "%evt.type",
        "*%evt.num %evt.outputtime %evt.cpu %proc.name (%thread.tid) %evt.dir %evt.type %evt.info",
        "%evt.num %evt.time %evt.cpu %proc.name %proc.pid %evt.dir %evt.type %evt.args",
        "%evt.type %evt.args",
        "%evt.rawtime %evt.type %fd.name",
        "*%evt.datetime %container.name %k8s.pod.name %evt.type %evt.arg[0]",
        "%evt.num,%evt.type,%evt.rawres",
        "%proc.aname[2]",
    ] {
        let parsed = Format::parse(format);
        match parsed {
            Ok(parsed) => assert_eq!(parsed.text(), format),
            Err(error) => assert!(matches!(error, FormatError::NoName { .. }), "{format}: {error}"),
        }
    }
}

#[test]
fn an_error_says_where_and_what_to_do() {
    assert_eq!(error("%evt.tpye"), "format column 1: unknown field %evt.tpye: did you mean %evt.type?");
    assert_eq!(
        error("a %nosuch.thing"),
        "format column 3: unknown field %nosuch.thing: `sysdig -l` lists the fields"
    );
    assert_eq!(
        error("%evt.num %"),
        "format column 10: `%` without a field name behind it (for example %evt.type)"
    );
    assert_eq!(error("%evt.num"), "format `%evt.num` names no system call: add %evt.type");
    assert!(error("").contains("add %evt.type"));
    assert!(
        error("*%evt.type%evt.num").starts_with("format column 11: %evt.num follows the field before it")
    );
    assert_eq!(error("%evt.type %evt.type"), "format column 11: %evt.type stands twice");
    assert!(error("%evt.type\n").contains("format column 10: a control character"));
    assert!(error("%evt.type é").contains("format column 11"));
    assert!(error(&"%evt.type ".repeat(1000)).contains("10000 bytes"));
}

#[test]
fn an_unbounded_text_before_the_end_is_refused_by_name() {
    for field in [
        "evt.args",
        "evt.info",
        "proc.cmdline",
        "proc.exe",
        "fd.name",
        "evt.buffer",
        "evt.arg.path",
        "user.name",
    ] {
        let expected = format!(
            "format column 1: %{field} may hold any text, so nothing behind it could be told apart from it"
        );
        assert!(error(&format!("%{field} %evt.type")).starts_with(&expected), "{field}");
        assert!(Format::parse(&format!("%evt.type %{field}")).is_ok(), "{field}");
        assert!(error(&format!("%evt.type (%{field})")).contains("put it last"), "{field}");
    }
}

#[test]
fn no_format_string_makes_the_parser_panic() {
    for (_, text) in PRESETS {
        for end in 0..text.len() {
            let _ = Format::parse(&text[..end]);
            let _ = Format::parse(&text[end..]);
        }
    }
}
