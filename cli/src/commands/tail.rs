//! `rastro tail`: decoded calls on the screen as they come.
//!
//! For eyes: at a rotation a few lines can be missed, which is why nothing but this command follows files in this way.

mod decode;
mod files;
mod rarity;
mod show;

use std::{
    collections::HashMap,
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use linemux::MuxedLines;

use super::Context;
use crate::{args::TailArgs, output};
use decode::{Decoded, Decoder};
use rarity::Rarities;
use show::Screen;

/// How often the folder is looked at for log files of new containers.
const NEW_FILES_INTERVAL: Duration = Duration::from_secs(2);

pub(super) async fn tail(context: &Context, arguments: &TailArgs) -> anyhow::Result<ExitCode> {
    let mut tail = Tail {
        declared: decode::declared_format(context, arguments.format.as_deref())?,
        rarities: Rarities::open(context, arguments.profile.as_deref()).await?,
        screen: Screen::new(arguments.json),
        decoders: HashMap::new(),
    };
    let selection = files::select(&context.config.log_dir(), &arguments.what)?;
    tail.show_last(&selection.files, arguments.lines).await?;
    if arguments.no_follow {
        return Ok(ExitCode::SUCCESS);
    }
    if selection.files.is_empty() && !context.quiet && std::io::stderr().is_terminal() {
        eprintln!("no log files yet; waiting for the first one");
    }
    tokio::select! {
        ended = tail.follow(&selection) => ended?,
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot wait for Ctrl-C")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Lines in which that many calls are likely to be found: half of them may be the beginnings of calls, some are no calls.
const fn lines_for(calls: usize) -> usize {
    if calls == 0 { 0 } else { calls.saturating_mul(3).saturating_add(32) }
}

struct Tail {
    declared: decode::Declared,
    rarities: Rarities,
    screen: Screen,
    /// By path as linemux gives it.
    decoders: HashMap<PathBuf, Decoder>,
}

impl Tail {
    /// The last calls of every file, all files together in order of time.
    async fn show_last(&mut self, files: &[PathBuf], count: usize) -> anyhow::Result<()> {
        let mut shown = Vec::new();
        for file in files {
            let decoder = Decoder::of_file(file, &self.declared)?;
            let begin = shown.len();
            for line in files::last_lines(file, lines_for(count))? {
                shown.extend(self.rendered(&decoder, &line).await?);
            }
            let surplus = (shown.len() - begin).saturating_sub(count);
            shown.drain(begin..begin + surplus);
            let path = file.canonicalize().unwrap_or_else(|_| file.clone());
            self.decoders.insert(path, decoder);
        }
        shown.sort_by_key(|(time_ns, _)| *time_ns);
        shown.iter().try_for_each(|(_, text)| output::line(text))
    }

    async fn follow(&mut self, selection: &files::Selection) -> anyhow::Result<()> {
        let mut lines = MuxedLines::new().context("cannot watch files")?;
        let mut watched = 0_usize;
        for file in &selection.files {
            lines.add_file(file).await.with_context(|| format!("cannot follow `{}`", file.display()))?;
            watched += 1;
        }
        let mut new_files = tokio::time::interval(NEW_FILES_INTERVAL);
        loop {
            tokio::select! {
                line = lines.next_line(), if watched > 0 => {
                    // An error is a line that is not UTF-8, or a file that went away in this moment: the next may be fine.
                    if let Ok(Some(line)) = line {
                        self.show_line(line.source(), line.line().as_bytes()).await?;
                    }
                },
                _ = new_files.tick(), if selection.folder.is_some() => {
                    for file in files::new_logs(selection.folder.as_deref(), &self.decoders) {
                        let path = lines.add_file_from_start(&file).await;
                        let path = path.with_context(|| format!("cannot follow `{}`", file.display()))?;
                        self.decoders.insert(path, Decoder::of_file(&file, &self.declared)?);
                        watched += 1;
                    }
                }
            }
        }
    }

    async fn show_line(&mut self, path: &Path, line: &[u8]) -> anyhow::Result<()> {
        if line.starts_with(rastro_model::log_header::MAGIC) {
            // A file that begins anew: its first line says what follows. Any other line of that form is not believed.
            if files::first_line(path).is_ok_and(|first| first == line) {
                self.decoders.insert(path.to_owned(), Decoder::of_file(path, &self.declared)?);
                return Ok(());
            }
        }
        let decoder = match self.decoders.remove(path) {
            Some(decoder) => decoder,
            None => Decoder::of_file(path, &self.declared)?,
        };
        let rendered = self.rendered(&decoder, line).await;
        self.decoders.insert(path.to_owned(), decoder);
        match rendered? {
            Some((_, text)) => output::line(text),
            None => Ok(()),
        }
    }

    async fn rendered(&mut self, decoder: &Decoder, line: &[u8]) -> anyhow::Result<Option<(i64, String)>> {
        match decoder.decode(line) {
            Decoded::Call(call) => {
                let rarity = self.rarities.of(decoder.workload(), &call.name).await;
                Ok(Some((call.time_ns.unwrap_or(0), self.screen.call(&call, rarity)?)))
            }
            Decoded::NoCall => Ok(None),
            Decoded::NoEvent(reason) => Ok(self.screen.no_event(&reason, line).map(|text| (0, text))),
        }
    }
}
