//! One recurrent layer in one direction, over the whole sequence: the primitive.

use super::matrix::{Matrix, Packed, scratch};
use super::unrolled::unrolled;
use crate::autograd::{Gradient, is_recording};
use crate::op::{Grads, Meta, Metas, Op, Tensors};
use crate::ops::cast::cast_raw;
use crate::ops::{reshape, split_at, sum};
use crate::shape::Shape;
use crate::{DType, Element, Error, ErrorKind, Result, Tensor, bail, ensure, promote};
use bytemuck::Pod;
use smallvec::smallvec;
use std::cell::OnceCell;
use tengen_kernels::lanes::Float;
use tengen_kernels::recurrent::{self as kernels, Activation, Sizes};

/// What computes the next state from the gates' inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// h = f(z)
    Simple(Activation),
    /// i, f, o = σ(z), g = tanh(z), c = f·c + i·g, h = o·tanh(c)
    Lstm,
}

impl Cell {
    pub(super) fn name(self) -> &'static str {
        if self == Cell::Lstm { "lstm" } else { "rnn" }
    }
    pub(super) fn gates(self) -> usize {
        if self == Cell::Lstm { 4 } else { 1 }
    }
}

/// x `[steps, batch, input]`, W `[gates·hidden, input]`, Wₕ `[gates·hidden, hidden]`, h
/// `[batch, hidden]`, c (of an LSTM) like h, bias (if any) `[gates·hidden]` → the states
/// `[steps, batch, hidden]`, the last of them, and the last c.
pub(super) struct Layer {
    pub cell: Cell,
    pub reverse: bool,
    pub bias: bool,
    kept: OnceCell<Kept>,
}

/// What the gradient needs besides the inputs, in the dtype of the arithmetic.
struct Kept {
    /// `[steps + 1, batch, hidden]`, the initial state included.
    h: Tensor,
    /// The LSTM's cells, as h, and its gates.
    lstm: Option<[Tensor; 2]>,
}

/// The places of inputs.
pub(super) const X: usize = 0;
pub(super) const W: usize = 1;
pub(super) const WH: usize = 2;
pub(super) const H: usize = 3;
pub(super) const C: usize = 4;

impl Layer {
    pub fn new(cell: Cell, reverse: bool, bias: bool) -> Layer {
        Layer { cell, reverse, bias, kept: OnceCell::new() }
    }

    /// The place of the bias.
    pub fn bias_at(&self) -> Option<usize> {
        self.bias.then_some(if self.cell == Cell::Lstm { C + 1 } else { C })
    }

    fn sizes(&self, x: &Shape, wh: &Shape) -> Sizes {
        Sizes { steps: x[0], batch: x[1], hidden: wh[1], reverse: self.reverse }
    }

