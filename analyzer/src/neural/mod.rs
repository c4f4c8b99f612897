//! A small neural model of the next call (cargo feature `neural`).
//!
//! A long short-term memory (S. Hochreiter, J. Schmidhuber, Neural Computation 9, 1997) reads the calls of a thread and says before each how
//! probable every call is; what happens is surprising as far as it was improbable (for system calls: G. Kim, H. Yi, J. Lee, Y. Paek, S. Yoon,
//! "LSTM-based system-call language modeling and robust ensemble method for designing host-based intrusion detection systems", 2016).
//!
//! | module | idea |
//! |---|---|
//! | `network` | the trained network: plain numbers, and the few loops that score with them |
//! | `lanes` | sequences laid side by side for training |
//! | `fit` | training, with `candle` |
//! | `detector` | the network as a detector |
//!
//! Training alone needs `candle`: a network that was trained is numbers in the profile, read and checked like everything else there, and
//! scored by loops of this crate, which give the same bits wherever they run on the same kind of machine.

mod detector;
mod fit;
mod lanes;
mod network;
mod random;

pub(crate) use detector::INFO;
pub use fit::{FitError, FitOptions, fit};
pub use network::{Network, NetworkContent, Surprise};
