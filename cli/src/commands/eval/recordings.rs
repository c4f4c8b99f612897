//! Recordings to be judged frame by frame: files, and containers of the store.

use std::sync::Arc;

use anyhow::Context as _;
use rastro_agent::RecordingKind;
use rastro_analyzer::evaluation::{Part, Recordings, Truth};
use rastro_model::Segment;
use rastro_store::{Columns, Store};
use tokio::runtime::Handle;

use super::{
    file_segments,
    layout::{Form, Labelled, Since},
    stored::StoredContainer,
};

/// Calls that are read from the store at once.
const PAGE_CALLS: usize = 200_000;

/// One recording.
pub(super) enum Recording {
    File(Labelled),
    Stored(StoredContainer),
}

/// The recordings of an evaluation.
pub(super) struct RecordingSet {
    recordings: Vec<Recording>,
    parts: Vec<Part>,
    /// What files are that do not say it.
    kind: Option<RecordingKind>,
    /// Where the containers are.
    store: Option<(Arc<dyn Store>, Handle)>,
}

impl RecordingSet {
    pub(super) fn new(
        recordings: Vec<Recording>,
        kind: Option<RecordingKind>,
        store: Option<(Arc<dyn Store>, Handle)>,
    ) -> Self {
        let part = |recording: &Recording| match recording {
            Recording::File(file) => file.part,
            Recording::Stored(container) => container.part,
        };
        Self { parts: recordings.iter().map(part).collect(), recordings, kind, store }
    }

    fn read_file(
        &self,
        file: &Labelled,
        number: u32,
        each: &mut dyn FnMut(&Segment),
    ) -> anyhow::Result<Truth> {
        let kind = match &file.form {
            Form::OneTrace => Some(&RecordingKind::Traces),
            Form::Recording(kind) => kind.as_ref().or(self.kind.as_ref()),
        };
        let mut begin = None;
        let mut calls = 0;
        let mut see = |segment: &Segment| {
            let columns = &segment.calls;
            let first = match file.since {
                // Where the calls have no numbers, they are counted.
                Some(Since::Event(number)) => columns
                    .number
                    .iter()
                    .zip(calls + 1..)
                    .position(|(&own, counted)| if own == 0 { counted } else { own } >= number),
                Some(Since::Seconds(_)) | None => (!columns.is_empty()).then_some(0),
            };
            calls += columns.len() as u64;
            begin = begin.or_else(|| first.map(|call| columns.time_ns[call]));
            each(segment);
        };
        let labels = file_segments::read(&file.path, kind, number, &mut see)?;
        anyhow::ensure!(calls > 0, "`{}` holds no call; is its format the right one?", file.path.display());
        if file.part != Part::Attack {
            return Ok(Truth::default());
        }
        let since_ns = match file.since {
            Some(Since::Seconds(seconds)) => begin.map(|begin| begin + (seconds * 1e9) as i64),
            Some(Since::Event(_)) => begin,
            // The first of them: what comes after is no longer as it was.
            None => labels.iter().map(|label| label.from_ns).min().flatten(),
        };
        let kind = file.kind.clone().or_else(|| labels.first().map(|label| label.kind.clone()));
        Ok(Truth { kind, since_ns })
    }

    fn read_stored(
        &self,
        container: &StoredContainer,
        each: &mut dyn FnMut(&Segment),
    ) -> anyhow::Result<Truth> {
        let (store, handle) = self.store.as_ref().context("the store is not open")?;
        for index in &container.indices {
            let mut after = 0;
            loop {
                let page = handle.block_on(store.segments(index, after, PAGE_CALLS, Columns::All))?;
                let Some(last) = page.last() else { break };
                after = last.place;
                for stored in &page {
                    if stored.segment.container.id == container.id {
                        each(&stored.segment);
                    }
                }
            }
        }
        Ok(Truth { kind: container.kind.clone(), since_ns: container.since_ns })
    }
}

impl Recordings for RecordingSet {
    type Error = anyhow::Error;

    fn parts(&self) -> &[Part] {
        &self.parts
    }

    fn read(&self, place: usize, each: &mut dyn FnMut(&Segment)) -> anyhow::Result<Truth> {
        match &self.recordings[place] {
            Recording::File(file) => self.read_file(file, place as u32, each),
            Recording::Stored(container) => self.read_stored(container, each),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn log(folder: &Path, name: &str) -> std::path::PathBuf {
        let line = |number: u32| {
            format!("7 1 sh {number} 2022-03-31T18:13:{number:02}.000000000+0000 < other read 0 0  \n")
        };
        let path = folder.join(name);
        std::fs::write(&path, (10..30).map(line).collect::<String>()).unwrap();
        path
    }

    #[test]
    fn the_begin_of_an_attack_is_told_in_seconds_or_by_an_event() {
        let folder = tempfile::tempdir().unwrap();
        let file = |since, part| Labelled {
            since,
            kind: Some("shell".to_owned()),
            ..Labelled::new(log(folder.path(), "a.log"), part)
        };
        let set = RecordingSet::new(
            vec![
                Recording::File(file(Some(Since::Seconds(4.0)), Part::Attack)),
                Recording::File(file(Some(Since::Event(20)), Part::Attack)),
                Recording::File(file(None, Part::Attack)),
                Recording::File(file(Some(Since::Event(20)), Part::Normal)),
            ],
            Some(RecordingKind::named("rastro").unwrap()),
            None,
        );
        let mut calls = 0;
        let truths: Vec<Truth> = (0..4)
            .map(|place| set.read(place, &mut |segment| calls += segment.calls.len()).unwrap())
            .collect();
        assert_eq!(calls, 80);
        let second = 1_000_000_000;
        let at = |truth: &Truth| truth.since_ns.map(|since_ns| since_ns / second % 60);
        assert_eq!(truths.iter().map(at).collect::<Vec<_>>(), [Some(14), Some(20), None, None]);
        assert_eq!((truths[2].kind.as_deref(), truths[3].kind.as_deref()), (Some("shell"), None));
    }

    #[test]
    fn a_recording_without_calls_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(&path, "nothing of the kind\n").unwrap();
        let set = RecordingSet::new(
            vec![Recording::File(Labelled::new(path, Part::Train))],
            Some(RecordingKind::named("rastro").unwrap()),
            None,
        );
        let error = set.read(0, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("holds no call"), "{error}");
    }
}
