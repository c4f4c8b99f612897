//! Folders of labelled recordings, as their authors lay them out: which file is for what.

mod adfa;
mod lid_ds;
mod listed;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use rastro_agent::RecordingKind;
use rastro_analyzer::evaluation::Part;

/// Files deeper than this below a folder that was named are not looked at.
const MAX_DEPTH: usize = 3;

/// What is judged as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// The calls of one thread.
    Trace,
    /// A recording, frame by frame as it would be live.
    Recording,
}

/// A file and what it is for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Labelled {
    pub(super) path: PathBuf,
    pub(super) part: Part,
    /// Kind of attack, where the layout tells it; else the recording may.
    pub(super) kind: Option<String>,
    /// Since when it is an attack, where the layout tells it; else the recording may.
    pub(super) since: Option<Since>,
    pub(super) form: Form,
}

/// Since when a recording is an attack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Since {
    /// So many seconds after its first call.
    Seconds(f64),
    /// From the event of this number on.
    Event(u64),
}

/// What a file is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Form {
    /// A recording of the kind given, or of the one that it is found to be.
    Recording(Option<RecordingKind>),
    /// Numbers of calls, all of one trace: ADFA-LD's own files.
    OneTrace,
}

/// A folder that was understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    /// What it is, for people.
    pub(super) what: String,
    pub(super) unit: Unit,
    pub(super) files: Vec<Labelled>,
}

impl Labelled {
    pub(super) fn new(path: PathBuf, part: Part) -> Self {
        Self { path, part, kind: None, since: None, form: Form::Recording(None) }
    }
}

impl Layout {
    /// What was found, in one sentence.
    pub(super) fn found(&self, folder: &Path) -> String {
        let count = |part: Part| self.files.iter().filter(|file| file.part == part).count();
        format!(
            "`{}` is {}: {} to train on, {} to set thresholds on, {} normal, {} attack",
            folder.display(),
            self.what,
            files(count(Part::Train)),
            count(Part::Calibrate),
            count(Part::Normal),
            count(Part::Attack)
        )
    }
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}

/// The layout of a folder; an error if it is none that is known.
pub(super) fn detect(folder: &Path) -> anyhow::Result<Layout> {
    let lines: fn(&Path) -> anyhow::Result<Option<Layout>> = |folder| Ok(adfa::lines(folder));
    for known in [adfa::folders, lines, lid_ds::split, lid_ds::runs, listed::listed] {
        if let Some(layout) = known(folder)? {
            if layout.files.is_empty() {
                bail!("`{}` is {}, but there is no recording in it", folder.display(), layout.what);
            }
            return Ok(layout);
        }
    }
    bail!(
        "`{}` is no layout that is known: ADFA-LD (Training_Data_Master, Validation_Data_Master, Attack_Data_Master, or training.txt, \
         validation.txt, attack.txt), LID-DS 2021 (training, validation, test), LID-DS 2019 (runs.csv) or a recordings.tsv with the columns \
         recording, part and kind; name its files with --train, --normal and --attack",
        folder.display()
    )
}

/// Every file below a folder that may be a recording, for one part. For attacks the folder right below tells the kind.
pub(super) fn all_below(folder: &Path, part: Part) -> anyhow::Result<Vec<Labelled>> {
    let mut labelled = Vec::new();
    for path in recordings_below(folder)? {
        let below = path.strip_prefix(folder).unwrap_or(&path);
        let kind = (below.components().count() > 1).then(|| below.components().next()).flatten();
        let kind = kind.map(|kind| kind_of_folder(&kind.as_os_str().to_string_lossy()));
        labelled.push(Labelled { kind: kind.filter(|_| part == Part::Attack), ..Labelled::new(path, part) });
    }
    if labelled.is_empty() {
        bail!("there is no recording in `{}`", folder.display());
    }
    Ok(labelled)
}

/// Files below a folder that may be recordings, sorted, to a bounded depth.
fn recordings_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(folder, MAX_DEPTH, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
        let entry = entry.with_context(|| format!("cannot read `{}`", folder.display()))?;
        let path = entry.path();
        // The type of what a link points to is what counts.
        if path.is_dir() {
            if depth > 1 {
                walk(&path, depth - 1, found)?;
            }
        } else if is_recording(&path) {
            found.push(path);
        }
    }
    Ok(())
}

/// Whether a file may be a recording: what lies beside recordings in known layouts is none.
fn is_recording(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let beside = [
        ".json", ".res", ".pcap", ".tsv", ".tsv.gz", ".csv", ".labels", ".md", ".pdf", ".rtf", ".doc",
        ".xls", ".html", ".sha256",
    ];
    !name.starts_with('.')
        && !name.starts_with("readme")
        && name != "sha256sums"
        && !beside.iter().any(|ending| name.ends_with(ending))
}

/// The kind that a folder of recordings is named after: its name without a number at the end.
fn kind_of_folder(name: &str) -> String {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    match stem.strip_suffix('_') {
        Some(kind) if !kind.is_empty() && stem.len() < name.len() => kind.to_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes files below a folder.
    pub(super) fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    /// Names and parts of what was found.
    pub(super) fn named(layout: &Layout, folder: &Path) -> Vec<(String, Part, Option<String>)> {
        let name = |path: &Path| path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
        layout.files.iter().map(|file| (name(&file.path), file.part, file.kind.clone())).collect()
    }

    #[test]
    fn what_is_no_layout_is_told_what_layouts_there_are() {
        let empty = folder(&[("notes.txt", "1 2 3\n")]);
        let error = detect(empty.path()).unwrap_err().to_string();
        assert!(error.contains("Training_Data_Master") && error.contains("runs.csv"), "{error}");
        let error = detect(&empty.path().join("absent")).unwrap_err().to_string();
        assert!(error.contains("absent"), "{error}");
    }

    #[test]
    fn every_file_of_a_folder_of_attacks_has_the_kind_of_its_folder() {
        let made =
            folder(&[("sscp_2/a.int", "1 2\n"), ("b.int", "1 2\n"), ("README.md", ""), ("a.json", "")]);
        let found = all_below(made.path(), Part::Attack).unwrap();
        assert_eq!(found.iter().map(|file| file.kind.as_deref()).collect::<Vec<_>>(), [None, Some("sscp")]);
        assert!(all_below(made.path(), Part::Train).unwrap().iter().all(|file| file.kind.is_none()));
        let none = folder(&[("README.md", "")]);
        assert!(all_below(none.path(), Part::Train).is_err());
    }

    #[test]
    fn a_kind_is_a_folders_name_without_its_number() {
        for (name, kind) in [
            ("Adduser_1", "Adduser"),
            ("Web_Shell_10", "Web_Shell"),
            ("_7", "_7"),
            ("x86", "x86"),
            ("a_", "a_"),
        ] {
            assert_eq!(kind_of_folder(name), kind);
        }
    }
}
