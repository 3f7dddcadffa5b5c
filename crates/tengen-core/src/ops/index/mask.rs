//! Selection by condition, and classes as vectors.

use super::{Gather, expect_index, take};
use crate::op::{Attributes, Described, Meta, Metas, Op};
use crate::ops::{expand_dims, floor_div, modulo, not_equal, reshape, squeeze};
use crate::shape::{MAX_DIMS, Shape, normalize_axis};
use crate::{DType, Result, Tensor, apply1, ensure};
use smallvec::SmallVec;

/// How many elements of a bool tensor are true: an i64 without dimensions.
#[derive(Attributes)]
pub(crate) struct CountNonzero {}

impl Op for CountNonzero {
    fn name(&self) -> &'static str {
        "count_nonzero"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        ensure!(x[0].dtype() == DType::Bool, DType, "the mask must be bool, not {}", x[0]);
        Ok(Meta::one(Shape::default(), DType::I64))
    }
}

/// The positions in row-major order of the `count` true elements of a bool tensor; i32.
#[derive(Attributes)]
pub(crate) struct Positions {
    pub count: usize,
}

impl Op for Positions {
    fn name(&self) -> &'static str {
        "positions"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        ensure!(x[0].dtype() == DType::Bool, DType, "the mask must be bool, not {}", x[0]);
        let fits = i32::try_from(x[0].numel()).is_ok();
        ensure!(fits, Unsupported, "positions in {} do not fit int32", x[0]);
        let (count, x) = (self.count, x[0]);
        ensure!(count <= x.numel(), Value, "{x} has no {count} elements that are true");
        Ok(Meta::one(Shape::new(&[count])?, DType::I32))
    }
}

/// The positions in row-major order of the true elements of a bool tensor; i32. How many there are
/// is read from the mask, which must have its value.
pub(super) fn positions(op: &str, mask: &Tensor) -> Result<Tensor> {
    let find = || {
        let count = apply1(CountNonzero {}, &[mask])?.item_as::<i64>()? as usize;
        apply1(Positions { count }, &[mask])
    };
    find().map_err(|e| e.context(op))
}

/// Where `x` is not 0 (or true): one int32 tensor of indices per axis, in row-major order of the
/// elements.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let x = Tensor::from_slice(&[0.0f32, 2.0, 3.0, 0.0], &[2, 2])?;
/// let at = ops::nonzero(&x)?;
/// assert_eq!(at[0].to_vec::<i32>()?, [0, 1]);
/// assert_eq!(at[1].to_vec::<i32>()?, [1, 0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
///
/// # Errors
/// Unsupported: positions do not fit int32. Memory: the results cannot be had.
pub fn nonzero(x: &Tensor) -> Result<SmallVec<[Tensor; MAX_DIMS]>> {
    let mask = match x.dtype() {
        DType::Bool => x.clone(),
        dtype => not_equal(x, &Tensor::zeros(&[], dtype)?)?,
    };
    let flat = positions("nonzero", &mask)?;
    let strides = x.shape().contiguous_strides();
    (0..x.ndim())
        .map(|d| {
            let inner = Tensor::full(&[], strides[d].max(1) as i64, DType::I32)?;
            let extent = Tensor::full(&[], x.shape()[d].max(1) as i64, DType::I32)?;
            modulo(&floor_div(&flat, &inner)?, &extent)
        })
        .collect()
}

/// The elements of `x` where `mask` is true, and their positions in row-major order (int32).
///
/// # Errors
/// Shape: `mask` has not `x`'s shape. DType: it is not bool. Memory: the results cannot be had.
pub fn cond_take(mask: &Tensor, x: &Tensor) -> Result<(Tensor, Tensor)> {
    let same = mask.shape() == x.shape();
    ensure!(same, Shape, "cond_take: the mask {mask} has not the shape of {x}");
    let at = positions("cond_take", mask)?.named(x.device());
    Ok((take(&reshape(x, &[x.numel()])?, 0, &at)?, at))
}

/// Classes as rows of zeros and a one.
#[derive(Attributes)]
pub(crate) struct OneHot {
    pub classes: usize,
}

impl Op for OneHot {
    fn name(&self) -> &'static str {
        "one_hot"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        expect_index(self.name(), x[0])?;
        let mut dims: SmallVec<[usize; MAX_DIMS]> = x[0].shape()[..].into();
        dims.push(self.classes);
        Ok(Meta::one(Shape::new(&dims)?, DType::I32))
    }
}

/// A new last axis of extent `classes` that is 1 at the index and 0 elsewhere; int32.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let y = ops::one_hot(&Tensor::from_slice(&[2, 0], &[2])?, 3)?;
/// assert_eq!(y.to_vec::<i32>()?, [0, 0, 1, 1, 0, 0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
///
/// # Errors
/// Index: an index is not in 0..classes. DType: the indices are not integers. Memory: the result
/// cannot be had.
pub fn one_hot(index: &Tensor, classes: usize) -> Result<Tensor> {
    apply1(OneHot { classes }, &[index])
}

/// One element of every line along `axis`: `y[i, k] = src[i, index[i, k], k]` for `axis` 1 of 3. The
/// index has the shape of `src` without that axis; with `keepdims` the result keeps the axis with
/// extent 1.
///
/// # Errors
/// Index: the axis is out of range, or an index is not in 0..its extent. Shape: the index has
/// another shape. DType: the indices are not integers. Memory: the result cannot be had.
pub fn indexing_one_hot(
    src: &Tensor,
    index: &Tensor,
    axis: isize,
    keepdims: bool,
) -> Result<Tensor> {
    const NAME: &str = "indexing_one_hot";
    let a = normalize_axis(NAME, axis, src.ndim())?;
    ensure!(index.dtype().is_int(), DType, "{NAME}: indices must be integers, not {index}");
    let wanted = src.shape().without(a);
    ensure!(
        *index.shape() == wanted,
        Shape,
        "{NAME}: indices {index} into axis {a} of {src} need shape {wanted}"
    );
    let y = apply1(Gather::classes(a), &[src, &expand_dims(index, &[a as isize])?])?;
    if keepdims { Ok(y) } else { squeeze(&y, Some(&[a as isize])) }
}
