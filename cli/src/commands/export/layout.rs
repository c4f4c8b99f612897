//! Exports in the layouts of published data sets, which `rastro eval` and the tools of others read.
//!
//! What has a label is an attack. Of the rest the first half is to train on; what comes later is to validate and to test with. Names of files
//! come from ids of containers and numbers of threads, never from what a container says.

mod adfa;
mod lidds;

use std::{collections::BTreeMap, io::Write as _, path::Path, sync::Arc};

use anyhow::Context as _;
use rastro_model::Segment;
use rastro_store::{DatasetSummary, Label, Store};

use super::{
    Pages,
    card::{Counts, DataCard},
    card_text,
    folder::{FileFacts, Folder},
    labels::Labels,
};
use crate::{args::ExportFormat, output::progress};

/// The list of all files with their checksums, as `sha256sum --check` reads it.
const SUMS: &str = "SHA256SUMS";

/// The label of what is no attack.
const NORMAL: &str = "normal";

/// A layout that is being written.
trait Layout {
    /// Takes a segment; those of one container come in order.
    fn add(&mut self, segment: &Segment, labels: &Labels<'_>, folder: &mut Folder) -> anyhow::Result<()>;

    /// Writes what is left, and returns what is to be said of the layout.
    fn finish(&mut self, folder: &mut Folder) -> anyhow::Result<String>;
}

/// Writes the dataset, and the data card.
pub(super) async fn export(
    store: Arc<dyn Store>,
    summary: &DatasetSummary,
    labels: &[Label],
    format: ExportFormat,
    path: &Path,
) -> anyhow::Result<(DataCard, u64)> {
    let attacks: Vec<Label> = labels.iter().filter(|label| label.label != NORMAL).cloned().collect();
    let mut folder = Folder::create(path)?;
    let (mut layout, name): (Box<dyn Layout + Send>, _) = match format {
        ExportFormat::Lidds => (Box::new(lidds::LidDs::new(summary, &attacks)?), "lidds"),
        _ => (Box::new(adfa::Adfa::default()), "adfa"),
    };
    let mut counts = Counts::default();
    let bar = progress::items(summary.indices.iter().map(|index| index.calls).sum(), "exporting");
    for index in &summary.indices {
        let mut pages = Pages::new(Arc::clone(&store), &index.name);
        while let Some(page) = pages.next().await? {
            tokio::task::block_in_place(|| -> anyhow::Result<()> {
                for stored in page {
                    let segment = &stored.segment;
                    counts.add(segment, labels);
                    bar.inc(segment.calls.len() as u64);
                    let of_container = Labels::of_container(&attacks, &segment.container.id);
                    layout.add(segment, &of_container, &mut folder)?;
                }
                Ok(())
            })
            .with_context(|| format!("cannot export `{}` to `{}`", index.name, path.display()))?;
        }
        counts
            .finish_index(&index.name, FileFacts { file: SUMS.to_owned(), bytes: 0, sha256: String::new() });
    }
    let note = tokio::task::block_in_place(|| layout.finish(&mut folder))?;
    bar.finish_and_clear();
    let files = folder.finished().len() as u64;
    let bytes: u64 = folder.finished().iter().map(|file| file.bytes).sum();
    let mut sums = folder.begin(SUMS)?;
    for file in folder.finished().to_vec() {
        writeln!(sums, "{}  {}", file.sha256, file.file)?;
    }
    let facts = folder.finish(sums)?;
    let exported = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let notes =
        vec![note, format!("`{SUMS}` lists the {files} files of {bytes} bytes with their checksums.")];
    let mut card = counts.into_card(summary, labels, name, exported, notes);
    card.columns.clear();
    for index in &mut card.indices {
        index.file = facts.clone();
    }
    let mut json = serde_json::to_vec_pretty(&card)?;
    json.push(b'\n');
    folder.write("datacard.json", &json)?;
    folder.write("datacard.md", card_text::markdown(&card).as_bytes())?;
    folder.keep();
    Ok((card, files))
}

/// Which of `count` normal ones, in order, are to train on: the first half.
fn is_training(place: usize, count: usize) -> bool {
    place < count.div_ceil(2)
}

/// The name of a kind of attack as part of a name of a file.
fn safe_name(kind: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = kind.chars().take(64).map(safe).collect();
    if name.is_empty() { "attack".to_owned() } else { name }
}

/// Gives the same small number to the same thing, in order of appearance.
#[derive(Debug, Default)]
struct Numbers<K>(BTreeMap<K, usize>);

impl<K: Ord> Numbers<K> {
    fn of(&mut self, key: K) -> usize {
        let next = self.0.len();
        *self.0.entry(key).or_insert(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_cannot_lead_out_of_its_folder() {
        assert_eq!(safe_name("../../etc/pass wd"), "______etc_pass_wd");
        assert_eq!(safe_name("Web_Shell"), "Web_Shell");
        assert_eq!(safe_name(""), "attack");
    }

    #[test]
    fn the_first_half_is_to_train_on_and_never_nothing() {
        let training = |count: usize| (0..count).filter(|&place| is_training(place, count)).count();
        assert_eq!([1, 2, 3, 10].map(training), [1, 1, 2, 5]);
    }
}
