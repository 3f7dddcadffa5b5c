//! Elements along an axis by index: gathered, scattered, added.

use super::region::{Part, Parts, assign, region, zeros_of};
use super::{expect_axis, expect_index, places};
use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Grads, Meta, Metas, Op, Saves};
use crate::ops::{cast, equal, expand_dims, select, squeeze};
use crate::shape::{Shape, normalize_axis};
use crate::{DType, Result, Tensor, apply1, bail, ensure};

/// Checks indices into `axis` of `x`, which have all its other extents.
fn expect_along(
    op: &str,
    x: &Described,
    axis: usize,
    index: &Described,
    floats: bool,
) -> Result<()> {
    if !floats {
        expect_index(op, index)?;
    }
    expect_axis(op, axis, x)?;
    let fits = index.ndim() == x.ndim()
        && (0..x.ndim()).all(|d| d == axis || index.shape()[d] == x.shape()[d]);
    ensure!(fits, Shape, "{op}: indices {index} into axis {axis} do not fit {x}");
    Ok(())
}

/// `y[i] = x[index[i]]` along an axis.
#[derive(Attributes)]
pub(crate) struct Gather {
    pub axis: usize,
    /// Whether indices are classes, which do not count from the end.
    pub classes: bool,
}

impl Gather {
    fn along(axis: usize) -> Gather {
        Gather { axis, classes: false }
    }

    /// By classes, which may be floats if they are whole.
    pub(super) fn classes(axis: usize) -> Gather {
        Gather { axis, classes: true }
    }
}

impl Op for Gather {
    fn name(&self) -> &'static str {
        if self.classes { "indexing_one_hot" } else { "gather" }
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 2
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        expect_along(self.name(), x[0], self.axis, x[1], self.classes)?;
        Ok(Meta::one(*x[1].shape(), x[0].dtype()))
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
                    let index = cast(g.input(1)?, DType::I64)?;
                    Some(apply1(ScatterAdd { axis: self.axis }, &[&zeros, &index, &g.dy(0)?])?)
                }
                _ => None,
            })
        })
    }
}

fn expect_source(op: &str, axis: usize, x: &[&Described]) -> Result<Metas> {
    expect_along(op, x[0], axis, x[1], false)?;
    let same = x[2].shape() == x[1].shape();
    ensure!(same, Shape, "{op}: the source {} has not the shape of the indices {}", x[2], x[1]);
    if x[2].dtype() != x[0].dtype() {
        bail!(DType, "{op}: {} and {} differ in dtype", x[0], x[2]);
    }
    Ok(Meta::one(*x[0].shape(), x[0].dtype()))
}

/// `y[index[i]] = source[i]` along an axis.
#[derive(Attributes)]
pub(crate) struct Scatter {
    pub axis: usize,
}

impl Op for Scatter {
    fn name(&self) -> &'static str {
        "scatter"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 3
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        expect_source(self.name(), self.axis, x)
    }
    fn saves(&self, _: DType) -> Saves {
        Saves { inputs: 0b10, outputs: 0 }
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let (dy, index) = (g.dy(0)?, g.input(1)?);
        g.each(|k| {
            Ok(match k {
                0 => {
                    let zeros = zeros_of(index.shape(), dy.dtype())?;
                    Some(apply1(Scatter { axis: self.axis }, &[&dy, index, &zeros])?)
                }
                2 => {
                    let d = apply1(Gather::along(self.axis), &[&dy, index])?;
                    let zero = Tensor::zeros(&[], d.dtype())?;
                    Some(select(&winners(index, &g.input_meta(0).shape, self.axis)?, &d, &zero)?)
                }
                _ => None,
            })
        })
    }
}

/// Which indices are not overwritten by an equal one after them.
fn winners(index: &Tensor, shape: &Shape, axis: usize) -> Result<Tensor> {
    let order = places(index)?;
    let placed = apply1(Scatter { axis }, &[&zeros_of(shape, DType::I64)?, index, &order])?;
    equal(&apply1(Gather::along(axis), &[&placed, index])?, &order)
}

/// `y[index[i]] += source[i]` along an axis.
#[derive(Attributes)]
pub(crate) struct ScatterAdd {
    pub axis: usize,
}

