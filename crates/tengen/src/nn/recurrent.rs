//! Recurrent layers and their cells.

use super::{Base, Buffer, Field, Forward, Member, Module, Parameter, Tensors, init};
use std::ops::Deref;
use tengen_core::ops::{self, Activation, RecurrentParams};
use tengen_core::{DType, Error, ErrorKind, Result, Tensor, Var, ensure};

/// The biases of a cell: trained, or a buffer (of zeros, unless others are loaded).
pub enum Bias {
    /// A parameter.
    Trained(Parameter),
    /// A buffer.
    Fixed(Buffer),
}

impl Bias {
    fn new(trained: bool, rows: usize) -> Result<Bias> {
        let zeros = Tensor::zeros(&[rows], DType::F32)?;
        Ok(if trained { Bias::Trained(zeros.into()) } else { Bias::Fixed(zeros.into()) })
    }
}

impl Deref for Bias {
    type Target = Var;
    fn deref(&self) -> &Var {
        match self {
            Bias::Trained(p) => p.var(),
            Bias::Fixed(b) => b.var(),
        }
    }
}

impl Field for Bias {
    fn visit_field<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&str, Member<'a>)) {
        match self {
            Bias::Trained(p) => p.visit_field(name, visit),
            Bias::Fixed(b) => b.visit_field(name, visit),
        }
    }
}

/// x, and the state to start from: h, or h and c.
impl Tensors for (Tensor, Option<Tensor>) {
    fn to_tensors(&self) -> Vec<Tensor> {
        std::iter::once(&self.0).chain(&self.1).cloned().collect()
    }
    fn from_tensors(tensors: Vec<Tensor>) -> Result<Self> {
        match &tensors[..] {
            [x] => Ok((x.clone(), None)),
            [x, h] => Ok((x.clone(), Some(h.clone()))),
            _ => Err(wrong_number("1 or 2", tensors.len())),
        }
    }
}

impl Tensors for (Tensor, Option<[Tensor; 2]>) {
    fn to_tensors(&self) -> Vec<Tensor> {
        std::iter::once(&self.0).chain(self.1.iter().flatten()).cloned().collect()
    }
    fn from_tensors(tensors: Vec<Tensor>) -> Result<Self> {
        match &tensors[..] {
            [x] => Ok((x.clone(), None)),
            [x, h, c] => Ok((x.clone(), Some([h.clone(), c.clone()]))),
            _ => Err(wrong_number("1 or 3", tensors.len())),
        }
    }
}

impl Tensors for (Tensor, [Tensor; 2]) {
    fn to_tensors(&self) -> Vec<Tensor> {
        std::iter::once(&self.0).chain(&self.1).cloned().collect()
    }
    fn from_tensors(tensors: Vec<Tensor>) -> Result<Self> {
        match &tensors[..] {
            [y, h, c] => Ok((y.clone(), [h.clone(), c.clone()])),
            _ => Err(wrong_number("3", tensors.len())),
        }
    }
}

fn wrong_number(wanted: &str, given: usize) -> Error {
    let message = format!("a hook returned {given} tensors where {wanted} are needed");
    Error::new(ErrorKind::Value, message)
}

/// Draws all parameters uniformly from ±1/√hidden.
fn draw(module: &dyn Module, hidden: usize) -> Result<()> {
    let bound = 1.0 / (hidden.max(1) as f64).sqrt();
    module.parameters(true).into_iter().try_for_each(|p| init::uniform(p, -bound, bound))
}

