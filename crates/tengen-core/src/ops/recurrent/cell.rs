//! A layer's description: which cell it has, and the places of its operands.

use crate::Result;
use crate::op::{Attribute, Attributes, Value, from_variant, variant};
use tengen_kernels::recurrent::Activation;

/// What computes the next state from the gates' inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Attributes)]
pub(crate) enum Cell {
    /// h = f(z)
    Simple(Activation),
    /// i, f, o = σ(z), g = tanh(z), c = f·c + i·g, h = o·tanh(c)
    Lstm,
}

impl Cell {
    pub(crate) fn name(self) -> &'static str {
        if self == Cell::Lstm { "lstm" } else { "rnn" }
    }
    pub(crate) fn gates(self) -> usize {
        if self == Cell::Lstm { 4 } else { 1 }
    }
}

impl Attribute for Activation {
    fn to_value(&self) -> Value {
        variant(if *self == Activation::Relu { "relu" } else { "tanh" }, vec![])
    }
    fn from_value(value: &Value) -> Result<Self> {
        from_variant(value, |name, reader| match name {
            "relu" => Ok(Activation::Relu),
            "tanh" => Ok(Activation::Tanh),
            _ => Err(reader.unknown(name)),
        })
    }
}

/// x `[steps, batch, input]`, W `[gates·hidden, input]`, Wₕ `[gates·hidden, hidden]`, h
/// `[batch, hidden]`, c (of an LSTM) like h, bias (if any) `[gates·hidden]` → the states
/// `[steps, batch, hidden]`, the last of them, and the last c; and what the gradient reads, in the
/// dtype of the arithmetic: the states with the initial one, `[steps + 1, batch, hidden]`, and of an
/// LSTM the cells, as these, and the gates `[steps·batch, gates·hidden]`.
#[derive(Clone, Copy, Attributes)]
pub(crate) struct Layer {
    pub cell: Cell,
    pub reverse: bool,
    pub bias: bool,
}

/// The places of inputs.
pub(crate) const X: usize = 0;
pub(crate) const W: usize = 1;
pub(crate) const WH: usize = 2;
pub(crate) const H: usize = 3;
pub(crate) const C: usize = 4;

impl Layer {
    /// The place of the bias.
    pub(crate) fn bias_at(&self) -> Option<usize> {
        self.bias.then_some(if self.cell == Cell::Lstm { C + 1 } else { C })
    }

    /// The number of inputs.
    pub(crate) fn inputs(&self) -> usize {
        C + usize::from(self.cell == Cell::Lstm) + usize::from(self.bias)
    }

    /// How many results others read: states and last ones. The rest is for the gradient.
    pub(crate) fn visible(&self) -> usize {
        if self.cell == Cell::Lstm { 3 } else { 2 }
    }
}
