//! The folders of ADFA-LD: one file a trace, numbers of calls with blanks between. A trace is what one thread did.

use std::{collections::BTreeMap, fmt::Write as _};

use rastro_model::{Segment, syscall};

use super::{Folder, Labels, Layout, Numbers, is_training, safe_name};

/// Numbers from here on stand for names that the container's architecture has no number for.
const UNNUMBERED: usize = 100_000;

/// Traces in the making: 4 bytes a call stay in memory, because only at the end it is known what a trace is.
#[derive(Debug, Default)]
pub(super) struct Adfa {
    threads: Numbers<(String, Option<i64>)>,
    traces: Vec<Trace>,
    names: BTreeMap<String, u32>,
    unnumbered: Numbers<String>,
}

#[derive(Debug)]
struct Trace {
    name: String,
    calls: Vec<u32>,
    kind: Option<String>,
}

impl Adfa {
    /// The number of a call: that of its architecture, or that of the symbol that it was recorded as.
    fn number(&mut self, architecture: &str, name: &str) -> u32 {
        let own = name.strip_prefix('#').and_then(|number| number.parse().ok());
        let known = || architecture.parse().ok().and_then(|table| syscall::number(table, name));
        let number =
            own.or_else(known).unwrap_or_else(|| (UNNUMBERED + self.unnumbered.of(name.to_owned())) as u32);
        self.names.entry(name.to_owned()).or_insert(number);
        number
    }
}

impl Layout for Adfa {
    fn add(&mut self, segment: &Segment, labels: &Labels<'_>, _: &mut Folder) -> anyhow::Result<()> {
        let calls = &segment.calls;
        let numbers: Vec<u32> =
            calls.kinds.iter().map(|kind| self.number(&segment.architecture, &kind.name)).collect();
        let container = &segment.container.id;
        let places: Vec<usize> = calls
            .threads
            .iter()
            .map(|thread| {
                let place = self.threads.of((container.clone(), thread.id));
                if place == self.traces.len() {
                    let id = thread.id.map_or_else(|| "all".to_owned(), |id| id.to_string());
                    let name = format!("{container}-{id}");
                    self.traces.push(Trace { name, calls: Vec::new(), kind: None });
                }
                place
            })
            .collect();
        for (call, (&kind, &thread)) in calls.kind.iter().zip(&calls.thread).enumerate() {
            let trace = &mut self.traces[places[thread as usize]];
            trace.calls.push(numbers[usize::from(kind)]);
            if trace.kind.is_none() {
                let id = calls.threads[thread as usize].id;
                trace.kind = labels.of(id, calls.time_ns[call]).map(str::to_owned);
            }
        }
        Ok(())
    }

    fn finish(&mut self, folder: &mut Folder) -> anyhow::Result<String> {
        let normals = self.traces.iter().filter(|trace| trace.kind.is_none()).count();
        let mut normal = 0;
        for trace in std::mem::take(&mut self.traces).into_iter().filter(|trace| !trace.calls.is_empty()) {
            let name = &trace.name;
            let path = match &trace.kind {
                Some(kind) => format!("Attack_Data_Master/{}_1/UAD-{name}.txt", safe_name(kind)),
                None if is_training(normal, normals) => format!("Training_Data_Master/UTD-{name}.txt"),
                None => format!("Validation_Data_Master/UVD-{name}.txt"),
            };
            normal += usize::from(trace.kind.is_none());
            let mut text = String::with_capacity(trace.calls.len() * 4);
            for call in &trace.calls {
                let _ = write!(text, "{call} ");
            }
            folder.write(&path, text.as_bytes())?;
        }
        let mut names = "number\tname\n".to_owned();
        for (name, number) in &self.names {
            let _ = writeln!(names, "{number}\t{}", crate::output::text::printable(name));
        }
        folder.write("syscalls.tsv", names.as_bytes())?;
        Ok(
            "The layout is that of ADFA-LD: a file is the trace of one thread of one container, numbers of calls in order. Traces with a label \
            are in Attack_Data_Master/<kind>_1, of the others the first half in Training_Data_Master and the rest in Validation_Data_Master. \
            `syscalls.tsv` names the numbers; those from 100000 on stand for calls that the architecture has no number for."
                .to_owned(),
        )
    }
}
