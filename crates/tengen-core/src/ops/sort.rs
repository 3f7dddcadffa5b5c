//! Sorting, the greatest and least elements.

use super::index::{scatter_add, zeros_of};
use super::{expand_dims, swapaxes};
use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Entry, Grads, Meta, Metas, Op, Saves, Tensors};
use crate::shape::normalize_axis;
use crate::{DType, Result, Tensor, apply, bail, ensure};
use smallvec::smallvec;

pub(super) const OPERATORS: &[&[Entry]] = &[&[Entry::of::<TopK>(&["topk"])]];

/// The first `k` elements of each row in order, or only the k-th.
#[derive(Clone, Copy, Attributes)]
pub(crate) struct TopK {
    pub k: usize,
    pub descending: bool,
    pub sorted: bool,
    pub kth_only: bool,
}

impl Op for TopK {
    fn name(&self) -> &'static str {
        "topk"
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let Some(n) = x[0].shape().last().copied() else {
            bail!(Shape, "{}: {} has no axis to sort along", self.name(), x[0])
        };
        let fits = i32::try_from(n).is_ok();
        ensure!(fits, Unsupported, "{}: positions in {} do not fit int32", self.name(), x[0]);
        if x[0].dtype() == DType::Bool {
            bail!(DType, "{}: {} has no order; convert it to numbers", self.name(), x[0]);
        }
        let possible = self.k <= n && (self.k > 0 || !self.kth_only);
        ensure!(possible, Value, "{}: there is no k = {} of {}", self.name(), self.k, x[0]);
        let last = x[0].ndim() - 1;
        let shape = if self.kth_only {
            x[0].shape().without(last)
        } else {
            x[0].shape().with(last, self.k)?
        };
        Ok(smallvec![Meta { shape, dtype: x[0].dtype() }, Meta { shape, dtype: DType::I32 }])
    }

    fn saves(&self, _: DType) -> Saves {
        Saves { inputs: 0, outputs: 0b10 }
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let (mut dy, mut at) = (g.dy(0)?, g.output(1)?.clone());
        if self.kth_only {
            (dy, at) = (expand_dims(&dy, &[-1])?, expand_dims(&at, &[-1])?);
        }
        let Meta { shape, dtype } = g.input_meta(0);
        // Along the other axes the positions have all of `x`'s extents.
        g.each(|_| Ok(Some(scatter_add(&zeros_of(&shape, dtype)?, -1, &at, &dy)?)))
    }
}

/// Values and indices.
pub(super) fn two(results: Tensors) -> (Tensor, Tensor) {
    let mut results = results.into_iter();
    match (results.next(), results.next()) {
        (Some(values), Some(indices)) => (values, indices),
        _ => unreachable!("values and indices are two results"),
    }
}

/// The elements in rising (or falling) order along `axis`, and their positions (int32). NaN counts
/// as greatest. Equal elements come in the order of their positions, and in falling order in the
/// reverse of it.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let x = Tensor::from_slice(&[3.0f32, 1.0, 2.0], &[3])?;
/// let (values, indices) = ops::sort(&x, -1, false)?;
/// assert_eq!(values.to_vec::<f32>()?, [1.0, 2.0, 3.0]);
/// assert_eq!(indices.to_vec::<i32>()?, [1, 2, 0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
///
/// # Errors
/// Index: the axis is out of range. DType: bools. Unsupported: positions do not fit int32. Memory:
/// the results cannot be had.
pub fn sort(x: &Tensor, axis: isize, descending: bool) -> Result<(Tensor, Tensor)> {
    let axis = normalize_axis("sort", axis, x.ndim())? as isize;
    let last = axis as usize + 1 == x.ndim();
    let turned = if last { x.clone() } else { swapaxes(x, axis, -1)? };
    let k = x.shape()[axis as usize];
    let op = TopK { k, descending, sorted: true, kth_only: false };
    let (values, indices) = two(apply(op, &[&turned])?);
    if last {
        return Ok((values, indices));
    }
    Ok((swapaxes(&values, axis, -1)?, swapaxes(&indices, axis, -1)?))
}

/// The positions (int32) that put `x` in rising (or falling) order along `axis`, as of [`sort`].
///
/// # Errors
/// As [`sort`].
pub fn argsort(x: &Tensor, axis: isize, descending: bool) -> Result<Tensor> {
    Ok(sort(&x.detach(), axis, descending)?.1)
}

/// The `k` greatest (or, unless `descending`, least) elements along the last axis and their
/// positions (int32): in order if `sorted`. All of them if there are fewer than `k`.
///
/// # Errors
/// Value: `k` is 0. Shape: `x` has no dimensions. DType: bools. Unsupported: positions do not fit
/// int32. Memory: the results cannot be had.
pub fn topk(x: &Tensor, k: usize, descending: bool, sorted: bool) -> Result<(Tensor, Tensor)> {
    ensure!(k > 0, Value, "topk: k must be at least 1");
    let k = k.min(x.shape().last().copied().unwrap_or(k));
    apply(TopK { k, descending, sorted, kth_only: false }, &[x]).map(two)
}

/// The `k`-th greatest (or, unless `descending`, least) element along the last axis, counted from 1,
/// and its position (int32). The last axis is dropped.
///
/// # Errors
/// As [`topk`]; Value: there are fewer than `k`.
pub fn kth(x: &Tensor, k: usize, descending: bool) -> Result<(Tensor, Tensor)> {
    apply(TopK { k, descending, sorted: true, kth_only: true }, &[x]).map(two)
}
