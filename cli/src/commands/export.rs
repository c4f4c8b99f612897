//! `rastro export`: a dataset as files that others can read, with a data card.

mod card;
mod card_text;
mod column;
mod folder;
mod labels;
mod layout;
mod parquet;
#[cfg(test)]
mod sample;
mod text_rows;
mod time_text;

use std::{
    io::{BufWriter, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use rastro_model::Segment;
use rastro_store::{Columns, DatasetSummary, Label, Store, StoredSegment};

use super::Context;
use crate::{
    args::{ExportArgs, ExportFormat},
    output::{self, progress, text},
};
use card::{Counts, DataCard};
use folder::Folder;
use parquet::ParquetWriter;
use text_rows::{CsvWriter, NdjsonWriter};

/// Calls that are read from the store at once; with the page read ahead this bounds the memory that an export takes.
const PAGE_CALLS: usize = 1 << 18;

pub(super) async fn export(context: &Context, arguments: &ExportArgs) -> anyhow::Result<ExitCode> {
    let store = context.store_to_read().await?;
    let Some(summary) = store.datasets().await?.into_iter().find(|summary| summary.name == arguments.dataset)
    else {
        bail!("no dataset `{}`; `rastro datasets` lists what there is", arguments.dataset);
    };
    let labels = store.labels(&summary.name).await?;
    if arguments.output.as_deref() == Some(Path::new("-")) {
        to_standard_output(store, &summary, &labels, arguments.format).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let default = format!("{}-export", summary.name);
    let path = arguments.output.as_deref().unwrap_or(Path::new(&default));
    if matches!(arguments.format, ExportFormat::Adfa | ExportFormat::Lidds) {
        let (card, files) = tokio::select! {
            written = layout::export(store, &summary, &labels, arguments.format, path) => written?,
            _ = tokio::signal::ctrl_c() => bail!("interrupted; the unfinished export in `{}` was removed", path.display()),
        };
        if !context.quiet {
            output::line(format!(
                "{} calls in {} in `{}`; `rastro eval` reads them, and datacard.md tells what they are",
                text::count(card.rows),
                text::counted(files, "file"),
                path.display()
            ))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let card = tokio::select! {
        card = to_folder(store, &summary, &labels, arguments.format, path) => card?,
        _ = tokio::signal::ctrl_c() => bail!("interrupted; the unfinished export in `{}` was removed", path.display()),
    };
    if !context.quiet {
        let bytes: u64 = card.indices.iter().map(|index| index.file.bytes).sum();
        output::line(format!(
            "{} calls in {}, {} bytes, in `{}`; datacard.md tells what they are",
            text::count(card.rows),
            text::counted(card.indices.len() as u64, "file"),
            text::count(bytes),
            path.display()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The calls alone, one index after the other.
async fn to_standard_output(
    store: Arc<dyn Store>,
    summary: &DatasetSummary,
    labels: &[Label],
    format: ExportFormat,
) -> anyhow::Result<()> {
    if !matches!(format, ExportFormat::Ndjson | ExportFormat::Csv) {
        bail!("{} cannot be written to standard output: name a folder with --output", name(format));
    }
    for (number, index) in summary.indices.iter().enumerate() {
        let output = BufWriter::new(std::io::stdout());
        let mut writer = Writer::new(format, output, summary, &index.name, number == 0)?;
        let mut pages = Pages::new(Arc::clone(&store), &index.name);
        while let Some(page) = pages.next().await? {
            for stored in page {
                writer.write(stored.segment, labels)?;
            }
        }
        writer.finish(labels)?;
    }
    Ok(())
}

/// Every index as a file, and the data card.
async fn to_folder(
    store: Arc<dyn Store>,
    summary: &DatasetSummary,
    labels: &[Label],
    format: ExportFormat,
    path: &Path,
) -> anyhow::Result<DataCard> {
    let mut folder = Folder::create(path)?;
    let mut counts = Counts::default();
    let mut formula_cells = 0;
    let bar = progress::items(summary.indices.iter().map(|index| index.calls).sum(), "exporting");
    for index in &summary.indices {
        let file = folder.begin(&format!("{}.{}", index.name, ending(format)))?;
        let mut writer = Writer::new(format, file, summary, &index.name, true)?;
        let mut pages = Pages::new(Arc::clone(&store), &index.name);
        while let Some(page) = pages.next().await? {
            // Compresses and writes for a while: other tasks (reading ahead) go on elsewhere meanwhile.
            tokio::task::block_in_place(|| write_page(page, labels, &mut counts, &mut writer, &bar))
                .with_context(|| format!("cannot export `{}` to `{}`", index.name, path.display()))?;
        }
        formula_cells += writer.formula_cells();
        let file = tokio::task::block_in_place(|| writer.finish(labels)?.finish())?;
        counts.finish_index(&index.name, file);
    }
    bar.finish_and_clear();
    let now = store.datasets().await?.into_iter().find(|other| other.name == summary.name);
    let mut notes = Vec::new();
    if now.as_ref().is_none_or(|now| now.tally != summary.tally) {
        notes.push(
            "The dataset changed while it was exported: rows and the sums above are of different moments."
                .to_owned(),
        );
    }
    if formula_cells > 0 {
        notes.push(format!(
            "{} cells begin with =, +, -, @, a tab or a carriage return, which a spreadsheet takes for a formula. They are \
             data, exactly as recorded, and a container may have chosen them: import the files as text.",
            text::count(formula_cells)
        ));
    }
    let exported = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let card = counts.into_card(summary, labels, ending(format), exported, notes);
    let mut json = serde_json::to_vec_pretty(&card)?;
    json.push(b'\n');
    folder.write("datacard.json", &json)?;
    folder.write("datacard.md", card_text::markdown(&card).as_bytes())?;
    folder.keep();
    Ok(card)
}

fn write_page<W: Write + Send>(
    page: Vec<StoredSegment>,
    labels: &[Label],
    counts: &mut Counts,
    writer: &mut Writer<W>,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    for stored in page {
        counts.add(&stored.segment, labels);
        bar.inc(stored.segment.calls.len() as u64);
        writer.write(stored.segment, labels)?;
    }
    Ok(())
}

/// The pages of an index; the next one is read while one is worked on.
struct Pages {
    store: Arc<dyn Store>,
    index: String,
    ahead: Option<tokio::task::JoinHandle<Result<Vec<StoredSegment>, rastro_store::StoreError>>>,
}

impl Pages {
    fn new(store: Arc<dyn Store>, index: &str) -> Self {
        let mut pages = Self { store, index: index.to_owned(), ahead: None };
        pages.read_behind(0);
        pages
    }

    fn read_behind(&mut self, place: u64) {
        let (store, index) = (Arc::clone(&self.store), self.index.clone());
        let read = async move { store.segments(&index, place, PAGE_CALLS, Columns::All).await };
        self.ahead = Some(tokio::spawn(read));
    }

    async fn next(&mut self) -> anyhow::Result<Option<Vec<StoredSegment>>> {
        let Some(ahead) = self.ahead.take() else { return Ok(None) };
        let page = ahead.await.context("reading the store was broken off")??;
        let Some(last) = page.last() else { return Ok(None) };
        self.read_behind(last.place);
        Ok(Some(page))
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if let Some(ahead) = &self.ahead {
            ahead.abort();
        }
    }
}

/// A file of calls in one of the forms.
enum Writer<W: Write + Send> {
    Ndjson(NdjsonWriter<W>),
    Csv(CsvWriter<W>),
    Parquet(Box<ParquetWriter<W>>),
}

impl<W: Write + Send> Writer<W> {
    fn new(
        format: ExportFormat,
        output: W,
        summary: &DatasetSummary,
        index: &str,
        header: bool,
    ) -> anyhow::Result<Self> {
        Ok(match format {
            ExportFormat::Ndjson => Self::Ndjson(NdjsonWriter::new(output)),
            ExportFormat::Csv => Self::Csv(CsvWriter::new(output, header)),
            ExportFormat::Parquet => {
                Self::Parquet(Box::new(ParquetWriter::new(output, &summary.name, index)?))
            }
            // These are folders of many files (`layout`).
            ExportFormat::Adfa | ExportFormat::Lidds => bail!("{} is no single file", name(format)),
        })
    }

    fn write(&mut self, segment: Segment, labels: &[Label]) -> anyhow::Result<()> {
        match self {
            Self::Ndjson(writer) => writer.write(&segment, labels),
            Self::Csv(writer) => writer.write(&segment, labels),
            Self::Parquet(writer) => writer.write(segment, labels),
        }
    }

    fn formula_cells(&self) -> u64 {
        match self {
            Self::Csv(writer) => writer.formula_cells(),
            Self::Ndjson(_) | Self::Parquet(_) => 0,
        }
    }

    fn finish(self, labels: &[Label]) -> anyhow::Result<W> {
        match self {
            Self::Ndjson(writer) => writer.finish(),
            Self::Csv(writer) => writer.finish(),
            Self::Parquet(writer) => writer.finish(labels),
        }
    }
}

/// What a form is, for people.
const fn name(format: ExportFormat) -> &'static str {
    match format {
        ExportFormat::Ndjson => "NDJSON",
        ExportFormat::Csv => "CSV",
        ExportFormat::Parquet => "a Parquet file",
        ExportFormat::Adfa => "the layout of ADFA-LD",
        ExportFormat::Lidds => "the layout of LID-DS",
    }
}

const fn ending(format: ExportFormat) -> &'static str {
    match format {
        ExportFormat::Ndjson => "ndjson",
        ExportFormat::Csv => "csv",
        ExportFormat::Parquet => "parquet",
        ExportFormat::Adfa => "txt",
        ExportFormat::Lidds => "zip",
    }
}
