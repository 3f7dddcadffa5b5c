//! Several index arrays as one.

use super::{as_index, with_indices};
use crate::cpu::elementwise::expand;
use crate::op::{Eval, Meta, Tensors};
use crate::ops::index::{RavelIndex, out_of_range};
use crate::{DType, Result, Tensor};
use smallvec::smallvec;
use tengen_kernels::index::{Index as _, check_indices};

impl Eval for RavelIndex {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let mut all = Tensor::zeros(&out[0].shape, DType::I64)?;
        let sum = all.as_mut_slice::<i64>()?;
        for (axis, (index, n)) in x.iter().zip(self.extents.iter()).enumerate() {
            let index = as_index(index)?;
            with_indices!(index, i => check_indices(i, *n)).map_err(|e| {
                out_of_range(
                    "getitem",
                    e.index,
                    axis,
                    &self.extents,
                    format!("axes of {}", self.extents),
                )
            })?;
            let index = expand(&index, &out[0].shape).contiguous()?;
            let n = *n as i64;
            with_indices!(index, i => {
                for (s, i) in sum.iter_mut().zip(i) {
                    let i = i.to_i64();
                    *s = *s * n + if i < 0 { i + n } else { i };
                }
            });
        }
        Ok(smallvec![all])
    }
}
