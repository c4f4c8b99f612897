//! Logs with a file of labels: `recordings.tsv` says of each what it is for.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rastro_analyzer::evaluation::Part;

use super::{Labelled, Layout, Since, Unit, recordings_below};

/// Columns separated by tabs, named in the first line: `recording` (a file's name without endings, here or in `recordings/`), `part` (training,
/// validation or test), `kind` (`normal` or the kind of attack) and, if there is one, `first_attack_event` (its number).
pub(super) fn listed(folder: &Path) -> anyhow::Result<Option<Layout>> {
    let list = folder.join("recordings.tsv");
    if !list.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&list).with_context(|| format!("cannot read `{}`", list.display()))?;
    let mut lines = (1..).zip(text.lines());
    let names: Vec<&str> = lines.next().map(|(_, line)| line.split('\t').collect()).unwrap_or_default();
    let column = |name: &str| names.iter().position(|known| *known == name);
    let (Some(recording), Some(part), Some(kind)) = (column("recording"), column("part"), column("kind"))
    else {
        bail!(
            "`{}` line 1: expected the columns recording, part and kind, separated by tabs",
            list.display()
        );
    };
    let since = column("first_attack_event");
    let known = recordings_below(folder)?;
    let mut files = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let fields: Vec<&str> = line.split('\t').collect();
        let field = |place: usize| fields.get(place).copied().unwrap_or_default().trim();
        let path = find(&known, field(recording)).with_context(|| {
            format!(
                "`{}` line {number}: there is no recording `{}` in `{}`",
                list.display(),
                field(recording),
                folder.display()
            )
        })?;
        let is_normal = field(kind) == "normal";
        let part = match (field(part), is_normal) {
            (_, false) if !field(kind).is_empty() => Part::Attack,
            ("training", true) => Part::Train,
            ("validation", true) => Part::Calibrate,
            ("test", true) => Part::Normal,
            _ => bail!(
                "`{}` line {number}: expected training, validation or test as part, and `normal` or the kind of attack as kind",
                list.display()
            ),
        };
        let since = since.and_then(|since| field(since).parse().ok()).map(Since::Event);
        files.push(Labelled {
            kind: (!is_normal).then(|| field(kind).to_owned()),
            since: since.filter(|_| !is_normal),
            ..Labelled::new(path.clone(), part)
        });
    }
    Ok(Some(Layout { what: "logs with a list (recordings.tsv)".to_owned(), unit: Unit::Recording, files }))
}

/// The recording with this name, whatever its endings.
fn find<'p>(known: &'p [PathBuf], name: &str) -> Option<&'p PathBuf> {
    known.iter().find(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        !name.is_empty()
            && file.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{folder, named},
        *,
    };

    #[test]
    fn a_list_says_what_each_log_is_for() {
        let list = "recording\tpart\tkind\tevents\tfirst_attack_event\nw1\ttraining\tnormal\t9\t\nw10\ttest\tnormal\t9\t\n\
                    w2\tvalidation\tnormal\t9\t\nw3\ttest\trecon\t9\t6\n";
        let made = folder(&[
            ("recordings.tsv", list),
            ("recordings/w1.log.gz", ""),
            ("recordings/w1.threads.tsv.gz", ""),
            ("recordings/w10.log", ""),
            ("recordings/w2.log", ""),
            ("recordings/w3.log", ""),
        ]);
        let layout = listed(made.path()).unwrap().unwrap();
        let found = named(&layout, made.path());
        assert_eq!(found[0], ("recordings/w1.log.gz".to_owned(), Part::Train, None));
        assert_eq!(found[1].1, Part::Normal);
        assert_eq!(found[2].1, Part::Calibrate);
        assert_eq!((found[3].1, found[3].2.as_deref()), (Part::Attack, Some("recon")));
        assert_eq!(layout.files[3].since, Some(Since::Event(6)));
    }

    #[test]
    fn a_fault_of_the_list_is_named_with_its_line() {
        let error = |list: &str| {
            listed(folder(&[("recordings.tsv", list), ("a.log", "")]).path()).unwrap_err().to_string()
        };
        assert!(error("").contains("line 1: expected the columns"));
        assert!(
            error("recording\tpart\tkind\nb\ttest\tnormal\n").contains("line 2: there is no recording `b`")
        );
        assert!(error("recording\tpart\tkind\na\tlater\tnormal\n").contains("line 2: expected training"));
        assert!(error("recording\tpart\tkind\na\ttest\t\n").contains("line 2: expected training"));
    }
}
