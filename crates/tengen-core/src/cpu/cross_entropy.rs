//! Cross entropy of logits.

use crate::cpu::cast_raw;
use crate::cpu::index::classes;
use crate::op::{Eval, Meta, Tensors};
use crate::ops::cross_entropy::{RowsGradient, RowsOfLogits};
use crate::ops::softmax::last;
use crate::shape::Shape;
use crate::{DType, Element, Result, Tensor};
use bytemuck::Pod;
use smallvec::smallvec;
use tengen_kernels::lanes::Float;
use tengen_kernels::softmax as kernels;

impl RowsOfLogits {
    fn run<T: Float + Element + Pod>(&self, x: &[&Tensor], shape: Shape) -> Result<Tensor> {
        let mut loss = Tensor::empty(shape, T::DTYPE)?;
        let n = last(x[0].shape());
        let (logits, classes) =
            (cast_raw(x[0], T::DTYPE)?.contiguous()?, classes("cross_entropy", x[1], n)?);
        let out = loss.as_mut_slice::<T>()?;
        let classes = classes.as_slice::<i32>()?;
        kernels::cross_entropy(n, logits.as_slice::<T>()?, classes, self.smooth, out);
        Ok(loss)
    }
}

impl RowsGradient {
    fn run<T: Float + Element + Pod>(&self, x: &[&Tensor]) -> Result<Tensor> {
        let mut dx = Tensor::empty(*x[0].shape(), T::DTYPE)?;
        let (n, dtype) = (last(x[0].shape()), x[0].dtype());
        let (logits, classes) =
            (cast_raw(x[0], T::DTYPE)?.contiguous()?, classes("cross_entropy", x[1], n)?);
        let dy = cast_raw(x[2], T::DTYPE)?.contiguous()?;
        let (logits, classes) = (logits.as_slice::<T>()?, classes.as_slice::<i32>()?);
        let (dy, out) = (dy.as_slice::<T>()?, dx.as_mut_slice::<T>()?);
        kernels::cross_entropy_backward(n, logits, classes, self.smooth, dy, out);
        cast_raw(&dx, dtype)
    }
}

impl Eval for RowsOfLogits {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        Ok(smallvec![match out[0].dtype {
            _ if out[0].shape.numel() == 0 => Tensor::empty(out[0].shape, out[0].dtype)?,
            DType::F64 => self.run::<f64>(x, out[0].shape)?,
            _ => self.run::<f32>(x, out[0].shape)?,
        }])
    }
}

impl Eval for RowsGradient {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        Ok(smallvec![match out[0].dtype {
            _ if out[0].shape.numel() == 0 => Tensor::empty(out[0].shape, out[0].dtype)?,
            DType::F64 => self.run::<f64>(x)?,
            _ => self.run::<f32>(x)?,
        }])
    }
}