impl Op for ScatterAdd {
    fn name(&self) -> &'static str {
        "scatter_add"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 3
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        ensure!(x[0].dtype() != DType::Bool, DType, "scatter_add: {} cannot be added to", x[0]);
        expect_source(self.name(), self.axis, x)
    }
    fn saves(&self, _: DType) -> Saves {
        Saves { inputs: 0b10, outputs: 0 }
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let dy = g.dy(0)?;
        g.each(|k| {
            Ok(match k {
                0 => Some(dy.clone()),
                2 => Some(apply1(Gather::along(self.axis), &[&dy, g.input(1)?])?),
                _ => None,
            })
        })
    }
}

/// The part of `x` that indices of smaller extents than `x` reach, along all axes but `axis`;
/// `None` if that is all of `x`.
fn reach(op: &str, x: &Tensor, axis: usize, index: &Tensor) -> Result<Option<Parts>> {
    let same = index.ndim() == x.ndim();
    ensure!(same, Shape, "{op}: indices {index} need as many dimensions as {x}");
    let at = |d: usize| if d == axis { x.shape()[d] } else { index.shape()[d] };
    if (0..x.ndim()).all(|d| at(d) == x.shape()[d]) {
        return Ok(None);
    }
    for d in 0..x.ndim() {
        let (n, most) = (at(d), x.shape()[d]);
        ensure!(n <= most, Shape, "{op}: indices {index} exceed axis {d} of {x}");
    }
    Ok(Some((0..x.ndim()).map(|d| Part::all(at(d))).collect()))
}

/// Elements picked along `axis`: `y[i, j, k] = x[i, index[i, j, k], k]` for `axis` 1 of 3. The index
/// has as many dimensions as `x`, and along other axes at most its extents; the result has the
/// index' shape. An index may count from the end.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
/// let y = ops::gather(&x, 1, &Tensor::from_slice(&[0, 0, 1, 0], &[2, 2])?)?;
/// assert_eq!(y.to_vec::<f32>()?, [1.0, 1.0, 4.0, 3.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
///
/// # Errors
/// Index: the axis or an index is out of range. Shape: the index does not fit. DType: the indices
/// are not integers. Memory: the result cannot be had.
pub fn gather(x: &Tensor, axis: isize, index: &Tensor) -> Result<Tensor> {
    let axis = normalize_axis("gather", axis, x.ndim())?;
    match reach("gather", x, axis, index)? {
        None => apply1(Gather::along(axis), &[x, index]),
        Some(parts) => apply1(Gather::along(axis), &[&region(x, &parts)?, index]),
    }
}

/// The element that each label names along `axis`, without that axis.
pub(crate) fn label_of(x: &Tensor, axis: usize, label: &Tensor) -> Result<Tensor> {
    let at = [axis as isize];
    let y = apply1(Gather::classes(axis), &[x, &expand_dims(&label.detach(), &at)?])?;
    squeeze(&y, Some(&at))
}

fn place<O: Op>(op: O, x: &Tensor, axis: usize, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let source = &cast(source, x.dtype())?;
    match reach(op.name(), x, axis, index)? {
        None => apply1(op, &[x, index, source]),
        Some(parts) => assign(x, &parts, &apply1(op, &[&region(x, &parts)?, index, source])?),
    }
}

/// `x` with elements replaced along `axis`: `y[i, index[i, j, k], k] = source[i, j, k]` for `axis` 1
/// of 3; of equal indices the last wins. The index has as many dimensions as `x`, and along other
/// axes at most its extents; `source` has the index' shape and is converted to `x`'s dtype.
///
/// # Errors
/// As [`gather`]; Shape: the source has not the shape of the index.
pub fn scatter(x: &Tensor, axis: isize, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let axis = normalize_axis("scatter", axis, x.ndim())?;
    place(Scatter { axis }, x, axis, index, source)
}

/// `x` with elements added along `axis`, in the order of the indices; otherwise as [`scatter`].
///
/// # Errors
/// As [`scatter`].
pub fn scatter_add(x: &Tensor, axis: isize, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let axis = normalize_axis("scatter_add", axis, x.ndim())?;
    place(ScatterAdd { axis }, x, axis, index, source)
}
