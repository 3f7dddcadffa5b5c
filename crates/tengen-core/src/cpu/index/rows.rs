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

/// Calls `f(outer row, first pick, last pick)` for parts of the picks of every outer row.
fn for_picks(s: Split, picks: usize, f: impl Fn(usize, usize, usize) + Sync) {
    if s.outer == 1 {
        pool::for_ranges(picks, (TASK / s.inner.max(1)).max(1), |from, to| f(0, from, to));
    } else {
        let grain = (TASK / (picks * s.inner).max(1)).max(1);
        pool::for_ranges(s.outer, grain, |from, to| (from..to).for_each(|o| f(o, 0, picks)));
    }
}

impl Put {
    fn write(&self, y: &mut Tensor, index: &Tensor, source: &Tensor) -> Result<()> {
        fn run<U: Pod + Sync, I: kernels::Index>(
            y: &mut [U],
            s: Split,
            index: &[I],
            source: &[U],
        ) -> Result<(), OutOfRange> {
            kernels::check_indices(index, s.n)?;
            let (row, p) = (s.n * s.inner, Shared(y.as_mut_ptr()));
            let picks = index.len() * s.inner;
            if s.outer == 1 && picks > TASK && s.inner >= 2 * COLUMNS {
                // Equal indices must be written in order, so tasks share the columns instead.
                pool::for_ranges(s.inner, s.inner.div_ceil(8).max(COLUMNS), |from, to| {
                    // SAFETY: `y` has `row` elements, and each task has its columns to itself.
                    let done = unsafe {
                        kernels::put_columns(p.at(0), s.n, s.inner, from..to, index, source)
                    };
                    debug_assert!(done.is_ok());
                });
                return Ok(());
            }
            pool::for_ranges(s.outer, (TASK / picks.max(1)).max(1), |from, to| {
                for o in from..to {
                    // SAFETY: each task has its outer rows of `y` to itself.
                    let dst = unsafe { std::slice::from_raw_parts_mut(p.at(o * row), row) };
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
        fn run<U: Pod + Sync, I: kernels::Index>(
            src: &[U],
            s: Split,
            index: &[I],
            y: *mut U,
        ) -> Result<(), OutOfRange> {
            let failed = Failed::default();
            let (y, row) = (Shared(y), s.n * s.inner);
            for_picks(s, index.len(), |o, from, to| {
                let at = (o * index.len() + from) * s.inner;
                let src = &src[o * row..(o + 1) * row];
                // SAFETY: `y` is new and has `outer · picks · inner` elements, of which each task
                // has its own.
                let dst =
                    unsafe { std::slice::from_raw_parts_mut(y.at(at), (to - from) * s.inner) };
                failed.note(kernels::take_rows(src, s.n, s.inner, &index[from..to], dst));
            });
            failed.first(index, s.n)
        }
        let (t, index) = (x[0].contiguous()?, as_index(x[1])?);
        let y = Tensor::empty(out[0].shape, out[0].dtype)?;
        let s = Split::at(t.shape(), self.axis);
        by_size!(t.dtype(), U => with_indices!(index, i => {
            run::<U, _>(bits(&t), s, i, y.ptr::<u8>().cast())
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
            let p = Shared(y.as_mut_ptr());
            let add = |o: usize, first: usize, to: usize| {
                let at = o * row + first * s.inner;
                // SAFETY: each task has rows `first..to` of outer row `o` of `y` to itself.
                let dst =
                    unsafe { std::slice::from_raw_parts_mut(p.at(at), (to - first) * s.inner) };
                let source = &source[o * index.len() * s.inner..(o + 1) * index.len() * s.inner];
                let done = kernels::add_rows(dst, first, s.n, s.inner, index, source);
                debug_assert!(done.is_ok());
            };
            if s.outer == 1 {
                pool::for_ranges(s.n, grain, |from, to| add(0, from, to));
            } else {
                let grain = (TASK / (index.len() * s.inner).max(1)).max(1);
                pool::for_ranges(s.outer, grain, |a, b| (a..b).for_each(|o| add(o, 0, s.n)));
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
