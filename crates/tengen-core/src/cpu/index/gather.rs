//! Elements along an axis by index.

use super::{Failed, Split, TASK, as_index, classes, out_of_range, with_indices};
use crate::cpu::raw::{bits, bits_mut, by_size};
use crate::op::{Eval, Meta, Op, Tensors};
use crate::ops::index::{Gather, Scatter, ScatterAdd};
use crate::{Result, Tensor, dispatch};
use bytemuck::Pod;
use smallvec::smallvec;
use tengen_kernels::index::{self as kernels, OutOfRange};
use tengen_kernels::pool;

/// Hands outer rows of `y`, indices and source to `f` on several threads.
fn by_rows<T: Copy + Send + Sync, I: kernels::Index>(
    y: &mut [T],
    s: Split,
    index: &[I],
    picks: usize,
    source: &[T],
    f: impl Fn(&mut [T], &[I], &[T]) -> Result<(), OutOfRange> + Sync,
) -> Result<(), OutOfRange> {
    kernels::check_indices(index, s.n)?;
    let (row, part) = (s.n * s.inner, picks * s.inner);
    pool::for_parts(y, row, TASK / part.max(1), |from, y| {
        let to = from + y.len() / row;
        let done = f(y, &index[from * part..to * part], &source[from * part..to * part]);
        debug_assert!(done.is_ok());
    });
    Ok(())
}

impl Eval for Gather {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        fn run<U: Pod + Send + Sync, I: kernels::Index>(
            src: &[U],
            s: Split,
            index: &[I],
            picks: usize,
            y: &mut [U],
        ) -> Result<(), OutOfRange> {
            let (row, part) = (s.n * s.inner, picks * s.inner);
            let failed = Failed::default();
            if s.outer == 1 {
                pool::for_parts(y, s.inner, TASK / s.inner.max(1), |first, y| {
                    let (at, picks) = (first * s.inner, y.len() / s.inner);
                    let index = &index[at..at + y.len()];
                    failed.note(kernels::gather(src, s.n, s.inner, index, picks, y));
                });
            } else {
                pool::for_parts(y, part, TASK / part.max(1), |first, y| {
                    let src = &src[first * row..(first + y.len() / part) * row];
                    let index = &index[first * part..first * part + y.len()];
                    failed.note(kernels::gather(src, s.n, s.inner, index, picks, y));
                });
            }
            failed.first(index, s.n)
        }
        let t = x[0].contiguous()?;
        let index = match self.classes {
            true => classes(self.name(), x[1], t.shape()[self.axis])?,
            false => as_index(x[1])?,
        };
        let mut y = Tensor::empty(out[0].shape, out[0].dtype)?;
        let (s, picks) = (Split::at(t.shape(), self.axis), index.shape()[self.axis]);
        by_size!(t.dtype(), U => with_indices!(index, i => {
            run::<U, _>(bits(&t), s, i, picks, bits_mut(&mut y)?)
        }))
        .map_err(|e| out_of_range(self.name(), e, self.axis, x[0]))?;
        Ok(smallvec![y])
    }
}

impl Eval for Scatter {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        let mut y = x[0].copy()?;
        let (index, source) = (as_index(x[1])?, x[2].contiguous()?);
        let (s, picks) = (Split::at(y.shape(), self.axis), index.shape()[self.axis]);
        by_size!(y.dtype(), U => with_indices!(index, i => {
            by_rows(bits_mut::<U>(&mut y)?, s, i, picks, bits(&source), |y, i, source| {
                kernels::scatter(y, s.n, s.inner, i, picks, source)
            })
        }))
        .map_err(|e| out_of_range(self.name(), e, self.axis, x[0]))?;
        Ok(smallvec![y])
    }
}

impl Eval for ScatterAdd {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        let mut y = x[0].copy()?;
        let (index, source) = (as_index(x[1])?, x[2].contiguous()?);
        let (s, picks) = (Split::at(y.shape(), self.axis), index.shape()[self.axis]);
        dispatch!(y.dtype(), [U8, I8, I16, I32, I64, F16, BF16, F32, F64], T => {
            let source = source.as_slice::<T>()?;
            with_indices!(index, i => {
                by_rows(y.as_mut_slice::<T>()?, s, i, picks, source, |y, i, source| {
                    kernels::scatter_add(y, s.n, s.inner, i, picks, source)
                })
            })
        }, else Ok(()))
        .map_err(|e| out_of_range(self.name(), e, self.axis, x[0]))?;
        Ok(smallvec![y])
    }
}
