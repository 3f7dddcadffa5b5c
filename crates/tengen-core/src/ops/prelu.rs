//! Parametric rectifier.

use super::{map, reshape};
use crate::op::Entry;
use crate::{Result, Tensor, ensure};

pub(super) const OPERATORS: &[&[Entry]] = &[MAPS];

map! {
    /// max(0, x) + a·min(0, x) for operands that broadcast; its derivative at x = 0 is 1.
    prelu_map = Prelu(x, a) {
        f = L::sel(L::le(L::c(0.0), x), x, a.mul(x));
        df(dy) = {
            let up = L::le(L::c(0.0), x);
            [L::sel(up, dy, a.mul(dy)), L::sel(up, L::c(0.0), x.mul(dy))]
        };
    }
}

/// Parametric rectifier (He et al. 2015, "Delving deep into rectifiers"): max(0, x) + a·min(0, x).
///
/// `x` has any shape. `weight`, the slope a, has one element, or one per channel (axis 1 of `x`)
/// as `[C]` or `[1, C, 1, …]`, or any shape that broadcasts to `x`'s.
///
/// # Errors
/// Shape: the weight fits none of these. Memory: the result cannot be had.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let x = Tensor::from_slice(&[-1.0f32, 2.0], &[2])?;
/// let a = Tensor::from_slice(&[0.25f32], &[1])?;
/// assert_eq!(ops::prelu(&x, &a)?.to_vec::<f32>()?, [-0.25, 2.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn prelu(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    if weight.numel() == 1 && weight.ndim() <= x.ndim() {
        return prelu_map(x, weight);
    }
    let n = weight.numel();
    let channels = x.shape().get(1).copied();
    if weight.ndim() == 1 && x.ndim() > 2 && channels == Some(n) {
        let mut shape = vec![1; x.ndim()];
        shape[1] = n;
        return prelu_map(x, &reshape(weight, &shape)?);
    }
    let fits = weight.ndim() <= x.ndim()
        && weight.shape().iter().rev().zip(x.shape().iter().rev()).all(|(w, x)| w == x || *w == 1);
    ensure!(
        fits,
        Shape,
        "prelu: weight has {n} elements but x has {} channels (x: {x}, weight: {weight}); give 1 or {}",
        channels.unwrap_or(1),
        channels.unwrap_or(1)
    );
    prelu_map(x, weight)
}
