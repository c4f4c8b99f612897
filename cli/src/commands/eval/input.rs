//! What was named on the command line: files, folders whose layout is known, folders of files, datasets of the store.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use rastro_analyzer::evaluation::Part;
use rastro_store::Store;
use tokio::runtime::Runtime;

use super::{
    layout::{self, Labelled, Layout, Unit},
    stored::StoredDataset,
};
use crate::{
    args::{EvalArgs, EvalUnit},
    commands::Context,
};

/// One thing to read.
pub(super) enum Input {
    File(Labelled),
    Stored(StoredDataset),
}

/// Everything to read.
pub(super) struct Inputs {
    pub(super) inputs: Vec<Input>,
    /// What is judged as a whole.
    pub(super) unit: Unit,
    /// Open if a dataset was named.
    pub(super) store: Option<Arc<dyn Store>>,
}

impl Inputs {
    /// What the arguments mean. What was found in a folder is said on standard error.
    pub(super) fn of(runtime: &Runtime, context: &Context, arguments: &EvalArgs) -> anyhow::Result<Self> {
        let mut inputs = Self { inputs: Vec::new(), unit: Unit::Trace, store: None };
        let mut units = Vec::new();
        let mut whole: Vec<&Path> = arguments.labelled.iter().map(AsRef::as_ref).collect();
        let parts = [
            (Part::Train, &arguments.train),
            (Part::Calibrate, &arguments.calibrate),
            (Part::Normal, &arguments.normal),
            (Part::Attack, &arguments.attack),
        ];
        // `--train DIR` alone: the folder says what else is in it.
        let train_alone =
            arguments.labelled.is_empty() && arguments.normal.is_empty() && arguments.attack.is_empty();
        for (part, paths) in parts {
            for path in paths {
                if part == Part::Train && train_alone && path.is_dir() {
                    whole.push(path);
                } else if path.is_dir() {
                    inputs.inputs.extend(layout::all_below(path, part)?.into_iter().map(Input::File));
                    units.push(Unit::Trace);
                } else if path.exists() {
                    inputs.inputs.push(Input::File(Labelled::new(path.clone(), part)));
                    units.push(Unit::Trace);
                } else {
                    units.push(inputs.add_dataset(runtime, context, path, Some(part))?);
                }
            }
        }
        for path in whole {
            if path.is_dir() {
                let Layout { unit, files, .. } = found(context, path)?;
                inputs.inputs.extend(files.into_iter().map(Input::File));
                units.push(unit);
            } else if path.exists() {
                bail!(
                    "`{}` is a single file, and nothing says what in it is an attack: name files with --train, --normal and --attack",
                    path.display()
                );
            } else {
                units.push(inputs.add_dataset(runtime, context, path, None)?);
            }
        }
        if inputs.inputs.is_empty() {
            bail!(
                "nothing to evaluate on: name a folder or a dataset with labels, or files with --train, --normal and --attack"
            );
        }
        let is_recordings = units.iter().all(|unit| *unit == Unit::Recording);
        inputs.unit = match arguments.unit {
            Some(EvalUnit::Recording) => Unit::Recording,
            None if is_recordings => Unit::Recording,
            Some(EvalUnit::Trace) | None => Unit::Trace,
        };
        Ok(inputs)
    }

    pub(super) fn store(&self) -> anyhow::Result<&Arc<dyn Store>> {
        self.store.as_ref().context("the store is not open")
    }

    fn add_dataset(
        &mut self,
        runtime: &Runtime,
        context: &Context,
        path: &Path,
        part: Option<Part>,
    ) -> anyhow::Result<Unit> {
        let absent =
            || format!("there is no file or folder `{}`, and no dataset of that name", path.display());
        let Some(name) = path.to_str().filter(|name| !name.contains('/')) else {
            bail!(absent());
        };
        // A name with an ending is a file's more often than a dataset's.
        let looks_like_a_file = name.contains('.');
        let missing = || format!("`{name}` is no file and no folder, and as a dataset it cannot be read");
        let store = match &self.store {
            Some(store) => Arc::clone(store),
            None => match runtime.block_on(context.store_to_read()) {
                Err(_) if looks_like_a_file => bail!(absent()),
                opened => opened.with_context(missing)?,
            },
        };
        let datasets = runtime.block_on(store.datasets())?;
        if looks_like_a_file && !datasets.iter().any(|dataset| dataset.name == name) {
            bail!(absent());
        }
        let dataset = runtime.block_on(StoredDataset::open(store.as_ref(), name, part))?;
        self.store = Some(store);
        if !context.quiet {
            eprintln!("`{}` is a dataset of the store", dataset.name());
        }
        let unit = dataset.unit();
        self.inputs.push(Input::Stored(dataset));
        Ok(unit)
    }
}

fn found(context: &Context, folder: &Path) -> anyhow::Result<Layout> {
    let layout = layout::detect(folder)?;
    if !context.quiet {
        eprintln!("{}", layout.found(folder));
    }
    Ok(layout)
}
