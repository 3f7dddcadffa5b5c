//! Softmax and cross entropy.

use super::{cast, mul, one_hot, reshape, scale_by, sub, sum, transpose};
use crate::autograd::{Gradient, is_recording};
use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::ops::cast::cast_raw;
use crate::shape::{MAX_DIMS, Shape, normalize_axis};
use crate::{DType, Element, Result, Tensor, apply1, bail, ensure};
use bytemuck::Pod;
use smallvec::{SmallVec, smallvec};
use tengen_kernels::lanes::Float;
use tengen_kernels::softmax as kernels;

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
fn last(shape: &Shape) -> usize {
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
fn to_last(axis: usize, ndim: usize) -> Option<[SmallVec<[isize; MAX_DIMS]>; 2]> {
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

/// Cross entropy of rows of logits with classes: `[r, n]` and i32 `[r]` → `[r]`.
struct CrossEntropy {
    smooth: f64,
}

impl CrossEntropy {
    fn run<T: Float + Element + Pod>(&self, x: &[&Tensor], shape: Shape) -> Result<Tensor> {
        let mut loss = Tensor::empty(shape, T::DTYPE)?;
        let n = last(x[0].shape());
        let (logits, classes) = (cast_raw(x[0], T::DTYPE)?.contiguous()?, x[1].contiguous()?);
        let out = loss.as_mut_slice::<T>()?;
        let classes = classes.as_slice::<i32>()?;
        kernels::cross_entropy(n, logits.as_slice::<T>()?, classes, self.smooth, out);
        Ok(loss)
    }

    fn back<T: Float + Element + Pod>(&self, x: [&Tensor; 2], dy: &Tensor) -> Result<Tensor> {
        let mut dx = Tensor::empty(*x[0].shape(), T::DTYPE)?;
        let (n, dtype) = (last(x[0].shape()), x[0].dtype());
        let (logits, classes) = (cast_raw(x[0], T::DTYPE)?.contiguous()?, x[1].contiguous()?);
        let dy = cast_raw(dy, T::DTYPE)?.contiguous()?;
        let (logits, classes) = (logits.as_slice::<T>()?, classes.as_slice::<i32>()?);
        let (dy, out) = (dy.as_slice::<T>()?, dx.as_mut_slice::<T>()?);
        kernels::cross_entropy_backward(n, logits, classes, self.smooth, dy, out);
        cast_raw(&dx, dtype)
    }
}

impl Op for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        let (rows, n) = (x[0].shape()[0], last(x[0].shape()));
        let classes = x[1].contiguous()?;
        let inside = |c: &&i32| usize::try_from(**c).is_ok_and(|c| c < n);
        if let Some(c) = classes.as_slice::<i32>()?.iter().find(|c| !inside(c)) {
            bail!(Index, "cross_entropy: label {c} is not in 0..{n}, the number of classes");
        }
        let dtype = if x[0].dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        Ok(Meta::one(Shape::new(&[rows])?, dtype))
    }

    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        Ok(smallvec![match out[0].dtype {
            _ if out[0].shape.numel() == 0 => Tensor::empty(out[0].shape, out[0].dtype)?,
            DType::F64 => self.run::<f64>(x, out[0].shape)?,
            _ => self.run::<f32>(x, out[0].shape)?,
        }])
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let (x, classes, dy) = (g.input(0)?, g.input(1)?, g.dy(0)?);
        g.each(|k| {
            if k == 1 {
                return Ok(None);
            }
            Ok(Some(if is_recording() || x.numel() == 0 {
                let n = last(x.shape());
                let target = scale_by(&one_hot(classes, n)?, 1.0 - self.smooth, dy.dtype())?;
                let level = Tensor::full(&[], self.smooth / n.max(1) as f64, dy.dtype())?;
                let p = softmax(&cast(x, dy.dtype())?, -1)?;
                let d = sub(&sub(&p, &target)?, &level)?;
                cast(&mul(&d, &reshape(&dy, &[dy.numel(), 1])?)?, x.dtype())?
            } else if x.dtype() == DType::F64 {
                self.back::<f64>([x, classes], &dy)?
            } else {
                self.back::<f32>([x, classes], &dy)?
            }))
        })
    }
}

/// [`CrossEntropy`] along any axis of `x`; the result has the shape of `label`.
pub(crate) fn cross_entropy_with_logits(
    x: &Tensor,
    label: &Tensor,
    axis: usize,
    smooth: f64,
) -> Result<Tensor> {
    let x = if x.dtype().is_float() { x.clone() } else { cast(x, DType::F32)? };
    let n = x.shape()[axis];
    ensure!(n > 0, Shape, "cross_entropy: there are no classes in {x}");
    let rows = match to_last(axis, x.ndim()) {
        None => x,
        Some([order, _]) => transpose(&x, &order)?,
    };
    let rows = reshape(&rows, &[label.numel(), n])?;
    let classes = reshape(&cast(&label.detach(), DType::I32)?, &[label.numel()])?;
    reshape(&apply1(CrossEntropy { smooth }, &[&rows, &classes])?, label.shape())
}
