//! Recurrent layers.

mod matrix;

use crate::cpu::cast_raw;
use crate::op::{Eval, Meta, Op, Tensors};
use crate::ops::recurrent::{C, Cell, H, Layer, LayerGradient, W, WH, X};
use crate::ops::{reshape, split_at, sum};
use crate::shape::Shape;
use crate::{DType, Element, Error, ErrorKind, Result, Tensor, bail};
use bytemuck::Pod;
use matrix::{Matrix, Packed, scratch};
use smallvec::smallvec;
use tengen_kernels::lanes::Float;
use tengen_kernels::recurrent::{self as kernels, Sizes};

/// A contiguous tensor of `T` with the same elements.
fn own<T: Element>(t: &Tensor) -> Result<Tensor> {
    cast_raw(t, T::DTYPE)?.contiguous()
}

/// Rows `from..to` of the first axis.
fn range(t: &Tensor, from: usize, to: usize) -> Result<Tensor> {
    let part = split_at(t, &[from, to], 0)?.into_iter().nth(1);
    part.ok_or_else(|| Error::new(ErrorKind::Unsupported, "split gave too few parts"))
}

impl Layer {
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
        match lstm {
            Some([c, gates]) => results.extend([last_of(&c)?, h, c, gates]),
            None => results.push(h),
        }
        Ok(results)
    }
}

impl LayerGradient {
    fn run<T: Float + Element + Pod>(&self, x: &[&Tensor]) -> Result<Tensors> {
        let layer = &self.layer;
        let (inputs, rest) = x.split_at(layer.inputs());
        let (kept, dys) = rest.split_at(rest.len() - layer.visible());
        let s = layer.sizes(inputs[X].shape(), inputs[WH].shape());
        let (wide, n) = (layer.cell.gates() * s.hidden, s.batch * s.hidden);
        let steps = s.steps * s.batch;
        let wh = own::<T>(inputs[WH])?;
        let len = kernels::packed_transposed_len::<T>(layer.cell.gates(), s.hidden);
        let mut packed = scratch::<T>(len)?;
        let packed = packed.as_mut_slice::<T>()?;
        kernels::pack_transposed(layer.cell.gates(), s.hidden, wh.as_slice()?, packed);
        let (dy, mut dh) = (own::<T>(dys[0])?, own::<T>(dys[1])?);
        let mut dc = match layer.cell {
            Cell::Lstm => Some(own::<T>(dys[2])?),
            Cell::Simple(_) => None,
        };
        let mut dz = Tensor::empty(Shape::new(&[steps, wide])?, T::DTYPE)?;
        let kept = kept.iter().map(|t| t.contiguous()).collect::<Result<Tensors>>()?;
        let h = kept[0].as_slice::<T>()?;
        match (layer.cell, &kept[..], &mut dc) {
            (Cell::Simple(activation), ..) => {
                let (dh, dz) = (dh.as_mut_slice()?, dz.as_mut_slice()?);
                kernels::simple_backward(s, activation, packed, h, dy.as_slice()?, dh, dz);
            }
            (Cell::Lstm, [_, c, gates], Some(dc)) => kernels::lstm_backward(
                s,
                packed,
                gates.as_slice()?,
                c.as_slice()?,
                dy.as_slice()?,
                dh.as_mut_slice()?,
                dc.as_mut_slice()?,
                dz.as_mut_slice()?,
            ),
            _ => bail!(Unsupported, "{}: the cells are missing", self.name()),
        }
        let slopes = dz.as_slice::<T>()?;
        // The states before each step.
        let from = if s.reverse { n } else { 0 };
        let earlier = &h[from..from + s.steps * n];
        let turned = match self.needs[W] || self.needs[WH] {
            true => Some(Packed::new(Matrix::transposed(slopes, wide, steps))?),
            false => None,
        };
        let to_weights = |k: usize, b: &[T]| {
            let shape = *inputs[k].shape();
            let mut out = Tensor::empty(shape, T::DTYPE)?;
            if let Some(a) = &turned {
                a.times(Matrix::new(b, steps, shape[1]), out.as_mut_slice()?)?;
            }
            Ok::<Tensor, Error>(out)
        };
        let to_input = || {
            let shape = *inputs[X].shape();
            let mut out = Tensor::empty(shape, T::DTYPE)?;
            let w = own::<T>(inputs[W])?;
            let a = Packed::new(Matrix::new(slopes, steps, wide))?;
            a.times(Matrix::new(w.as_slice::<T>()?, wide, shape[2]), out.as_mut_slice()?)?;
            Ok::<Tensor, Error>(out)
        };
        let gradient = |k: usize| {
            let d = match k {
                X => to_input()?,
                W => to_weights(W, own::<T>(inputs[X])?.as_slice()?)?,
                WH => to_weights(WH, earlier)?,
                H => dh.clone(),
                _ if Some(k) == layer.bias_at() => sum(&dz, Some(&[0]), false)?,
                _ => match &dc {
                    Some(dc) => dc.clone(),
                    None => bail!(Unsupported, "{}: there is no cell", self.name()),
                },
            };
            cast_raw(&d, inputs[k].dtype())
        };
        (0..inputs.len()).filter(|k| self.needs[*k]).map(gradient).collect()
    }
}

impl Eval for Layer {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        if out[0].dtype == DType::F64 { self.run::<f64>(x) } else { self.run::<f32>(x) }
    }
}

impl Eval for LayerGradient {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        if x[X].dtype() == DType::F64 { self.run::<f64>(x) } else { self.run::<f32>(x) }
    }
}
