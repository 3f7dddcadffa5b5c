//! Recurrent networks.
//!
//! [`layer`] holds the primitive, one layer in one direction over a whole sequence; [`unrolled`] its
//! gradient in operators. Stacks of layers and single steps are composed of it here.

mod cell;
mod layer;
mod unrolled;

use super::{add, concat, dropout, reshape, split_at};
use crate::op::{Entry, Tensors};
use crate::{Error, ErrorKind, Result, Tensor, apply, bail, ensure};
pub(crate) use cell::{C, Cell, H, Layer, W, WH, X};
pub(crate) use layer::LayerGradient;
pub use tengen_kernels::recurrent::Activation;

pub(super) const OPERATORS: &[&[Entry]] = &[&[
    Entry::of::<Layer>(&["rnn", "lstm"]),
    Entry::of::<LayerGradient>(&["rnn_gradient", "lstm_gradient"]),
]];

/// The settings of [`rnn`] and [`lstm`].
///
/// ```
/// use tengen_core::ops::RecurrentParams;
/// let usual = RecurrentParams::new(4, 8);
/// assert_eq!((usual.num_layers, usual.bias, usual.bidirectional), (1, true, false));
/// assert_eq!(usual.weights_len(4), Some(4 * 8 * (4 + 8 + 2)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RecurrentParams {
    /// Features of the input.
    pub input_size: usize,
    /// Units of the state.
    pub hidden_size: usize,
    /// Layers, each of which takes the states of the one before.
    pub num_layers: usize,
    /// Whether products get a bias.
    pub bias: bool,
    /// Whether each layer runs backwards in time too, and gives both states side by side.
    pub bidirectional: bool,
    /// The probability with which elements between layers are zeroed (see [`dropout`]); 0 outside
    /// of training.
    pub dropout: f64,
}

impl RecurrentParams {
    /// One layer forwards, with a bias.
    pub fn new(input_size: usize, hidden_size: usize) -> RecurrentParams {
        RecurrentParams {
            input_size,
            hidden_size,
            num_layers: 1,
            bias: true,
            bidirectional: false,
            dropout: 0.0,
        }
    }

    /// 2 if the layers run in both directions, else 1.
    pub fn num_directions(&self) -> usize {
        1 + self.bidirectional as usize
    }

    /// Features that a layer takes, if they can be counted.
    pub fn features(&self, layer: usize) -> Option<usize> {
        match layer {
            0 => Some(self.input_size),
            _ => self.hidden_size.checked_mul(self.num_directions()),
        }
    }

    /// Elements of all weights for so many gates (4 of an LSTM, else 1), if they can be counted.
    pub fn weights_len(&self, gates: usize) -> Option<usize> {
        let rows = gates.checked_mul(self.hidden_size)?;
        let layer = |l: usize| {
            let columns = self.features(l)?.checked_add(self.hidden_size)?;
            let columns = columns.checked_add(2 * self.bias as usize)?;
            rows.checked_mul(columns)?.checked_mul(self.num_directions())
        };
        let later = match self.num_layers {
            0 => return Some(0),
            1 => 0,
            n => layer(1)?.checked_mul(n - 1)?,
        };
        layer(0)?.checked_add(later)
    }
}

/// What [`step_rnn`] and layers multiply with.
struct Weights {
    ih: Tensor,
    hh: Tensor,
    bias: Option<Tensor>,
}

/// The weights of every layer and direction, from one tensor that has them in a row.
fn unpack(cell: Cell, p: RecurrentParams, weights: &Tensor) -> Result<Vec<Weights>> {
    let (name, gates, h) = (cell.name(), cell.gates(), p.hidden_size);
    ensure!(p.num_layers > 0 && h > 0, Value, "{name}: there must be layers and units, not {p:?}");
    ensure!(
        p.weights_len(gates) == Some(weights.numel()),
        Shape,
        "{name}: weights must have {} elements for {p:?}, not {weights}",
        p.weights_len(gates).map_or("too many".into(), |n| n.to_string())
    );
    let rows = gates * h;
    let (mut ends, mut end) = (Vec::new(), 0);
    for layer in 0..p.num_layers {
        let features = p.features(layer).unwrap_or_default();
        for _ in 0..p.num_directions() {
            for len in
                [rows * features, rows * h, rows, rows].into_iter().take(2 + 2 * p.bias as usize)
            {
                end += len;
                ends.push(end);
            }
        }
    }
    ends.pop();
    let mut parts = split_at(&reshape(weights, &[weights.numel()])?, &ends, 0)?.into_iter();
    let few = || Error::new(ErrorKind::Unsupported, "split gave too few parts");
    let mut all = Vec::new();
    for layer in 0..p.num_layers {
        let features = p.features(layer).unwrap_or_default();
        for _ in 0..p.num_directions() {
            let ih = reshape(&parts.next().ok_or_else(few)?, &[rows, features])?;
            let hh = reshape(&parts.next().ok_or_else(few)?, &[rows, h])?;
            let bias = match p.bias {
                true => Some(add(&parts.next().ok_or_else(few)?, &parts.next().ok_or_else(few)?)?),
                false => None,
            };
            all.push(Weights { ih, hh, bias });
        }
    }
    Ok(all)
}

