//! The models of behaviour as detectors: `arguments`, `timing`.

use std::{any::Any, fmt::Debug, sync::Arc};

use rastro_model::Reason;
use serde::{Serialize, de::DeserializeOwned};

use super::{arguments::ArgumentsModel, frame::CallFrame, model::BehaviourModel, timing::TimingModel};
use crate::{
    alphabet::{Alphabet, Symbol},
    detector::{Detector, Frame, FrameJudge, Judge, RawScale, WindowStatistics, alike},
    registry::{DecodedDetector, DetectorInfo, Maker, ModelSpec},
};

/// `arguments` in the table of detectors.
pub(crate) const ARGUMENTS: DetectorInfo = DetectorInfo {
    name: "arguments",
    title: "Arguments and results",
    description: "How often each call fails and with which errors, how many arguments it has, how long they are, how many bytes it \
                  moves, which paths it names and which programs it starts, frame by frame, by their surprise against training (after \
                  Kruegel, Mutz, Valeur and Vigna, ESORICS 2003). Needs a source that tells results or arguments.",
    parameters: &[],
    maker: Maker::Own {
        window: |_| 0,
        create: |spec| Box::new(Behaviour::<ArgumentsModel>::new(spec)),
        decode: Behaviour::<ArgumentsModel>::decode,
    },
};

/// `timing` in the table of detectors.
pub(crate) const TIMING: DetectorInfo = DetectorInfo {
    name: "timing",
    title: "Timing",
    description: "How long each call takes, how long a thread pauses before it, and how fast calls follow one another, frame by frame, by \
                  their surprise against training. Times that a source does not tell are recognised and never scored.",
    parameters: &[],
    maker: Maker::Own {
        window: |_| 0,
        create: |spec| Box::new(Behaviour::<TimingModel>::new(spec)),
        decode: Behaviour::<TimingModel>::decode,
    },
};

/// Raw scores are surprise in nats: one more is e times rarer, if calls behaved independently.
const SCALE: RawScale = RawScale {
    units: 16,
    name: "nats",
    least_mean_excess: 1.0,
    least_threshold: 6.0,
    highest_threshold: 4000.0,
};

/// Most findings of a frame that are told.
const MAX_TOLD: usize = 5;

/// Whether a model reads more of a segment than the order and times of its calls. Where a store can leave out the other columns, it must
/// not for such a model.
pub fn reads_all_columns(spec: &ModelSpec) -> bool {
    [ARGUMENTS.name, TIMING.name].contains(&spec.detector())
}

/// A model of behaviour that can be kept in a profile and shared with judges.
trait StoredModel:
    BehaviourModel + Any + Clone + Default + Debug + Send + Sync + Serialize + DeserializeOwned
{
}

impl StoredModel for ArgumentsModel {}
impl StoredModel for TimingModel {}

/// A model as a detector. Judges share the model: it is copied when it learns on while one of them lives.
#[derive(Debug, Clone)]
struct Behaviour<M> {
    spec: ModelSpec,
    model: Arc<M>,
}

#[derive(Debug)]
struct BehaviourJudge<M> {
    model: Arc<M>,
}

impl<M: StoredModel> Behaviour<M> {
    fn new(spec: &ModelSpec) -> Self {
        Self { spec: spec.clone(), model: Arc::default() }
    }

    fn decode(spec: &ModelSpec, bytes: &[u8], alphabet: usize) -> DecodedDetector {
        let (model, rest): (M, _) = postcard::take_from_bytes(bytes)
            .map_err(|error| format!("its counts cannot be read: {error}"))?;
        if !rest.is_empty() {
            return Err("bytes follow its counts".to_owned());
        }
        model.check(alphabet)?;
        Ok(Box::new(Self { spec: spec.clone(), model: Arc::new(model) }))
    }
}

/// The frame with its columns; `None` for a trace of which only the calls are known.
fn call_frame<'a>(frame: &Frame<'a>) -> Option<CallFrame<'a>> {
    let source = frame.source?;
    Some(CallFrame::new(source.segment, source.symbols, source.range()))
}

impl<M: StoredModel> Detector for Behaviour<M> {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn learn_frame(&mut self, frame: &Frame<'_>) {
        if let Some(frame) = call_frame(frame) {
            Arc::make_mut(&mut self.model).learn(&frame);
        }
    }

    fn judge(&self, _alphabet: usize) -> Judge {
        Judge::Frames(Box::new(BehaviourJudge { model: Arc::clone(&self.model) }))
    }

    fn scale(&self) -> RawScale {
        SCALE
    }

    fn statistics(&self) -> WindowStatistics {
        self.model.statistics()
    }

    fn merge(&mut self, other: &dyn Detector, symbols: &[Symbol]) -> bool {
        let Some(other) = alike(self, other) else { return false };
        Arc::make_mut(&mut self.model).merge(&other.model, symbols);
        true
    }

    fn note(&self) -> Option<String> {
        Some(self.model.describe())
    }

    fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(&*self.model).unwrap_or_default()
    }

    fn boxed_clone(&self) -> Box<dyn Detector> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl<M: StoredModel> FrameJudge for BehaviourJudge<M> {
    fn score(&self, frame: &Frame<'_>) -> f64 {
        call_frame(frame).map_or(0.0, |frame| self.model.judge(&frame).raw)
    }

    fn reasons(&self, frame: &Frame<'_>, _alphabet: &Alphabet) -> Vec<Reason> {
        let Some(frame) = call_frame(frame) else { return Vec::new() };
        let findings = self.model.judge(&frame).findings;
        findings.iter().take(MAX_TOLD).map(|finding| finding.reason(&frame)).collect()
    }
}
