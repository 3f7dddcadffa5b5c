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

/// eˣ / Σeˣ over the last axis.
struct Softmax;

impl Softmax {
    fn run<T: Float + Element + Pod>(x: &Tensor) -> Result<Tensor> {
        let mut y = Tensor::empty(*x.shape(), T::DTYPE)?;
        let x = cast_raw(x, T::DTYPE)?.contiguous()?;
        kernels::softmax(last(x.shape()), x.as_slice::<T>()?, y.as_mut_slice::<T>()?);
        Ok(y)
    }

    fn back<T: Float + Element + Pod>(y: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let mut dx = Tensor::empty(*y.shape(), T::DTYPE)?;
        let (n, dtype) = (last(y.shape()), y.dtype());
        let (y, dy) = (cast_raw(y, T::DTYPE)?.contiguous()?, cast_raw(dy, T::DTYPE)?.contiguous()?);
        let dx_slice = dx.as_mut_slice::<T>()?;
        kernels::softmax_backward(n, y.as_slice::<T>()?, dy.as_slice::<T>()?, dx_slice);
        cast_raw(&dx, dtype)
    }
}

/// The last extent.
pub(super) fn last(shape: &Shape) -> usize {
    shape.last().copied().unwrap_or(1)
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
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
            DType::F64 => Softmax::run::<f64>(x[0])?,
            dtype => cast_raw(&Softmax::run::<f32>(x[0])?, dtype)?,
        }])
    }

    fn saves(&self) -> Saves {
        Saves::OUTPUTS
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let (y, dy) = (g.output(0)?, g.dy(0)?);
        g.each(|_| {
            Ok(Some(if is_recording() || y.numel() == 0 {
                let inner = sum(&mul(y, &dy)?, Some(&[-1]), true)?;
                mul(y, &sub(&dy, &inner)?)?
            } else if y.dtype() == DType::F64 {
                Softmax::back::<f64>(y, &dy)?
            } else {
                Softmax::back::<f32>(y, &dy)?
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
    let axis = normalize_axis("softmax", axis, x.ndim())?;
    match to_last(axis, x.ndim()) {
        None => apply1(Softmax, &[x]),
        Some([order, back]) => transpose(&apply1(Softmax, &[&transpose(x, &order)?])?, &back),
    }
}

/// ln of [`softmax`], accurate where that is near 0: x − logsumexp(x). More than one axis may be
/// given.
///
/// # Errors
/// As [`max`].
pub fn logsoftmax(x: &Tensor, axes: &[isize]) -> Result<Tensor> {
    sub(x, &logsumexp(x, Some(axes), true)?)
}