/// States, and for each of h (and c) the last of every layer.
fn stack(
    cell: Cell,
    p: RecurrentParams,
    x: &Tensor,
    initial: &[Option<&Tensor>],
    weights: &Tensor,
) -> Result<(Tensor, Vec<Tensor>)> {
    let name = cell.name();
    ensure!(
        x.ndim() == 3 && x.shape()[2] == p.input_size,
        Shape,
        "{name}: input must be [steps, batch, {}], not {x}",
        p.input_size
    );
    let (layers, batch, h) = (p.num_layers * p.num_directions(), x.shape()[1], p.hidden_size);
    let weights = unpack(cell, p, weights)?;
    let mut states = Vec::new();
    for (what, given) in ["h", "c"].into_iter().zip(initial) {
        states.push(match given {
            None => vec![Tensor::zeros(&[batch, h], x.dtype())?; layers],
            Some(t) => {
                ensure!(
                    t.shape()[..] == [layers, batch, h],
                    Shape,
                    "{name}: {what} must be [{layers}, {batch}, {h}] (layers and directions, \
                     batch, units) for input {x}, not {t}"
                );
                let parts = super::split(t, layers, 0)?;
                parts.iter().map(|s| reshape(s, &[batch, h])).collect::<Result<Vec<_>>>()?
            }
        });
    }
    let (mut x, mut last) = (x.clone(), vec![Vec::new(); initial.len()]);
    for layer in 0..p.num_layers {
        if layer > 0 {
            x = dropout(&x, p.dropout, true)?;
        }
        let mut sides = Vec::new();
        for reverse in [false, true].into_iter().take(p.num_directions()) {
            let k = layer * p.num_directions() + reverse as usize;
            let before: Vec<&Tensor> = states.iter().map(|s| &s[k]).collect();
            let mut results = run(cell, reverse, &x, &weights[k], &before)?.into_iter();
            sides.extend(results.next());
            for (last, t) in last.iter_mut().zip(results) {
                last.push(reshape(&t, &[1, batch, h])?);
            }
        }
        x = concat(&sides.iter().collect::<Vec<_>>(), -1)?;
    }
    let joined = last.iter().map(|l| concat(&l.iter().collect::<Vec<_>>(), 0));
    Ok((x, joined.collect::<Result<_>>()?))
}

/// One layer in one direction: the states, and the last h (and c).
fn run(
    cell: Cell,
    reverse: bool,
    x: &Tensor,
    weights: &Weights,
    before: &[&Tensor],
) -> Result<Tensors> {
    let mut inputs = vec![x, &weights.ih, &weights.hh];
    inputs.extend(before);
    inputs.extend(&weights.bias);
    let layer = Layer { cell, reverse, bias: weights.bias.is_some() };
    let mut results = apply(layer, &inputs)?;
    results.truncate(layer.visible());
    Ok(results)
}

fn few() -> Error {
    Error::new(ErrorKind::Unsupported, "a recurrent layer gave too few results")
}

/// A recurrent network over sequences: in every layer h = f(x·Wᵀ + b + h·Wₕᵀ + bₕ), step by step.
///
/// `x` is `[steps, batch, input]` and `h` `[layers·directions, batch, hidden]` (zeros if left out);
/// gives the last layer's states `[steps, batch, directions·hidden]`, and the last state of every
/// layer and direction, in the shape of `h`.
///
/// `weights` has, for each layer and in it for each direction, W `[hidden, features]`, Wₕ
/// `[hidden, hidden]`, b and bₕ `[hidden]` one after the other, row by row; its own shape does not
/// matter.
///
/// Gradients reach all of them, gradients of gradients too.
///
/// Source: Elman, "Finding structure in time" (1990).
///
/// # Errors
/// Shape: a tensor does not fit the settings, or there are no steps. Value: no layers or units, or
/// `dropout` is no probability. Memory: the result cannot be had.
///
/// ```
/// use tengen_core::ops::{self, Activation, RecurrentParams};
/// use tengen_core::{DType, Tensor};
/// // h ← max(0, x + h): the sum so far.
/// let p = RecurrentParams { bias: false, ..RecurrentParams::new(1, 1) };
/// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3, 1, 1])?;
/// let weights = Tensor::ones(&[2], DType::F32)?;
/// let (y, h) = ops::rnn(&x, None, &weights, p, Activation::Relu)?;
/// assert_eq!(y.to_vec::<f32>()?, [1.0, 3.0, 6.0]);
/// assert_eq!(h.to_vec::<f32>()?, [6.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn rnn(
    x: &Tensor,
    h: Option<&Tensor>,
    weights: &Tensor,
    params: RecurrentParams,
    activation: Activation,
) -> Result<(Tensor, Tensor)> {
    let (y, last) = stack(Cell::Simple(activation), params, x, &[h], weights)?;
    Ok((y, last.into_iter().next().ok_or_else(few)?))
}

