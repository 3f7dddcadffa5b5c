//! Selection by condition, and classes as vectors.

use super::{as_index, expect_classes, with_indices};
use crate::cpu::raw::bits;
use crate::op::{Eval, Meta, Op, Tensors};
use crate::ops::index::{CountNonzero, OneHot, Positions};
use crate::{DType, Result, Tensor, ensure};
use smallvec::smallvec;
use tengen_kernels::index as kernels;

impl Eval for CountNonzero {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        let mask = x[0].contiguous()?;
        Ok(smallvec![Tensor::scalar(kernels::count_nonzero(bits::<u8>(&mask)) as i64)?])
    }
}

impl Eval for Positions {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let mask = x[0].contiguous()?;
        let (bytes, count) = (bits::<u8>(&mask), self.count);
        let found = kernels::count_nonzero(bytes);
        ensure!(found == count, Value, "{}: {found} elements are true, not {count}", self.name());
        let mut y = Tensor::empty(out[0].shape, DType::I32)?;
        kernels::nonzero(bytes, 0, y.as_mut_slice::<i32>()?);
        Ok(smallvec![y])
    }
}

impl Eval for OneHot {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let mut y = Tensor::zeros(&out[0].shape, DType::I32)?;
        if out[0].shape.numel() == 0 {
            return Ok(smallvec![y]);
        }
        let index = as_index(x[0])?;
        expect_classes(self.name(), &index, self.classes)?;
        let rows = y.as_mut_slice::<i32>()?.chunks_exact_mut(self.classes);
        with_indices!(index, i => {
            rows.zip(i).for_each(|(row, i)| row[*i as usize] = 1);
        });
        Ok(smallvec![y])
    }
}
