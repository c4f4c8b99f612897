//! Recordings of many threads, judged as they would be live: calls in their order, windows by thread, frame by frame.
//!
//! A recording's score is that of its worst frame, because one frame that alarms wakes someone up. Where a recording tells since when
//! it is an attack, only frames from then on count for the attack; what lies before is a normal recording of its own.
//!
//! Recordings may be larger than memory: they are read once to train and once to be scored, segment by segment.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rastro_model::{FrameScore, Segment};

use super::{
    Accuracy, Delay, Evaluation, EvaluationOptions, HeldOutFrom, Measured, NoTraces, OwnThreshold, Part,
    delay, parallel, threshold,
};
use crate::{Profile, Scorer, ScorerError, ScoringOptions, Trainer, TrainingOptions, registry::ModelSpec};

/// What is known of a recording from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Truth {
    /// Kind of attack, where known.
    pub kind: Option<String>,
    /// Since when it is an attack, nanoseconds since the epoch; from its beginning where absent.
    pub since_ns: Option<i64>,
}

/// Where the segments of recordings come from.
pub trait Recordings: Sync {
    /// What can go wrong.
    type Error: Send;

    /// What each recording is for.
    fn parts(&self) -> &[Part];

    /// Hands the segments of recording `place` to `each`, in order, and says what is known of it. The same recording always gives the
    /// same segments.
    fn read(&self, place: usize, each: &mut dyn FnMut(&Segment)) -> Result<Truth, Self::Error>;
}

