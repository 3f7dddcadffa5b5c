//! Random numbers: element `i` of a draw depends on the state of the generator and `i` alone.

use crate::cpu::cast_raw;
use crate::op::{Eval, Meta, Tensors};
use crate::ops::broadcast_to;
use crate::ops::draw::{Bernoulli, Distribution, Draw, Normal, Permutation, Uniform};
use crate::shape::{Shape, broadcast};
use crate::{DType, Element, Result, Tensor, bail, without_recording};
use bytemuck::Pod;
use smallvec::smallvec;
use tengen_kernels::pool;
use tengen_kernels::random::{self as kernels, Stream};

/// Elements per task.
const TASK: usize = 16 * 1024;

/// The stream of a generator's state.
fn stream(state: &Tensor) -> Result<Stream> {
    let state = state.to_vec::<i64>()?;
    Ok(Stream { seed: state[0] as u64, number: state[1] as u64 })
}

/// A tensor of numbers: `f(stream, place of the first, numbers to fill)`.
fn fill<T: Element + Pod>(
    state: &Tensor,
    shape: Shape,
    f: impl Fn(Stream, u64, &mut [T]) + Sync,
) -> Result<Tensor> {
    let (mut t, stream) = (Tensor::empty(shape, T::DTYPE)?, stream(state)?);
    pool::for_parts(t.as_mut_slice::<T>()?, 1, TASK, |first, part| f(stream, first as u64, part));
    Ok(t)
}

impl Eval for Uniform {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        let (low, high) = (self.low, self.high);
        if self.dtype == DType::F64 {
            let f = |s, i, out: &mut [f64]| kernels::fill_uniform(s, i, low, high, out);
            return Ok(smallvec![fill(x[0], self.shape, f)?]);
        }
        let (low, high) = (low as f32, high as f32);
        let f = |s, i, out: &mut [f32]| kernels::fill_uniform(s, i, low, high, out);
        Ok(smallvec![cast_raw(&fill(x[0], self.shape, f)?, self.dtype)?])
    }
}

impl Eval for Normal {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        let (mean, std) = (self.mean, self.std);
        if self.dtype == DType::F64 {
            let f = |s, i, out: &mut [f64]| kernels::fill_normal(s, i, mean, std, out);
            return Ok(smallvec![fill(x[0], self.shape, f)?]);
        }
        let (mean, std) = (mean as f32, std as f32);
        let f = |s, i, out: &mut [f32]| kernels::fill_normal(s, i, mean, std, out);
        Ok(smallvec![cast_raw(&fill(x[0], self.shape, f)?, self.dtype)?])
    }
}

impl Eval for Bernoulli {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        let (p, keep) = (self.p, self.keep as f32);
        let f = |s, i, out: &mut [f32]| kernels::fill_bernoulli(s, i, p, 0.0, keep, out);
        Ok(smallvec![fill(x[0], self.shape, f)?])
    }
}

impl Eval for Permutation {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let mut t = Tensor::empty(out[0].shape, DType::I32)?;
        kernels::permutation(stream(x[0])?, t.as_mut_slice::<i32>()?);
        Ok(smallvec![t])
    }
}

impl Eval for Draw {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let (kind, shape) = (self.distribution, out[0].shape);
        for (x, what) in x[1..].iter().zip(kind.parameters()) {
            if let Some(v) = x.to_f64_vec()?.into_iter().find(|v| !(*v > 0.0 && v.is_finite())) {
                bail!(Value, "{}: {what} is {v}; it must be positive and finite", kind.name());
            }
        }
        let each = broadcast(kind.name(), x[1].shape(), x[2].shape())?;
        let values = |x: &Tensor| {
            let all = without_recording(|| broadcast_to(&x.detach(), &each))?;
            cast_raw(&all, DType::F64)?.contiguous()
        };
        let (a, b) = (values(x[1])?, values(x[2])?);
        let (a, b, n) = (a.as_slice::<f64>()?, b.as_slice::<f64>()?, each.numel().max(1));
        let draw = |stream: Stream, i: u64| {
            let (mut draws, at) = (stream.draws(i), i as usize % n);
            match kind {
                Distribution::Gamma => draws.gamma(a[at], b[at]),
                Distribution::Beta => draws.beta(a[at], b[at]),
                Distribution::Poisson => draws.poisson(a[at]),
            }
        };
        Ok(smallvec![match out[0].dtype {
            DType::F64 => fill::<f64>(x[0], shape, |s, start, out| {
                out.iter_mut().zip(start..).for_each(|(v, i)| *v = draw(s, i));
            })?,
            _ => fill::<f32>(x[0], shape, |s, start, out| {
                out.iter_mut().zip(start..).for_each(|(v, i)| *v = draw(s, i) as f32);
            })?,
        }])
    }
}
