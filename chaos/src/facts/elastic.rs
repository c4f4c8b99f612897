//! Elasticsearch, asked directly: segments are decoded from what lies in their documents.

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rastro_model::{Container, SegmentId};
use rastro_store::columns::{self, Envelope};
use serde_json::{Value, json};

use crate::{
    check::{Facts, FrameFact, SegmentFact},
    rest::Rest,
};

/// Documents of a page.
const PAGE: usize = 400;

/// Documents of a page that holds no columns.
const SMALL_PAGE: usize = 5_000;

/// Everything that counts, from the indices of the aliases `<prefix>-segments` and `<prefix>-anomaly`.
pub fn collect(rest: &Rest, prefix: &str) -> anyhow::Result<Facts> {
    let mut facts = Facts::default();
    let segments = format!("{prefix}-segments");
    rest.ask("POST", &format!("/{segments}/_refresh"), None)?;
    let sum = json!({"size": 0, "aggs": {"calls": {"sum": {"field": "rastro.calls"}}}});
    let sum = rest.ask("POST", &format!("/{segments}/_search"), Some(&sum))?;
    let wanted = json!({"_source": ["container.id", "rastro.sequence", "rastro.rest"], "size": PAGE});
    pages(rest, &segments, wanted, |hit| {
        facts.segments.push(segment(hit).with_context(|| format!("segment {}", hit["_id"]))?);
        Ok(())
    })?;
    let decoded: usize = facts.segments.iter().map(|segment| segment.numbers.len()).sum();
    let summed = sum["aggregations"]["calls"]["value"].as_f64().context("no sum of calls")?;
    // Nothing is written while it matters; while something is, the next count will agree.
    ensure!(
        (summed - decoded as f64).abs() < 0.5,
        "documents say {summed} calls, their columns hold {decoded}"
    );

    let anomaly = format!("{prefix}-anomaly");
    rest.ask("POST", &format!("/{anomaly}/_refresh"), None)?;
    let fields =
        ["segment", "detector", "window", "first_call", "calls"].map(|field| format!("rastro.{field}"));
    let wanted = json!({"_source": fields, "size": SMALL_PAGE, "query": {"term": {"rastro.job": "live"}}});
    pages(rest, &anomaly, wanted, |hit| {
        facts.frames.push(frame(&hit["_source"]).with_context(|| format!("frame {}", hit["_id"]))?);
        Ok(())
    })?;
    Ok(facts)
}

/// All hits of a search, page by page, as of one point in time.
fn pages(
    rest: &Rest,
    index: &str,
    mut search: Value,
    mut each: impl FnMut(&Value) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let opened = rest.ask("POST", &format!("/{index}/_pit?keep_alive=5m"), None)?;
    let pit = opened["id"].clone();
    search["pit"] = json!({"id": pit, "keep_alive": "5m"});
    search["sort"] = json!([{"_shard_doc": "asc"}]);
    search["track_total_hits"] = false.into();
    loop {
        let answer = rest.ask("POST", "/_search", Some(&search))?;
        let hits = answer["hits"]["hits"].as_array().context("a search without hits")?;
        let Some(last) = hits.last() else { break };
        for hit in hits {
            each(hit)?;
        }
        search["search_after"] = last["sort"].clone();
    }
    rest.ask("DELETE", "/_pit", Some(&json!({"id": pit})))?;
    Ok(())
}

fn segment(hit: &Value) -> anyhow::Result<SegmentFact> {
    let source = &hit["_source"];
    let blob = |name: &str| {
        let text = field(source, &format!("rastro.{name}"))
            .as_str()
            .with_context(|| format!("no `rastro.{name}`"))?;
        STANDARD.decode(text).with_context(|| format!("`rastro.{name}` is not base 64"))
    };
    let id: SegmentId = hit["_id"].as_str().context("no id")?.parse()?;
    let container = field(source, "container.id").as_str().context("no `container.id`")?;
    let envelope = Envelope {
        id,
        dataset: String::new(),
        index: String::new(),
        node: String::new(),
        architecture: String::new(),
        container: Container { id: container.to_owned(), ..Container::default() },
        gap: None,
    };
    let segment = columns::decode(envelope, &blob("sequence")?, Some(&blob("rest")?))?;
    Ok(SegmentFact { id: id.to_string(), container: container.to_owned(), numbers: segment.calls.number })
}

fn frame(source: &Value) -> anyhow::Result<FrameFact> {
    let value = |name: &str| field(source, &format!("rastro.{name}"));
    let number = |name: &str| value(name).as_u64().with_context(|| format!("no `rastro.{name}`"));
    let text = |name: &str| value(name).as_str().with_context(|| format!("no `rastro.{name}`"));
    Ok(FrameFact {
        segment: text("segment")?.to_owned(),
        model: format!("{}:{}", text("detector")?, number("window")?),
        first_call: number("first_call")? as u32,
        calls: number("calls")? as u32,
    })
}

/// A field of a document, whether its dots are written out or make objects: to Elasticsearch both are the same.
fn field<'source>(source: &'source Value, name: &str) -> &'source Value {
    if let Some(value) = source.get(name) {
        return value;
    }
    let mut dots = name.match_indices('.').map(|(place, _)| place);
    dots.find_map(|place| source.get(&name[..place]).map(|inner| field(inner, &name[place + 1..])))
        .unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_in_either_form() {
        for source in [
            json!({"a.b.c": 1}),
            json!({"a": {"b": {"c": 1}}}),
            json!({"a.b": {"c": 1}}),
            json!({"a": {"b.c": 1}}),
        ] {
            assert_eq!(field(&source, "a.b.c"), &json!(1), "{source}");
            assert_eq!(field(&source, "a.b.d"), &Value::Null, "{source}");
        }
    }
}
