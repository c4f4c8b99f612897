//! ADFA-LD: the figures of plain Python versions, measured for this project, must come out again.

use rastro_analyzer::{
    ModelSpec,
    evaluation::{Evaluation, Part, TraceSets, evaluate},
};

use crate::support::{read_gzip, shared_data};

fn evaluation(models: &[&str]) -> Option<Evaluation> {
    let folder = shared_data("adfa-ld")?;
    let mut sets = TraceSets::new();
    for (part, file) in [(Part::Train, "training"), (Part::Normal, "validation")] {
        for trace in read_gzip(&folder.join(format!("{file}.txt.gz"))).lines() {
            sets.add(part, trace.split(' '), None);
        }
    }
    let labels = std::fs::read_to_string(folder.join("attack.labels")).unwrap();
    let attacks = read_gzip(&folder.join("attack.txt.gz"));
    for (trace, label) in attacks.lines().zip(labels.lines()) {
        sets.add(Part::Attack, trace.split(' '), label.split('\t').next());
    }
    let models: Vec<ModelSpec> = models.iter().map(|text| ModelSpec::parse(text).unwrap()).collect();
    Some(evaluate(&sets, &models, 2, &|_, _| {}).unwrap())
}

#[test]
fn stide_and_bosc_reach_their_reference_figures() {
    let references = [("stide:n=6", 0.827), ("bosc:w=6", 0.684), ("bosc:w=10", 0.798), ("bosc:w=15", 0.817)];
    let Some(evaluation) = evaluation(&references.map(|(model, _)| model)) else { return };
    assert_eq!(evaluation.train, (833, 308_077));
    assert_eq!(evaluation.normal, (4372, 2_122_085));
    assert_eq!(evaluation.attack, (746, 317_388));
    for (measured, (model, auc)) in evaluation.detectors.iter().zip(references) {
        eprintln!(
            "{model}: {:.4} {:.3?} {} distinct",
            measured.accuracy.roc.auc, measured.accuracy.detection_rates, measured.distinct
        );
        assert_eq!(measured.detector, model);
        assert!((measured.accuracy.roc.auc - auc).abs() < 0.01, "{model}: {}", measured.accuracy.roc.auc);
        let kinds: Vec<&str> = measured.accuracy.kinds.iter().map(|kind| kind.kind.as_str()).collect();
        assert_eq!(
            kinds,
            ["Adduser", "Hydra_FTP", "Hydra_SSH", "Java_Meterpreter", "Meterpreter", "Web_Shell"]
        );
        assert_eq!(measured.accuracy.kinds.iter().map(|kind| kind.traces).sum::<u64>(), 746);
    }
    let stide = &evaluation.detectors[0].accuracy;
    for ((rate, detected), expected) in
        stide.detection_rates.iter().skip(1).zip([0.0, 0.22, 0.38, 0.63, 0.77])
    {
        assert!((detected - expected).abs() < 0.015, "stide at {rate}: {detected}");
    }
    assert!((evaluation.trivial.roc.auc - 0.810).abs() < 0.001, "{}", evaluation.trivial.roc.auc);
}
