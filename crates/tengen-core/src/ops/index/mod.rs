//! NumPy's indexing, and selection and placement by index.

mod gather;
mod item;
mod mask;
mod plan;
mod region;
mod rows;

pub(crate) use gather::{Gather, Scatter, ScatterAdd, label_of};
pub use gather::{gather, scatter, scatter_add};
pub use item::{getitem, setitem, setitem_in_place};
pub(crate) use mask::{CountNonzero, OneHot, Positions};
pub use mask::{cond_take, indexing_one_hot, nonzero, one_hot};
pub use plan::Index;
pub(crate) use plan::RavelIndex;
pub(crate) use region::{Assign, Part, Parts, Region, assign, region, zeros_of};
pub(crate) use rows::{IndexAdd, Put, Take};
pub use rows::{index_add, take};

use super::{cast, cumsum, equal, reshape};
use crate::op::{Described, Entry};
use crate::shape::Shape;
use crate::{DType, Error, ErrorKind, Result, Tensor, ensure};
use std::fmt::Display;

pub(super) const OPERATORS: &[&[Entry]] = &[&[
    Entry::of::<Region>(&["getitem"]),
    Entry::of::<Assign>(&["setitem"]),
    Entry::of::<Take>(&["take"]),
    Entry::of::<IndexAdd>(&["index_add"]),
    Entry::of::<Put>(&["put"]),
    Entry::of::<Gather>(&["gather", "indexing_one_hot"]),
    Entry::of::<Scatter>(&["scatter"]),
    Entry::of::<ScatterAdd>(&["scatter_add"]),
    Entry::of::<RavelIndex>(&["ravel_index"]),
    Entry::of::<OneHot>(&["one_hot"]),
    Entry::of::<CountNonzero>(&["count_nonzero"]),
    Entry::of::<Positions>(&["positions"]),
]];

/// The place of every index among the indices, from 1 on, computed where they are; i64.
fn places(index: &Tensor) -> Result<Tensor> {
    let one = cast(&equal(index, index)?, DType::I64)?;
    reshape(&cumsum(&reshape(&one, &[one.numel()])?, 0)?, index.shape())
}

fn expect_index(op: &str, index: &Described) -> Result<()> {
    ensure!(index.dtype().is_int(), DType, "{op}: indices must be integers, not {index}");
    Ok(())
}

fn expect_axis(op: &str, axis: usize, x: &Described) -> Result<()> {
    ensure!(axis < x.ndim(), Index, "{op}: {x} has no axis {axis}");
    Ok(())
}

/// That an index is not in the axis of `x`, of this shape.
#[cold]
pub(crate) fn out_of_range(
    op: &str,
    index: i64,
    axis: usize,
    shape: &Shape,
    x: impl Display,
) -> Error {
    let extent = shape[axis];
    Error::new(
        ErrorKind::Index,
        format!("{op}: index {index} is out of range for axis {axis} of extent {extent} (x: {x})"),
    )
}
