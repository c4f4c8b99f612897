//! From frames that alarm to alarms: frames of one container close together in time are one alarm, which grows.
//!
//! What led to an alarm belongs to it: it begins with the first *suspicious* frame (half the threshold or more) from which no longer
//! time than the gap passed to the next one, and there with the frame in which the burst of novelty began.

use rastro_model::{Alarm, AlarmId, FrameScore, Segment, SegmentScores};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{
    containers::{ContainerKey, Onset},
    message::message,
};

/// Most containers whose alarms may still grow.
const MAX_OPEN: usize = 4096;

/// What is going on in each container.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alarms {
    open: FxHashMap<ContainerKey, Incident>,
}

/// What is going on in one container.
#[derive(Debug, Clone, Default)]
struct Incident {
    /// The latest suspicious frames.
    suspicion: Option<Suspicion>,
    /// The alarm that may still grow.
    alarm: Option<Alarm>,
}

/// Suspicious frames close together in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Suspicion {
    /// Where they began.
    first: Onset,
    /// Time of the last one, nanoseconds since the epoch.
    last_ns: i64,
}

/// What alarms are made with, beside the scores.
pub(crate) struct Context<'a> {
    /// Frames that alarm within this time of one another are one alarm, nanoseconds.
    pub(crate) gap_ns: i64,
    /// Calls that the profile was trained on.
    pub(crate) trained_calls: u64,
    /// For each model and frame: where its burst began.
    pub(crate) onsets: &'a [Vec<Option<Onset>>],
}

/// [`Alarms`] as they are stored: sorted, alarms as JSON (they have tagged parts, which only a self-describing format holds).
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredAlarms {
    open: Vec<StoredIncident>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredIncident {
    key: ContainerKey,
    suspicion: Option<Suspicion>,
    alarm: Option<String>,
}

impl Alarms {
    /// The alarms that the frames of a segment raise or make grow.
    pub(crate) fn update(
        &mut self,
        segment: &Segment,
        scores: &[SegmentScores],
        context: &Context<'_>,
    ) -> Vec<Alarm> {
        let key = ContainerKey::of(segment);
        let mut incident = self.open.remove(&key).unwrap_or_default();
        let mut touched: Vec<Alarm> = Vec::new();
        let mut changed = false;
        let frames = scores.iter().map(|scores| scores.frames.len()).max().unwrap_or(0);
        for place in 0..frames {
            for (model_place, model) in scores.iter().enumerate() {
                let is_suspicious = |frame: &&FrameScore| frame.score >= model.threshold / 2.0;
                let Some(frame) = model.frames.get(place).filter(is_suspicious) else { continue };
                let is_over = |last_ns: i64| frame.start_ns.saturating_sub(last_ns) > context.gap_ns;
                if incident.alarm.as_ref().is_some_and(|alarm| is_over(alarm.end_ns)) {
                    touched.extend(incident.alarm.take().filter(|_| changed));
                    incident.suspicion = None;
                }
                let first = match incident.suspicion {
                    Some(suspicion) if !is_over(suspicion.last_ns) => suspicion.first,
                    _ => {
                        let here = Onset {
                            segment: segment.id,
                            first_call: frame.first_call,
                            start_ns: frame.start_ns,
                        };
                        let onset = context.onsets.get(model_place).and_then(|onsets| *onsets.get(place)?);
                        onset.filter(|onset| !is_over(onset.start_ns)).unwrap_or(here)
                    }
                };
                incident.suspicion = Some(Suspicion { first, last_ns: frame.end_ns });
                if !frame.alarm {
                    continue;
                }
                match &mut incident.alarm {
                    Some(alarm) => grow(alarm, segment, model, frame, context.trained_calls),
                    none => *none = Some(begin(segment, model, frame, first, context.trained_calls)),
                }
                changed = true;
            }
        }
        if changed {
            touched.extend(incident.alarm.clone());
        }
        let now_ns = segment.calls.time_ns.last().copied().unwrap_or(i64::MAX);
        let may_go_on = |last_ns: i64| now_ns.saturating_sub(last_ns) <= context.gap_ns;
        incident.alarm = incident.alarm.filter(|alarm| may_go_on(alarm.end_ns));
        incident.suspicion = incident.suspicion.filter(|suspicion| may_go_on(suspicion.last_ns));
        if incident.alarm.is_some() || incident.suspicion.is_some() {
            self.open.insert(key, incident);
            self.close_the_oldest();
        }
        touched
    }

    /// Containers that have gone take no memory for ever: where too much is open, what was last seen longest ago is closed.
    fn close_the_oldest(&mut self) {
        if self.open.len() > MAX_OPEN {
            let last_ns = |incident: &Incident| {
                let suspicion = incident.suspicion.map(|suspicion| suspicion.last_ns);
                suspicion.max(incident.alarm.as_ref().map(|alarm| alarm.end_ns))
            };
            let oldest = self.open.iter().min_by_key(|(key, incident)| (last_ns(incident), *key));
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.open.remove(&key);
            }
        }
    }

    pub(crate) fn to_stored(&self) -> StoredAlarms {
        let mut open: Vec<_> = self
            .open
            .iter()
            .map(|(key, incident)| {
                let alarm =
                    incident.alarm.as_ref().map(|alarm| serde_json::to_string(alarm).unwrap_or_default());
                StoredIncident { key: key.clone(), suspicion: incident.suspicion, alarm }
            })
            .collect();
        open.sort_unstable_by(|a: &StoredIncident, b| a.key.cmp(&b.key));
        StoredAlarms { open }
    }

    pub(crate) fn from_stored(stored: StoredAlarms) -> Result<Self, String> {
        let mut open = FxHashMap::default();
        for StoredIncident { key, suspicion, alarm } in stored.open {
            let alarm = alarm
                .map(|text| serde_json::from_str(&text).map_err(|error| error.to_string()))
                .transpose()?;
            open.insert(key, Incident { suspicion, alarm });
        }
        Ok(Self { open })
    }
}

