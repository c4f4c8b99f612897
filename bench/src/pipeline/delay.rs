//! From a line written to the alarm about it.

use std::{thread, time::Duration};

use anyhow::{Context as _, ensure};
use rastro_chaos::{
    plan::Target,
    writer::{Load, Oddity, now_ns},
};
use serde_json::{Value, json};

use super::Bench;
use crate::{Settings, report::Report};

/// The aim, seconds.
const AIM: f64 = 1.0;

/// Containers that are at work.
const CONTAINERS: u32 = 4;

/// Time to learn and to come to rest before anything odd happens.
const LEARNING: Duration = Duration::from_secs(25);

/// Longest time until everything is scored once nothing is written any more.
const CATCH_UP: Duration = Duration::from_mins(2);

/// Calls of which one burst is odd, for each container.
const EVERY_SECONDS: u64 = 1;

/// Calls of a burst: enough for a threshold that is set for one false alarm a day after seconds of learning.
const BURST: u64 = 600;

pub(super) fn run(bench: &mut Bench, settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let time = Duration::from_secs(if settings.quick { 10 } else { 40 });
    for rate in [10_000, 100_000] {
        bench.clear()?;
        bench.rig.configure(
            // What is measured is when it alarms, not how well: it may begin before it has seen nearly everything.
            [
                "analyzer.learning_min_calls=20000",
                "analyzer.learning_min_time=\"5s\"",
                "analyzer.completeness=0.9",
            ]
            .map(str::to_owned)
            .to_vec(),
        )?;
        let dataset = format!("delay-{rate}");
        bench.start_roles(&[Target::Shipper, Target::Transformer(0), Target::Analyzer(0)])?;
        thread::sleep(Duration::from_secs(1));
        let each = rate / u64::from(CONTAINERS);
        bench.rig.start_agent(&Load {
            containers: CONTAINERS,
            rate,
            limit: 0,
            rotate_bytes: 64 << 20,
            base_ns: now_ns(),
            datasets: vec![dataset.clone()],
            oddity: Some(Oddity {
                from: each * LEARNING.as_secs(),
                every: each * EVERY_SECONDS,
                calls: BURST,
            }),
        })?;
        thread::sleep(LEARNING + time);
        let written: u64 = bench.rig.stop_agent(Duration::from_mins(1))?.values().sum();
        // Each of the four models covers every call.
        let anomaly = format!("{dataset}-*-anomaly");
        bench.wait(4 * written, CATCH_UP, |bench| bench.count(&anomaly, Some("rastro.calls")))?;
        let mut delays = alarm_delays(bench, &dataset)?;
        bench.rig.stop_roles();
        ensure!(delays.len() >= 5, "only {} alarming frames at {rate} calls/s", delays.len());
        delays.sort_by(f64::total_cmp);
        for (name, part) in [("p50", 0.50), ("p99", 0.99)] {
            let place = ((delays.len() - 1) as f64 * part).round() as usize;
            report.add(
                &format!(
                    "pipeline: line written to alarm stored, {rate} calls/s, {name} of {} frames",
                    delays.len()
                ),
                delays[place],
                "s",
                "aim",
                AIM,
            );
        }
    }
    Ok(())
}

/// Seconds between the last call of each alarming frame and its being stored, as Elasticsearch holds both.
fn alarm_delays(bench: &Bench, dataset: &str) -> anyhow::Result<Vec<f64>> {
    let rest = bench.rig.elasticsearch.as_ref().context("no Elasticsearch")?.server.rest();
    let index = format!("{dataset}-*-anomaly");
    rest.ask("POST", &format!("/{index}/_refresh"), None)?;
    let field = |name: &str| json!({"field": name, "format": "epoch_millis"});
    let search = json!({
        "size": 10_000,
        "_source": false,
        "query": {"term": {"rastro.alarm": true}},
        "docvalue_fields": [field("event.end"), field("event.ingested")],
    });
    let answer = rest.ask("POST", &format!("/{index}/_search"), Some(&search))?;
    let hits = answer["hits"]["hits"].as_array().context("a search without hits")?;
    let millis = |hit: &Value, name: &str| {
        let value = &hit["fields"][name][0];
        value
            .as_str()
            .and_then(|text| text.parse().ok())
            .or_else(|| value.as_f64())
            .with_context(|| format!("no {name}: {hit}"))
    };
    hits.iter().map(|hit| Ok((millis(hit, "event.ingested")? - millis(hit, "event.end")?) / 1e3)).collect()
}