    fn run<T: Float + Element + Pod>(&self, x: &[&Tensor]) -> Result<Tensors> {
        let s = self.sizes(x[X].shape(), x[WH].shape());
        let (wide, n) = (self.cell.gates() * s.hidden, s.batch * s.hidden);
        let [inp, w, wh, h0] = [X, W, WH, H].map(|k| own::<T>(x[k]));
        let (inp, w, wh, h0) = (inp?, w?, wh?, h0?);
        let bias = self.bias_at().map(|k| own::<T>(x[k])).transpose()?;
        let bias = bias.as_ref().map(Tensor::as_slice::<T>).transpose()?.unwrap_or(&[]);
        let mut packed = scratch::<T>(kernels::packed_len::<T>(self.cell.gates(), s.hidden))?;
        let packed = packed.as_mut_slice::<T>()?;
        kernels::pack(self.cell.gates(), s.hidden, wh.as_slice()?, packed);
        let steps = s.steps * s.batch;
        let features = x[X].shape()[2];
        let project = |out: &mut [T]| {
            let x = Packed::new(Matrix::new(inp.as_slice::<T>()?, steps, features))?;
            x.times(Matrix::transposed(w.as_slice()?, features, wide), out)
        };
        // The initial state comes first in the order of computation.
        let (first, last) = if s.reverse { (s.steps, 0) } else { (0, s.steps) };
        let states = Shape::new(&[s.steps + 1, s.batch, s.hidden])?;
        let mut h = Tensor::empty(states, T::DTYPE)?;
        let all = h.as_mut_slice::<T>()?;
        all[first * n..(first + 1) * n].copy_from_slice(h0.as_slice()?);
        let lstm = match self.cell {
            Cell::Simple(activation) => {
                let from = if s.reverse { 0 } else { n };
                project(&mut all[from..from + s.steps * n])?;
                kernels::simple(s, activation, packed, bias, all);
                None
            }
            Cell::Lstm => {
                let mut c = Tensor::empty(states, T::DTYPE)?;
                let cells = c.as_mut_slice::<T>()?;
                cells[first * n..(first + 1) * n].copy_from_slice(own::<T>(x[C])?.as_slice()?);
                let mut gates = Tensor::empty(Shape::new(&[steps, wide])?, T::DTYPE)?;
                project(gates.as_mut_slice()?)?;
                kernels::lstm(s, packed, bias, gates.as_mut_slice()?, all, cells);
                Some([c, gates])
            }
        };
        let out = |t: &Tensor| cast_raw(t, x[X].dtype());
        let last_of = |t: &Tensor| reshape(&out(&range(t, last, last + 1)?)?, &[s.batch, s.hidden]);
        let y = if s.reverse { range(&h, 0, s.steps)? } else { range(&h, 1, s.steps + 1)? };
        let mut results: Tensors = smallvec![out(&y)?, last_of(&h)?];
        if let Some([c, _]) = &lstm {
            results.push(last_of(c)?);
        }
        let _ = self.kept.set(Kept { h, lstm });
        Ok(results)
    }

    /// The gradients in one go, which cannot be differentiated again.
    fn fused<T: Float + Element + Pod>(&self, g: &Gradient) -> Result<Grads> {
        let name = self.name();
        let Some(kept) = self.kept.get() else { bail!(Unsupported, "{name}: states are missing") };
        let s = self.sizes(&g.input_meta(X).shape, &g.input_meta(WH).shape);
        let (wide, n) = (self.cell.gates() * s.hidden, s.batch * s.hidden);
        let steps = s.steps * s.batch;
        let wh = own::<T>(g.input(WH)?)?;
        let len = kernels::packed_transposed_len::<T>(self.cell.gates(), s.hidden);
        let mut packed = scratch::<T>(len)?;
        let packed = packed.as_mut_slice::<T>()?;
        kernels::pack_transposed(self.cell.gates(), s.hidden, wh.as_slice()?, packed);
        let (dy, mut dh) = (own::<T>(&g.dy(0)?)?, own::<T>(&g.dy(1)?)?);
        let mut dc = match self.cell {
            Cell::Lstm => Some(own::<T>(&g.dy(2)?)?),
            Cell::Simple(_) => None,
        };
        let mut dz = Tensor::empty(Shape::new(&[steps, wide])?, T::DTYPE)?;
        let h = kept.h.as_slice::<T>()?;
        match (self.cell, &kept.lstm, &mut dc) {
            (Cell::Simple(activation), ..) => {
                let (dh, dz) = (dh.as_mut_slice()?, dz.as_mut_slice()?);
                kernels::simple_backward(s, activation, packed, h, dy.as_slice()?, dh, dz);
            }
            (Cell::Lstm, Some([c, gates]), Some(dc)) => kernels::lstm_backward(
                s,
                packed,
                gates.as_slice()?,
                c.as_slice()?,
                dy.as_slice()?,
                dh.as_mut_slice()?,
                dc.as_mut_slice()?,
                dz.as_mut_slice()?,
            ),
            _ => bail!(Unsupported, "{name}: the cells are missing"),
        }
        let slopes = dz.as_slice::<T>()?;
        // The states before each step.
        let from = if s.reverse { n } else { 0 };
        let earlier = &h[from..from + s.steps * n];
        let turned = match g.needs(W) || g.needs(WH) {
            true => Some(Packed::new(Matrix::transposed(slopes, wide, steps))?),
            false => None,
        };
        let to_weights = |k: usize, b: &[T]| {
            let shape = g.input_meta(k).shape;
            let mut out = Tensor::empty(shape, T::DTYPE)?;
            if let Some(a) = &turned {
                a.times(Matrix::new(b, steps, shape[1]), out.as_mut_slice()?)?;
            }
            Ok::<Tensor, Error>(out)
        };
        let to_input = || {
            let shape = g.input_meta(X).shape;
            let mut out = Tensor::empty(shape, T::DTYPE)?;
            let w = own::<T>(g.input(W)?)?;
            let a = Packed::new(Matrix::new(slopes, steps, wide))?;
            a.times(Matrix::new(w.as_slice::<T>()?, wide, shape[2]), out.as_mut_slice()?)?;
            Ok::<Tensor, Error>(out)
        };
        g.each(|k| {
            let d = match k {
                X => to_input()?,
                W => to_weights(W, own::<T>(g.input(X)?)?.as_slice()?)?,
                WH => to_weights(WH, earlier)?,
                H => dh.clone(),
                _ if Some(k) == self.bias_at() => sum(&dz, Some(&[0]), false)?,
                _ => match &dc {
                    Some(dc) => dc.clone(),
                    None => bail!(Unsupported, "{name}: there is no cell"),
                },
            };
            Ok(Some(cast_raw(&d, g.input_meta(k).dtype)?))
        })
    }
}

