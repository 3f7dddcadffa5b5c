//! Running sums, products and extrema.

use crate::op::{Eval, Meta, Op, Tensors};
use crate::ops::reduce::Kind;
use crate::ops::scan::Scan;
use crate::{Element, Result, Tensor, bail, dispatch};
use bytemuck::Pod;
use tengen_kernels::pool;
use tengen_kernels::scan as kernels;

/// Elements that one task runs over.
const TASK: usize = 1 << 14;

impl Scan {
    /// Runs `K` over all of `x`, on several threads.
    fn over<T: Element + kernels::Scanned + Pod, K: kernels::Kind<T>>(
        &self,
        x: &Tensor,
        dst: &mut Tensor,
        at: &mut [K::At],
    ) -> Result<()> {
        let (n, inner) = (x.shape()[self.axis], x.shape()[self.axis + 1..].iter().product());
        let (src, plane) = (x.as_slice::<T>()?, n * inner);
        let dst = dst.as_mut_slice::<T>()?;
        pool::for_pairs((dst, plane), (at, plane), TASK / plane.max(1), |first, dst, at| {
            let src = &src[first * plane..first * plane + dst.len()];
            kernels::scan::<T, K>(src, n, inner, self.reverse, dst, at);
        });
        Ok(())
    }
}

impl Eval for Scan {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let x = x[0].contiguous()?;
        let mut y = Tensor::empty(out[0].shape, out[0].dtype)?;
        // Positions, for the kinds that have them.
        let mut at = match out.get(1) {
            Some(meta) => Some(Tensor::empty(meta.shape, meta.dtype)?),
            None => None,
        };
        dispatch!(x.dtype(), [U8, I8, I16, I32, I64, F16, BF16, F32, F64], T => {
            let none = &mut vec![(); x.numel()];
            let at = at.as_mut().map_or(Ok(&mut [][..]), |t| t.as_mut_slice::<i32>())?;
            match self.kind {
                Kind::Sum => self.over::<T, kernels::Sum>(&x, &mut y, none),
                Kind::Prod => self.over::<T, kernels::Prod>(&x, &mut y, none),
                Kind::Max => self.over::<T, kernels::Max>(&x, &mut y, at),
                Kind::Min => self.over::<T, kernels::Min>(&x, &mut y, at),
            }
        }, else bail!(DType, "{}: does not work on {x}", self.name()))?;
        Ok([y].into_iter().chain(at).collect())
    }
}
