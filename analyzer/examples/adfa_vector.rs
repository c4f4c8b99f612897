//! How well do the models over whole frames tell ADFA-LD's attacks from its normal traces? `cargo run --release --example adfa_vector`.
//!
//! Prints the area under the ROC curve and detection rates at 1, 5, 10, 15 and 20 % false alarms for each model, and for means of
//! calibrated scores. Everything is learned and calibrated on the training traces alone.

use std::{io::Read, path::PathBuf, time::Instant};

use rastro_analyzer::{
    roc::Roc,
    vector::{
        FrameScore,
        call_mix::call_mix,
        cluster_centres::ClusterCentres,
        density_clusters::DensityClusters,
        feature_space::Weighting,
        frame_sample::FrameSample,
        gaussian_mixture::GaussianMixture,
        isolation_forest::IsolationForest,
        local_calibration::{HeldOutFrame, LocalCalibration, mean_p_value},
        nearest_frames::NearestFrames,
        one_class_svm::OneClassSvm,
        principal_components::PrincipalComponents,
        supervised::{LEARNERS, Labelled, cross_validated},
    },
};

type Trace = Vec<u16>;
type Fit<'sample> = Box<dyn Fn() -> Score + 'sample>;
type Score = Box<dyn Fn(&[u16]) -> f64>;

fn read(name: &str) -> Vec<Trace> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/adfa-ld").join(name);
    let mut text = String::new();
    if let Ok(file) = std::fs::File::open(&path)
        && let Err(error) = flate2::read::GzDecoder::new(file).read_to_string(&mut text)
    {
        eprintln!("{}: {error}", path.display());
    }
    text.lines().map(|line| line.split(' ').filter_map(|call| call.parse().ok()).collect()).collect()
}

fn sample(traces: &[Trace]) -> FrameSample {
    let mut sample = FrameSample::new(0, 4096);
    for trace in traces {
        sample.learn(trace);
    }
    sample
}

fn report(name: &str, normal: &[f64], attack: &[f64]) {
    let Some(roc) = Roc::of(normal, attack) else { return };
    let rates: Vec<String> =
        [0.01, 0.05, 0.1, 0.15, 0.2].map(|rate| format!("{:.3}", roc.detection_rate_at(rate))).into();
    println!("{name:<40} {:.4} {}", roc.auc, rates.join(" "));
}

fn main() {
    let (train, normal, attack) = (read("training.txt.gz"), read("validation.txt.gz"), read("attack.txt.gz"));
    if train.is_empty() || normal.is_empty() || attack.is_empty() {
        eprintln!("skipped: the shared data `adfa-ld` is not here");
        return;
    }
    let sample = sample(&train);
    let models: Vec<(&str, Fit<'_>)> = vec![
        ("ocsvm 1..3", Box::new(|| svm(&sample, 3, 0.05))),
        ("ocsvm 1..4", Box::new(|| svm(&sample, 4, 0.05))),
        ("ocsvm 1..4 nu=.01", Box::new(|| svm(&sample, 4, 0.01))),
        ("nearest sets 1", Box::new(|| nearest(&sample, 1, Weighting::Set, 1))),
        ("nearest sets 1 k=3", Box::new(|| nearest(&sample, 1, Weighting::Set, 3))),
        ("nearest tf-idf 1", Box::new(|| nearest(&sample, 1, Weighting::TfIdf, 1))),
        ("nearest tf-idf 1..3", Box::new(|| nearest(&sample, 3, Weighting::TfIdf, 1))),
        (
            "svm 1..3 + nearest",
            Box::new(|| ensemble(&sample, &[|s| svm(s, 3, 0.05), |s| nearest(s, 1, Weighting::Set, 1)])),
        ),
        (
            "svm 1..3 + svm 1 + nearest",
            Box::new(|| {
                ensemble(
                    &sample,
                    &[|s| svm(s, 3, 0.05), |s| svm(s, 1, 0.05), |s| nearest(s, 1, Weighting::Set, 1)],
                )
            }),
        ),
        ("nearest frequency 1", Box::new(|| nearest(&sample, 1, Weighting::Frequency, 1))),
    ];
    supervised(&normal, &attack);
    let mut models = models;
    for (order, weighting) in [(1, Weighting::Set), (2, Weighting::Set), (1, Weighting::TfIdf)] {
        let sample = &sample;
        models.push((
            "principal components 10",
            Box::new(move || {
                let model = PrincipalComponents::fit(sample, order, weighting, 10);
                Box::new(move |calls| model.score(calls))
            }),
        ));
        models.push((
            "gaussian mixture 10, 8",
            Box::new(move || {
                let model = GaussianMixture::fit(sample, order, weighting, (10, 8), 0);
                Box::new(move |calls| model.score(calls))
            }),
        ));
        models.push((
            "k-means 32",
            Box::new(move || {
                let model = ClusterCentres::fit(sample, order, weighting, 32, 0);
                Box::new(move |calls| model.score(calls))
            }),
        ));
        models.push((
            "isolation forest 200, 256",
            Box::new(move || {
                let model = IsolationForest::fit(sample, order, weighting, (200, 256), 0);
                Box::new(move |calls| model.score(calls))
            }),
        ));
        models.push((
            "dbscan 4, .75",
            Box::new(move || {
                let model = DensityClusters::fit(sample, order, weighting, 4, 0.75);
                Box::new(move |calls| model.score(calls))
            }),
        ));
    }
    let calls: usize = normal.iter().chain(&attack).map(Vec::len).sum();
    for (name, fit) in models {
        let begin = Instant::now();
        let score = fit();
        let fitted = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        let scores = |traces: &[Trace]| -> Vec<f64> { traces.iter().map(|trace| score(trace)).collect() };
        let (normal, attack) = (scores(&normal), scores(&attack));
        let speed = calls as f64 / begin.elapsed().as_secs_f64() / 1e6;
        report(&format!("{name} ({fitted:.2} s, {speed:.1} M/s)"), &normal, &attack);
    }
}

