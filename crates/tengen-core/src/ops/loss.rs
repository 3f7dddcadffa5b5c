//! Loss functions.

use super::softmax::cross_entropy_with_logits;
use super::{
    abs, add, cast, expand_dims, gather, log, map, mean, mul, relu, square, squeeze, sub, sum,
};
use crate::shape::normalize_axis;
use crate::{DType, Result, Tensor, ensure};

/// How a loss for every element becomes one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Reduction {
    /// The mean.
    #[default]
    Mean,
    /// The sum.
    Sum,
    /// It does not.
    None,
}

impl Reduction {
    /// The reduction with MegEngine's name for it: `mean`, `sum` or `none`, in any case.
    ///
    /// ```
    /// use tengen_core::ops::Reduction;
    /// assert_eq!(Reduction::from_name("sum"), Some(Reduction::Sum));
    /// ```
    pub fn from_name(name: &str) -> Option<Reduction> {
        match name.to_lowercase().as_str() {
            "mean" => Some(Reduction::Mean),
            "sum" => Some(Reduction::Sum),
            "none" => Some(Reduction::None),
            _ => None,
        }
    }

    fn of(self, loss: Tensor) -> Result<Tensor> {
        match self {
            Reduction::Mean => mean(&loss, None, false),
            Reduction::Sum => sum(&loss, None, false),
            Reduction::None => Ok(loss),
        }
    }
}

/// `x`·`factor` for a constant tensor, in `dtype`.
pub(crate) fn scale_by(x: &Tensor, factor: f64, dtype: DType) -> Result<Tensor> {
    mul(&cast(x, dtype)?, &Tensor::full(&[], factor, dtype)?)
}

/// The mean of |pred − label|; its derivative where they are equal is −1.
///
/// # Errors
/// Shape: the operands cannot be broadcast together. Memory: the result cannot be had.
pub fn l1_loss(pred: &Tensor, label: &Tensor, reduction: Reduction) -> Result<Tensor> {
    reduction.of(abs(&sub(pred, label)?)?)
}

/// The mean of (pred − label)².
///
/// # Errors
/// As [`l1_loss`].
///
/// ```
/// use tengen_core::{Tensor, ops::{self, Reduction}};
/// let a = Tensor::from_slice(&[1.0f32, 2.0], &[2])?;
/// let b = Tensor::from_slice(&[0.0f32, 4.0], &[2])?;
/// assert_eq!(ops::square_loss(&a, &b, Reduction::Mean)?.item()?, 2.5);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn square_loss(pred: &Tensor, label: &Tensor, reduction: Reduction) -> Result<Tensor> {
    reduction.of(square(&sub(pred, label)?)?)
}

/// The cross entropy of predicted distributions over classes, along `axis`, with labels.
///
/// `pred` holds logits, or, if not `with_logits`, probabilities; `label` holds classes as integers
/// and has the shape of `pred` without `axis`. For each label t the loss is −ln p[t], where p is
/// the softmax of logits, and with `label_smooth` s it is −(1 − s)·ln p[t] − s·mean(ln p) (Szegedy
/// et al. 2015, "Rethinking the Inception architecture"). The result has the shape of `label`, or
/// none if it is reduced.
///
/// # Errors
/// Index: the axis is out of range, or a label is not in 0..classes. Shape: `label` has another
/// shape. Value: `label_smooth` is not in 0..=1. Memory: the result cannot be had.
///
/// ```
/// use tengen_core::{Tensor, ops::{self, Reduction}};
/// let logits = Tensor::from_slice(&[0.0f32, 0.0], &[1, 2])?;
/// let label = Tensor::from_slice(&[1], &[1])?;
/// let loss = ops::cross_entropy(&logits, &label, 1, true, 0.0, Reduction::Mean)?;
/// assert!((loss.item()? - 2f64.ln()).abs() < 1e-6);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn cross_entropy(
    pred: &Tensor,
    label: &Tensor,
    axis: isize,
    with_logits: bool,
    label_smooth: f64,
    reduction: Reduction,
) -> Result<Tensor> {
    let axis = normalize_axis("cross_entropy", axis, pred.ndim())?;
    ensure!(
        *label.shape() == pred.shape().without(axis),
        Shape,
        "cross_entropy: label must have shape {}, that of pred {pred} without axis {axis}, not {label}",
        pred.shape().without(axis)
    );
    ensure!(
        (0.0..=1.0).contains(&label_smooth),
        Value,
        "cross_entropy: label_smooth {label_smooth} is not in 0..=1"
    );
    if with_logits {
        return reduction.of(cross_entropy_with_logits(pred, label, axis, label_smooth)?);
    }
    let axis = axis as isize;
    let pred = if pred.dtype().is_float() { pred.clone() } else { cast(pred, DType::F32)? };
    let classes = pred.shape()[axis as usize] as f64;
    let inside = |t: f64| t >= 0.0 && t < classes;
    if let Some(t) = label.to_f64_vec()?.into_iter().find(|t| !inside(*t)) {
        crate::bail!(Index, "cross_entropy: label {t} is not in 0..{classes}");
    }
    let label = expand_dims(&cast(&label.detach(), DType::I32)?, &[axis])?;
    let nll = |p: &Tensor| -> Result<Tensor> { scale_by(&log(p)?, -1.0, p.dtype()) };
    let mut loss = squeeze(&nll(&gather(&pred, axis, &label)?)?, Some(&[axis]))?;
    if label_smooth > 0.0 {
        let level = mean(&nll(&pred)?, Some(&[axis]), false)?;
        let dtype = level.dtype();
        loss = scale_by(&loss, 1.0 - label_smooth, dtype)?;
        loss = add(&loss, &scale_by(&level, label_smooth, dtype)?)?;
    }
    reduction.of(loss)
}

