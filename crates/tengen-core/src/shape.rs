//! Shapes: up to eight dimensions, stored inline.

use crate::{Result, bail, ensure};
use std::fmt;
use std::ops::Deref;

/// The most dimensions that a tensor can have.
pub const MAX_DIMS: usize = 8;

/// The extents of a tensor, outermost first. Reads as a slice.
#[derive(Clone, Copy, Eq, Default)]
pub struct Shape {
    dims: [usize; MAX_DIMS],
    len: u8,
}

impl Shape {
    /// A shape from its extents.
    ///
    /// # Errors
    /// Shape: more than [`MAX_DIMS`] dimensions, or an element count or byte size (at eight bytes
    /// an element) beyond what memory can address.
    pub fn new(dims: &[usize]) -> Result<Shape> {
        ensure!(
            dims.len() <= MAX_DIMS,
            Shape,
            "shape {dims:?} has {} dimensions; at most {MAX_DIMS} are supported",
            dims.len()
        );
        let mut shape = Shape { dims: [0; MAX_DIMS], len: dims.len() as u8 };
        shape.dims[..dims.len()].copy_from_slice(dims);
        if element_count(dims).is_none() {
            bail!(Shape, "shape {dims:?} has more elements than memory can address");
        }
        Ok(shape)
    }

    /// The number of elements; 1 for no dimensions.
    #[inline]
    pub fn numel(&self) -> usize {
        self.iter().product()
    }

    /// The strides, in elements, of a contiguous tensor of this shape.
    pub(crate) fn contiguous_strides(&self) -> [isize; MAX_DIMS] {
        let mut strides = [0; MAX_DIMS];
        let mut step = 1;
        for d in (0..self.len()).rev() {
            strides[d] = step;
            step *= self[d].max(1) as isize;
        }
        strides
    }

    /// The shape without axis `axis`, which must be in range.
    pub(crate) fn without(&self, axis: usize) -> Shape {
        let mut s = *self;
        s.dims.copy_within(axis + 1.., axis);
        s.dims[MAX_DIMS - 1] = 0;
        s.len -= 1;
        s
    }

    /// The shape with extent `extent` at `axis`, which must be in range.
    pub(crate) fn with(&self, axis: usize, extent: usize) -> Result<Shape> {
        let mut s = *self;
        s.dims[axis] = extent;
        Shape::new(&s)
    }
}

/// The product of the extents, if a tensor of that many eight-byte elements can be addressed. The
/// one place where element counts of unchecked shapes are computed. Extents of 0 count as 1 for
/// that, so that the product of any of a shape's extents can be taken without a check.
pub(crate) fn element_count(dims: &[usize]) -> Option<usize> {
    let n = dims.iter().try_fold(1usize, |n, d| n.checked_mul((*d).max(1)))?;
    let n = (n <= isize::MAX as usize / 8).then_some(n)?;
    Some(if dims.contains(&0) { 0 } else { n })
}

/// The shape of an elementwise result of operands of shapes `a` and `b`, by NumPy's rule: aligned
/// at the last axis, extents must be equal or 1.
pub fn broadcast(op: &str, a: &Shape, b: &Shape) -> Result<Shape> {
    if a == b {
        return Ok(*a);
    }
    let n = a.len().max(b.len());
    let at = |s: &Shape, d: usize| (d + s.len()).checked_sub(n).map_or(1, |i| s[i]);
    let mut dims = [0; MAX_DIMS];
    for d in 0..n {
        dims[d] = match (at(a, d), at(b, d)) {
            (x, y) if x == y => x,
            (1, y) => y,
            (x, 1) => x,
            _ => bail!(Shape, "{op}: shapes {a} and {b} cannot be broadcast together"),
        };
    }
    Shape::new(&dims[..n])
}

/// An axis that may count from the end, as an index below `ndim`.
///
/// # Errors
/// Index: `axis` is not in −ndim..ndim.
pub fn normalize_axis(op: &str, axis: isize, ndim: usize) -> Result<usize> {
    let n = ndim as isize;
    ensure!(
        (-n..n).contains(&axis),
        Index,
        "{op}: axis {axis} is out of range for {ndim} dimension{}",
        if ndim == 1 { "" } else { "s" }
    );
    Ok(axis.rem_euclid(n) as usize)
}

impl Deref for Shape {
    type Target = [usize];
    #[inline]
    fn deref(&self) -> &[usize] {
        &self.dims[..self.len as usize]
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl PartialEq for Shape {
    /// Unused places are 0, so all can be compared at once, in registers.
    #[inline]
    fn eq(&self, other: &Shape) -> bool {
        let differ = self.dims.iter().zip(&other.dims).fold(0, |d, (a, b)| d | (a ^ b));
        differ == 0 && self.len == other.len
    }
}

impl PartialEq<[usize]> for Shape {
    fn eq(&self, other: &[usize]) -> bool {
        **self == *other
    }
}

impl<const N: usize> PartialEq<[usize; N]> for Shape {
    fn eq(&self, other: &[usize; N]) -> bool {
        **self == *other
    }
}
