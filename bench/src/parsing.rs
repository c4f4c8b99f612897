//! Lines to segments on one core.

use std::hint::black_box;

use anyhow::ensure;
use rastro_format::Format;
use rastro_transformer::{Transformer, TransformerConfig};

use crate::{
    Settings,
    chunks::Chunks,
    generate::Layout,
    measure::{fastest, rate},
    naive,
    report::Report,
};

/// Threads whose calls are interleaved.
const THREADS: usize = 32;

pub(crate) fn run(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let (lines, rounds) = if settings.quick { (200_000, 5) } else { (500_000, 15) };
    for layout in [Layout::Default, Layout::Rocha] {
        let made = Chunks::generate(1, layout, THREADS, lines)?;
        let mut transformer = transformer()?;
        let mut ours = || {
            let mut stored = 0;
            for chunk in &made.list {
                let output = transformer.transform(chunk);
                stored += output.tally.calls_stored;
                black_box(&output.segments);
            }
            ensure!(stored == made.lines, "{stored} calls came of {} lines", made.lines);
            Ok(())
        };
        let names = field_names(layout);
        let text = std::str::from_utf8(&made.text)?;
        let mut split = || {
            let mut fields = 0;
            for line in text.lines() {
                fields += black_box(naive::fields(names, line)).len();
            }
            ensure!(fields as u64 == made.lines * names.len() as u64, "the naive parser lost fields");
            Ok(())
        };
        let mut count = || {
            let counted = memchr::memchr_iter(b'\n', black_box(&made.text)).count();
            ensure!(counted as u64 == made.lines, "{counted} of {} lines were counted", made.lines);
            Ok(())
        };
        let [ours, split, count] = fastest(rounds, [&mut ours, &mut split, &mut count])?;
        let (ours, split, count) = (rate(made.lines, ours), rate(made.lines, split), rate(made.lines, count));
        let format = if layout == Layout::Default { "default format" } else { "Rocha's format" };
        report.add(
            &format!("parsing: decompress, parse, encode, {format}, one core"),
            ours,
            "calls/s",
            "split at blanks into a HashMap, nothing encoded",
            split,
        );
        report.add(
            &format!("parsing: the same beside the limit, {format}"),
            ours,
            "calls/s",
            "memchr counting the same lines",
            count,
        );
    }
    Ok(())
}

/// A transformer as the pipeline makes it.
pub(crate) fn transformer() -> anyhow::Result<Transformer> {
    let format = Format::named("rocha").ok_or_else(|| anyhow::anyhow!("there is no format `rocha`"))?;
    Ok(Transformer::new(TransformerConfig::new(format, "bench")))
}

/// Names of the fields, the arguments last.
pub(crate) fn field_names(layout: Layout) -> &'static [&'static str] {
    const NAMES: [&str; 11] = [
        "thread",
        "process",
        "process_name",
        "number",
        "time",
        "direction",
        "category",
        "name",
        "latency",
        "result",
        "arguments",
    ];
    match layout {
        Layout::Default => &NAMES,
        Layout::Rocha => &NAMES[3..],
    }
}
