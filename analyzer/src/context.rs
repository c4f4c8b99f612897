//! Calls that are improbable after the calls before them: the context model of variable order, and the Markov chain, which is its order 1.
//!
//! J. Cleary, I. Witten, "Data compression using adaptive coding and partial string matching", IEEE Transactions on Communications 32,
//! 1984, for contexts of all lengths up to an order; N. Ye, "A Markov chain model of temporal behavior for anomaly detection", IEEE
//! Information Assurance Workshop, 2000, for the chain. How probabilities are estimated: `context_judge`; how they are counted: `context_tree`.

use std::any::Any;

use crate::{
    alphabet::Symbol,
    context_judge::{ContextModel, NAMES},
    context_tree::{ContextTree, ROOT},
    detector::{Detector, Expectation, Judge, RawScale, WindowStatistics, alike},
    registry::{DetectorInfo, Maker, ModelSpec, ParameterInfo},
};

const MAX_ORDER: u32 = 16;

/// A single new turn of a program costs up to this much, nats: a call that never followed, and a few whose contexts are new for it.
const NEW_TURN_NATS: f64 = 16.0;

/// The line of the Markov chain.
pub(crate) const MARKOV: DetectorInfo = DetectorInfo {
    name: "markov",
    title: "Markov chain: calls that rarely follow the one before",
    description: "The profile is how often each call followed each other one in a thread; a trace scores the mean surprisal of its calls \
                  (Ye 2000; probabilities as Witten and Bell 1991).",
    parameters: &[ParameterInfo::whole("order", 1, (1, 3)).about("calls that the next one depends on")],
    maker: Maker::Own {
        window: |spec| spec.whole("order") + 1,
        create: |spec| Box::new(Context::new(spec)),
        decode: |spec, bytes, alphabet| Context::decode(spec, bytes, alphabet),
    },
};

/// The line of the context model.
pub(crate) const CONTEXT: DetectorInfo = DetectorInfo {
    name: "context",
    title: "Context model: calls that rarely follow the last ones",
    description: "The profile is how often each call followed each sequence of up to `order` calls of a thread; a trace scores the mean \
                  surprisal of its calls (Cleary and Witten 1984; probabilities as Witten and Bell 1991).",
    parameters: &[ParameterInfo::whole("order", 10, (1, MAX_ORDER))
        .or(&["n"])
        .about("longest context, calls")],
    maker: Maker::Own {
        window: |spec| spec.whole("order") + 1,
        create: |spec| Box::new(Context::new(spec)),
        decode: |spec, bytes, alphabet| Context::decode(spec, bytes, alphabet),
    },
};

/// What has been learned of the calls that follow contexts.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    spec: ModelSpec,
    tree: ContextTree,
}

impl Context {
    fn new(spec: &ModelSpec) -> Self {
        Self { spec: spec.clone(), tree: ContextTree::new(spec.whole("order") as usize) }
    }

    fn decode(spec: &ModelSpec, bytes: &[u8], alphabet: usize) -> Result<Box<dyn Detector>, String> {
        let tree = ContextTree::decode(bytes, spec.whole("order") as usize, alphabet)?;
        Ok(Box::new(Self { spec: spec.clone(), tree }))
    }
}

impl Detector for Context {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn learn(&mut self, calls: &[Symbol], context: usize) {
        self.tree.learn(calls, context, 1);
    }

    fn judge(&self, _alphabet: usize) -> Judge {
        Judge::Calls(Box::new(ContextModel::new(&self.tree)))
    }

    fn scale(&self) -> RawScale {
        RawScale {
            name: "nats",
            least_mean_excess: NEW_TURN_NATS,
            least_threshold: 2.0 * NEW_TURN_NATS,
            ..crate::novelty::scale(0)
        }
    }

    fn statistics(&self) -> WindowStatistics {
        self.tree.statistics()
    }

    fn merge(&mut self, other: &dyn Detector, symbols: &[Symbol]) -> bool {
        let Some(other) = alike(self, other) else { return false };
        self.tree.merge(&other.tree, symbols);
        true
    }

    fn expectation(&self, window: &[Symbol]) -> Option<Expectation> {
        let (&call, before) = window.split_last()?;
        let mut probability = 1.0 / NAMES;
        let mut node = ROOT;
        let mut before = before.iter().rev();
        let mut expected = None;
        // From no context to the longest that is known.
        loop {
            let followed: Vec<(u64, Symbol)> = self.following(node);
            let (all, different) =
                (followed.iter().map(|&(count, _)| count as f64).sum::<f64>(), followed.len() as f64);
            if different > 0.0 {
                let times = self.tree.count(node, call) as f64;
                probability = (times + different * probability) / (all + different);
                expected = followed.iter().max().map(|&(_, symbol)| symbol).filter(|&symbol| symbol != call);
            }
            match before.next().and_then(|&symbol| self.tree.child(node, symbol)) {
                Some(child) => node = child,
                None => break,
            }
        }
        Some(Expectation::Improbable { one_in: (1.0 / probability).round() as u64, expected })
    }

    fn encode(&self) -> Vec<u8> {
        self.tree.encode()
    }

    fn boxed_clone(&self) -> Box<dyn Detector> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Context {
    /// How often which calls followed a context. Looks at all of them: for explanations alone.
    fn following(&self, context: u32) -> Vec<(u64, Symbol)> {
        let calls = self.tree.edges().filter(|&(node, _, _)| node == context);
        calls.map(|(_, symbol, count)| (count, symbol)).collect()
    }
}
