//! The trained network: plain numbers, and the few loops that score with them.

use serde::{Deserialize, Serialize};

use crate::alphabet::{MAX_NAMES, Symbol};

/// Most calls that a network tells apart.
pub(crate) const MAX_VOCABULARY: usize = 1024;

/// Widest embedding, and most units.
const MAX_WIDTH: usize = 256;

/// Numbers per unit: input, forget and output gate, and what is written.
pub(crate) const GATES: usize = 4;

/// Inputs beside the calls known: a call that is not known, and the beginning of a sequence.
pub(crate) const EXTRA_INPUTS: usize = 2;

/// Weights as training leaves them, row by row.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tensors {
    /// Inputs × embedding.
    pub(crate) embedding: Vec<f32>,
    /// Embedding × 4 units.
    pub(crate) of_input: Vec<f32>,
    /// Units × 4 units.
    pub(crate) of_state: Vec<f32>,
    /// 4 units.
    pub(crate) bias: Vec<f32>,
    /// Units × calls known.
    pub(crate) output: Vec<f32>,
    /// Calls known.
    pub(crate) output_bias: Vec<f32>,
}

/// A network as bytes hold it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkContent {
    embedding: u32,
    units: u32,
    /// Symbols known, ascending.
    vocabulary: Vec<Symbol>,
    /// Calls that it was trained on.
    trained_calls: u64,
    tensors: Tensors,
}

/// A trained network.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    content: NetworkContent,
    units: usize,
    /// For each symbol its place in the vocabulary; [`NetworkContent::vocabulary`]'s length where it has none.
    places: Vec<u16>,
    /// For each input what it adds to the gates.
    gates_of_input: Vec<f32>,
    /// Surprise at a call that it does not know, nats.
    unknown: f32,
}

/// How surprising one call is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Surprise {
    /// −ln of its probability.
    pub nats: f32,
    /// The call that was the most probable.
    pub expected: Symbol,
}

/// What the network remembers of a sequence.
#[derive(Debug, Clone)]
struct State {
    hidden: Vec<f32>,
    cell: Vec<f32>,
    gates: Vec<f32>,
    logits: Vec<f32>,
}

impl Network {
    pub(crate) fn new(
        (embedding, units): (usize, usize),
        vocabulary: Vec<Symbol>,
        trained_calls: u64,
        tensors: Tensors,
    ) -> Result<Self, String> {
        Self::from_content(
            NetworkContent {
                embedding: embedding as u32,
                units: units as u32,
                vocabulary,
                trained_calls,
                tensors,
            },
            MAX_NAMES,
        )
    }

    /// From bytes; the error says what is wrong. Symbols must be less than `alphabet`.
    pub fn from_content(content: NetworkContent, alphabet: usize) -> Result<Self, String> {
        let (embedding, units) = (content.embedding as usize, content.units as usize);
        let known = content.vocabulary.len();
        if !(1..=MAX_WIDTH).contains(&embedding) || !(1..=MAX_WIDTH).contains(&units) {
            return Err(format!("its layers are not from 1 to {MAX_WIDTH} wide"));
        }
        let is_known = |symbol: &Symbol| usize::from(*symbol) < alphabet;
        if !(1..=MAX_VOCABULARY).contains(&known)
            || !content.vocabulary.is_sorted_by(|a, b| a < b)
            || !content.vocabulary.iter().all(is_known)
        {
            return Err("its calls are none, too many, out of order, or unknown to the profile".to_owned());
        }
        let tensors = &content.tensors;
        let gates = GATES * units;
        let sizes = [
            (&tensors.embedding, (known + EXTRA_INPUTS) * embedding),
            (&tensors.of_input, embedding * gates),
            (&tensors.of_state, units * gates),
            (&tensors.bias, gates),
            (&tensors.output, units * known),
            (&tensors.output_bias, known),
        ];
        if sizes.iter().any(|(tensor, size)| tensor.len() != *size) {
            return Err("its weights are not as many as its layers need".to_owned());
        }
        if sizes.iter().any(|(tensor, _)| tensor.iter().any(|weight| !weight.is_finite())) {
            return Err("a weight is no number".to_owned());
        }
        let highest = content.vocabulary.last().map_or(0, |&symbol| usize::from(symbol));
        let mut places = vec![known as u16; highest + 1];
        for (place, &symbol) in content.vocabulary.iter().enumerate() {
            places[usize::from(symbol)] = place as u16;
        }
        let mut gates_of_input = Vec::with_capacity((known + EXTRA_INPUTS) * gates);
        for row in tensors.embedding.chunks_exact(embedding) {
            let mut sum = tensors.bias.clone();
            add_product(row, &tensors.of_input, &mut sum);
            gates_of_input.extend_from_slice(&sum);
        }
        // As rare as once in all that was learned.
        let unknown = ((content.trained_calls as f64 + 1.0).ln() as f32).max(1.0);
        Ok(Self { content, units, places, gates_of_input, unknown })
    }

    /// For bytes.
    pub fn to_content(&self) -> NetworkContent {
        self.content.clone()
    }

    /// Calls that it was trained on.
    pub fn trained_calls(&self) -> u64 {
        self.content.trained_calls
    }

    /// Number of weights.
    pub fn weights(&self) -> usize {
        let Tensors { embedding, of_input, of_state, bias, output, output_bias } = &self.content.tensors;
        [embedding, of_input, of_state, bias, output, output_bias].iter().map(|tensor| tensor.len()).sum()
    }

