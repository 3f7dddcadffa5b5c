//! Losses: how far predictions are from targets.

use super::cross_entropy::cross_entropy_with_logits;
use super::{abs, cast, log, map, mean, mul, neg, relu, square, sub, sum};
use crate::op::Entry;
use crate::shape::normalize_axis;
use crate::{Result, Tensor, ensure};

pub(super) const OPERATORS: &[&[Entry]] = &[MAPS];

/// What becomes of the losses of single elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// They are given as they are.
    None,
}

impl Reduction {
    /// The reduction of a name: `mean`, `sum` or `none`.
    pub fn from_name(name: &str) -> Option<Reduction> {
        match name {
            "mean" => Some(Reduction::Mean),
            "sum" => Some(Reduction::Sum),
            "none" => Some(Reduction::None),
            _ => None,
        }
    }

    pub(super) fn apply(self, losses: &Tensor) -> Result<Tensor> {
        match self {
            Reduction::Mean => mean(losses, None, false),
            Reduction::Sum => sum(losses, None, false),
            Reduction::None => Ok(losses.clone()),
        }
    }
}

/// Which norm a [`hinge_loss`] takes over classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HingeNorm {
    /// The sum.
    #[default]
    L1,
    /// The sum of squares.
    L2,
}

/// How [`cross_entropy`] reads its predictions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrossEntropy {
    /// The axis of classes.
    pub axis: isize,
    /// Whether predictions are logits, which softmax makes probabilities, or already these.
    pub with_logits: bool,
    /// The share of the target that is spread evenly over all classes.
    pub label_smooth: f64,
    /// What becomes of the losses of single elements.
    pub reduction: Reduction,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        CrossEntropy { axis: 1, with_logits: true, label_smooth: 0.0, reduction: Reduction::Mean }
    }
}

/// Cross entropy −Σ q·ln p between predictions and integer labels: with smoothing s,
/// −(1 − s)·ln `p[label]` − s·(mean of ln p over classes).
///
/// `label` has the shape of `pred` without the axis of classes.
///
/// # Errors
/// Index: the axis or a label is out of range. Shape: the label's shape does not fit. Value: a label
/// is NaN or has a fraction, or the smoothing is not in 0..1.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let pred = Tensor::from_slice(&[0.0f32, 0.0], &[1, 2])?;
/// let loss = ops::cross_entropy(&pred, &Tensor::from_slice(&[1], &[1])?, Default::default())?;
/// assert!((loss.item()? - 2f64.ln()).abs() < 1e-6);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn cross_entropy(pred: &Tensor, label: &Tensor, options: CrossEntropy) -> Result<Tensor> {
    let CrossEntropy { axis, with_logits, label_smooth, reduction } = options;
    ensure!(
        (0.0..1.0).contains(&label_smooth),
        Value,
        "cross_entropy: label_smooth is {label_smooth}; it must be at least 0 and below 1"
    );
    let axis = normalize_axis("cross_entropy", axis, pred.ndim())?;
    let wanted = pred.shape().without(axis);
    ensure!(
        *label.shape() == wanted,
        Shape,
        "cross_entropy: label must have shape {wanted}, that of pred without axis {axis} (pred: {pred}, label: {label})"
    );
    if with_logits {
        return reduction.apply(&cross_entropy_with_logits(pred, label, axis, label_smooth)?);
    }
    let (logp, axis) = (log(pred)?, axis as isize);
    let mut losses = neg(&super::index::label_of(&logp, axis as usize, label)?)?;
    if label_smooth > 0.0 {
        let scale = |v: f64| Tensor::full(&[], v, losses.dtype());
        let even = mul(&mean(&logp, Some(&[axis]), false)?, &scale(label_smooth)?)?;
        losses = sub(&mul(&losses, &scale(1.0 - label_smooth)?)?, &even)?;
    }
    reduction.apply(&losses)
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

/// −(q·ln p + (1 − q)·ln(1 − p)), elementwise, of targets q in 0..=1 and probabilities p, which are
/// the sigmoid of `pred` if `with_logits`.
///
/// # Errors
/// Shape: the operands cannot be broadcast together.
pub fn binary_cross_entropy(
    pred: &Tensor,
    label: &Tensor,
    with_logits: bool,
    reduction: Reduction,
) -> Result<Tensor> {
    reduction.apply(&if with_logits {
        logistic_loss(pred, label)
    } else {
        binary_nll(pred, label)
    }?)
}

/// |pred − label|, elementwise.
///
/// # Errors
/// Shape: the operands cannot be broadcast together.
pub fn l1_loss(pred: &Tensor, label: &Tensor, reduction: Reduction) -> Result<Tensor> {
    reduction.apply(&abs(&sub(pred, label)?)?)
}

/// (pred − label)², elementwise.
///
/// # Errors
/// Shape: the operands cannot be broadcast together.
pub fn square_loss(pred: &Tensor, label: &Tensor, reduction: Reduction) -> Result<Tensor> {
    reduction.apply(&square(&sub(pred, label)?)?)
}

/// max(0, 1 − pred·label) for labels ±1 of shape `[n, classes]`: its sum, or sum of squares, over
/// classes.
///
/// # Errors
/// Shape: the operands cannot be broadcast together, or have fewer than two dimensions.
pub fn hinge_loss(
    pred: &Tensor,
    label: &Tensor,
    norm: HingeNorm,
    reduction: Reduction,
) -> Result<Tensor> {
    ensure!(pred.ndim() >= 2, Shape, "hinge_loss: predictions need a row per sample, not {pred}");
    let margin = mul(pred, &cast(label, pred.dtype())?)?;
    let short = relu(&sub(&Tensor::ones(&[], pred.dtype())?, &margin)?)?;
    let short = if norm == HingeNorm::L2 { square(&short)? } else { short };
    reduction.apply(&sum(&short, Some(&[1]), false)?)
}
