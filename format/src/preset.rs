//! Formats by name, and recognising them.

use std::sync::LazyLock;

use crate::{
    DayBase, Format,
    declaration::Step,
    field::{Field, Target},
};

/// The format that Rastro's agent writes: Rocha's line behind thread, process and name of the process.
///
/// The name stands before a number and a whole time, so that no name and no argument can shift a field (see `ambiguity`);
/// the arguments stand last. It is a valid sysdig format.
pub const DEFAULT: &str = "*%thread.tid %proc.pid %proc.name %evt.num %evt.time.iso8601 %evt.dir %evt.category %evt.type \
                           %evt.latency %evt.rawres  %evt.args";

/// Names and format strings of the presets.
pub const PRESETS: [(&str, &str); 8] = [
    ("rastro", DEFAULT),
    // What Rocha's agent of 2022 was called with, and the star that it lacked.
    (
        "rocha",
        "*%evt.num %evt.time.iso8601 %evt.dir %evt.category %evt.type %evt.latency %evt.rawres  %evt.args",
    ),
    (
        "sysdig-basic",
        "*%evt.num %evt.time.iso8601 %evt.dir %evt.category %evt.type %evt.latency %evt.rawres %evt.args",
    ),
    (
        "sysdig-rich",
        "*%evt.num %evt.time.iso8601 %evt.cpu %container.id %container.name %container.image %proc.pid %thread.tid \
         %proc.name %user.uid %evt.dir %evt.category %evt.type %evt.latency %evt.rawres %evt.args",
    ),
    // What sysdig prints where nobody says what it should, and with `-pc`.
    (
        "sysdig-default",
        "*%evt.num %evt.outputtime %evt.cpu %proc.name (%thread.tid) %evt.dir %evt.type %evt.info",
    ),
    (
        "sysdig-container",
        "*%evt.num %evt.outputtime %evt.cpu %container.name (%container.id) %proc.name (%thread.tid:%thread.vtid) %evt.dir \
         %evt.type %evt.info",
    ),
    (
        "lidds-2019",
        "%evt.num %evt.time %evt.cpu %user.uid %proc.name %thread.tid %evt.dir %evt.type %evt.args",
    ),
    (
        "lidds-2021",
        "%evt.rawtime %user.uid %proc.pid %proc.name %thread.tid %syscall.type %evt.dir %evt.args",
    ),
];

static FORMATS: LazyLock<Vec<(&'static str, Format)>> = LazyLock::new(|| {
    PRESETS.iter().filter_map(|&(name, text)| Some((name, Format::parse(text).ok()?))).collect()
});

impl Format {
    /// The preset of that name: `rastro`, `rocha`, `sysdig-basic`, `sysdig-rich`, `sysdig-default`, `sysdig-container`,
    /// `lidds-2019` or `lidds-2021`.
    pub fn named(name: &str) -> Option<Self> {
        FORMATS.iter().find(|(preset, _)| *preset == name).map(|(_, format)| format.clone())
    }

    /// The preset that a recording is in, told by some of its lines: all of them that are not blank must be whole events of it.
    /// `None` if that is so for no preset, or there are no lines.
    ///
    /// `rocha` and `sysdig-basic` read each other's lines alike; which it is, is told by the blanks before the arguments.
    pub fn detect(sample: &[&[u8]]) -> Option<&'static str> {
        let lines: Vec<&[u8]> =
            sample.iter().copied().filter(|line| line.iter().any(|&byte| byte != b' ')).collect();
        if lines.is_empty() {
            return None;
        }
        let fitting: Vec<&(&str, Format)> =
            FORMATS.iter().filter(|(_, format)| lines.iter().all(|line| format.is_whole(line))).collect();
        match fitting.as_slice() {
            [(name, _)] => Some(name),
            several => {
                let twins = ["rocha", "sysdig-basic"];
                let are_twins = several.len() == 2 && several.iter().all(|(name, _)| twins.contains(name));
                let have_two_blanks =
                    || lines.iter().filter(|line| has_two_blanks(line)).count() * 2 > lines.len();
                are_twins.then(|| if have_two_blanks() { twins[0] } else { twins[1] })
            }
        }
    }

    /// Whether the line is an event of this format with every fixed field, of a category that is known.
    fn is_whole(&self, line: &[u8]) -> bool {
        let Ok(event) = self.parse_line(line, DayBase::default()) else { return false };
        let last_fixed =
            self.steps().iter().rev().find(|step| step.target != Target::Event(Field::Arguments));
        // Fields at the end of a line may be cut off; the last one then has no value, and `<NA>` has.
        let ends_with_last = |step: &Step| match step.target {
            Target::Event(Field::Result) => {
                event.result.is_some() || memchr::memmem::find(line, b" <NA>").is_some()
            }
            _ => true,
        };
        last_fixed.is_some_and(ends_with_last)
    }
}

