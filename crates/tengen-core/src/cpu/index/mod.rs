//! Selection and placement by index.

mod gather;
mod mask;
mod ravel;
mod region;
mod rows;

use crate::cpu::cast_raw;
use crate::shape::Shape;
use crate::{DType, Error, Result, Scalar, Tensor, bail, dispatch, ensure, ops};
use std::sync::atomic::{AtomicBool, Ordering};
use tengen_kernels::index::{self as kernels, OutOfRange};

/// Elements that one task moves.
const TASK: usize = 1 << 14;

/// An index tensor as i32 or i64, contiguous.
fn as_index(index: &Tensor) -> Result<Tensor> {
    match index.dtype() {
        DType::I32 | DType::I64 => Ok(index.contiguous()?.detach()),
        _ => cast_raw(index, DType::I32),
    }
}

/// Labels, each one of `n` classes, as i32; floats have to be whole. None counts from the end.
pub(super) fn classes(op: &str, labels: &Tensor, n: usize) -> Result<Tensor> {
    let expect = |v: Scalar| {
        let Some(c) = v.exactly::<i64>() else {
            bail!(Value, "{op}: label {v} is no integer ({labels})")
        };
        let inside = usize::try_from(c).is_ok_and(|c| c < n && i32::try_from(c).is_ok());
        ensure!(inside, Index, "{op}: label {c} is not in 0..{n}, the number of classes");
        Ok(())
    };
    let labels = labels.contiguous()?;
    dispatch!(labels.dtype(), T => {
        labels.as_slice::<T>()?.iter().try_for_each(|v| expect(Scalar::of(*v)))
    })?;
    cast_raw(&labels, DType::I32)
}

/// Runs a block with the elements of an [`as_index`] tensor as a slice.
macro_rules! with_indices {
    ($index:expr, $i:ident => $body:expr) => {
        if $index.dtype() == $crate::DType::I64 {
            let $i = $index.as_slice::<i64>()?;
            $body
        } else {
            let $i = $index.as_slice::<i32>()?;
            $body
        }
    };
}
use with_indices;

/// Checks that indices, as of [`as_index`], are in 0..n: classes do not count from the end.
fn expect_classes(op: &str, index: &Tensor, n: usize) -> Result<()> {
    let bad = with_indices!(index, i => {
        let outside = |i: &&_| usize::try_from(**i).map_or(true, |i| i >= n);
        i.iter().find(outside).map(|i| kernels::Index::to_i64(*i))
    });
    if let Some(i) = bad {
        bail!(Index, "{op}: index {i} is not in 0..{n}, the number of classes");
    }
    Ok(())
}

/// A tensor as `[outer, n, inner]`.
#[derive(Clone, Copy)]
struct Split {
    outer: usize,
    n: usize,
    inner: usize,
}

impl Split {
    fn at(shape: &Shape, axis: usize) -> Split {
        Split::over(shape, axis, 1)
    }

    /// With `count` axes from `axis` on seen as one.
    fn over(shape: &Shape, axis: usize, count: usize) -> Split {
        let end = axis + count;
        let parts = [&shape[..axis], &shape[axis..end], &shape[end..]];
        let [outer, n, inner] = parts.map(|d| d.iter().product());
        Split { outer, n, inner }
    }
}

/// Whether any task found an index out of range.
#[derive(Default)]
struct Failed(AtomicBool);

impl Failed {
    /// Takes note of a task's outcome.
    fn note(&self, done: std::result::Result<(), OutOfRange>) {
        if done.is_err() {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// The first index that is out of range of `n`, whichever task found one first.
    fn first<I: kernels::Index>(
        self,
        index: &[I],
        n: usize,
    ) -> std::result::Result<(), OutOfRange> {
        if self.0.into_inner() { kernels::check_indices(index, n) } else { Ok(()) }
    }
}

#[cold]
fn out_of_range(op: &str, e: OutOfRange, axis: usize, x: &Tensor) -> Error {
    ops::index::out_of_range(op, e.index, axis, x.shape(), x)
}
