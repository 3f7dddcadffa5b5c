//! Sorting, the greatest and least elements.

use crate::op::{Eval, Meta, Tensors};
use crate::ops::sort::TopK;
use crate::shape::Shape;
use crate::{DType, Element, Error, Result, Tensor, dispatch};
use smallvec::smallvec;
use std::sync::Mutex;
use tengen_kernels::pool;
use tengen_kernels::sort::{Order, SortKey, kth_rows, scratch_len, topk_rows};

/// Elements that one task sorts.
const TASK: usize = 1 << 12;

impl TopK {
    fn eval_as<T: Element + SortKey + bytemuck::Pod>(
        self,
        x: &Tensor,
        n: usize,
        values: &mut Tensor,
        indices: &mut Tensor,
    ) -> Result<()> {
        let width = if self.kth_only { 1 } else { self.k };
        let order = if self.descending { Order::Descending } else { Order::Ascending };
        let src = x.as_slice::<T>()?;
        let (v, i) = (values.as_mut_slice::<T>()?, indices.as_mut_slice::<i32>()?);
        let failed = Mutex::new(None::<Error>);
        pool::for_pairs((v, width), (i, width), TASK / n.max(1), |from, v, i| {
            let scratch = Shape::new(&[scratch_len(n)])
                .and_then(|s| Tensor::empty(s, DType::I64))
                .and_then(|mut t| {
                    let words = bytemuck::cast_slice_mut(t.as_mut_slice::<i64>()?);
                    let src = &src[from * n..(from + v.len() / width) * n];
                    if self.kth_only {
                        kth_rows(src, n, self.k - 1, order, Some(v), i, words);
                    } else {
                        topk_rows(src, n, self.k, order, self.sorted, Some(v), i, words);
                    }
                    Ok(())
                });
            if let Err(e) = scratch {
                *failed.lock().unwrap_or_else(|e| e.into_inner()) = Some(e);
            }
        });
        failed.into_inner().unwrap_or_else(|e| e.into_inner()).map_or(Ok(()), Err)
    }
}

impl Eval for TopK {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let n = x[0].shape().last().copied().unwrap_or(0);
        let t = x[0].contiguous()?;
        let mut values = Tensor::empty(out[0].shape, out[0].dtype)?;
        let mut indices = Tensor::empty(out[1].shape, DType::I32)?;
        dispatch!(t.dtype(), [U8, I8, I16, I32, I64, F16, BF16, F32, F64], T => {
            self.eval_as::<T>(&t, n, &mut values, &mut indices)
        }, else Ok(()))?;
        Ok(smallvec![values, indices])
    }
}
