//! Exponentials and their sums.

use crate::cpu::cast_raw;
use crate::op::{Eval, Meta, Tensors};
use crate::ops::softmax::{LogSumExp, LogSumExpGradient, Softmax, SoftmaxGradient, last};
use crate::{DType, Element, Result, Tensor};
use bytemuck::Pod;
use smallvec::smallvec;
use tengen_kernels::lanes::Float;
use tengen_kernels::softmax as kernels;

impl Softmax {
    fn run<T: Float + Element + Pod>(&self, x: &Tensor) -> Result<Tensor> {
        let mut y = Tensor::empty(*x.shape(), T::DTYPE)?;
        let x = cast_raw(x, T::DTYPE)?.contiguous()?;
        let (n, x, out) = (last(x.shape()), x.as_slice::<T>()?, y.as_mut_slice::<T>()?);
        match self.logarithm {
            true => kernels::logsoftmax(n, x, out),
            false => kernels::softmax(n, x, out),
        }
        Ok(y)
    }
}

impl SoftmaxGradient {
    fn run<T: Float + Element + Pod>(&self, y: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let mut dx = Tensor::empty(*y.shape(), T::DTYPE)?;
        let (n, dtype) = (last(y.shape()), y.dtype());
        let (y, dy) = (cast_raw(y, T::DTYPE)?.contiguous()?, cast_raw(dy, T::DTYPE)?.contiguous()?);
        let (y, dy, out) = (y.as_slice::<T>()?, dy.as_slice::<T>()?, dx.as_mut_slice::<T>()?);
        match self.logarithm {
            true => kernels::logsoftmax_backward(n, y, dy, out),
            false => kernels::softmax_backward(n, y, dy, out),
        }
        cast_raw(&dx, dtype)
    }
}

impl Eval for Softmax {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        if x[0].numel() == 0 {
            return Ok(smallvec![Tensor::empty(out[0].shape, out[0].dtype)?]);
        }
        Ok(smallvec![match out[0].dtype {
            DType::F64 => self.run::<f64>(x[0])?,
            dtype => cast_raw(&self.run::<f32>(x[0])?, dtype)?,
        }])
    }
}

impl Eval for SoftmaxGradient {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        if x[0].numel() == 0 {
            return Ok(smallvec![Tensor::empty(out[0].shape, out[0].dtype)?]);
        }
        Ok(smallvec![match out[0].dtype {
            DType::F64 => self.run::<f64>(x[0], x[1])?,
            _ => self.run::<f32>(x[0], x[1])?,
        }])
    }
}

impl LogSumExp {
    fn run<T: Float + Element + Pod>(&self, x: &Tensor, out: Meta) -> Result<Tensor> {
        let mut y = Tensor::empty(out.shape, T::DTYPE)?;
        let (n, x) = (last(x.shape()), cast_raw(x, T::DTYPE)?.contiguous()?);
        kernels::logsumexp(n, x.as_slice::<T>()?, y.as_mut_slice::<T>()?);
        cast_raw(&y, out.dtype)
    }
}

impl LogSumExpGradient {
    fn run<T: Float + Element + Pod>(&self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let mut dx = Tensor::empty(*x.shape(), T::DTYPE)?;
        let (n, dtype) = (last(x.shape()), x.dtype());
        let (x, dy) = (cast_raw(x, T::DTYPE)?.contiguous()?, cast_raw(dy, T::DTYPE)?.contiguous()?);
        let (x, dy, out) = (x.as_slice::<T>()?, dy.as_slice::<T>()?, dx.as_mut_slice::<T>()?);
        kernels::logsumexp_backward(n, x, dy, out);
        cast_raw(&dx, dtype)
    }
}

impl Eval for LogSumExp {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        Ok(smallvec![match out[0].dtype {
            DType::F64 => self.run::<f64>(x[0], out[0])?,
            _ => self.run::<f32>(x[0], out[0])?,
        }])
    }
}

impl Eval for LogSumExpGradient {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        Ok(smallvec![match out[0].dtype {
            DType::F64 => self.run::<f64>(x[0], x[1])?,
            _ => self.run::<f32>(x[0], x[1])?,
        }])
    }
}
