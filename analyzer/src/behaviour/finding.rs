//! What is unusual about a frame: the parts of its score.

use rastro_model::{CallFigure, FigureExtent, Reason};

use super::{
    figures::{Extent, UnusualFigure},
    frame::CallFrame,
    outcomes::{Outcome, UnusualOutcome},
};
use crate::alphabet::Symbol;

/// Surprise, in nats, that everyday variation has: what lies below adds nothing to a score. One figure in 20 exceeds it by chance.
pub(crate) const EVERYDAY: f64 = 3.0;

/// Longest text of arguments in a reason, bytes.
const MAX_ARGUMENTS: usize = 256;

/// One unusual thing about a frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The call; `None` where it is the frame as a whole.
    pub symbol: Option<Symbol>,
    /// What it adds to the frame's score, nats.
    pub weight: f64,
    /// What it is.
    pub what: Unusual,
}

/// What is unusual.
#[derive(Debug, Clone, PartialEq)]
pub enum Unusual {
    /// How calls ended.
    Outcome {
        /// How.
        outcome: Outcome,
        /// The first such call, counted in the segment.
        call: u32,
        /// How many of the frame's calls ended so.
        times: u32,
        /// Calls of the name in the frame whose result is known.
        calls: u32,
        /// How many ended so in training.
        trained_times: u64,
        /// Calls of the name in training.
        trained_calls: u64,
    },
    /// A number.
    Figure {
        /// What it measures.
        figure: CallFigure,
        /// Whether it is the highest or the median of the frame.
        extent: Extent,
        /// The number.
        value: u64,
        /// The call that has it, counted in the segment.
        call: u32,
        /// Calls of the name in the frame.
        calls: u32,
        /// Where all but one in a hundred lie at either end in training.
        usual: (u64, u64),
    },
    /// Paths of shapes never seen with the call.
    Paths {
        /// The first one, as it was given.
        path: String,
        /// Its shape.
        shape: String,
        /// The first call with such a path, counted in the segment.
        call: u32,
        /// Different unseen shapes in the frame.
        shapes: u32,
        /// Paths of the call in training.
        trained: u64,
    },
}

/// A frame judged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judgement {
    /// Score before calibration, nats: the sum of the findings' weights.
    pub raw: f64,
    /// What was unusual, the heaviest first.
    pub findings: Vec<Finding>,
}

impl Judgement {
    /// Of these findings; those without weight go.
    pub(crate) fn of(mut findings: Vec<Finding>) -> Self {
        findings.retain(|finding| finding.weight > 0.0);
        findings.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.symbol.cmp(&b.symbol)));
        // Summed from the smallest, in an order that is always the same.
        let raw = findings.iter().rev().fold(0.0, |sum, finding| sum + finding.weight);
        Self { raw, findings }
    }
}

impl Finding {
    pub(crate) fn of_outcome(symbol: Symbol, call: u32, unusual: &UnusualOutcome) -> Self {
        let &UnusualOutcome { surprise, outcome, times, calls, trained_times, trained_calls } = unusual;
        Self {
            symbol: Some(symbol),
            weight: surprise - EVERYDAY,
            what: Unusual::Outcome { outcome, call, times, calls, trained_times, trained_calls },
        }
    }

    pub(crate) fn of_figure(symbol: Option<Symbol>, figure: CallFigure, unusual: &UnusualFigure) -> Self {
        let &UnusualFigure { surprise, extent, value, call, usual, calls } = unusual;
        Self {
            symbol,
            weight: surprise - EVERYDAY,
            what: Unusual::Figure { figure, extent, value, call, calls, usual },
        }
    }

    /// As an analyst is told it.
    pub fn reason(&self, frame: &CallFrame<'_>) -> Reason {
        let name = |call: u32| match self.symbol {
            Some(_) => frame.segment.calls.name(call as usize).to_owned(),
            None => String::new(),
        };
        let arguments = |call: u32| {
            frame.arguments(call).map(|text| text[..text.floor_char_boundary(MAX_ARGUMENTS)].to_owned())
        };
        match &self.what {
            &Unusual::Outcome { outcome, call, times, calls, trained_times, trained_calls } => {
                Reason::UnusualOutcome {
                    name: name(call),
                    outcome: outcome_name(outcome),
                    call,
                    times,
                    calls,
                    trained_times,
                    trained_calls,
                    arguments: arguments(call),
                }
            }
            &Unusual::Figure { figure, extent, value, call, calls, usual } => Reason::UnusualFigure {
                name: name(call),
                figure,
                extent: match extent {
                    Extent::Highest => FigureExtent::Highest,
                    Extent::Median => FigureExtent::Median,
                },
                value,
                usual_low: usual.0,
                usual_high: usual.1,
                call,
                calls,
            },
            Unusual::Paths { path, shape, call, shapes, trained } => Reason::UnseenPath {
                name: name(*call),
                path: path[..path.floor_char_boundary(MAX_ARGUMENTS)].to_owned(),
                shape: shape.clone(),
                call: *call,
                shapes: *shapes,
                trained: *trained,
            },
        }
    }
}

/// `failure`, `success`, or the name of an error.
fn outcome_name(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failure => "failure".to_owned(),
        Outcome::Success => "success".to_owned(),
        Outcome::Error(number) => {
            rastro_model::errno::name(number).map_or_else(|| format!("error {number}"), str::to_owned)
        }
    }
}
