//! Training, with `candle`: truncated back-propagation through time (P. Werbos, Proceedings of the IEEE 78, 1990) by Adam
//! (D. Kingma, J. Ba, ICLR 2015).

use candle_core::{DType, Device, Tensor, Var, backprop::GradStore};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};

use super::{
    lanes::{Sequence, Step, lay},
    network::{EXTRA_INPUTS, GATES, MAX_VOCABULARY, Network, Tensors},
    random::Random,
};
use crate::alphabet::Symbol;

/// Most calls that are trained on; of more, the sequences that come first.
const MAX_TRAINED: usize = 1 << 20;

/// Share of inputs that are read as a call not known.
const BLINDED: f64 = 0.01;

/// Longest gradient, of all weights together.
const LONGEST_GRADIENT: f64 = 1.0;

/// How to train.
#[derive(Debug, Clone, PartialEq)]
pub struct FitOptions {
    /// Numbers that stand for a call.
    pub embedding: usize,
    /// Units of the memory.
    pub units: usize,
    /// How often all is read.
    pub epochs: usize,
    /// Sequences read side by side.
    pub lanes: usize,
    /// Calls over which errors are carried back.
    pub horizon: usize,
    /// Step of Adam in the beginning; it falls to a tenth of it.
    pub learning_rate: f64,
    /// Where chance begins: the same gives the same network, to the bit.
    pub seed: u64,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self { embedding: 24, units: 64, epochs: 6, lanes: 16, horizon: 32, learning_rate: 4e-3, seed: 1 }
    }
}

/// Training that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// There is nothing to learn from.
    #[error("the network cannot be trained: there are no calls to learn from")]
    NoCalls,
    /// Arithmetic failed.
    #[error("the network cannot be trained ({0}); train with another seed or without the neural detector")]
    Arithmetic(#[from] candle_core::Error),
    /// Training did not lead to a network.
    #[error("the network cannot be used: {0}; train with another seed or without the neural detector")]
    Result(String),
}

/// Trains a network on sequences of calls, each with how often it occurred.
pub fn fit(sequences: &[(&[Symbol], u64)], options: &FitOptions) -> Result<Network, FitError> {
    let mut left = MAX_TRAINED;
    let mut taken: Vec<(&[Symbol], u64)> = Vec::new();
    for &(calls, times) in sequences {
        let calls = &calls[..calls.len().min(left)];
        left -= calls.len();
        if !calls.is_empty() {
            taken.push((calls, times));
        }
    }
    let mut vocabulary: Vec<Symbol> = taken.iter().flat_map(|(calls, _)| calls.iter().copied()).collect();
    vocabulary.sort_unstable();
    vocabulary.dedup();
    vocabulary.truncate(MAX_VOCABULARY);
    if vocabulary.is_empty() {
        return Err(FitError::NoCalls);
    }
    let unknown = vocabulary.len() as u32;
    let place = |call: &Symbol| vocabulary.binary_search(call).map_or(unknown, |place| place as u32);
    let sequences: Vec<Sequence> = taken
        .iter()
        .map(|(calls, times)| Sequence {
            // A call beyond the vocabulary is nothing that could be expected.
            calls: calls.iter().map(place).filter(|&place| place < unknown).collect(),
            times: *times as f32,
        })
        .collect();
    let trained: u64 = taken.iter().map(|(calls, times)| calls.len() as u64 * times).sum();
    let tensors = train(&sequences, vocabulary.len(), options)?;
    Network::new((options.embedding, options.units), vocabulary, trained, tensors).map_err(FitError::Result)
}

/// The weights while they are trained.
struct Weights {
    embedding: Var,
    of_input: Var,
    of_state: Var,
    bias: Var,
    output: Var,
    output_bias: Var,
    units: usize,
}

/// Hidden values and cells of all lanes.
type Memory = (Tensor, Tensor);

impl Weights {
    fn new(known: usize, options: &FitOptions, random: &mut Random) -> Result<Self, FitError> {
        let (embedding, units) = (options.embedding, options.units);
        let mut var = |rows: usize, columns: usize, bound: f64| -> Result<Var, FitError> {
            let numbers = random.spread(rows * columns, bound);
            Ok(Var::from_tensor(&Tensor::from_vec(numbers, (rows, columns), &Device::Cpu)?)?)
        };
        let of_width = |width: usize| (1.0 / width as f64).sqrt();
        let gates = GATES * units;
        // What is remembered is kept in the beginning: the forget gates' bias is 1 (F. Gers, J. Schmidhuber, F. Cummins, 2000).
        let bias: Vec<f32> =
            (0..gates).map(|gate| if (units..2 * units).contains(&gate) { 1.0 } else { 0.0 }).collect();
        Ok(Self {
            embedding: var(known + EXTRA_INPUTS, embedding, 0.5)?,
            of_input: var(embedding, gates, of_width(embedding))?,
            of_state: var(units, gates, of_width(units))?,
            output: var(units, known, of_width(units))?,
            bias: Var::from_tensor(&Tensor::from_vec(bias, (1, gates), &Device::Cpu)?)?,
            output_bias: Var::from_tensor(&Tensor::zeros((1, known), DType::F32, &Device::Cpu)?)?,
            units,
        })
    }