macro_rules! cell {
    ($(#[$doc:meta])* $name:ident, $gates:literal, { $($setting:ident: $kind:ty = $usual:expr,)? }) => {
        $(#[$doc])*
        #[derive(Module)]
        pub struct $name {
            /// Features of the input.
            pub input_size: usize,
            /// Units of the state.
            pub hidden_size: usize,
            $(
                /// What the state passes through.
                #[module(skip)]
                pub $setting: $kind,
            )?
            /// `[gates·hidden_size, input_size]`
            pub weight_ih: Parameter,
            /// `[gates·hidden_size, hidden_size]`
            pub weight_hh: Parameter,
            /// `[gates·hidden_size]`
            pub bias_ih: Bias,
            /// `[gates·hidden_size]`
            pub bias_hh: Bias,
            #[module(base)]
            base: Base,
        }

        impl $name {
            /// A cell from `input_size` features to `hidden_size` units, with biases.
            ///
            /// # Errors
            /// Value: there are no units. Shape: a weight would be impossible. Memory: it cannot be
            /// had.
            pub fn new(input_size: usize, hidden_size: usize) -> Result<$name> {
                $name::make(input_size, hidden_size, true)
            }

            /// A cell without trained biases.
            ///
            /// # Errors
            /// As the constructor with biases.
            pub fn without_bias(input_size: usize, hidden_size: usize) -> Result<$name> {
                $name::make(input_size, hidden_size, false)
            }

            fn make(input_size: usize, hidden_size: usize, bias: bool) -> Result<$name> {
                let name = stringify!($name);
                ensure!(hidden_size > 0, Value, "{name}: there must be units");
                let rows = hidden_size.saturating_mul($gates);
                let weight = |n| Ok::<_, Error>(Tensor::zeros(&[rows, n], DType::F32)?.into());
                let cell = $name {
                    input_size,
                    hidden_size,
                    $($setting: $usual,)?
                    weight_ih: weight(input_size)?,
                    weight_hh: weight(hidden_size)?,
                    bias_ih: Bias::new(bias, rows)?,
                    bias_hh: Bias::new(bias, rows)?,
                    base: Base::new(),
                };
                cell.reset_parameters()?;
                Ok(cell)
            }

            /// Draws all parameters uniformly from ±1/√hidden_size.
            ///
            /// # Errors
            /// Memory: the numbers cannot be had.
            pub fn reset_parameters(&self) -> Result<()> {
                draw(self, self.hidden_size)
            }

            fn weights(&self) -> ([Tensor; 2], [Tensor; 2]) {
                ([self.weight_ih.get(), self.weight_hh.get()], [self.bias_ih.get(), self.bias_hh.get()])
            }
        }
    };
}

cell! {
    /// One step of a recurrent network: h′ = f(x·Wᵀ + b + h·Wₕᵀ + bₕ).
    ///
    /// Takes x `[batch, input_size]` and h `[batch, hidden_size]`, zeros if left out; gives h′. The
    /// parameters start uniformly from ±1/√hidden_size.
    ///
    /// Source: Elman, "Finding structure in time" (1990).
    ///
    /// # Errors
    /// Shape: x or h does not fit.
    ///
    /// ```
    /// use tengen::nn::{Forward, RNNCell};
    /// use tengen::{DType, Tensor};
    /// let (cell, x) = (RNNCell::new(4, 8)?, Tensor::ones(&[3, 4], DType::F32)?);
    /// let h = cell.call(&(x.clone(), None))?;
    /// let h = cell.call(&(x, Some(h)))?;
    /// assert_eq!(*h.shape(), [3, 8]);
    /// # Ok::<(), tengen::Error>(())
    /// ```
    RNNCell, 1, { nonlinearity: Activation = Activation::Tanh, }
}

impl Forward for RNNCell {
    type Input = (Tensor, Option<Tensor>);
    type Output = Tensor;
    fn forward(&self, (x, h): &Self::Input) -> Result<Tensor> {
        let (weights, biases) = self.weights();
        let biases = biases.each_ref().map(Some);
        ops::rnn_cell(x, h.as_ref(), weights.each_ref(), biases, self.nonlinearity)
    }
}

cell! {
    /// One step of long short-term memory: with z = x·Wᵀ + b + h·Wₕᵀ + bₕ cut into quarters,
    /// c′ = σ(z₂)·c + σ(z₁)·tanh(z₃) and h′ = σ(z₄)·tanh(c′).
    ///
    /// Takes x `[batch, input_size]` and \[h, c\], each `[batch, hidden_size]`, zeros if left out;
    /// gives \[h′, c′\]. The parameters start uniformly from ±1/√hidden_size.
    ///
    /// Source: Hochreiter and Schmidhuber, "Long short-term memory" (1997); Gers, Schmidhuber and
    /// Cummins, "Learning to forget" (2000).
    ///
    /// # Errors
    /// Shape: x, h or c does not fit.
    ///
    /// ```
    /// use tengen::nn::{Forward, LSTMCell};
    /// use tengen::{DType, Tensor};
    /// let (cell, x) = (LSTMCell::new(4, 8)?, Tensor::ones(&[3, 4], DType::F32)?);
    /// let state = cell.call(&(x.clone(), None))?;
    /// let [h, c] = cell.call(&(x, Some(state)))?;
    /// assert_eq!((&h.shape()[..], &c.shape()[..]), (&[3, 8][..], &[3, 8][..]));
    /// # Ok::<(), tengen::Error>(())
    /// ```
    LSTMCell, 4, {}
}

impl Forward for LSTMCell {
    type Input = (Tensor, Option<[Tensor; 2]>);
    type Output = [Tensor; 2];
    fn forward(&self, (x, state): &Self::Input) -> Result<[Tensor; 2]> {
        let (weights, biases) = self.weights();
        let state = state.as_ref().map(|s| s.each_ref());
        ops::lstm_cell(x, state, weights.each_ref(), biases.each_ref().map(Some))
    }
}

macro_rules! layer {
    (
        $(#[$doc:meta])*
        $name:ident, $cell:ident, $gates:literal, { $($setting:ident: $kind:ty = $usual:expr,)? }
    ) => {
        $(#[$doc])*
        #[derive(Module)]
        pub struct $name {
            /// The settings; `dropout` works in training only.
            #[module(skip)]
            pub params: RecurrentParams,
            /// Whether the first axis of input and output is the batch, not the steps.
            pub batch_first: bool,
            $(
                /// What the state passes through.
                #[module(skip)]
                pub $setting: $kind,
            )?
            /// A cell for each layer and direction, which the layer does not run: they give state
            /// dicts the names that MegEngine's have.
            pub cells: Vec<Vec<$cell>>,
            /// All weights: for each layer, and in it for each direction, those of its cell,
            /// `weight_ih`, `weight_hh`, `bias_ih` and `bias_hh`, row by row.
            pub _flatten_weights: Parameter,
            #[module(base)]
            base: Base,
        }

        impl $name {
            /// One layer from `input_size` features to `hidden_size` units.
            ///
            /// # Errors
            /// As [`Self::with_params`].
            pub fn new(input_size: usize, hidden_size: usize) -> Result<$name> {
                $name::with_params(RecurrentParams::new(input_size, hidden_size))
            }

            /// Layers by their settings.
            ///
            /// # Errors
            /// Value: there are no layers or no units, or `dropout` is no probability. Shape: the
            /// weights would be impossible. Memory: they cannot be had.
            pub fn with_params(params: RecurrentParams) -> Result<$name> {
                let (name, p) = (stringify!($name), params);
                ensure!(
                    p.num_layers > 0 && p.hidden_size > 0 && (0.0..=1.0).contains(&p.dropout),
                    Value,
                    "{name}: layers, units and a probability are needed, not {p:?}"
                );
                let rows = p.hidden_size.saturating_mul($gates);
                let len = p.weights_len($gates).unwrap_or(usize::MAX);
                let weights = Tensor::zeros(&[rows, len / rows], DType::F32)?;
                let cell = |layer| {
                    $cell::make(p.features(layer).unwrap_or_default(), p.hidden_size, p.bias)
                };
                let side_by_side = |layer| (0..p.num_directions()).map(|_| cell(layer)).collect();
                let layer = $name {
                    params,
                    batch_first: false,
                    $($setting: $usual,)?
                    cells: (0..p.num_layers).map(side_by_side).collect::<Result<_>>()?,
                    _flatten_weights: weights.into(),
                    base: Base::new(),
                };
                layer.reset_parameters()?;
                Ok(layer)
            }

            /// Draws all parameters uniformly from ±1/√hidden_size.
            ///
            /// # Errors
            /// Memory: the numbers cannot be had.
            pub fn reset_parameters(&self) -> Result<()> {
                draw(self, self.params.hidden_size)
            }

            /// The settings in the present mode.
            fn now(&self) -> RecurrentParams {
                let dropout = if self.training() { self.params.dropout } else { 0.0 };
                RecurrentParams { dropout, ..self.params }
            }

            /// Batch and steps exchanged, if the batch is to come first.
            fn turned(&self, x: &Tensor) -> Result<Tensor> {
                if self.batch_first { ops::swapaxes(x, 0, 1) } else { Ok(x.clone()) }
            }
        }
    };
}

layer! {
    /// A recurrent network over sequences: in every layer, for every step an [`RNNCell`].
    ///
    /// Takes x `[steps, batch, input_size]` and h `[layers·directions, batch, hidden_size]`, zeros if
    /// left out; gives the states of the last layer `[steps, batch, directions·hidden_size]` and the
    /// last state of each layer, in the shape of h. The parameters start uniformly from
    /// ±1/√hidden_size; see [`ops::rnn`].
    ///
    /// # Errors
    /// Shape: x or h does not fit, or there are no steps.
    ///
    /// ```
    /// use tengen::nn::{Forward, Module, RNN};
    /// use tengen::ops::RecurrentParams;
    /// use tengen::{DType, Tensor};
    /// let rnn = RNN::with_params(RecurrentParams { bidirectional: true, ..RecurrentParams::new(4, 8) })?;
    /// let [y, h] = rnn.call(&(Tensor::ones(&[5, 3, 4], DType::F32)?, None))?;
    /// assert_eq!((&y.shape()[..], &h.shape()[..]), (&[5, 3, 16][..], &[2, 3, 8][..]));
    /// assert_eq!(rnn.named_parameters("", true)[0].0, "_flatten_weights");
    /// # Ok::<(), tengen::Error>(())
    /// ```
    RNN, RNNCell, 1, { nonlinearity: Activation = Activation::Tanh, }
}

impl Forward for RNN {
    type Input = (Tensor, Option<Tensor>);
    type Output = [Tensor; 2];
    fn forward(&self, (x, h): &Self::Input) -> Result<[Tensor; 2]> {
        let (x, weights) = (self.turned(x)?, self._flatten_weights.get());
        let (y, h) = ops::rnn(&x, h.as_ref(), &weights, self.now(), self.nonlinearity)?;
        Ok([self.turned(&y)?, h])
    }
}

layer! {
    /// Long short-term memory over sequences: in every layer, for every step an [`LSTMCell`].
    ///
    /// Takes x and \[h, c\], and gives the states and \[h, c\], with the shapes of [`RNN`]; see
    /// [`ops::lstm`].
    ///
    /// # Errors
    /// As [`RNN`].
    ///
    /// ```
    /// use tengen::nn::{Forward, LSTM};
    /// use tengen::{DType, Tensor};
    /// let lstm = LSTM::new(4, 8)?;
    /// let (y, [h, c]) = lstm.call(&(Tensor::ones(&[5, 3, 4], DType::F32)?, None))?;
    /// assert_eq!(*y.shape(), [5, 3, 8]);
    /// let (y, _) = lstm.call(&(Tensor::ones(&[2, 3, 4], DType::F32)?, Some([h, c])))?;
    /// assert_eq!(*y.shape(), [2, 3, 8]);
    /// # Ok::<(), tengen::Error>(())
    /// ```
    LSTM, LSTMCell, 4, {}
}

impl Forward for LSTM {
    type Input = (Tensor, Option<[Tensor; 2]>);
    type Output = (Tensor, [Tensor; 2]);
    fn forward(&self, (x, state): &Self::Input) -> Result<Self::Output> {
        let (x, weights) = (self.turned(x)?, self._flatten_weights.get());
        let state = state.as_ref().map(|s| s.each_ref());
        let (y, state) = ops::lstm(&x, state, &weights, self.now())?;
        Ok((self.turned(&y)?, state))
    }
}