/// Why recordings cannot be evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingsError<E> {
    /// A part is missing.
    #[error(transparent)]
    NoTraces(#[from] NoTraces),
    /// A recording cannot be read.
    #[error("{0}")]
    Read(E),
    /// A profile that was just trained cannot score.
    #[error(transparent)]
    Scorer(#[from] ScorerError),
}

/// What became of one recording under one model.
#[derive(Debug, Clone, Default)]
struct Judged {
    before: Side,
    since: Side,
    spent: Duration,
}

/// The frames of a recording before, or since, its attack began.
#[derive(Debug, Clone, Default)]
struct Side {
    /// Raw score and calls of each frame.
    frames: Vec<(f64, u32)>,
    alarms: bool,
}

impl Side {
    fn add(&mut self, frame: &FrameScore) {
        self.frames.push((frame.raw, frame.calls));
        self.alarms |= frame.alarm;
    }

    /// Score of the worst frame; `None` without a frame.
    fn worst(&self) -> Option<f64> {
        self.frames.iter().map(|(raw, _)| *raw).max_by(f64::total_cmp)
    }

    /// Calls up to the end of the first frame that scores above `threshold`.
    fn calls_until(&self, threshold: f64) -> Option<usize> {
        let mut calls = 0;
        self.frames.iter().find_map(|&(raw, more)| {
            calls += more as usize;
            (raw > threshold).then_some(calls)
        })
    }
}

/// One recording: its truth, how many distinct calls and calls it has, and what each model says.
struct Read {
    truth: Truth,
    distinct: usize,
    calls: u64,
    judged: Vec<Judged>,
}

/// Trains each model on the recordings to train on and scores the others with it. `progress` is told how many of all recordings are
/// done. Frames have at most `frame` calls.
pub fn evaluate_recordings<R: Recordings>(
    recordings: &R,
    models: &[ModelSpec],
    frame: u32,
    options: &EvaluationOptions,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Evaluation, RecordingsError<R::Error>> {
    let parts = recordings.parts();
    let of_part =
        |part: Part| -> Vec<usize> { (0..parts.len()).filter(|&place| parts[place] == part).collect() };
    let (train, normal, attack) = (of_part(Part::Train), of_part(Part::Normal), of_part(Part::Attack));
    for (places, missing) in [(&train, "training"), (&normal, "normal"), (&attack, "attack")] {
        if places.is_empty() {
            return Err(NoTraces { missing }.into());
        }
    }
    let done = AtomicU64::new(0);
    let step = || progress(done.fetch_add(1, Ordering::Relaxed) + 1, parts.len() as u64);

    let mut trainers: Vec<(Trainer, Duration)> = models
        .iter()
        .map(|spec| {
            let options = TrainingOptions { models: vec![spec.clone()], frame };
            (Trainer::new("evaluation", &options), Duration::ZERO)
        })
        .collect();
    let mut train_calls = 0;
    for &place in &train {
        let mut learn = |segment: &Segment| {
            train_calls += segment.calls.len() as u64;
            for (trainer, spent) in &mut trainers {
                let begin = Instant::now();
                trainer.learn(segment);
                *spent += begin.elapsed();
            }
        };
        recordings.read(place, &mut learn).map_err(RecordingsError::Read)?;
        step();
    }
    let trained: Vec<(Arc<Profile>, Duration)> = trainers
        .into_iter()
        .map(|(trainer, spent)| {
            let begin = Instant::now();
            let profile = Arc::new(trainer.finish(0));
            (profile, spent + begin.elapsed())
        })
        .collect();

    let to_score: Vec<usize> = (0..parts.len()).filter(|&place| parts[place] != Part::Train).collect();
    let read = parallel::map(to_score.len(), options.cores, |number| {
        let read = score_one(recordings, to_score[number], &trained, frame);
        step();
        read
    });
    let mut by_place: Vec<Option<Read>> = parts.iter().map(|_| None).collect();
    for (&place, read) in to_score.iter().zip(read) {
        by_place[place] = Some(read?);
    }
    let of_places = |places: &[usize]| -> Vec<&Read> {
        places.iter().filter_map(|&place| by_place[place].as_ref()).collect()
    };
    let calibrate = of_part(Part::Calibrate);
    let sides =
        Sides { normal: of_places(&normal), attack: of_places(&attack), calibrate: of_places(&calibrate) };

    let mut detectors = Vec::with_capacity(models.len());
    for (model, (spec, (profile, training))) in models.iter().zip(&trained).enumerate() {
        detectors.push(sides.measure(model, spec, profile, (train_calls, *training), options)?);
    }
    let calls = |read: &[&Read]| (read.len() as u64, read.iter().map(|read| read.calls).sum());
    Ok(Evaluation {
        detectors,
        trivial: sides.trivial(|read| -(read.distinct as f64), options)?,
        trivial_length: sides.trivial(|read| read.calls as f64, options)?,
        train: (train.len() as u64, train_calls),
        calibrate: calls(&sides.calibrate),
        normal: calls(&sides.normal),
        attack: calls(&sides.attack),
    })
}

fn score_one<R: Recordings>(
    recordings: &R,
    place: usize,
    trained: &[(Arc<Profile>, Duration)],
    frame: u32,
) -> Result<Read, RecordingsError<R::Error>> {
    // What nobody reads need not be explained.
    let options = ScoringOptions { frame, explain_from: f64::INFINITY, ..ScoringOptions::default() };
    let mut scorers = Vec::with_capacity(trained.len());
    for (profile, _) in trained {
        scorers.push((Scorer::new(Arc::clone(profile), 1, options.clone())?, Vec::new(), Duration::ZERO));
    }
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut calls = 0;
    let mut score = |segment: &Segment| {
        calls += segment.calls.len() as u64;
        for kind in &segment.calls.kinds {
            if !names.contains(&kind.name) {
                names.insert(kind.name.clone());
            }
        }
        for (scorer, frames, spent) in &mut scorers {
            let begin = Instant::now();
            let scores = scorer.score_segment(segment);
            *spent += begin.elapsed();
            frames.extend(scores.into_iter().flat_map(|scores| scores.frames));
        }
    };
    let truth = recordings.read(place, &mut score).map_err(RecordingsError::Read)?;
    let judged = scorers
        .into_iter()
        .map(|(_, frames, spent)| {
            let mut judged = Judged { spent, ..Judged::default() };
            for frame in &frames {
                let is_before = truth.since_ns.is_some_and(|since_ns| frame.end_ns < since_ns);
                let side = if is_before { &mut judged.before } else { &mut judged.since };
                side.add(frame);
            }
            judged
        })
        .collect();
    Ok(Read { truth, distinct: names.len(), calls, judged })
}

/// The recordings that were scored.
struct Sides<'r> {
    normal: Vec<&'r Read>,
    attack: Vec<&'r Read>,
    calibrate: Vec<&'r Read>,
}

impl Sides<'_> {
    fn kinds(&self) -> std::collections::BTreeMap<&str, Vec<usize>> {
        let mut kinds = std::collections::BTreeMap::<&str, Vec<usize>>::new();
        for (place, read) in self.attack.iter().enumerate() {
            if let Some(kind) = &read.truth.kind {
                kinds.entry(kind).or_default().push(place);
            }
        }
        kinds
    }

    fn trivial(&self, score: fn(&Read) -> f64, options: &EvaluationOptions) -> Result<Accuracy, NoTraces> {
        let scores = |read: &[&Read]| read.iter().map(|read| score(read)).collect::<Vec<_>>();
        Accuracy::of(&scores(&self.normal), &scores(&self.attack), &self.kinds(), options)
    }

    fn measure(
        &self,
        model: usize,
        spec: &ModelSpec,
        profile: &Profile,
        (train_calls, training): (u64, Duration),
        options: &EvaluationOptions,
    ) -> Result<Measured, NoTraces> {
        let since = |read: &Read| read.judged[model].since.worst();
        // A recording without a frame cannot alarm: it scores as low as can be.
        let worst =
            |read: &[&Read]| -> Vec<f64> { read.iter().map(|read| since(read).unwrap_or(0.0)).collect() };
        let mut normal = worst(&self.normal);
        let before = self.attack.iter().filter_map(|read| read.judged[model].before.worst());
        normal.extend(before);
        let attack = worst(&self.attack);
        let accuracy = Accuracy::of(&normal, &attack, &self.kinds(), options)?;
        let alarming = |read: &[&Read]| {
            read.iter().filter(|read| read.judged[model].since.alarms).count() as f64 / read.len() as f64
        };
        let scored = self.normal.iter().chain(&self.attack).chain(&self.calibrate);
        let (calls, spent) = scored.fold((0, Duration::ZERO), |(calls, spent), read| {
            (calls + read.calls, spent + read.judged[model].spent)
        });
        let rate = |calls: u64, time: Duration| calls as f64 / time.as_secs_f64().max(1e-9);
        let statistics = profile.models[0].detector.statistics();
        let held_out = worst(&self.calibrate);
        Ok(Measured {
            detector: spec.to_string(),
            supervised: false,
            realised: threshold::realised(&held_out, HeldOutFrom::SeparateTraces, &normal, &attack),
            own_threshold: Some(OwnThreshold {
                false_alarm_rate: alarming(&self.normal),
                detection_rate: alarming(&self.attack),
            }),
            delay: self.delay(model, &normal),
            accuracy,
            training_calls_per_second: rate(train_calls, training),
            scoring_calls_per_second: rate(calls, spent),
            model_bytes: profile.models[0].detector.encode().len() as u64,
            profile_bytes: profile.to_bytes().len() as u64,
            distinct: statistics.distinct,
            unseen_mass: statistics.unseen_mass(),
        })
    }

    fn delay(&self, model: usize, normal: &[f64]) -> Option<Delay> {
        let threshold = delay::threshold(normal)?;
        let calls = self.attack.iter().filter_map(|read| read.judged[model].since.calls_until(threshold));
        delay::summary(calls.collect())
    }
}
