//! The ensemble: several views of one frame, and how rare it is among normal frames that behave alike.
//!
//! | member | what it sees |
//! |---|---|
//! | one-class SVM on sets of 1- to 3-grams | short sequences that are new or unusual together |
//! | one-class SVM on sets of calls | calls that are unusual together |
//! | nearest neighbour on sets of calls | how much of the frame no single normal frame has |
//! | context model: median and upper quartile of the surprisals | how predictable its calls are one by one, as a habit and in its worse quarter |
//!
//! Quantiles say more than the mean: one call that could not be expected happens in normal frames too; that a quarter of all calls are
//! unexpected does not. Each member's score becomes a p-value among normal frames that behave alike ([`crate::vector::local_calibration`], which
//! says why), and the mean of the p-values decides. A member that is alone in its view is outvoted; [`FrameJudge::opinions`] shows it.
//!
//! [`FrameJudge::opinions`]: crate::detector::FrameJudge::opinions

use crate::{
    alphabet::Symbol,
    context_judge::ContextModel,
    context_tree::ContextTree,
    detector::RawScale,
    fitted::{Combination, Fitting, FrameModel, Member},
    registry::{DetectorInfo, Maker, ParameterInfo},
    vector::{feature_space::Weighting, nearest_frames::NearestFrames, one_class_svm::OneClassSvm},
};

/// Its line of the table.
pub(crate) const INFO: DetectorInfo = DetectorInfo {
    name: "ensemble",
    title: "Ensemble: one-class SVM, nearest neighbour and context model together",
    description: "Each member's score of a frame becomes a p-value among normal frames with a like mix of calls; the mean of the p-values \
                  decides (p-values: Papadopoulos, Gammerman and Vovk 2008; their mean: Vovk and Wang 2020).",
    parameters: &[
        ParameterInfo::real("nu", 0.05, (0.001, 0.5))
            .about("share of normal frames that the one-class SVMs may leave out"),
        ParameterInfo::whole("order", 10, (1, 16)).about("longest context of the context model, calls"),
    ],
    maker: Maker::Fitted(&FITTING),
};

static FITTING: Fitting = Fitting {
    members: &[
        Member {
            scores: &["one-class SVM on 1- to 3-grams"],
            fit: |spec, sample| Box::new(OneClassSvm::fit(sample, 3, spec.value("nu"))),
        },
        Member {
            scores: &["one-class SVM on calls"],
            fit: |spec, sample| Box::new(OneClassSvm::fit(sample, 1, spec.value("nu"))),
        },
        Member {
            scores: &["nearest neighbour on calls"],
            fit: |_, sample| Box::new(NearestFrames::fit(sample, 1, Weighting::Set, 1)),
        },
        Member {
            scores: &["context model, median", "context model, upper quartile"],
            fit: |spec, sample| {
                let mut tree = ContextTree::new(spec.whole("order") as usize);
                for (calls, times) in sample.frames() {
                    tree.learn_frame(calls, times);
                }
                Box::new(Surprise(ContextModel::new(&tree)))
            },
        },
    ],
    combination: Combination::MeanOfPValues,
    scale: RawScale {
        units: 1024,
        name: "nats",
        // What −ln p of normal frames exceeds any level by, if the p-values are what they claim to be.
        least_mean_excess: 1.0,
        least_threshold: 1.0,
        highest_threshold: 60.0,
    },
    frames: 1024,
    folds: 10,
};

#[derive(Debug)]
struct Surprise(ContextModel);

impl FrameModel for Surprise {
    fn scores(&self, calls: &[Symbol], scores: &mut Vec<f64>) {
        let surprisals = self.0.surprisals(calls);
        scores.push(surprisals.map_or(0.0, |surprisals| surprisals.median));
        scores.push(surprisals.map_or(0.0, |surprisals| surprisals.upper_quartile));
    }
}
