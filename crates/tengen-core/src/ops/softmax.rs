//! Exponentials and their sums, without overflow.

use super::axes::Axes;
use super::{add, exp, expand_dims, isinf, log, max, mul, reshape, select, sub, sum, transpose};
use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Entry, Grads, Meta, Metas, Op, Saves, Tensors};
use crate::shape::{MAX_DIMS, Shape, normalize_axis};
use crate::{DType, Result, Tensor, apply1, ensure};
use smallvec::{SmallVec, smallvec};

pub(super) const OPERATORS: &[&[Entry]] = &[&[
    Entry::of::<LogSumExp>(&["logsumexp"]),
    Entry::of::<LogSumExpGradient>(&["logsumexp_gradient"]),
    Entry::of::<Softmax>(&["softmax", "logsoftmax"]),
    Entry::of::<SoftmaxGradient>(&["softmax_gradient", "logsoftmax_gradient"]),
]];

/// ln Σeˣ over the last axis, which goes.
#[derive(Attributes)]
pub(crate) struct LogSumExp;

/// Checks what a [`LogSumExp`] is of; gives its description.
fn log_sum(x: &Described) -> Result<Meta> {
    let (shape, dtype) = (x.shape(), x.dtype());
    ensure!(dtype.is_float(), DType, "logsumexp: {x} has no floating-point numbers");
    let some = shape.last().is_some_and(|n| *n > 0);
    ensure!(some, Shape, "logsumexp: there is no logarithm of the sum of nothing ({x})");
    Ok(Meta { shape: shape.without(shape.len() - 1), dtype })
}

impl Op for LogSumExp {
    fn name(&self) -> &'static str {
        "logsumexp"
    }

    fn promote(&self, x: &[&Described]) -> Result<Option<DType>> {
        Ok((!x[0].dtype().is_float()).then_some(DType::F32))
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        Ok(smallvec![log_sum(x[0])?])
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        Ok(smallvec![Some(apply1(LogSumExpGradient, &[g.input(0)?, &g.dy(0)?])?)])
    }

    fn expand(&self, x: &[&Tensor]) -> Option<Result<Tensors>> {
        let all = || {
            let top = max(&x[0].detach(), Some(&[-1]), true)?;
            // An infinite maximum would give ∞ − ∞.
            let zero = Tensor::zeros(&[], top.dtype())?;
            let top = select(&isinf(&top)?, &zero, &top)?;
            let total = log(&sum(&exp(&sub(x[0], &top)?)?, Some(&[-1]), false)?)?;
            Ok(smallvec![add(&total, &reshape(&top, total.shape())?)?])
        };
        Some(all())
    }
}

/// [`LogSumExp`]'s input and dy → dx = softmax(x)·dy.
#[derive(Attributes)]
pub(crate) struct LogSumExpGradient;

impl Op for LogSumExpGradient {
    fn name(&self) -> &'static str {
        "logsumexp_gradient"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 2
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let Meta { shape, dtype } = log_sum(x[0])?;
        let fits = *x[1].shape() == shape && x[1].dtype() == dtype;
        ensure!(fits, Shape, "{}: {} is no gradient to {dtype}{shape}", self.name(), x[1]);
        Ok(Meta::one(*x[0].shape(), dtype))
    }

    fn expand(&self, x: &[&Tensor]) -> Option<Result<Tensors>> {
        let all = || Ok(smallvec![mul(&softmax(x[0], -1)?, &expand_dims(x[1], &[-1])?)?]);
        Some(all())
    }

    fn differentiates_expanded(&self) -> bool {
        true
    }
}

/// ln Σeˣ over `axes` (all, if `None`), without overflow.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let x = Tensor::from_slice(&[1000.0f32, 1000.0], &[2])?;
/// let y = ops::logsumexp(&x, None, false)?;
/// assert!((y.item()? - (1000.0 + 2f64.ln())).abs() < 1e-4);
/// # Ok::<(), tengen_core::Error>(())
/// ```
///
/// # Errors
/// As [`max`](super::max).
pub fn logsumexp(x: &Tensor, axes: Option<&[isize]>, keepdims: bool) -> Result<Tensor> {
    let (axes, shape) = (Axes::new("logsumexp", axes, x.ndim())?, *x.shape());
    let (reduced, kept): (Vec<usize>, _) = (0..shape.len()).partition(|d| axes.has(*d));
    let order: SmallVec<[isize; MAX_DIMS]> =
        kept.iter().chain(&reduced).map(|d| *d as isize).collect();
    let count = |of: &[usize]| of.iter().map(|d| shape[*d]).product();
    let rows = reshape(&transpose(x, &order)?, &[count(&kept), count(&reduced)])?;
    reshape(&apply1(LogSumExp, &[&rows])?, &axes.reduced(&shape, keepdims))
}

/// eˣ / Σeˣ over the last axis, or its logarithm.
#[derive(Attributes)]
pub(crate) struct Softmax {
    pub logarithm: bool,
}

/// The last extent.
pub(crate) fn last(shape: &Shape) -> usize {
    shape.last().copied().unwrap_or(1)
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        if self.logarithm { "logsoftmax" } else { "softmax" }
    }

    fn promote(&self, x: &[&Described]) -> Result<Option<DType>> {
        Ok((!x[0].dtype().is_float()).then_some(DType::F32))
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        Ok(Meta::one(*x[0].shape(), x[0].dtype()))
    }

    fn saves(&self, _: DType) -> Saves {
        Saves::OUTPUTS
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let op = SoftmaxGradient { logarithm: self.logarithm };
        Ok(smallvec![Some(apply1(op, &[g.output(0)?, &g.dy(0)?])?)])
    }
}

/// [`Softmax`]'s result and dy → dx.
#[derive(Attributes)]
pub(crate) struct SoftmaxGradient {
    pub logarithm: bool,
}

impl Op for SoftmaxGradient {
    fn name(&self) -> &'static str {
        if self.logarithm { "logsoftmax_gradient" } else { "softmax_gradient" }
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 2
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let (y, dy) = (x[0], x[1]);
        let fits = y.shape() == dy.shape() && y.dtype() == dy.dtype() && y.dtype().is_float();
        ensure!(fits, Shape, "{}: {dy} is no gradient to {y}", self.name());
        Ok(Meta::one(*y.shape(), y.dtype()))
    }

    fn expand(&self, x: &[&Tensor]) -> Option<Result<Tensors>> {
        let (y, dy) = (x[0], x[1]);
        let total = |t: &Tensor| sum(t, if t.ndim() == 0 { None } else { Some(&[-1]) }, true);
        let all = || {
            Ok(smallvec![match self.logarithm {
                true => sub(dy, &mul(&exp(y)?, &total(dy)?)?)?,
                false => mul(y, &sub(dy, &total(&mul(y, dy)?)?)?)?,
            }])
        };
        Some(all())
    }

    fn differentiates_expanded(&self) -> bool {
        true
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
