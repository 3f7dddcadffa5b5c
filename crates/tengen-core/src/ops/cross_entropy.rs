//! Cross entropy of logits.

use super::softmax::{last, to_last};
use super::{cast, mul, one_hot, reshape, softmax, sub, transpose};
use crate::autograd::{Gradient, is_recording};
use crate::op::{Grads, Meta, Metas, Op, Tensors};
use crate::ops::cast::cast_raw;
use crate::shape::Shape;
use crate::{DType, Element, Result, Tensor, apply1, ensure};
use bytemuck::Pod;
use smallvec::smallvec;
use tengen_kernels::lanes::Float;
use tengen_kernels::softmax as kernels;

/// Cross entropy of rows of logits with classes, each in 0..n: `[r, n]` and i32 `[r]` → `[r]`.
struct RowsOfLogits {
    smooth: f64,
}

impl RowsOfLogits {
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

impl Op for RowsOfLogits {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        let rows = x[0].shape()[0];
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
                let target = cast(&one_hot(classes, n)?, dy.dtype())?;
                let most = Tensor::full(&[], 1.0 - self.smooth, dy.dtype())?;
                let level = Tensor::full(&[], self.smooth / n.max(1) as f64, dy.dtype())?;
                let p = softmax(&cast(x, dy.dtype())?, -1)?;
                let d = sub(&sub(&p, &mul(&target, &most)?)?, &level)?;
                cast(&mul(&d, &reshape(&dy, &[dy.numel(), 1])?)?, x.dtype())?
            } else if x.dtype() == DType::F64 {
                self.back::<f64>([x, classes], &dy)?
            } else {
                self.back::<f32>([x, classes], &dy)?
            }))
        })
    }
}

/// [`RowsOfLogits`] along any axis of `x`, with labels as of [`super::index::classes`]; the result
/// has the shape of `label`.
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
