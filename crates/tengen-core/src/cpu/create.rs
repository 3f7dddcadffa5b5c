//! New tensors from numbers, and diagonals.

use crate::cpu::elementwise::copy_into;
use crate::cpu::raw::{bits_mut, by_size};
use crate::op::{Eval, Meta, Tensors};
use crate::ops::create::{Arange, Diagonal, DiagonalMatrix, Eye, Full, Linspace, diagonal};
use crate::shape::{MAX_DIMS, Shape};
use crate::{DType, Result, Scalar, Tensor, dispatch};
use smallvec::smallvec;

/// A one-dimensional tensor of `f(0)`, `f(1)`, ….
fn line<S: Into<Scalar>>(n: usize, dtype: DType, f: impl Fn(usize) -> S) -> Result<Tensor> {
    let mut t = Tensor::empty(Shape::new(&[n])?, dtype)?;
    dispatch!(dtype, T => t.write_each(|i| f(i).into().to::<T>()))?;
    Ok(t)
}

impl Eval for Full {
    fn eval(&self, _: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        let mut t = Tensor::empty(self.shape, self.dtype)?;
        if self.value == Scalar::Bool(false) {
            // Zeros are zeros in every dtype.
            by_size!(self.dtype, U => bits_mut::<U>(&mut t)?.fill(0));
        } else {
            dispatch!(self.dtype, T => {
                let v = self.value.to::<T>();
                t.write_each(|_| v)
            })?;
        }
        Ok(smallvec![t])
    }
}

impl Eval for Arange {
    fn eval(&self, _: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        let (n, dtype) = (self.count, self.dtype);
        Ok(smallvec![match (self.start, self.step) {
            (Scalar::Int(a), Scalar::Int(by)) => {
                line(n, dtype, |i| (i128::from(a) + i as i128 * i128::from(by)) as i64)?
            }
            (a, by) => line(n, dtype, |i| a.to_f64() + i as f64 * by.to_f64())?,
        }])
    }
}

impl Eval for Linspace {
    fn eval(&self, _: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        let last = self.count.saturating_sub(1);
        let step = (self.stop - self.start) / last.max(1) as f64;
        let f = |i| if i == last && i > 0 { self.stop } else { self.start + i as f64 * step };
        Ok(smallvec![line(self.count, self.dtype, f)?])
    }
}

impl Eval for Eye {
    fn eval(&self, _: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let mut t = Tensor::empty(out[0].shape, self.dtype)?;
        let (one, zero) = (Scalar::Bool(true), Scalar::Bool(false));
        let is_one = |row: usize, column: usize| row as isize + self.k == column as isize;
        let value = |i: usize| if is_one(i / self.columns, i % self.columns) { one } else { zero };
        dispatch!(self.dtype, T => t.write_each(|i| value(i).to::<T>()))?;
        Ok(smallvec![t])
    }
}

impl Eval for Diagonal {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let (down, right) = (x[0].strides()[0], x[0].strides()[1]);
        let first = match out[0].shape[0] {
            0 => 0,
            _ => self.k.max(0) * right + (-self.k).max(0) * down,
        };
        let mut strides = [0; MAX_DIMS];
        strides[0] = down + right;
        let offset = (x[0].offset() as isize + first) as usize;
        // SAFETY: element i is that at (i, i + k) or (i − k, i), which `infer` keeps inside.
        Ok(smallvec![unsafe { x[0].view(out[0].shape, strides, offset) }])
    }
}

impl Eval for DiagonalMatrix {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let y = Tensor::zeros(&out[0].shape, out[0].dtype)?;
        let mut strides = [0; MAX_DIMS];
        strides[0] = self.shape[1] as isize + 1;
        let first = diagonal(self.shape[0], self.shape[1], self.k).1;
        // SAFETY: the diagonal lies in the new matrix.
        copy_into(x[0], &unsafe { y.view(*x[0].shape(), strides, first) });
        Ok(smallvec![y])
    }
}
