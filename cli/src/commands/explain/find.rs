//! Which alarm is meant: an id, the beginning of one, `latest` or `worst`.

use anyhow::bail;
use rastro_model::{Alarm, AlarmId};
use rastro_store::{AlarmQuery, Store, StoreError};

use crate::output::text;

/// Name of the live analysis among the jobs.
const LIVE: &str = "live";

/// Ids that an error lists.
const LISTED: usize = 5;

pub(super) async fn alarm(store: &dyn Store, wanted: &str) -> anyhow::Result<Alarm> {
    match wanted {
        "latest" => return live_or_any(store, |alarms| alarms.into_iter().next()).await,
        "worst" => return live_or_any(store, worst).await,
        _ => {}
    }
    match store.alarm(&AlarmId(wanted.to_owned())).await {
        Ok(alarm) => return Ok(alarm),
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let mut alarms = store.alarms(&AlarmQuery::default()).await?;
    alarms.retain(|alarm| !wanted.is_empty() && alarm.id.0.starts_with(wanted));
    // An alarm of several analyses is one alarm.
    alarms.sort_by(|a, b| a.id.cmp(&b.id));
    alarms.dedup_by(|a, b| a.id == b.id);
    match alarms.len() {
        0 => bail!("no alarm `{}`; `rastro alarms` lists what there is", text::printable(wanted)),
        1 => Ok(alarms.remove(0)),
        count => {
            let ids: Vec<_> = alarms.iter().take(LISTED).map(|alarm| alarm.id.0.as_str()).collect();
            bail!(
                "{count} alarms begin with `{}`: {}{}; give more of the id",
                text::printable(wanted),
                ids.join(", "),
                if count > LISTED { ", …" } else { "" }
            )
        }
    }
}

/// Of the live analysis; of any, if that has found nothing.
async fn live_or_any(
    store: &dyn Store,
    choose: impl Fn(Vec<Alarm>) -> Option<Alarm>,
) -> anyhow::Result<Alarm> {
    let live = AlarmQuery { job: Some(LIVE.to_owned()), ..AlarmQuery::default() };
    for query in [live, AlarmQuery::default()] {
        if let Some(alarm) = choose(store.alarms(&query).await?) {
            return Ok(alarm);
        }
    }
    bail!("there are no alarms: nothing that was scored behaved as its profile has never seen")
}

/// The highest score; of several, the one with the most frames, then the earliest.
fn worst(alarms: Vec<Alarm>) -> Option<Alarm> {
    alarms.into_iter().max_by(|a, b| {
        a.score.total_cmp(&b.score).then(a.frames.cmp(&b.frames)).then(b.start_ns.cmp(&a.start_ns))
    })
}