map! {
    /// −t·ln σ(x) − (1 − t)·ln(1 − σ(x)), elementwise, with σ(x) = 1 / (1 + e⁻ˣ), without overflow.
    logistic_loss = LogisticLoss(x, t) {
        f = L::sel(x.lt(L::c(0.0)), L::c(0.0), x).sub(x.mul(t)).add(x.abs().neg().exp().log1p());
        df(dy) = [dy.mul(x.sigmoid().sub(t)), dy.mul(x.neg())];
    }

    /// −t·ln p − (1 − t)·ln(1 − p), elementwise; terms with factor 0 are 0.
    binary_nll = BinaryNll(p, t) {
        f = {
            let (zero, one) = (L::c(0.0), L::c(1.0));
            let hit = L::sel(t.eq(zero), zero, t.mul(p.log()));
            let miss = L::sel(t.eq(one), zero, one.sub(t).mul(p.neg().log1p()));
            hit.add(miss).neg()
        };
        df(dy) = {
            let (zero, one) = (L::c(0.0), L::c(1.0));
            let hit = L::sel(t.eq(zero), zero, t.div(p));
            let miss = L::sel(t.eq(one), zero, one.sub(t).div(one.sub(p)));
            [dy.mul(miss.sub(hit)), dy.mul(p.neg().log1p().sub(p.log()))]
        };
    }
}

/// The mean of −t·ln p − (1 − t)·ln(1 − p), with targets t in `label` and probabilities p in
/// `pred`, or, if `with_logits`, p = 1 / (1 + e⁻ˣ) for logits x in `pred`.
///
/// # Errors
/// As [`l1_loss`].
pub fn binary_cross_entropy(
    pred: &Tensor,
    label: &Tensor,
    with_logits: bool,
    reduction: Reduction,
) -> Result<Tensor> {
    reduction.of(if with_logits { logistic_loss(pred, label) } else { binary_nll(pred, label) }?)
}

/// The norm of hinge losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum HingeNorm {
    /// Their sum.
    #[default]
    L1,
    /// The sum of their squares.
    L2,
}

/// The mean over rows of Σ max(0, 1 − pred·label), or of its terms' squares, with sums over axis 1;
/// labels are −1 or 1.
///
/// # Errors
/// Shape: the operands cannot be broadcast together. Index: they have no axis 1. Memory: the result
/// cannot be had.
pub fn hinge_loss(
    pred: &Tensor,
    label: &Tensor,
    norm: HingeNorm,
    reduction: Reduction,
) -> Result<Tensor> {
    let margin = mul(pred, label)?;
    let loss = relu(&sub(&Tensor::ones(&[], margin.dtype())?, &margin)?)?;
    let loss = if norm == HingeNorm::L2 { square(&loss)? } else { loss };
    reduction.of(sum(&loss, Some(&[1]), false)?)
}
