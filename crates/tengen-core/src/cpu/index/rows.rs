//! Slices along an axis by index: taken, replaced, added to.

use super::{Failed, Split, TASK, as_index, out_of_range, with_indices};
use crate::cpu::raw::{bits, bits_mut, by_size};
use crate::op::{Eval, Meta, Op, Tensors};
use crate::ops::index::{IndexAdd, Put, Take};
use crate::{Result, Tensor, bail, dispatch};
use bytemuck::Pod;
use smallvec::smallvec;
use tengen_kernels::index::{self as kernels, OutOfRange};
use tengen_kernels::pool;
use tengen_kernels::pool::Shared;

/// The fewest columns of a task that has some columns of all rows.
const COLUMNS: usize = 64;

impl Put {
    fn write(&self, y: &mut Tensor, index: &Tensor, source: &Tensor) -> Result<()> {
        fn run<U: Pod + Send + Sync, I: kernels::Index>(
            y: &mut [U],
            s: Split,
            index: &[I],
            source: &[U],
        ) -> Result<(), OutOfRange> {
            kernels::check_indices(index, s.n)?;
            let (row, picks) = (s.n * s.inner, index.len() * s.inner);
            if s.outer == 1 && picks > TASK && s.inner >= 2 * COLUMNS {
                // Equal indices must be written in order, so tasks share the columns instead.
                let p = Shared(y.as_mut_ptr());
                pool::for_ranges(s.inner, s.inner.div_ceil(8).max(COLUMNS), |from, to| {
                    // SAFETY: `y` has `row` elements, and each task has its columns to itself.
                    let done = unsafe {
                        kernels::put_columns(p.at(0), s.n, s.inner, from..to, index, source)
                    };
                    debug_assert!(done.is_ok());
                });
                return Ok(());
            }
            pool::for_parts(y, row, TASK / picks.max(1), |first, y| {
                for (o, dst) in (first..).zip(y.chunks_exact_mut(row)) {
                    let source = &source[o * picks..(o + 1) * picks];
                    let done = kernels::put_rows(dst, s.n, s.inner, index, source);
                    debug_assert!(done.is_ok());
                }
            });
            Ok(())
        }
        let s = Split::over(y.shape(), self.axis, self.count);
        let (index, source) = (as_index(index)?, source.contiguous()?);
        by_size!(y.dtype(), U => with_indices!(index, i => {
            run::<U, _>(bits_mut(y)?, s, i, bits(&source))
        }))
        .map_err(|e| out_of_range(self.name(), e, self.axis, y))
    }
}

impl Eval for Take {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        fn run<U: Pod + Send + Sync, I: kernels::Index>(
            src: &[U],
            s: Split,
            index: &[I],
            y: &mut [U],
        ) -> Result<(), OutOfRange> {
            let (row, picks) = (s.n * s.inner, index.len() * s.inner);
            if picks == 0 {
                return kernels::check_indices(index, s.n);
            }
            let failed = Failed::default();
            let take = |o: usize, index: &[I], y: &mut [U]| {
                let src = &src[o * row..(o + 1) * row];
                failed.note(kernels::take_rows(src, s.n, s.inner, index, y));
            };
            if s.outer == 1 {
                pool::for_parts(y, s.inner, TASK / s.inner, |first, y| {
                    take(0, &index[first..first + y.len() / s.inner], y);
                });
            } else {
                pool::for_parts(y, picks, TASK / picks, |first, y| {
                    (first..).zip(y.chunks_exact_mut(picks)).for_each(|(o, y)| take(o, index, y));
                });
            }
            failed.first(index, s.n)
        }
        let (t, index) = (x[0].contiguous()?, as_index(x[1])?);
        let mut y = Tensor::empty(out[0].shape, out[0].dtype)?;
        let s = Split::at(t.shape(), self.axis);
        by_size!(t.dtype(), U => with_indices!(index, i => {
            run::<U, _>(bits(&t), s, i, bits_mut(&mut y)?)
        }))
        .map_err(|e| out_of_range(self.name(), e, self.axis, x[0]))?;
        Ok(smallvec![y])
    }
}

impl Eval for IndexAdd {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        fn run<T: kernels::Number, I: kernels::Index>(
            y: &mut [T],
            s: Split,
            index: &[I],
            source: &[T],
        ) -> Result<(), OutOfRange> {
            kernels::check_indices(index, s.n)?;
            // Every task looks at all indices, so with one outer row there are few tasks.
            let tasks = if source.len() < TASK || s.inner < 16 { 1 } else { 8 };
            let (grain, row) = (s.n.div_ceil(tasks).max(1), s.n * s.inner);
            let part = index.len() * s.inner;
            let add = |o: usize, first: usize, y: &mut [T]| {
                let source = &source[o * part..(o + 1) * part];
                let done = kernels::add_rows(y, first, s.n, s.inner, index, source);
                debug_assert!(done.is_ok());
            };
            if s.outer == 1 {
                pool::for_parts(y, s.inner, grain, |first, y| add(0, first, y));
            } else {
                pool::for_parts(y, row, TASK / part.max(1), |first, y| {
                    (first..).zip(y.chunks_exact_mut(row)).for_each(|(o, y)| add(o, 0, y));
                });
            }
            Ok(())
        }
        let mut y = x[0].copy()?;
        let (index, source, s) =
            (as_index(x[1])?, x[2].contiguous()?, Split::at(x[0].shape(), self.axis));
        dispatch!(y.dtype(), [U8, I8, I16, I32, I64, F16, BF16, F32, F64], T => {
            let source = source.as_slice::<T>()?;
            with_indices!(index, i => run(y.as_mut_slice::<T>()?, s, i, source))
        }, else Ok(()))
        .map_err(|e| out_of_range(self.name(), e, self.axis, x[0]))?;
        Ok(smallvec![y])
    }
}

impl Eval for Put {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        let mut y = x[0].copy()?;
        self.write(&mut y, x[1], x[2])?;
        Ok(smallvec![y])
    }
    fn eval_in_place(&self, x: &mut [Tensor], _: &[Meta]) -> Result<Tensors> {
        let [y, index, source] = x else { bail!(Value, "put: takes 3 inputs") };
        self.write(y, index, source)?;
        Ok(smallvec![y.clone()])
    }
}
