//! `neural` in the table of detectors.
//!
//! A frame is as strange as its calls are surprising on average, each thread read from its first call in the frame. What is learned is the
//! bounded sample of frames that all fitted models have; the network is trained in [`Detector::finish`] on four fifths of it, and the last
//! fifth, which it never saw, calibrates it. Training is slow, so unlike other models it is stored, not fitted anew where it is read.

use std::{any::Any, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{FitOptions, Network, NetworkContent, fit};
use crate::{
    alphabet::Symbol,
    detector::{BREAK, Detector, Frame, FrameJudge, Judge, RawScale, WindowStatistics, alike},
    registry::{DecodedDetector, DetectorInfo, Maker, ModelSpec, ParameterInfo},
    vector::frame_sample::{FrameSample, FrameSampleContent, MAX_FRAMES},
};

/// `neural` in the table of detectors.
pub(crate) const INFO: DetectorInfo = DetectorInfo {
    name: "neural",
    title: "Neural model of the next call",
    description: "A long short-term memory reads the calls of a thread and expects the next one; a frame is as strange as its calls are \
                  surprising on average (after Kim, Yi, Lee, Paek and Yoon, 2016). Slow to train; trained by Rastro itself.",
    parameters: &[
        ParameterInfo::whole("units", 64, (4, 256)).about("units of the memory"),
        ParameterInfo::whole("embedding", 24, (2, 256)).about("numbers that stand for a call"),
        ParameterInfo::whole("epochs", 6, (1, 100)).about("how often all calls are read in training"),
        ParameterInfo::whole("seed", 1, (0, u32::MAX)).about("where chance begins"),
    ],
    maker: Maker::Own { window: |_| 0, create: |spec| Box::new(Neural::new(spec)), decode: Neural::decode },
};

/// Raw scores are nats a call.
const SCALE: RawScale = RawScale {
    units: 2048,
    name: "nats a call",
    least_mean_excess: 0.1,
    least_threshold: 0.5,
    highest_threshold: 30.0,
};

/// Decides which frames are kept where there are too many.
const SAMPLE_SEED: u64 = 0;

/// One frame in so many calibrates and is not trained on.
const FOLDS: u64 = 5;

/// What is learned, and the network that was trained on it.
#[derive(Debug, Clone)]
struct Neural {
    spec: ModelSpec,
    sample: FrameSample,
    trained: Option<Trained>,
}

#[derive(Debug, Clone)]
struct Trained {
    network: Arc<Network>,
    /// Scores of frames that it was not trained on, and how often each occurred.
    held_out: Vec<(f64, u64)>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    sample: FrameSampleContent,
    trained: Option<(NetworkContent, Vec<(f64, u64)>)>,
}

#[derive(Debug)]
struct NeuralJudge {
    network: Option<Arc<Network>>,
}

/// Mean surprise of the calls, nats; 0 where there are none.
fn mean_surprise(network: &Network, calls: &[Symbol]) -> f64 {
    let (mut sum, mut count) = (0.0, 0u32);
    for of_thread in calls.split(|&call| call == BREAK) {
        for surprise in network.surprises(of_thread) {
            sum += f64::from(surprise.nats);
            count += 1;
        }
    }
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

impl Neural {
    fn new(spec: &ModelSpec) -> Self {
        Self { spec: spec.clone(), sample: FrameSample::new(SAMPLE_SEED, MAX_FRAMES), trained: None }
    }

    fn decode(spec: &ModelSpec, bytes: &[u8], alphabet: usize) -> DecodedDetector {
        let (stored, rest): (Stored, _) = postcard::take_from_bytes(bytes)
            .map_err(|error| format!("its network cannot be read: {error}"))?;
        if !rest.is_empty() {
            return Err("bytes follow its network".to_owned());
        }
        let sample = FrameSample::from_content(stored.sample, alphabet)?;
        let trained = match stored.trained {
            Some((network, held_out)) => {
                let is_sound = |&(score, count): &(f64, u64)| score.is_finite() && score >= 0.0 && count > 0;
                if held_out.len() > MAX_FRAMES || !held_out.iter().all(is_sound) {
                    return Err("its held-out scores are too many or no scores".to_owned());
                }
                Some(Trained { network: Arc::new(Network::from_content(network, alphabet)?), held_out })
            }
            None => None,
        };
        Ok(Box::new(Self { spec: spec.clone(), sample, trained }))
    }

    fn train(&self) -> Option<Trained> {
        let fold = self.sample.folds(FOLDS).into_iter().next()?;
        let frames: Vec<(&[Symbol], u64)> = self.sample.frames().collect();
        // Too few frames to spare some: what calibrates is what was trained on.
        let of = if fold.fit.distinct() > 0 { &fold.fit } else { &self.sample };
        let sequences: Vec<(&[Symbol], u64)> = of
            .frames()
            .flat_map(|(calls, count)| {
                calls.split(|&call| call == BREAK).map(move |of_thread| (of_thread, count))
            })
            .filter(|(calls, _)| !calls.is_empty())
            .collect();
        let options = FitOptions {
            units: self.spec.whole("units") as usize,
            embedding: self.spec.whole("embedding") as usize,
            epochs: self.spec.whole("epochs") as usize,
            seed: u64::from(self.spec.whole("seed")),
            ..FitOptions::default()
        };
        let network = fit(&sequences, &options)
            .inspect_err(|error| tracing::warn!(%error, "the neural model is not trained"))
            .ok()?;
        let held_out = fold.held_out.into_iter();
        let scored =
            held_out.map(|(number, count)| (mean_surprise(&network, frames[number].0), count)).collect();
        Some(Trained { network: Arc::new(network), held_out: scored })
    }
}

impl Detector for Neural {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn learn_frame(&mut self, frame: &Frame<'_>) {
        if !frame.is_fresh {
            return;
        }
        self.sample.learn(frame.calls);
        self.trained = None;
    }

    fn finish(&mut self) {
        if self.trained.is_none() {
            self.trained = self.train();
        }
    }

    fn judge(&self, _alphabet: usize) -> Judge {
        let network = self.trained.as_ref().map(|trained| Arc::clone(&trained.network));
        Judge::Frames(Box::new(NeuralJudge { network }))
    }

    fn scale(&self) -> RawScale {
        SCALE
    }

    fn held_out(&self) -> Option<Vec<(f64, u64)>> {
        Some(self.trained.as_ref().map_or_else(Vec::new, |trained| trained.held_out.clone()))
    }

    fn statistics(&self) -> WindowStatistics {
        self.sample.statistics()
    }

    fn merge(&mut self, other: &dyn Detector, symbols: &[Symbol]) -> bool {
        let Some(other) = alike(self, other) else { return false };
        self.sample.merge(&other.sample, symbols);
        self.trained = None;
        true
    }

    fn note(&self) -> Option<String> {
        let network = &self.trained.as_ref()?.network;
        Some(format!("{} weights, trained on {} calls", network.weights(), network.trained_calls()))
    }

    fn encode(&self) -> Vec<u8> {
        let trained =
            self.trained.as_ref().map(|trained| (trained.network.to_content(), trained.held_out.clone()));
        postcard::to_stdvec(&Stored { sample: self.sample.to_content(), trained }).unwrap_or_default()
    }

    fn boxed_clone(&self) -> Box<dyn Detector> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl FrameJudge for NeuralJudge {
    fn score(&self, frame: &Frame<'_>) -> f64 {
        self.network.as_ref().map_or(0.0, |network| mean_surprise(network, frame.calls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned() -> Box<dyn Detector> {
        let spec = ModelSpec::parse("neural:units=8,embedding=4,epochs=3").unwrap();
        let mut detector = spec.create();
        for number in 0..40u16 {
            let calls: Vec<Symbol> = (0..30).map(|place| (place + number) % 5).chain([BREAK, 5, 5]).collect();
            detector.learn_frame(&Frame::of_trace(&calls));
        }
        detector
    }

    fn score(detector: &dyn Detector, calls: &[Symbol]) -> f64 {
        detector.judge(6).trace_score(calls)
    }

    #[test]
    fn it_says_nothing_before_it_is_trained_and_the_same_after_it_was_stored() {
        let mut detector = learned();
        assert!(score(detector.as_ref(), &[0, 4, 0, 4]).to_bits() == 0);
        detector.finish();
        let held_out = detector.held_out().unwrap();
        assert!(!held_out.is_empty() && held_out.iter().all(|(score, _)| *score > 0.0));
        let usual: Vec<Symbol> = (0..30).map(|place| place % 5).collect();
        let strange: Vec<Symbol> = (0..30).map(|place| (place * place) % 5 + 5 * (place % 3)).collect();
        let (usual_score, strange_score) =
            (score(detector.as_ref(), &usual), score(detector.as_ref(), &strange));
        assert!(strange_score > usual_score + 1.0, "{strange_score} {usual_score}");
        let again = detector.spec().decode(&detector.encode(), 6).unwrap();
        assert_eq!(score(again.as_ref(), &strange).to_bits(), strange_score.to_bits());
        assert_eq!(again.held_out().unwrap(), held_out);
        assert!(detector.note().unwrap().contains("weights"));
        // Calls that the profile does not know, and bytes that were cut or changed, make no detector.
        assert!(detector.spec().decode(&detector.encode(), 3).is_err());
        let bytes = detector.encode();
        assert!(detector.spec().decode(&bytes[..bytes.len() - 3], 6).is_err());
    }

    #[test]
    fn merged_it_must_be_trained_again_on_both() {
        let (mut one, other) = (learned(), learned());
        one.finish();
        assert!(one.merge(other.as_ref(), &[0, 1, 2, 3, 4, 5]));
        assert!(score(one.as_ref(), &[0, 4]).to_bits() == 0);
        assert_eq!(one.statistics().windows, 80);
    }
}