impl Op for Layer {
    fn name(&self) -> &'static str {
        self.cell.name()
    }

    fn promote(&self, x: &[&Tensor]) -> Result<Option<DType>> {
        let dtype = promote(x.iter().map(|x| x.dtype()));
        Ok(Some(if dtype.is_float() { dtype } else { DType::F32 }))
    }

    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        let (name, inp, wh) = (self.name(), x[X], x[WH]);
        ensure!(
            inp.ndim() == 3 && inp.shape()[0] > 0,
            Shape,
            "{name}: input must be [steps, batch, features] with at least one step, not {inp}"
        );
        let (batch, features) = (inp.shape()[1], inp.shape()[2]);
        let hidden = if wh.ndim() == 2 { wh.shape()[1] } else { 0 };
        let wide = hidden.saturating_mul(self.cell.gates());
        ensure!(hidden > 0, Shape, "{name}: weight_hh must be [gates·hidden, hidden], not {wh}");
        let fits = |k: usize, what: &str, shape: &[usize]| {
            ensure!(
                x[k].shape()[..] == *shape,
                Shape,
                "{name}: {what} must be {shape:?} for input {inp} and weight_hh {wh}, not {}",
                x[k]
            );
            Ok(())
        };
        fits(W, "weight_ih", &[wide, features])?;
        fits(WH, "weight_hh", &[wide, hidden])?;
        fits(H, "h", &[batch, hidden])?;
        if self.cell == Cell::Lstm {
            fits(C, "c", &[batch, hidden])?;
        }
        if let Some(k) = self.bias_at() {
            fits(k, "bias", &[wide])?;
        }
        let states = Shape::new(&[inp.shape()[0], batch, hidden])?;
        let dtype = inp.dtype();
        let last = Meta { shape: Shape::new(&[batch, hidden])?, dtype };
        let mut out: Metas = smallvec![Meta { shape: states, dtype }, last];
        if self.cell == Cell::Lstm {
            out.push(last);
        }
        Ok(out)
    }

    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        if out[0].dtype == DType::F64 { self.run::<f64>(x) } else { self.run::<f32>(x) }
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        if is_recording() {
            unrolled(self, g)
        } else if g.input_meta(X).dtype == DType::F64 {
            self.fused::<f64>(g)
        } else {
            self.fused::<f32>(g)
        }
    }
}

/// A contiguous tensor of `T` with the same elements.
fn own<T: Element>(t: &Tensor) -> Result<Tensor> {
    cast_raw(t, T::DTYPE)?.contiguous()
}

/// Rows `from..to` of the first axis.
fn range(t: &Tensor, from: usize, to: usize) -> Result<Tensor> {
    let part = split_at(t, &[from, to], 0)?.into_iter().nth(1);
    part.ok_or_else(|| Error::new(ErrorKind::Unsupported, "split gave too few parts"))
}