/// Scores by the mean of the members' p-values among frames that behave alike; held-out scores come from cross-fitting.
fn ensemble(sample: &FrameSample, members: &[fn(&FrameSample) -> Score]) -> Score {
    let frames: Vec<&[u16]> = sample.frames().map(|(frame, _)| frame).collect();
    let mut held_out: Vec<HeldOutFrame> = frames
        .iter()
        .map(|frame| HeldOutFrame { mix: call_mix(frame), scores: vec![0.0; members.len()], count: 0 })
        .collect();
    for fold in sample.folds(10) {
        for (member, fit) in members.iter().enumerate() {
            let score = fit(&fold.fit);
            for &(number, count) in &fold.held_out {
                held_out[number].scores[member] += score(frames[number]) * count as f64;
            }
        }
        for (number, count) in fold.held_out {
            held_out[number].count += count;
        }
    }
    for frame in &mut held_out {
        let count = frame.count as f64;
        frame.scores.iter_mut().for_each(|score| *score /= count);
    }
    let members: Vec<Score> = members.iter().map(|fit| fit(sample)).collect();
    match LocalCalibration::new(held_out, members.len()) {
        Ok(calibration) => Box::new(move |calls| {
            let raw: Vec<f64> = members.iter().map(|score| score(calls)).collect();
            1.0 - mean_p_value(&calibration.p_values(calls, &raw))
        }),
        Err(error) => {
            eprintln!("{error}");
            Box::new(|_| 0.0)
        }
    }
}

/// Learners from labels, judged on traces that neither they nor copies of them were learned from.
fn supervised(normal: &[Trace], attack: &[Trace]) {
    let labelled: Vec<Labelled<'_>> = normal
        .iter()
        .map(|trace| (trace.as_slice(), false))
        .chain(attack.iter().map(|trace| (trace.as_slice(), true)))
        .collect();
    for learner in LEARNERS {
        let begin = Instant::now();
        let scores = cross_validated(&labelled, 10, 0, 2, &learner.learn);
        let spent = begin.elapsed().as_secs_f64();
        let (of_normal, of_attack) = scores.split_at(normal.len());
        report(&format!("{} ({spent:.1} s)", learner.title), of_normal, of_attack);
    }
}

fn svm(sample: &FrameSample, order: u32, nu: f64) -> Score {
    let model = OneClassSvm::fit(sample, order, nu);
    Box::new(move |calls| model.score(calls))
}

fn nearest(sample: &FrameSample, order: u32, weighting: Weighting, neighbours: u32) -> Score {
    let model = NearestFrames::fit(sample, order, weighting, neighbours);
    Box::new(move |calls| model.score(calls))
}