/// An alarm whose id names the frame that raised it.
fn begin(
    segment: &Segment,
    scores: &SegmentScores,
    frame: &FrameScore,
    first: Onset,
    trained_calls: u64,
) -> Alarm {
    Alarm {
        id: AlarmId(format!("{}-{}", segment.id, frame.first_call)),
        index: segment.index.clone(),
        dataset: segment.dataset.clone(),
        node: segment.node.clone(),
        container: segment.container.clone(),
        profile: scores.profile.clone(),
        detector: scores.detector.clone(),
        window: scores.window,
        score: frame.score,
        threshold: scores.threshold,
        frames: 1,
        peak: (segment.id, frame.first_call),
        first: (first.segment, first.first_call),
        start_ns: first.start_ns.min(frame.start_ns),
        end_ns: frame.end_ns,
        lossy: frame.lossy,
        reasons: frame.reasons.clone(),
        message: message(segment, scores, frame, trained_calls),
    }
}

/// Where two frames score the same, the earlier one stays the peak: it is nearer to the cause.
fn grow(
    alarm: &mut Alarm,
    segment: &Segment,
    scores: &SegmentScores,
    frame: &FrameScore,
    trained_calls: u64,
) {
    alarm.frames += 1;
    alarm.start_ns = alarm.start_ns.min(frame.start_ns);
    alarm.end_ns = alarm.end_ns.max(frame.end_ns);
    alarm.lossy |= frame.lossy;
    if frame.score > alarm.score {
        alarm.score = frame.score;
        alarm.threshold = scores.threshold;
        alarm.detector.clone_from(&scores.detector);
        alarm.window = scores.window;
        alarm.peak = (segment.id, frame.first_call);
        alarm.reasons.clone_from(&frame.reasons);
        alarm.message = message(segment, scores, frame, trained_calls);
    }
}