/// Whether two blanks stand before the arguments, or at the end where there are none.
fn has_two_blanks(line: &[u8]) -> bool {
    let Some(format) = FORMATS.iter().find(|(name, _)| *name == "rocha") else { return false };
    let Ok(event) = format.1.parse_line(line, DayBase::default()) else { return false };
    line[..line.len() - event.arguments.len()].ends_with(b"  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_format() {
        for (name, text) in PRESETS {
            assert_eq!(Format::named(name).unwrap().text(), text);
        }
        assert_eq!(Format::named("no-such-format"), None);
    }

    #[test]
    fn lines_tell_their_format() {
        let detect =
            |lines: &[&str]| Format::detect(&lines.iter().map(|line| line.as_bytes()).collect::<Vec<_>>());
        let rocha = "1611 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 ";
        let basic = "1611 2022-03-31T18:13:16.977633722+0000 > wait select 0 <NA> ";
        let lidds_2019 = "10 00:10:46.675969994 6 999 mysqld 22467 < futex res=-110(ETIMEDOUT) ";
        let lidds_2021 = "1631209047761484608 0 3686302 apache2 3686302 open < fd=9(<f>/etc/group) ";
        let rich = "23 2017-09-23T00:44:29.900617765+0000 1 host host <NA> 842 843 curl 1000 < process clone 0 0 res=0 ";
        let default = "5 22:31:10.509983997 3 dockerd (1973) < pselect6 ";
        let idle = "3 22:31:10.509982263 3 <NA> (0) > switch next=1973(dockerd) pgft_maj=0 ";
        let seconds = "6 1562711470.509989243 0 runc:[1:CHILD] (1973) > read fd=4(<p>pipe:[1]) size=9 ";
        let container =
            "4 22:31:10.509983997 3 web-1.a_b (697956520d89) sh (1973:1) < read res=1 data=a (2) < read ";
        let nowhere = "3 22:31:10.509982263 3 <NA> (<NA>) <NA> (0:<NA>) > switch next=1973(dockerd) ";
        let rastro = "7 7 sh 1611 2022-03-31T18:13:16.977633722+0000 < wait select 0 0  res=0 ";
        assert_eq!(detect(&[rocha]), Some("rocha"));
        assert_eq!(detect(&[basic, " "]), Some("sysdig-basic"));
        assert_eq!(detect(&[lidds_2019]), Some("lidds-2019"));
        assert_eq!(detect(&[lidds_2021]), Some("lidds-2021"));
        assert_eq!(detect(&[rich]), Some("sysdig-rich"));
        assert_eq!(detect(&[rastro]), Some("rastro"));
        assert_eq!(detect(&[default, idle, seconds]), Some("sysdig-default"));
        assert_eq!(detect(&[container, nowhere]), Some("sysdig-container"));
        for nothing in [
            &[][..],
            &[""],
            &["read"],
            &["6 6 63 6 42"],
            &[rocha, "read"],
            &[rocha, rich],
            &[default, container],
            &[&rocha[..20]],
        ] {
            assert_eq!(detect(nothing), None, "{nothing:?}");
        }
    }
}