/// Long short-term memory over sequences: in every layer, with z = x·Wᵀ + b + h·Wₕᵀ + bₕ cut into
/// quarters, i = σ(z₁), f = σ(z₂), g = tanh(z₃), o = σ(z₄); then c = f·c + i·g and h = o·tanh(c).
///
/// `state` holds h and c `[layers·directions, batch, hidden]` (zeros if left out). Gives the last
/// layer's states, and the last h and c, with shapes and weights as for [`rnn`] but four times as
/// many rows of weights.
///
/// Source: Hochreiter and Schmidhuber, "Long short-term memory" (1997); Gers, Schmidhuber and
/// Cummins, "Learning to forget" (2000).
///
/// # Errors
/// As [`rnn`].
///
/// ```
/// use tengen_core::ops::{self, RecurrentParams};
/// use tengen_core::{DType, Tensor};
/// let p = RecurrentParams { bidirectional: true, ..RecurrentParams::new(3, 5) };
/// let x = Tensor::ones(&[7, 2, 3], DType::F32)?;
/// let weights = Tensor::zeros(&[2 * 20 * (3 + 5 + 2)], DType::F32)?;
/// let (y, [h, c]) = ops::lstm(&x, None, &weights, p)?;
/// assert_eq!((&y.shape()[..], &h.shape()[..], &c.shape()[..]), (&[7, 2, 10][..], &[2, 2, 5][..], &[2, 2, 5][..]));
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn lstm(
    x: &Tensor,
    state: Option<[&Tensor; 2]>,
    weights: &Tensor,
    params: RecurrentParams,
) -> Result<(Tensor, [Tensor; 2])> {
    let state = state.map_or([None, None], |s| s.map(Some));
    let (y, last) = stack(Cell::Lstm, params, x, &state, weights)?;
    Ok((y, last.try_into().map_err(|_| few())?))
}

/// One step: the results but the states, with the state's shape.
fn step(
    cell: Cell,
    x: &Tensor,
    before: &[Option<&Tensor>],
    [ih, hh]: [&Tensor; 2],
    biases: [Option<&Tensor>; 2],
) -> Result<Tensors> {
    let name = cell.name();
    ensure!(x.ndim() == 2, Shape, "{name}: a step's input must be [batch, features], not {x}");
    let bias = match biases {
        [Some(a), Some(b)] => Some(add(a, b)?),
        [a, b] => a.or(b).cloned(),
    };
    let hidden = if hh.ndim() == 2 {
        hh.shape()[1]
    } else {
        bail!(Shape, "{name}: weight_hh must be [gates·hidden, hidden], not {hh}")
    };
    let zeros = Tensor::zeros(&[x.shape()[0], hidden], x.dtype())?;
    let before: Vec<&Tensor> = before.iter().map(|t| t.unwrap_or(&zeros)).collect();
    let weights = Weights { ih: ih.clone(), hh: hh.clone(), bias };
    let x = reshape(x, &[1, x.shape()[0], x.shape()[1]])?;
    let mut results = run(cell, false, &x, &weights, &before)?;
    results.remove(0);
    Ok(results)
}

/// One step of a recurrent network: f(x·Wᵀ + b + h·Wₕᵀ + bₕ).
///
/// `x` is `[batch, input]`, `h` `[batch, hidden]` (zeros if left out), the weights are W
/// `[hidden, input]` and Wₕ `[hidden, hidden]`, the biases `[hidden]`.
///
/// # Errors
/// Shape: the extents do not belong together. Memory: the result cannot be had.
///
/// ```
/// use tengen_core::ops::{self, Activation};
/// use tengen_core::{DType, Tensor};
/// let (x, h) = (Tensor::full(&[1, 1], 2.0, DType::F32)?, Tensor::full(&[1, 1], 3.0, DType::F32)?);
/// let one = Tensor::ones(&[1, 1], DType::F32)?;
/// let next = ops::rnn_cell(&x, Some(&h), [&one, &one], [None, None], Activation::Relu)?;
/// assert_eq!(next.item()?, 5.0);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn rnn_cell(
    x: &Tensor,
    h: Option<&Tensor>,
    weights: [&Tensor; 2],
    biases: [Option<&Tensor>; 2],
    activation: Activation,
) -> Result<Tensor> {
    let results = step(Cell::Simple(activation), x, &[h], weights, biases)?;
    results.into_iter().next().ok_or_else(few)
}

/// One step of [`lstm`]: the next h and c.
///
/// `x` is `[batch, input]`, `state` holds h and c `[batch, hidden]` (zeros if left out), the weights
/// are W `[4·hidden, input]` and Wₕ `[4·hidden, hidden]`, the biases `[4·hidden]`.
///
/// # Errors
/// As [`rnn_cell`].
pub fn lstm_cell(
    x: &Tensor,
    state: Option<[&Tensor; 2]>,
    weights: [&Tensor; 2],
    biases: [Option<&Tensor>; 2],
) -> Result<[Tensor; 2]> {
    let state = state.map_or([None, None], |s| s.map(Some));
    let results = step(Cell::Lstm, x, &state, weights, biases)?;
    results.into_vec().try_into().map_err(|_| few())
}
