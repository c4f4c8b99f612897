//! The folders of LID-DS 2021: a container is a recording, `<id>.zip` with its lines (`<id>.sc`) and what is known of it (`<id>.json`).

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use anyhow::{Context as _, bail};
use rastro_format::Format;
use rastro_model::{Container, Direction, Event, Segment, segment::flag};
use rastro_store::{DatasetSummary, Label};
use serde_json::json;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions, write::StreamWriter};

use super::{Folder, Labels, Layout, is_training};
use crate::commands::export::folder::ExportFile;

/// Recordings that are written at the same time: each is an open file.
const MAX_CONTAINERS: usize = 512;

pub(super) struct LidDs {
    format: Format,
    /// Folder of each container.
    folders: BTreeMap<String, &'static str>,
    recordings: BTreeMap<String, Recording>,
    line: Vec<u8>,
}

struct Recording {
    zip: ZipWriter<StreamWriter<ExportFile>>,
    container: Container,
    calls: u64,
    /// Time of the first call, and of the first that a label is about, with the label.
    start_ns: i64,
    attack: Option<(i64, String)>,
}

impl LidDs {
    pub(super) fn new(summary: &DatasetSummary, attacks: &[Label]) -> anyhow::Result<Self> {
        let attacked: BTreeSet<&str> = attacks.iter().map(|label| label.container.as_str()).collect();
        let mut first: BTreeMap<&str, i64> = BTreeMap::new();
        for index in &summary.indices {
            for container in &index.containers {
                first.entry(&container.id).or_insert(index.start_ns);
            }
        }
        if first.len() > MAX_CONTAINERS {
            bail!(
                "`{}` has {} containers, and no more than {MAX_CONTAINERS} can be written as recordings at once; export its indices to \
                 another layout",
                summary.name,
                first.len()
            );
        }
        let mut ids: Vec<(i64, &str)> = first.into_iter().map(|(id, start_ns)| (start_ns, id)).collect();
        ids.sort_unstable();
        let normals = ids.iter().filter(|(_, id)| !attacked.contains(id)).count();
        let mut normal = 0;
        let mut folders = BTreeMap::new();
        for (_, id) in ids {
            let folder = if attacked.contains(id) {
                "test/normal_and_attack"
            } else {
                let place = normal;
                normal += 1;
                // Of the later half, every second one sets thresholds, the last one tests.
                if is_training(place, normals) {
                    "training"
                } else if (normals - place).is_multiple_of(2) {
                    "validation"
                } else {
                    "test/normal"
                }
            };
            folders.insert(id.to_owned(), folder);
        }
        let format = Format::named("lidds-2021").context("the format of LID-DS 2021 is not known")?;
        Ok(Self { format, folders, recordings: BTreeMap::new(), line: Vec::new() })
    }
}

fn options() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).large_file(true)
}

impl Layout for LidDs {
    fn add(&mut self, segment: &Segment, labels: &Labels<'_>, folder: &mut Folder) -> anyhow::Result<()> {
        let id = &segment.container.id;
        let recording = match self.recordings.entry(id.clone()) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                let below = self.folders.get(id).copied().unwrap_or("test/normal");
                let file = folder.begin(&format!("{below}/{id}.zip"))?;
                let mut zip = ZipWriter::new_stream(file);
                zip.start_file(format!("{id}.sc"), options())?;
                new.insert(Recording {
                    zip,
                    container: segment.container.clone(),
                    calls: 0,
                    start_ns: segment.calls.time_ns.first().copied().unwrap_or_default(),
                    attack: None,
                })
            }
        };
        let calls = &segment.calls;
        for call in 0..calls.len() {
            let thread = &calls.threads[calls.thread[call] as usize];
            let is_enter = calls.flags[call] & flag::ENTER != 0;
            let result = calls.result_of(call).map(|result| format!("res={result}"));
            let detail = segment.details.binary_search_by_key(&(call as u32), |detail| detail.call);
            let arguments = match detail {
                Ok(place) => segment.details[place].arguments.as_str(),
                Err(_) => result.as_deref().unwrap_or_default(),
            };
            // A line of this layout lacks nothing: what is not known is 0.
            let event = Event {
                time_ns: Some(calls.time_ns[call]),
                direction: if is_enter { Direction::Enter } else { Direction::Exit },
                name: calls.name(call).as_bytes(),
                thread: Some(thread.id.unwrap_or_default()),
                process: Some(thread.process.or(thread.id).unwrap_or_default()),
                process_name: Some(thread.process_name.as_deref().unwrap_or("unknown").as_bytes()),
                user: Some(0),
                arguments: arguments.as_bytes(),
                ..Event::EMPTY
            };
            self.line.clear();
            self.format.write_line(&event, &mut self.line);
            recording.zip.write_all(&self.line)?;
            recording.calls += 1;
            if recording.attack.is_none() {
                let label = labels.of(thread.id, calls.time_ns[call]);
                recording.attack = label.map(|kind| (calls.time_ns[call], kind.to_owned()));
            }
        }
        Ok(())
    }

    fn finish(&mut self, folder: &mut Folder) -> anyhow::Result<String> {
        for (id, mut recording) in std::mem::take(&mut self.recordings) {
            let seconds = |time_ns: i64| time_ns as f64 / 1e9;
            let exploit: Vec<_> = recording
                .attack
                .iter()
                .map(|(time_ns, kind)| {
                    // Rounded down to the microsecond: the first call of the attack must not lie before it.
                    let time_ns = time_ns - time_ns.rem_euclid(1_000) - 1_000;
                    let relative = seconds(time_ns.saturating_sub(recording.start_ns));
                    json!({ "absolute": seconds(time_ns), "name": kind, "relative": relative.max(0.0), "source": "label" })
                })
                .collect();
            let description = json!({
                "recording_name": id,
                "exploit": recording.attack.is_some(),
                "exploit_name": recording.attack.as_ref().map(|(_, kind)| kind),
                "image": recording.container.image,
                "time": { "container_ready": { "absolute": seconds(recording.start_ns), "source": "first call" },
                    "warmup_end": { "absolute": seconds(recording.start_ns), "source": "first call" }, "exploit": exploit },
                "container": [{ "ip": "", "name": recording.container.name.unwrap_or_else(|| id.clone()), "role": "victim" }],
                "calls": recording.calls,
            });
            recording.zip.start_file(format!("{id}.json"), options())?;
            recording.zip.write_all(&serde_json::to_vec_pretty(&description)?)?;
            let file =
                recording.zip.finish().with_context(|| format!("cannot finish `{id}.zip`"))?.into_inner();
            folder.finish(file)?;
        }
        Ok("The layout is that of LID-DS 2021: a recording is a container, an archive of its lines (.sc) and of what is known of it (.json). \
            Containers with a label are in test/normal_and_attack, of the others the first half in training, the rest in validation and in \
            test/normal in turn. User ids, and threads, processes and names that were not recorded, are 0 and `unknown`; arguments are there where \
            the dataset kept them, else the result alone."
            .to_owned())
    }
}
