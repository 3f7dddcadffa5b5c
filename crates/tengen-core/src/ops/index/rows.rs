//! Slices along an axis by index: taken, replaced, added to.

use super::region::zeros_of;
use super::{expect_axis, expect_index, places};
use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Grads, Meta, Metas, Op, Saves};
use crate::ops::{equal, reshape, select};
use crate::shape::{MAX_DIMS, Shape, normalize_axis};
use crate::{DType, Result, Tensor, apply1, bail, ensure};
use smallvec::SmallVec;

/// The shape with `count` axes replaced by the axes of the index.
fn picked(shape: &Shape, axis: usize, count: usize, index: &Shape) -> Result<Shape> {
    let mut dims: SmallVec<[usize; 2 * MAX_DIMS]> = shape[..axis].into();
    dims.extend_from_slice(index);
    dims.extend_from_slice(&shape[axis + count..]);
    Shape::new(&dims)
}

/// `y[.., k, ..] = x[.., index[k], ..]`, with the index' axes in place of one axis.
#[derive(Attributes)]
pub(crate) struct Take {
    pub axis: usize,
}

impl Op for Take {
    fn name(&self) -> &'static str {
        "take"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 2
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        expect_index(self.name(), x[1])?;
        expect_axis(self.name(), self.axis, x[0])?;
        Ok(Meta::one(picked(x[0].shape(), self.axis, 1, x[1].shape())?, x[0].dtype()))
    }
    fn saves(&self, _: DType) -> Saves {
        Saves { inputs: 0b10, outputs: 0 }
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        g.each(|k| {
            let Meta { shape, dtype } = g.input_meta(0);
            Ok(match k {
                0 => {
                    let zeros = zeros_of(&shape, dtype)?;
                    Some(apply1(IndexAdd { axis: self.axis }, &[&zeros, g.input(1)?, &g.dy(0)?])?)
                }
                _ => None,
            })
        })
    }
}

/// Checks the source of slices that go to `index` along `count` axes of `x`, seen as one.
fn expect_source(op: &str, axis: usize, count: usize, x: &[&Described]) -> Result<Metas> {
    expect_index(op, x[1])?;
    let last = axis.checked_add(count).and_then(|end| end.checked_sub(1));
    expect_axis(op, last.filter(|_| count > 0).unwrap_or(usize::MAX), x[0])?;
    let wanted = picked(x[0].shape(), axis, count, x[1].shape())?;
    ensure!(
        *x[2].shape() == wanted,
        Shape,
        "{op}: the source is {}, but indices {} into axis {axis} of {} need shape {wanted}",
        x[2],
        x[1],
        x[0]
    );
    if x[2].dtype() != x[0].dtype() {
        bail!(DType, "{op}: {} and {} differ in dtype", x[0], x[2]);
    }
    Ok(Meta::one(*x[0].shape(), x[0].dtype()))
}

/// `x` with `y[.., index[k], ..] += source[.., k, ..]`, in the order of k.
#[derive(Attributes)]
pub(crate) struct IndexAdd {
    pub axis: usize,
}

impl Op for IndexAdd {
    fn name(&self) -> &'static str {
        "index_add"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 3
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        ensure!(x[0].dtype() != DType::Bool, DType, "index_add: {} cannot be added to", x[0]);
        expect_source(self.name(), self.axis, 1, x)
    }
    fn saves(&self, _: DType) -> Saves {
        Saves { inputs: 0b10, outputs: 0 }
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let dy = g.dy(0)?;
        g.each(|k| {
            Ok(match k {
                0 => Some(dy.clone()),
                2 => Some(apply1(Take { axis: self.axis }, &[&dy, g.input(1)?])?),
                _ => None,
            })
        })
    }
}

/// `x`, of which `count` axes are seen as one, with `y[.., index[k], ..] = source[.., k, ..]`; of
/// equal indices the last wins.
#[derive(Attributes)]
pub(crate) struct Put {
    pub axis: usize,
    pub count: usize,
}

impl Op for Put {
    fn name(&self) -> &'static str {
        "put"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 3
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        expect_source(self.name(), self.axis, self.count, x)
    }
    fn saves(&self, _: DType) -> Saves {
        Saves { inputs: 0b10, outputs: 0 }
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let (dy, index) = (g.dy(0)?, g.input(1)?);
        g.each(|k| {
            Ok(match k {
                0 => {
                    let zeros = zeros_of(&g.input_meta(2).shape, dy.dtype())?;
                    Some(put(&dy, self.axis, self.count, index, &zeros)?)
                }
                2 => {
                    let merged = merged(&g.input_meta(0).shape, self.axis, self.count)?;
                    let d = apply1(Take { axis: self.axis }, &[&reshape(&dy, &merged)?, index])?;
                    if merged.numel() == 0 {
                        return Ok(Some(d));
                    }
                    // The mask's axes stand where the axis was.
                    let mask = winners(index, merged[self.axis])?;
                    let mut dims: SmallVec<[usize; MAX_DIMS]> = mask.shape()[..].into();
                    dims.resize(d.ndim() - self.axis, 1);
                    let zero = Tensor::zeros(&[], d.dtype())?;
                    Some(select(&reshape(&mask, &dims)?, &d, &zero)?)
                }
                _ => None,
            })
        })
    }
}

/// The shape with `count` axes from `axis` on as one.
fn merged(shape: &Shape, axis: usize, count: usize) -> Result<Shape> {
    let extent = shape[axis..axis + count].iter().product();
    picked(shape, axis, count, &Shape::new(&[extent])?)
}

/// Which indices into an axis of extent `n` are not overwritten by an equal one after them.
fn winners(index: &Tensor, n: usize) -> Result<Tensor> {
    let order = places(index)?;
    let placed = put(&zeros_of(&Shape::new(&[n])?, DType::I64)?, 0, 1, index, &order)?;
    equal(&take(&placed, 0, index)?, &order)
}

/// `x` with the slices at `index` along `count` axes from `axis` on, seen as one, replaced by those
/// of `source`.
pub(super) fn put(
    x: &Tensor,
    axis: usize,
    count: usize,
    index: &Tensor,
    source: &Tensor,
) -> Result<Tensor> {
    apply1(Put { axis, count }, &[x, index, source])
}

/// The slices of `x` at the given places of `axis`: `y[.., i, j, ..] = x[.., index[i, j], ..]`,
/// with as many axes in place of one as the index has. An index may count from the end. The
/// gradient adds up the slices that came from one place.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2])?;
/// let rows = ops::take(&x, 0, &Tensor::from_slice(&[2, 0, -1], &[3])?)?;
/// assert_eq!(rows.to_vec::<f32>()?, [5.0, 6.0, 1.0, 2.0, 5.0, 6.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
///
/// # Errors
/// Index: the axis or an index is out of range. DType: the indices are not integers. Memory: the
/// result cannot be had.
pub fn take(x: &Tensor, axis: isize, index: &Tensor) -> Result<Tensor> {
    apply1(Take { axis: normalize_axis("take", axis, x.ndim())? }, &[x, index])
}

/// `x` with slices added at the given places of `axis`: `y[.., index[i], ..] += source[.., i, ..]`,
/// in the order of i. The shape of `source` is that of [`take`]'s result.
///
/// # Errors
/// Index: the axis or an index is out of range. Shape: `source` has another shape. DType: the
/// indices are not integers, or `source` differs in dtype. Memory: the result cannot be had.
pub fn index_add(x: &Tensor, axis: isize, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let axis = normalize_axis("index_add", axis, x.ndim())?;
    apply1(IndexAdd { axis }, &[x, index, source])
}
