//! Exponentials and their sums, without overflow.

use super::{add, div, exp, isinf, log, max, reshape, select, sub, sum};
use crate::{Result, Tensor};

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

/// eˣ / Σeˣ over one axis, without overflow.
///
/// # Errors
/// As [`max`].
pub fn softmax(x: &Tensor, axis: isize) -> Result<Tensor> {
    let axes = Some(&[axis][..]);
    let e = exp(&sub(x, &max(&x.detach(), axes, true)?)?)?;
    div(&e, &sum(&e, axes, true)?)
}

/// ln of [`softmax`], accurate where that is near 0: x − logsumexp(x). More than one axis may be
/// given.
///
/// # Errors
/// As [`max`].
pub fn logsoftmax(x: &Tensor, axes: &[isize]) -> Result<Tensor> {
    sub(x, &logsumexp(x, Some(axes), true)?)
}