    /// How surprising each call of a sequence is, from its beginning.
    pub fn surprises(&self, calls: &[Symbol]) -> Vec<Surprise> {
        let known = self.content.vocabulary.len();
        let mut state = State {
            hidden: vec![0.0; self.units],
            cell: vec![0.0; self.units],
            gates: vec![0.0; GATES * self.units],
            logits: vec![0.0; known],
        };
        // A sequence begins with an input of its own, behind that of calls not known.
        let mut input = known + 1;
        let mut surprises = Vec::with_capacity(calls.len());
        for &call in calls {
            self.step(input, &mut state);
            let place = self.places.get(usize::from(call)).map_or(known, |&place| usize::from(place));
            surprises.push(self.surprise(place, &mut state.logits));
            input = place;
        }
        surprises
    }

    /// Reads one input; leaves what is expected next in `logits`.
    fn step(&self, input: usize, state: &mut State) {
        let units = self.units;
        let tensors = &self.content.tensors;
        let width = GATES * units;
        state.gates.copy_from_slice(&self.gates_of_input[input * width..(input + 1) * width]);
        add_product(&state.hidden, &tensors.of_state, &mut state.gates);
        let (into, rest) = state.gates.split_at(units);
        let (forget, rest) = rest.split_at(units);
        let (write, out) = rest.split_at(units);
        for unit in 0..units {
            let cell = sigmoid(forget[unit]) * state.cell[unit] + sigmoid(into[unit]) * write[unit].tanh();
            state.cell[unit] = cell;
            state.hidden[unit] = sigmoid(out[unit]) * cell.tanh();
        }
        state.logits.copy_from_slice(&tensors.output_bias);
        add_product(&state.hidden, &tensors.output, &mut state.logits);
    }

    fn surprise(&self, place: usize, logits: &mut [f32]) -> Surprise {
        let mut expected = 0;
        for (other, logit) in logits.iter().enumerate() {
            if *logit > logits[expected] {
                expected = other;
            }
        }
        let highest = logits[expected];
        let sum: f32 = logits.iter().map(|logit| (logit - highest).exp()).sum();
        let nats = match logits.get(place) {
            // No more than for a call that was never seen, so that one call cannot outweigh all others.
            Some(logit) => (highest + sum.ln() - logit).clamp(0.0, self.unknown),
            None => self.unknown,
        };
        let nats = if nats.is_nan() { self.unknown } else { nats };
        Surprise { nats, expected: self.content.vocabulary[expected] }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Adds the product of a row and a matrix, whose rows are as long as `sum`.
fn add_product(row: &[f32], matrix: &[f32], sum: &mut [f32]) {
    for (factor, weights) in row.iter().zip(matrix.chunks_exact(sum.len())) {
        for (sum, weight) in sum.iter_mut().zip(weights) {
            *sum += factor * weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network that knows calls 3 and 5 and has weights that tell nothing.
    fn content() -> NetworkContent {
        let (embedding, units, known) = (2usize, 3usize, 2usize);
        NetworkContent {
            embedding: embedding as u32,
            units: units as u32,
            vocabulary: vec![3, 5],
            trained_calls: 999,
            tensors: Tensors {
                embedding: vec![0.5; (known + EXTRA_INPUTS) * embedding],
                of_input: vec![0.1; embedding * GATES * units],
                of_state: vec![0.1; units * GATES * units],
                bias: vec![0.0; GATES * units],
                output: vec![0.1; units * known],
                output_bias: vec![0.0; known],
            },
        }
    }

    #[test]
    fn a_network_that_knows_nothing_finds_known_calls_equally_likely_and_others_as_rare_as_once() {
        let network = Network::from_content(content(), 6).unwrap();
        let surprises = network.surprises(&[3, 5, 4, 9, 3]);
        for place in [0, 1, 4] {
            assert!((surprises[place].nats - 2f32.ln()).abs() < 1e-6, "{surprises:?}");
        }
        for place in [2, 3] {
            assert!((surprises[place].nats - 1000f32.ln()).abs() < 1e-4, "{surprises:?}");
        }
        assert!(network.surprises(&[]).is_empty());
        assert_eq!(network.weights(), 4 * 2 + 2 * 12 + 3 * 12 + 12 + 3 * 2 + 2);
    }

    #[test]
    fn content_that_makes_no_network_is_refused() {
        type Change = fn(&mut NetworkContent);
        let changes: [Change; 9] = [
            |content| content.units = 0,
            |content| content.units = u32::MAX,
            |content| content.embedding = 257,
            |content| content.vocabulary.clear(),
            |content| content.vocabulary.reverse(),
            |content| content.vocabulary[1] = 6,
            |content| content.tensors.output.truncate(1),
            |content| content.tensors.of_state[0] = f32::NAN,
            |content| content.tensors.bias[0] = f32::INFINITY,
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut content = content();
            change(&mut content);
            assert!(Network::from_content(content, 6).is_err(), "change {number}");
        }
    }

    #[test]
    fn hostile_weights_give_bounded_surprises() {
        let mut content = content();
        content.tensors.output.fill(f32::MAX);
        content.tensors.output_bias.fill(f32::MIN);
        content.tensors.of_state.fill(f32::MAX);
        let network = Network::from_content(content, 6).unwrap();
        for surprise in network.surprises(&[3, 5, 3, 3, 77, 5]) {
            assert!((0.0..=1000f32.ln() + 1e-3).contains(&surprise.nats), "{surprise:?}");
        }
    }
}
