//! Cross entropy of logits.

use super::softmax::{last, to_last};
use super::{cast, mul, one_hot, reshape, softmax, sub, transpose};
use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Entry, Grads, Meta, Metas, Op, Tensors};
use crate::{DType, Result, Tensor, apply1, ensure};
use smallvec::smallvec;

pub(super) const OPERATORS: &[&[Entry]] = &[&[
    Entry::of::<RowsOfLogits>(&["cross_entropy"]),
    Entry::of::<RowsGradient>(&["cross_entropy_gradient"]),
]];

/// Cross entropy of rows of logits with labels, whole numbers: `[r, n]` and `[r]` → `[r]`.
#[derive(Attributes)]
pub(crate) struct RowsOfLogits {
    pub smooth: f64,
}

/// Checks rows and their classes; gives the losses' description.
fn losses(x: &[&Described]) -> Result<Meta> {
    let (rows, classes) = (x[0], x[1]);
    let fits =
        rows.ndim() == 2 && rows.dtype().is_float() && classes.shape()[..] == rows.shape()[..1];
    ensure!(fits, Shape, "cross_entropy: {classes} are no labels of the rows {rows}");
    let dtype = if rows.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    Ok(Meta { shape: *classes.shape(), dtype })
}

impl Op for RowsOfLogits {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 2
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        Ok(smallvec![losses(x)?])
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let op = RowsGradient { smooth: self.smooth };
        let dx = apply1(op, &[g.input(0)?, g.input(1)?, &g.dy(0)?])?;
        Ok(smallvec![Some(dx), None])
    }
}

/// Rows of logits, classes and the gradients to their losses → the gradient to the logits.
#[derive(Attributes)]
pub(crate) struct RowsGradient {
    pub smooth: f64,
}

impl Op for RowsGradient {
    fn name(&self) -> &'static str {
        "cross_entropy_gradient"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 3
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let Meta { shape, dtype } = losses(&x[..2])?;
        let fits = *x[2].shape() == shape && x[2].dtype() == dtype;
        ensure!(fits, Shape, "cross_entropy: {} is no gradient to losses {dtype}{shape}", x[2]);
        Ok(Meta::one(*x[0].shape(), x[0].dtype()))
    }

    fn expand(&self, x: &[&Tensor]) -> Option<Result<Tensors>> {
        let (rows, classes, dy) = (x[0], x[1], x[2]);
        let all = || {
            let n = last(rows.shape());
            // A few labels come along from the host, but not what is made of them there.
            let classes = cast(classes, DType::I64)?.to(rows.device())?;
            let target = cast(&one_hot(&classes, n)?, dy.dtype())?;
            let most = Tensor::full(&[], 1.0 - self.smooth, dy.dtype())?;
            let level = Tensor::full(&[], self.smooth / n.max(1) as f64, dy.dtype())?;
            let p = softmax(&cast(rows, dy.dtype())?, -1)?;
            let d = sub(&sub(&p, &mul(&target, &most)?)?, &level)?;
            let dx = mul(&d, &reshape(dy, &[dy.numel(), 1])?)?;
            Ok(smallvec![cast(&dx, rows.dtype())?])
        };
        Some(all())
    }

    fn differentiates_expanded(&self) -> bool {
        true
    }
}

/// [`RowsOfLogits`] along any axis of `x`; the result has the shape of `label`.
pub(super) fn cross_entropy_with_logits(
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
    let classes = reshape(&label.detach(), &[label.numel()])?;
    reshape(&apply1(RowsOfLogits { smooth }, &[&rows, &classes])?, label.shape())
}
