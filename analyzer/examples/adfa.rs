//! How well do detectors tell ADFA-LD's attacks from its normal traces? `cargo run --release --example adfa -- stide context ensemble`.
//!
//! Trains on the training traces alone. Prints the area under the ROC curve, detection rates at 1, 5, 10, 15 and 20 % false alarms, and
//! speeds of one core.

use std::{io::Read, path::PathBuf};

use rastro_analyzer::{
    DETECTORS, ModelSpec,
    evaluation::{Part, TraceSets, evaluate},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/adfa-ld");
    if !folder.is_dir() {
        eprintln!("skipped: the shared data `adfa-ld` is not here");
        return Ok(());
    }
    let mut sets = TraceSets::new();
    for (name, part) in [("training", Part::Train), ("validation", Part::Normal), ("attack", Part::Attack)] {
        let mut text = String::new();
        let file = std::fs::File::open(folder.join(format!("{name}.txt.gz")))?;
        flate2::read::GzDecoder::new(file).read_to_string(&mut text)?;
        for line in text.lines() {
            sets.add(part, line.split(' '), None);
        }
    }
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    if wanted.is_empty() {
        wanted = DETECTORS.iter().map(|info| info.name.to_owned()).collect();
    }
    for text in wanted {
        let spec = ModelSpec::parse(&text)?;
        let evaluation = evaluate(&sets, std::slice::from_ref(&spec), 2, &|_, _| ())?;
        for measured in &evaluation.detectors {
            let roc = &measured.accuracy.roc;
            let rates: Vec<String> =
                [0.01, 0.05, 0.1, 0.15, 0.2].map(|rate| format!("{:.3}", roc.detection_rate_at(rate))).into();
            println!(
                "{:<28} AUC {:.4}  DR {}  learns {:.2} M calls/s, scores {:.2} M calls/s, {} kB",
                measured.detector,
                roc.auc,
                rates.join(" "),
                measured.training_calls_per_second / 1e6,
                measured.scoring_calls_per_second / 1e6,
                measured.model_bytes / 1000,
            );
        }
    }
    Ok(())
}
