//! Connectionist temporal classification.

use super::{Reduction, cast, div, maximum};
use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Entry, Grads, Meta, Metas, Op};
use crate::shape::Shape;
use crate::{DType, Result, Tensor, apply1, ensure};
use smallvec::smallvec;

pub(super) const OPERATORS: &[&[Entry]] =
    &[&[Entry::of::<Ctc>(&["ctc_loss"]), Entry::of::<CtcGradient>(&["ctc_loss_gradient"])]];

/// pred `[steps, n, classes]`, its lengths `[n]`, labels, their lengths `[n]` → loss `[n]`.
#[derive(Clone, Copy, Attributes)]
pub(crate) struct Ctc {
    pub blank: usize,
}

/// The losses' description.
fn losses(x: &[&Described], blank: usize) -> Result<Meta> {
    let (pred, pred_lengths, label, label_lengths) = (x[0], x[1], x[2], x[3]);
    ensure!(
        pred.ndim() == 3 && pred.dtype().is_float(),
        Shape,
        "ctc_loss: pred must be [steps, n, classes], not {pred}"
    );
    let (n, classes) = (pred.shape()[1], pred.shape()[2]);
    ensure!(blank < classes, Index, "ctc_loss: blank {blank} is not in 0..{classes} ({pred})");
    for (what, t) in [("pred_lengths", pred_lengths), ("label_lengths", label_lengths)] {
        let fits = t.numel() == n && !t.dtype().is_float();
        ensure!(fits, Shape, "ctc_loss: {what} must be {n} integers, not {t}");
    }
    ensure!(!label.dtype().is_float(), DType, "ctc_loss: labels are integers, not {label}");
    ensure!(
        label.ndim() == 1 || (label.ndim() == 2 && label.shape()[0] == n),
        Shape,
        "ctc_loss: label must be [{n}, longest], or all labels one after the other, not {label}"
    );
    let dtype = if pred.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    Ok(Meta { shape: Shape::new(&[n])?, dtype })
}

impl Op for Ctc {
    fn name(&self) -> &'static str {
        "ctc_loss"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 4
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        Ok(smallvec![losses(x, self.blank)?])
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let op = CtcGradient { blank: self.blank };
        let x = [g.input(0)?, g.input(1)?, g.input(2)?, g.input(3)?, &g.dy(0)?];
        Ok(smallvec![Some(apply1(op, &x)?), None, None, None])
    }
}

/// The inputs of [`Ctc`] and the gradients to its losses → the gradient to pred.
#[derive(Clone, Copy, Attributes)]
pub(crate) struct CtcGradient {
    pub blank: usize,
}

impl Op for CtcGradient {
    fn name(&self) -> &'static str {
        "ctc_loss_gradient"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 5
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let Meta { shape, dtype } = losses(x, self.blank)?;
        let fits = *x[4].shape() == shape && x[4].dtype() == dtype;
        ensure!(fits, Shape, "ctc_loss: {} is no gradient to losses {dtype}{shape}", x[4]);
        Ok(Meta::one(*x[0].shape(), x[0].dtype()))
    }
}

/// Connectionist temporal classification (Graves et al. 2006): −ln of the probability of each label
/// under its sequence of distributions, summed over all alignments.
///
/// `pred` `[steps, n, classes]` holds probabilities. `pred_lengths` and `label_lengths`, integers
/// `[n]`, say how many steps and classes count of each sequence and label. `label`, of integers, is
/// `[n, longest]`, or the labels one after the other. `blank` is the class that stands for none.
/// The loss of a label that does not fit into its steps is infinite, with gradient 0. The mean is
/// taken of losses divided by their labels' lengths. The gradient cannot be differentiated again.
///
/// # Errors
/// Shape: shapes or lengths do not belong together. Index: a class or the blank is not in
/// 0..classes. Value: a label holds the blank. Memory: the result cannot be had.
///
/// ```
/// use tengen_core::{Tensor, ops::{self, Reduction}};
/// let pred = Tensor::from_slice(&[0.6f32, 0.4, 0.3, 0.7], &[2, 1, 2])?;
/// let one = |v: i32| Tensor::from_slice(&[v], &[1]);
/// let loss = ops::ctc_loss(&pred, &one(2)?, &one(1)?, &one(1)?, 0, Reduction::Sum)?;
/// // Alignments: 1 1, blank 1, 1 blank.
/// let p: f64 = 0.4 * 0.7 + 0.6 * 0.7 + 0.4 * 0.3;
/// assert!((loss.item()? + p.ln()).abs() < 1e-6);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn ctc_loss(
    pred: &Tensor,
    pred_lengths: &Tensor,
    label: &Tensor,
    label_lengths: &Tensor,
    blank: usize,
    reduction: Reduction,
) -> Result<Tensor> {
    let pred = if pred.dtype().is_float() { pred.clone() } else { cast(pred, DType::F32)? };
    let loss = apply1(Ctc { blank }, &[&pred, pred_lengths, label, label_lengths])?;
    if reduction != Reduction::Mean {
        return reduction.apply(&loss);
    }
    let one = Tensor::ones(&[], loss.dtype())?;
    let lengths = super::reshape(label_lengths, loss.shape())?;
    reduction.apply(&div(&loss, &maximum(&cast(&lengths, loss.dtype())?, &one)?)?)
}
