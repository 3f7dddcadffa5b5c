//! Batch normalisation.

use super::fused::{Over, arithmetic, normalize, scalar};
use crate::op::{Entry, Saves, Tensors};
use crate::ops::{add, cast, div, mean, mul, neg, reshape, sqrt, square, sub};
use crate::shape::MAX_DIMS;
use crate::{DType, Result, Tensor, ensure};
use smallvec::{SmallVec, smallvec};

pub(super) const OPERATORS: &[Entry] = MAPS;

/// Batch normalisation in training: for every channel (axis 1), y = (x − m)/√(v + ε)·weight + bias
/// with the channel's mean m and population variance v in this batch. Gives y, m, and the unbiased
/// variance v·n/(n − 1), which running statistics are to be blended with; of one element it is 0,
/// and without elements both are NaN.
///
/// `x` is `[n, c, …]`; `weight` and `bias` have c elements in any shape; m and the variance are
/// vectors, in f32 (f64 for f64).
///
/// Source: Ioffe and Szegedy, "Batch normalization" (2015).
///
/// # Errors
/// Shape: `x` has less than two dimensions, or there are not c weights. Memory: the result cannot
/// be had.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let x = Tensor::from_slice(&[1.0f32, 3.0], &[2, 1])?;
/// let (y, mean, var) = ops::batch_norm_train(&x, None, None, 0.0)?;
/// assert_eq!(y.to_vec::<f32>()?, [-1.0, 1.0]);
/// assert_eq!((mean.item()?, var.item()?), (2.0, 2.0));
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn batch_norm_train(
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let short = x.ndim() >= 2 && x.shape()[2..].iter().product::<usize>() < SHORT;
    let results = if short {
        batch_norm_composed(x, weight, bias, eps)?
    } else {
        normalize(Over::Batch, x, weight, bias, eps)?
    };
    let [y, mean, var] = results
        .into_vec()
        .try_into()
        .map_err(|_| crate::Error::new(crate::ErrorKind::Unsupported, "batch_norm: results"))?;
    let n = (x.numel() / x.shape()[1].max(1)) as f64;
    let var = mul(&var, &scalar(n / (n - 1.0).max(1.0), var.dtype())?)?;
    Ok((y, mean, var))
}

/// Images of fewer pixels are normalised by operators on all channels together.
const SHORT: usize = 8;

/// [`batch_norm_train`] in operators, with the population variance.
fn batch_norm_composed(
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensors> {
    let (c, dtype) = (x.shape()[1], arithmetic(x.dtype()));
    let axes: SmallVec<[isize; MAX_DIMS]> = (0..x.ndim() as isize).filter(|d| *d != 1).collect();
    let wide = cast(x, dtype)?;
    let centre = mean(&wide, Some(&axes), true)?;
    let d = sub(&wide, &centre)?;
    let var = mean(&square(&d)?, Some(&axes), true)?;
    let mut y = div(&d, &sqrt(&add(&var, &scalar(eps, dtype)?)?)?)?;
    for (what, t) in [("weight", weight), ("bias", bias)] {
        let Some(t) = t else { continue };
        ensure!(
            t.numel() == c,
            Shape,
            "batch_norm: {what} has {} elements where {c} are needed (inp: {x})",
            t.numel()
        );
        let t = reshape(&cast(t, dtype)?, centre.shape())?;
        y = if what == "weight" { mul(&y, &t)? } else { add(&y, &t)? };
    }
    let y = cast(&y, if x.dtype().is_float() { x.dtype() } else { dtype })?;
    Ok(smallvec![y, reshape(&centre, &[c])?, reshape(&var, &[c])?])
}

crate::ops::map! {
    /// x·scale + shift, elementwise.
    scale_shift = ScaleShift(x, scale, shift) {
        f = x.mul(scale).add(shift);
        df(dy) = [dy.mul(scale), dy.mul(x), dy];
        saves = Saves { inputs: 0b011, outputs: 0 };
    }
}

/// Batch normalisation in evaluation: y = (x − mean)/√(var + ε)·weight + bias for every channel,
/// with given statistics, which get gradients too.
///
/// `x` is `[n, c, …]`; all others have c elements in any shape.
///
/// # Errors
/// As [`batch_norm_train`].
pub fn batch_norm_eval(
    x: &Tensor,
    mean: &Tensor,
    var: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    let x = if x.dtype().is_float() { x.clone() } else { cast(x, DType::F32)? };
    ensure!(x.ndim() >= 2, Shape, "batch_norm: inp must be [n, c, …], not {x}");
    let mut shape: SmallVec<[usize; MAX_DIMS]> = smallvec![1; x.ndim()];
    shape[1] = x.shape()[1];
    let dtype = arithmetic(x.dtype());
    let vector = |what: &str, t: &Tensor| {
        ensure!(
            t.numel() == x.shape()[1],
            Shape,
            "batch_norm: {what} has {} elements where {} are needed (inp: {x})",
            t.numel(),
            x.shape()[1]
        );
        reshape(&cast(t, dtype)?, &shape)
    };
    let mean = vector("running_mean", mean)?;
    let var = vector("running_var", var)?;
    let mut scale = div(&scalar(1.0, dtype)?, &sqrt(&add(&var, &scalar(eps, dtype)?)?)?)?;
    if let Some(w) = weight {
        scale = mul(&scale, &vector("weight", w)?)?;
    }
    let mut shift = neg(&mul(&mean, &scale)?)?;
    if let Some(b) = bias {
        shift = add(&shift, &vector("bias", b)?)?;
    }
    let (scale, shift) = (cast(&scale, x.dtype())?, cast(&shift, x.dtype())?);
    scale_shift(&x, &scale, &shift)
}
