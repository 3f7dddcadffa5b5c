//! Reductions.

use crate::cpu::cast_raw;
use crate::op::{Eval, Meta, Tensors};
use crate::ops::elementwise::operands;
use crate::ops::reduce::{ArgReduce, ExtremumGradient, Kind, Reduce};
use crate::ops::{broadcast_to, equal, select};
use crate::{DType, Element, Result, Tensor, bail, dispatch};
use bytemuck::Pod;
use smallvec::smallvec;
use std::ops::Range;
use tengen_kernels::lanes::Float;
use tengen_kernels::reduce::{self as kernels, Fold};

impl Reduce {
    /// Reduces axes `start..end` to one of extent 1.
    fn pass(&self, x: &Tensor, start: usize, end: usize) -> Result<Tensor> {
        let n: usize = x.shape()[start..end].iter().product();
        let inner: usize = x.shape()[end..].iter().product();
        let mut shape = *x.shape();
        for d in start..end {
            shape = shape.with(d, 1)?;
        }
        let mut y = Tensor::empty(shape, x.dtype())?;
        match self.kind {
            Kind::Sum => fold(kernels::Sum, x, n, inner, &mut y)?,
            Kind::Prod => fold(kernels::Prod, x, n, inner, &mut y)?,
            Kind::Max => fold(kernels::Max, x, n, inner, &mut y)?,
            Kind::Min => fold(kernels::Min, x, n, inner, &mut y)?,
        }
        Ok(y)
    }
}

fn fold<F: Fold>(fold: F, x: &Tensor, n: usize, inner: usize, y: &mut Tensor) -> Result<()> {
    fn floats<T: Float + Element + Pod, F: Fold>(
        fold: F,
        x: &Tensor,
        n: usize,
        inner: usize,
        y: &mut Tensor,
    ) -> Result<()> {
        kernels::reduce(fold, x.as_slice::<T>()?, n, inner, y.as_mut_slice::<T>()?);
        Ok(())
    }
    match x.dtype() {
        DType::F32 => floats::<f32, F>(fold, x, n, inner, y),
        DType::F64 => floats::<f64, F>(fold, x, n, inner, y),
        dtype => dispatch!(dtype, [U8, I8, I16, I32, I64], T => {
            kernels::reduce_ints(fold, x.as_slice::<T>()?, n, inner, y.as_mut_slice::<T>()?);
            Ok(())
        }, else bail!(DType, "a reduction does not work on {dtype}")),
    }
}

/// The gradient `dy` where `x` is the extremum `y` over neighbouring `axes`, else 0.
fn extremum_backward<T: Float + Element + Pod>(
    x: &Tensor,
    axes: Range<usize>,
    y: &Tensor,
    dy: &Tensor,
) -> Result<Tensor> {
    let n: usize = x.shape()[axes.clone()].iter().product();
    let inner: usize = x.shape()[axes.end..].iter().product();
    let (source, y, dy) = (x.contiguous()?, y.contiguous()?, dy.contiguous()?);
    let mut dx = Tensor::empty(*x.shape(), T::DTYPE)?;
    kernels::extremum_backward(
        source.as_slice::<T>()?,
        n,
        inner,
        y.as_slice::<T>()?,
        dy.as_slice::<T>()?,
        dx.as_mut_slice::<T>()?,
    );
    Ok(dx)
}

impl Eval for Reduce {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let half = matches!(x[0].dtype(), DType::F16 | DType::BF16);
        let mut t = if half { cast_raw(x[0], DType::F32)? } else { x[0].contiguous()?.detach() };
        // Runs of neighbouring axes, from the last: each is one pass.
        let mut end = t.ndim();
        while end > 0 {
            let mut start = end - 1;
            if self.axes.has(end - 1) {
                while start > 0 && self.axes.has(start - 1) {
                    start -= 1;
                }
                t = self.pass(&t, start, end)?;
            }
            end = start;
        }
        let t = if half { cast_raw(&t, out[0].dtype)? } else { t };
        // SAFETY: a contiguous tensor with as many elements.
        Ok(smallvec![unsafe {
            t.view(out[0].shape, out[0].shape.contiguous_strides(), t.offset())
        }])
    }
}

impl Eval for ArgReduce {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        // Halves are compared as what they are in f32.
        let half = matches!(x[0].dtype(), DType::F16 | DType::BF16);
        let x = if half { cast_raw(x[0], DType::F32)? } else { x[0].contiguous()? };
        let (n, inner) = match self.axis {
            Some(a) => (x.shape()[a], x.shape()[a + 1..].iter().product()),
            None => (x.numel(), 1),
        };
        let mut y = Tensor::empty(out[0].shape, DType::I32)?;
        dispatch!(x.dtype(), T => {
            let (x, y) = (x.as_slice::<T>()?, y.as_mut_slice::<i32>()?);
            match self.greatest {
                true => kernels::arg_reduce::<T, true>(x, n, inner, y),
                false => kernels::arg_reduce::<T, false>(x, n, inner, y),
            }
        });
        Ok(smallvec![y])
    }
}

impl Eval for ExtremumGradient {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        let [x, y, dy] = operands("max_gradient", x)?;
        Ok(smallvec![match (x.dtype(), self.axes.run(x.shape())) {
            (DType::F32, Some(axes)) => extremum_backward::<f32>(x, axes, y, dy)?,
            (DType::F64, Some(axes)) => extremum_backward::<f64>(x, axes, y, dy)?,
            (dtype, _) => {
                let zero = Tensor::zeros(&[], dtype)?;
                select(&equal(x, y)?, &broadcast_to(dy, x.shape())?, &zero)?
            }
        }])
    }
}