    fn all(&self) -> [&Var; 6] {
        [&self.embedding, &self.of_input, &self.of_state, &self.bias, &self.output, &self.output_bias]
    }

    /// Mean surprise over these steps, and the memory after them.
    fn surprise(&self, steps: &[Step], memory: Memory) -> Result<(Option<Tensor>, Memory), FitError> {
        let lanes = steps.first().map_or(0, |step| step.inputs.len());
        let device = Device::Cpu;
        let inputs: Vec<u32> = steps.iter().flat_map(|step| step.inputs.iter().copied()).collect();
        let inputs = Tensor::from_vec(inputs, steps.len() * lanes, &device)?;
        let of_inputs =
            self.embedding.index_select(&inputs, 0)?.matmul(&self.of_input)?.broadcast_add(&self.bias)?;
        let (mut hidden, mut cell) = memory;
        let mut all_hidden = Vec::with_capacity(steps.len());
        for (number, step) in steps.iter().enumerate() {
            if step.begins.contains(&true) {
                let keep: Vec<f32> =
                    step.begins.iter().map(|&begins| if begins { 0.0 } else { 1.0 }).collect();
                let keep = Tensor::from_vec(keep, (lanes, 1), &device)?;
                hidden = hidden.broadcast_mul(&keep)?;
                cell = cell.broadcast_mul(&keep)?;
            }
            let gates = (of_inputs.narrow(0, number * lanes, lanes)? + hidden.matmul(&self.of_state)?)?;
            let gate = |number: usize| gates.narrow(1, number * self.units, self.units);
            let into = candle_nn::ops::sigmoid(&gate(0)?)?;
            let forget = candle_nn::ops::sigmoid(&gate(1)?)?;
            let write = gate(2)?.tanh()?;
            let out = candle_nn::ops::sigmoid(&gate(3)?)?;
            cell = ((forget * &cell)? + (into * write)?)?;
            hidden = (out * cell.tanh()?)?;
            all_hidden.push(hidden.clone());
        }
        let weights: Vec<f32> = steps.iter().flat_map(|step| step.weights.iter().copied()).collect();
        let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        let memory = (hidden.detach(), cell.detach());
        if total <= 0.0 {
            return Ok((None, memory));
        }
        let targets: Vec<u32> = steps.iter().flat_map(|step| step.targets.iter().copied()).collect();
        let targets = Tensor::from_vec(targets, (steps.len() * lanes, 1), &device)?;
        let weights = Tensor::from_vec(weights, (steps.len() * lanes, 1), &device)?;
        let logits = Tensor::cat(&all_hidden, 0)?.matmul(&self.output)?.broadcast_add(&self.output_bias)?;
        let of_targets = candle_nn::ops::log_softmax(&logits, 1)?.gather(&targets, 1)?;
        let mean = ((of_targets * weights)?.sum_all()? * (-1.0 / total))?;
        Ok((Some(mean), memory))
    }

    /// Shortens gradients that are longer than [`LONGEST_GRADIENT`] together (R. Pascanu, T. Mikolov, Y. Bengio, ICML 2013).
    fn clip(&self, gradients: &mut GradStore) -> Result<(), FitError> {
        let mut squares = 0.0;
        for weight in self.all() {
            if let Some(gradient) = gradients.get(weight) {
                squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
            }
        }
        let length = squares.sqrt();
        if length > LONGEST_GRADIENT {
            for weight in self.all() {
                if let Some(gradient) = gradients.remove(weight) {
                    gradients.insert(weight, (gradient * (LONGEST_GRADIENT / length))?);
                }
            }
        }
        Ok(())
    }

    fn numbers(&self) -> Result<Tensors, FitError> {
        let numbers = |var: &Var| var.flatten_all()?.to_vec1::<f32>();
        Ok(Tensors {
            embedding: numbers(&self.embedding)?,
            of_input: numbers(&self.of_input)?,
            of_state: numbers(&self.of_state)?,
            bias: numbers(&self.bias)?,
            output: numbers(&self.output)?,
            output_bias: numbers(&self.output_bias)?,
        })
    }
}

