//! NumPy's indexing, and selection and placement by index.

mod gather;
mod item;
mod mask;
mod plan;
mod region;
mod rows;

pub use gather::{gather, scatter, scatter_add};
pub use item::{getitem, setitem, setitem_in_place};
pub use mask::{cond_take, indexing_one_hot, nonzero, one_hot};
pub use plan::Index;
pub(crate) use region::{Part, Parts, assign, region, zeros_of};
pub use rows::{index_add, take};

use crate::ops::cast::cast_raw;
use crate::{DType, Error, ErrorKind, Result, Scalar, Tensor, bail, dispatch, ensure};
use std::sync::atomic::{AtomicBool, Ordering};
use tengen_kernels::index::{self as kernels, OutOfRange};

/// Elements that one task moves.
const TASK: usize = 1 << 14;

fn expect_index(op: &str, index: &Tensor) -> Result<()> {
    ensure!(index.dtype().is_int(), DType, "{op}: indices must be integers, not {index}");
    Ok(())
}

/// An index tensor as i32 or i64, contiguous.
fn as_index(index: &Tensor) -> Result<Tensor> {
    match index.dtype() {
        DType::I32 | DType::I64 => Ok(index.contiguous()?.detach()),
        _ => cast_raw(index, DType::I32),
    }
}

/// Labels, each one of `n` classes, as i32; floats have to be whole. None counts from the end.
pub(crate) fn classes(op: &str, labels: &Tensor, n: usize) -> Result<Tensor> {
    let expect = |v: Scalar| {
        let Some(c) = v.exactly::<i64>() else {
            bail!(Value, "{op}: label {v} is no integer ({labels})")
        };
        let inside = usize::try_from(c).is_ok_and(|c| c < n && i32::try_from(c).is_ok());
        ensure!(inside, Index, "{op}: label {c} is not in 0..{n}, the number of classes");
        Ok(())
    };
    dispatch!(labels.dtype(), T => {
        let labels = labels.contiguous()?;
        labels.as_slice::<T>()?.iter().try_for_each(|v| expect(Scalar::of(*v)))
    })?;
    cast_raw(labels, DType::I32)
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
    let extent = x.shape()[axis];
    Error::new(
        ErrorKind::Index,
        format!(
            "{op}: index {} is out of range for axis {axis} of extent {extent} (x: {x})",
            e.index
        ),
    )
}
