//! Selection by condition, and classes as vectors.

use super::{as_index, expect_index, gather, take, with_indices};
use crate::op::{Meta, Metas, Op, Tensors};
use crate::ops::{expand_dims, not_equal, reshape, squeeze};
use crate::raw::bits;
use crate::shape::{MAX_DIMS, Shape, normalize_axis};
use crate::{DType, Result, Tensor, apply1, bail, ensure};
use smallvec::{SmallVec, smallvec};
use tengen_kernels::index::{self as kernels, Index};

/// The positions in row-major order of the true elements of a bool tensor; i32.
pub(super) fn positions(op: &str, mask: &Tensor) -> Result<Tensor> {
    ensure!(mask.dtype() == DType::Bool, DType, "{op}: the mask must be bool, not {mask}");
    let fits = i32::try_from(mask.numel()).is_ok();
    ensure!(fits, Unsupported, "{op}: positions in {mask} do not fit int32");
    let mask = mask.contiguous()?;
    let bytes = bits::<u8>(&mask);
    let mut out = Tensor::empty(Shape::new(&[kernels::count_nonzero(bytes)])?, DType::I32)?;
    kernels::nonzero(bytes, 0, out.as_mut_slice::<i32>()?);
    Ok(out)
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
    let flat = flat.as_slice::<i32>()?;
    (0..x.ndim())
        .map(|d| {
            let inner: usize = x.shape()[d + 1..].iter().product();
            let mut at = Tensor::empty(Shape::new(&[flat.len()])?, DType::I32)?;
            for (a, p) in at.as_mut_slice::<i32>()?.iter_mut().zip(flat) {
                *a = (*p as usize / inner.max(1) % x.shape()[d].max(1)) as i32;
            }
            Ok(at.to_device(x.device()))
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
    let at = positions("cond_take", mask)?.to_device(x.device());
    Ok((take(&reshape(x, &[x.numel()])?, 0, &at)?, at))
}

struct OneHot(usize);

impl Op for OneHot {
    fn name(&self) -> &'static str {
        "one_hot"
    }
    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        expect_index(self.name(), x[0])?;
        let mut dims: SmallVec<[usize; MAX_DIMS]> = x[0].shape()[..].into();
        dims.push(self.0);
        Ok(Meta::one(Shape::new(&dims)?, DType::I32))
    }
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let mut y = Tensor::zeros(&out[0].shape, DType::I32)?;
        if out[0].shape.numel() == 0 {
            return Ok(smallvec![y]);
        }
        let index = as_index(x[0])?;
        expect_in_range(self.name(), &index, self.0, "the number of classes")?;
        let rows = y.as_mut_slice::<i32>()?.chunks_exact_mut(self.0);
        with_indices!(index, i => {
            rows.zip(i).for_each(|(row, i)| row[*i as usize] = 1);
        });
        Ok(smallvec![y])
    }
}

/// Checks that indices, as of [`as_index`], are in 0..n: classes do not count from the end.
fn expect_in_range(op: &str, index: &Tensor, n: usize, what: &str) -> Result<()> {
    let bad = with_indices!(index, i => {
        let outside = |i: &&_| usize::try_from(**i).map_or(true, |i| i >= n);
        i.iter().find(outside).map(|i| i.to_i64())
    });
    if let Some(i) = bad {
        bail!(Index, "{op}: index {i} is not in 0..{n}, {what}");
    }
    Ok(())
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
    apply1(OneHot(classes), &[index])
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
    expect_index(NAME, index)?;
    let wanted = src.shape().without(a);
    ensure!(
        *index.shape() == wanted,
        Shape,
        "{NAME}: indices {index} into axis {a} of {src} need shape {wanted}"
    );
    expect_in_range(NAME, &as_index(index)?, src.shape()[a], "the extent of the axis")?;
    let y = gather(src, a as isize, &expand_dims(index, &[a as isize])?)?;
    if keepdims { Ok(y) } else { squeeze(&y, Some(&[a as isize])) }
}