fn train(sequences: &[Sequence], known: usize, options: &FitOptions) -> Result<Tensors, FitError> {
    let mut random = Random::new(options.seed);
    let weights = Weights::new(known, options, &mut random)?;
    let parameters = ParamsAdamW { lr: options.learning_rate, weight_decay: 0.0, ..ParamsAdamW::default() };
    let mut adam = AdamW::new(weights.all().into_iter().cloned().collect(), parameters)?;
    let (begin, unknown) = (known as u32 + 1, known as u32);
    let lanes = options.lanes.clamp(1, sequences.len().max(1));
    for epoch in 0..options.epochs {
        let steps = lay(sequences, lanes, (begin, unknown), BLINDED, &mut random);
        let zeros = Tensor::zeros((lanes, options.units), DType::F32, &Device::Cpu)?;
        let mut memory = (zeros.clone(), zeros);
        let (mut surprise_sum, mut chunks) = (0.0, 0u32);
        for (number, chunk) in steps.chunks(options.horizon.max(1)).enumerate() {
            let done = epoch as f64 + (number * options.horizon) as f64 / steps.len() as f64;
            adam.set_learning_rate(options.learning_rate * (1.0 - 0.9 * done / options.epochs as f64));
            let (mean, after) = weights.surprise(chunk, memory)?;
            memory = after;
            let Some(mean) = mean else { continue };
            surprise_sum += f64::from(mean.to_scalar::<f32>()?);
            chunks += 1;
            let mut gradients = mean.backward()?;
            weights.clip(&mut gradients)?;
            adam.step(&gradients)?;
        }
        let nats = surprise_sum / f64::from(chunks.max(1));
        tracing::debug!(epoch, nats, "trained the neural model");
    }
    weights.numbers()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> FitOptions {
        FitOptions { embedding: 8, units: 16, epochs: 40, lanes: 4, horizon: 8, ..FitOptions::default() }
    }

    /// Which of 1 and 2 comes after 3 4 depends on what was two calls before that.
    fn sequences() -> Vec<Vec<Symbol>> {
        (0..40)
            .map(|number: u16| {
                (0..10)
                    .flat_map(|place: u16| {
                        let which = 1 + (number + place * place) % 2;
                        [5 + which, 3, 4, which]
                    })
                    .collect()
            })
            .collect()
    }

    fn fitted(seed: u64) -> Network {
        let sequences = sequences();
        let counted: Vec<(&[Symbol], u64)> = sequences.iter().map(|calls| (calls.as_slice(), 1)).collect();
        fit(&counted, &FitOptions { seed, ..options() }).unwrap()
    }

    #[test]
    fn a_call_that_the_calls_before_it_decide_is_expected_and_another_is_not() {
        let network = fitted(1);
        let right = network.surprises(&[6, 3, 4, 1, 7, 3, 4, 2]);
        let wrong = network.surprises(&[6, 3, 4, 1, 7, 3, 4, 1]);
        assert!(right[3].nats < 0.3 && right[7].nats < 0.3, "{right:?}");
        assert!(wrong[7].nats > 2.0 && wrong[7].expected == 2, "{wrong:?}");
        assert_eq!(&right[..7], &wrong[..7]);
    }

    #[test]
    fn the_same_seed_gives_the_same_network_to_the_bit() {
        let sequences = sequences();
        let counted: Vec<(&[Symbol], u64)> = sequences.iter().map(|calls| (calls.as_slice(), 2)).collect();
        let fitted = |seed: u64| fit(&counted, &FitOptions { seed, epochs: 2, ..options() }).unwrap();
        let (one, again, other) = (fitted(7), fitted(7), fitted(8));
        assert_eq!(one, again);
        assert_ne!(one, other);
    }

    #[test]
    fn loops_of_our_own_score_as_training_does() {
        let sequences = [Sequence { calls: vec![0, 1, 2, 1, 0, 2], times: 1.0 }];
        let options = FitOptions { units: 5, embedding: 3, ..options() };
        let weights = Weights::new(3, &options, &mut Random::new(3)).unwrap();
        let steps = lay(&sequences, 1, (4, 3), 0.0, &mut Random::new(3));
        let zeros = Tensor::zeros((1, 5), DType::F32, &Device::Cpu).unwrap();
        let (mean, _) = weights.surprise(&steps, (zeros.clone(), zeros)).unwrap();
        let of_training = mean.unwrap().to_scalar::<f32>().unwrap();
        let network = Network::new((3, 5), vec![0, 1, 2], 1000, weights.numbers().unwrap()).unwrap();
        let surprises = network.surprises(&[0, 1, 2, 1, 0, 2]);
        let mean = surprises.iter().map(|surprise| surprise.nats).sum::<f32>() / 6.0;
        assert!((mean - of_training).abs() < 1e-5, "{mean} {of_training}");
    }

    #[test]
    fn nothing_teaches_nothing() {
        assert!(matches!(fit(&[], &options()), Err(FitError::NoCalls)));
        assert!(matches!(fit(&[(&[], 3)], &options()), Err(FitError::NoCalls)));
    }
}
