//! Exponentials and their sums, without overflow.

use super::{add, exp, isinf, log, max, mul, reshape, select, sub, sum, transpose};
use crate::autograd::{Gradient, is_recording};
use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::ops::cast::cast_raw;
use crate::shape::{MAX_DIMS, Shape, normalize_axis};
use crate::{DType, Element, Result, Tensor, apply1};
use bytemuck::Pod;
use smallvec::{SmallVec, smallvec};
use tengen_kernels::lanes::Float;
use tengen_kernels::softmax as kernels;

/// ln Σeˣ over `axes`, without overflow.
///
/// # Errors
/// As [`max`].
pub fn logsumexp(x: &Tensor, axes: Option<&[isize]>, keepdims: bool) -> Result<Tensor> {
    let top = max(&x.detach(), axes, true)?;
    // An infinite maximum would give ∞ − ∞.
    let zero = Tensor::zeros(&[], top.dtype())?;
    let top = select(&isinf(&top)?, &zero, &top)?;
    let total = log(&sum(&exp(&sub(x, &top)?)?, axes, keepdims)?)?;
    add(&total, &reshape(&top, total.shape())?)
}

/// eˣ / Σeˣ over the last axis, or its logarithm.
struct Softmax {
    logarithm: bool,
}

impl Softmax {
    fn run<T: Float + Element + Pod>(&self, x: &Tensor) -> Result<Tensor> {
        let mut y = Tensor::empty(*x.shape(), T::DTYPE)?;
        let x = cast_raw(x, T::DTYPE)?.contiguous()?;
        let (n, x, out) = (last(x.shape()), x.as_slice::<T>()?, y.as_mut_slice::<T>()?);
        match self.logarithm {
            true => kernels::logsoftmax(n, x, out),
            false => kernels::softmax(n, x, out),
        }
        Ok(y)
    }

    fn back<T: Float + Element + Pod>(&self, y: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let mut dx = Tensor::empty(*y.shape(), T::DTYPE)?;
        let (n, dtype) = (last(y.shape()), y.dtype());
        let (y, dy) = (cast_raw(y, T::DTYPE)?.contiguous()?, cast_raw(dy, T::DTYPE)?.contiguous()?);
        let (y, dy, out) = (y.as_slice::<T>()?, dy.as_slice::<T>()?, dx.as_mut_slice::<T>()?);
        match self.logarithm {
            true => kernels::logsoftmax_backward(n, y, dy, out),
            false => kernels::softmax_backward(n, y, dy, out),
        }
        cast_raw(&dx, dtype)
    }
}

/// The last extent.
pub(super) fn last(shape: &Shape) -> usize {
    shape.last().copied().unwrap_or(1)
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        if self.logarithm { "logsoftmax" } else { "softmax" }
    }

    fn promote(&self, x: &[&Tensor]) -> Result<Option<DType>> {
        Ok((!x[0].dtype().is_float()).then_some(DType::F32))
    }

    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        Ok(Meta::one(*x[0].shape(), x[0].dtype()))
    }

    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        if x[0].numel() == 0 {
            return Ok(smallvec![Tensor::empty(out[0].shape, out[0].dtype)?]);
        }
        Ok(smallvec![match out[0].dtype {
            DType::F64 => self.run::<f64>(x[0])?,
            dtype => cast_raw(&self.run::<f32>(x[0])?, dtype)?,
        }])
    }

    fn saves(&self, _: DType) -> Saves {
        Saves::OUTPUTS
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let (y, dy) = (g.output(0)?, g.dy(0)?);
        g.each(|_| {
            Ok(Some(if is_recording() || y.numel() == 0 {
                match self.logarithm {
                    true => sub(&dy, &mul(&exp(y)?, &sum(&dy, Some(&[-1]), true)?)?)?,
                    false => mul(y, &sub(&dy, &sum(&mul(y, &dy)?, Some(&[-1]), true)?)?)?,
                }
            } else if y.dtype() == DType::F64 {
                self.back::<f64>(y, &dy)?
            } else {
                self.back::<f32>(y, &dy)?
            }))
        })
    }
}

/// The order of axes that puts `axis` last, and its inverse; none if it is there.
pub(super) fn to_last(axis: usize, ndim: usize) -> Option<[SmallVec<[isize; MAX_DIMS]>; 2]> {
    if axis + 1 == ndim {
        return None;
    }
    let (axis, n) = (axis as isize, ndim as isize);
    let order: SmallVec<_> = (0..n).filter(|d| *d != axis).chain([axis]).collect();
    let back: SmallVec<_> = (0..axis).chain([n - 1]).chain(axis..n - 1).collect();
    Some([order, back])
}

/// eˣ / Σeˣ over one axis, without overflow.
///
/// # Errors
/// Index: the axis is out of range. Memory: the result cannot be had.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let x = Tensor::from_slice(&[0.0f32, 0.0, 1000.0, 1000.0], &[2, 2])?;
/// assert_eq!(ops::softmax(&x, 1)?.to_vec::<f32>()?, [0.5; 4]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn softmax(x: &Tensor, axis: isize) -> Result<Tensor> {
    along(x, normalize_axis("softmax", axis, x.ndim())?, false)
}

/// [`Softmax`] over an axis.
fn along(x: &Tensor, axis: usize, logarithm: bool) -> Result<Tensor> {
    let op = Softmax { logarithm };
    match to_last(axis, x.ndim()) {
        None => apply1(op, &[x]),
        Some([order, back]) => transpose(&apply1(op, &[&transpose(x, &order)?])?, &back),
    }
}

/// ln of [`softmax`], accurate where that is near 0: x − logsumexp(x). More than one axis may be
/// given.
///
/// # Errors
/// As [`max`].
pub fn logsoftmax(x: &Tensor, axes: &[isize]) -> Result<Tensor> {
    match axes {
        [axis] => along(x, normalize_axis("logsoftmax", *axis, x.ndim())?, true),
        _ => sub(x, &logsumexp(x, Some(axes), true)?),
    }
}
