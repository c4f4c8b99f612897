//! What types alone do not say: every value lies in its range and the values go together.

use std::time::Duration;

use super::{Config, Document, QueueForm, Roll};

/// One sentence about the first value that cannot be used, naming its key.
pub(crate) fn check(config: &Config) -> Result<(), String> {
    let ensure = |holds: bool, key: &str, expected: &str| {
        if holds { Ok(()) } else { Err(format!("configuration key `{key}`: expected {expected}")) }
    };
    rastro_model::dataset::check_name(&config.dataset.name)
        .map_err(|error| format!("configuration key `dataset.name`: {error}"))?;
    ensure(
        Roll::parse(&config.dataset.roll).is_some(),
        "dataset.roll",
        "\"1d\", hours that divide a day (\"1h\", \"12h\"), or a number of documents (\"5000000 docs\")",
    )?;
    ensure(!config.data_dir.as_os_str().is_empty(), "data_dir", "a folder")?;
    tracing_subscriber::EnvFilter::try_new(&config.log.level)
        .map_err(|error| format!("configuration key `log.level`: {error}"))?;
    ensure(config.agent.rotate_bytes.0 >= 64 * 1024, "agent.rotate_bytes", "at least 64 KiB")?;
    ensure(
        config.agent.disk_limit >= config.agent.keep_bytes,
        "agent.disk_limit",
        "at least `agent.keep_bytes`",
    )?;
    ensure(
        (1024..=8 * 1024 * 1024).contains(&config.shipper.max_line_bytes.0),
        "shipper.max_line_bytes",
        "1 KiB to 8 MiB",
    )?;
    ensure(
        (4 * 1024..=8 * 1024 * 1024).contains(&config.shipper.chunk_bytes.0),
        "shipper.chunk_bytes",
        "4 KiB to 8 MiB",
    )?;
    let interval = |value: Duration| (Duration::from_millis(1)..=Duration::from_secs(1000)).contains(&value);
    ensure(interval(config.shipper.flush_interval), "shipper.flush_interval", "1ms to 1000s")?;
    ensure(interval(config.shipper.poll_interval), "shipper.poll_interval", "1ms to 1000s")?;
    for (key, globs) in
        [("shipper.include", &config.shipper.include), ("shipper.exclude", &config.shipper.exclude)]
    {
        ensure(globs.iter().all(|glob| !glob.is_empty()), key, "globs that are not empty")?;
    }
    ensure(
        config.broker.urls.iter().all(|url| url.starts_with("redis://") || url.starts_with("rediss://")),
        "broker.urls",
        "addresses such as redis://127.0.0.1:6379",
    )?;
    ensure((1..=1024).contains(&config.broker.partitions), "broker.partitions", "1 to 1024")?;
    ensure(!config.broker.prefix.is_empty(), "broker.prefix", "a text that is not empty")?;
    for (key, form) in
        [("shipper.output", config.shipper.output), ("transformer.input", config.transformer.input)]
    {
        ensure(
            form == QueueForm::Stream || !config.broker.urls.is_empty(),
            key,
            "\"stream\", or a Redis in `broker.urls` for the list",
        )?;
    }
    let list_key = &config.broker.list_key;
    ensure(
        !list_key.is_empty()
            && list_key.bytes().all(|byte| byte.is_ascii_graphic() && !b"{}".contains(&byte)),
        "broker.list_key",
        "a word of printable characters without braces",
    )?;
    ensure(config.broker.limit_bytes.0 >= 16 * 1024 * 1024, "broker.limit_bytes", "at least 16 MiB")?;
    format_of(&config.transformer.format)
        .map_err(|error| format!("configuration key `transformer.format`: {error}"))?;
    ensure(
        config.transformer.rollup_interval >= Duration::from_secs(1),
        "transformer.rollup_interval",
        "at least 1s",
    )?;
    documents(config)?;
    config.store.check()?;
    ensure(
        config.analyzer.windows.iter().all(|window| (2..=16).contains(window)),
        "analyzer.windows",
        "sizes from 2 to 16 calls",
    )?;
    ensure(!config.models().is_empty(), "analyzer.detectors", "at least one detector and one window size")?;
    for model in config.models() {
        rastro_analyzer::ModelSpec::parse(&model)
            .map_err(|error| format!("configuration key `analyzer.detectors`: {error}"))?;
    }
    ensure((16..=1_000_000).contains(&config.analyzer.frame), "analyzer.frame", "16 to 1000000 calls")?;
    ensure(
        config.analyzer.false_alarms_per_day > 0.0 && config.analyzer.false_alarms_per_day.is_finite(),
        "analyzer.false_alarms_per_day",
        "a number above 0",
    )?;
    ensure(
        config.analyzer.completeness > 0.0 && config.analyzer.completeness < 1.0,
        "analyzer.completeness",
        "a share between 0 and 1, such as 0.999",
    )?;
    Ok(())
}

fn documents(config: &Config) -> Result<(), String> {
    let asked = |document: Document| config.transformer.documents.contains(&document);
    if !asked(Document::Segment) {
        return Err("configuration key `transformer.documents`: expected \"segment\" among them: it is what is analysed"
            .to_owned());
    }
    for (document, name) in [(Document::Call, "call"), (Document::Window, "window")] {
        if asked(document) && config.store.is_embedded() {
            return Err(format!(
                "configuration key `transformer.documents`: \"{name}\" needs an Elasticsearch (`store.urls`): the embedded store keeps no JSON"
            ));
        }
    }
    let windows = &config.transformer.windows;
    let distinct: std::collections::BTreeSet<_> = windows.iter().collect();
    if windows.is_empty()
        || distinct.len() != windows.len()
        || !windows.iter().all(|size| (2..=100_000).contains(size))
    {
        return Err(
            "configuration key `transformer.windows`: expected different sizes from 2 to 100000 calls"
                .to_owned(),
        );
    }
    Ok(())
}

/// A declared format: the name of a preset, or a format string.
pub(crate) fn format_of(text: &str) -> Result<rastro_format::Format, rastro_format::FormatError> {
    rastro_format::Format::named(text).map_or_else(|| rastro_format::Format::parse(text), Ok)
}
