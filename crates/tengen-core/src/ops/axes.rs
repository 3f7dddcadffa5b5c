//! Sets of axes.

use crate::op::{Attributes, Described};
use crate::shape::{Shape, normalize_axis};
use crate::{Result, ensure};
use std::ops::Range;

/// Axes to reduce, as a set of bits.
#[derive(Clone, Copy, Attributes)]
pub(crate) struct Axes(pub u8);

impl Axes {
    /// The given axes, or all if `None`.
    pub(crate) fn new(op: &str, axes: Option<&[isize]>, ndim: usize) -> Result<Axes> {
        let Some(axes) = axes else { return Ok(Axes(((1u32 << ndim) - 1) as u8)) };
        let mut set = 0u8;
        for axis in axes {
            let bit = 1 << normalize_axis(op, *axis, ndim)?;
            ensure!(set & bit == 0, Index, "{op}: axis {axis} is named twice in {axes:?}");
            set |= bit;
        }
        Ok(Axes(set))
    }

    pub(crate) fn has(self, axis: usize) -> bool {
        self.0 >> axis & 1 == 1
    }

    /// The shape after reduction.
    pub(crate) fn reduced(self, shape: &Shape, keepdims: bool) -> Shape {
        let mut out = *shape;
        for d in (0..shape.len()).rev().filter(|d| self.has(*d)) {
            out = if keepdims { out.with(d, 1).unwrap_or(out) } else { out.without(d) };
        }
        out
    }

    /// Checks that a tensor has these axes.
    pub(crate) fn check(self, op: &str, x: &Described) -> Result<()> {
        ensure!(u32::from(self.0) < 1 << x.ndim(), Index, "{op}: an axis is out of range for {x}");
        Ok(())
    }

    /// The axes, if they are neighbours.
    pub(crate) fn run(self, shape: &Shape) -> Option<Range<usize>> {
        let first = (0..shape.len()).find(|d| self.has(*d))?;
        let end = (first..shape.len()).find(|d| !self.has(*d)).unwrap_or(shape.len());
        (end..shape.len()).all(|d| !self.has(d)).then_some(first..end)
    }

    /// How many elements are reduced to one.
    pub(crate) fn count(self, shape: &Shape) -> usize {
        (0..shape.len()).filter(|d| self.has(*d)).map(|d| shape[d]).product()
    }
}
