//! Behaviour beside the order of calls: what they were given, what they returned, how long they took.
//!
//! | module | idea |
//! |---|---|
//! | `frame` | the calls of one frame, sorted by what they are |
//! | `arguments` | outcomes, figures and paths, by call |
//! | `timing` | latencies, pauses, rate |
//! | `by_call` | the table of what is known of each call by name |
//! | `outcomes` | how calls end: success, or which error |
//! | `figures`, `histogram` | numbers on a logarithmic scale: the highest and the median of a frame |
//! | `paths`, `shapes` | paths in kept arguments, and the bounded set of their shapes |
//! | `binomial` | how surprising it is that something happened so often |
//! | `finding` | what is unusual about a frame |
//! | `model`, `detector` | what both models do, and the models as detectors |
//!
//! Both models are used alike ([`BehaviourModel`]): `learn` frames, `judge` frames, `merge`. They are pure functions of the frames learned, whatever their order;
//! a judgement is a pure function of model and frame, so that live and offline scores are the same to the last bit. Both are plain
//! data for `serde`; `check` must pass before a model that came from outside is used.

mod arguments;
mod binomial;
mod by_call;
mod detector;
mod figures;
mod finding;
mod frame;
mod histogram;
mod model;
mod outcomes;
mod paths;
mod shapes;
mod timing;

pub use arguments::ArgumentsModel;
pub use detector::reads_all_columns;
pub(crate) use detector::{ARGUMENTS, TIMING};
pub use figures::Extent;
pub use finding::{Finding, Judgement, Unusual};
pub use frame::{CallFrame, MAX_CALLS};
pub use histogram::LogHistogram;
pub use model::BehaviourModel;
pub use outcomes::Outcome;
pub use timing::{TimeSource, TimingModel};
