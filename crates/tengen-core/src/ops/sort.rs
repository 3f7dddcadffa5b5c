//! Sorting, the greatest and least elements, running sums.

use super::index::{scatter_add, zeros_of};
use super::{cast, expand_dims, swapaxes};
use crate::autograd::Gradient;
use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::shape::{Shape, normalize_axis};
use crate::{DType, Element, Error, Result, Tensor, apply, apply1, bail, dispatch, ensure};
use smallvec::smallvec;
use std::sync::Mutex;
use tengen_kernels::index::cumsum as cumsum_kernel;
use tengen_kernels::pool;
use tengen_kernels::pool::Shared;
use tengen_kernels::sort::{Order, SortKey, kth_rows, scratch_len, topk_rows};

/// Elements that one task sorts.
const TASK: usize = 1 << 12;

/// The first `k` elements of each row in order, or only the k-th.
#[derive(Clone, Copy)]
struct TopK {
    k: usize,
    descending: bool,
    sorted: bool,
    kth_only: bool,
}

impl TopK {
    fn eval_as<T: Element + SortKey + bytemuck::Pod>(
        self,
        x: &Tensor,
        n: usize,
        values: &mut Tensor,
        indices: &mut Tensor,
    ) -> Result<()> {
        let width = if self.kth_only { 1 } else { self.k };
        let order = if self.descending { Order::Descending } else { Order::Ascending };
        let src = x.as_slice::<T>()?;
        let rows = src.len().checked_div(n).unwrap_or(0);
        let v = Shared(values.as_mut_slice::<T>()?.as_mut_ptr());
        let i = Shared(indices.as_mut_slice::<i32>()?.as_mut_ptr());
        let failed = Mutex::new(None::<Error>);
        pool::for_ranges(rows, (TASK / n.max(1)).max(1), |from, to| {
            let scratch = Shape::new(&[scratch_len(n)])
                .and_then(|s| Tensor::empty(s, DType::I64))
                .and_then(|mut t| {
                    let words = bytemuck::cast_slice_mut(t.as_mut_slice::<i64>()?);
                    let (at, len) = ((from * width) as isize, (to - from) * width);
                    // SAFETY: both results have `width` elements per row, and each task has its
                    // rows to itself.
                    let (v, i) = unsafe {
                        let v = std::slice::from_raw_parts_mut(v.offset(at), len);
                        (v, std::slice::from_raw_parts_mut(i.offset(at), len))
                    };
                    let src = &src[from * n..to * n];
                    if self.kth_only {
                        kth_rows(src, n, self.k - 1, order, Some(v), i, words);
                    } else {
                        topk_rows(src, n, self.k, order, self.sorted, Some(v), i, words);
                    }
                    Ok(())
                });
            if let Err(e) = scratch {
                *failed.lock().unwrap_or_else(|e| e.into_inner()) = Some(e);
            }
        });
        failed.into_inner().unwrap_or_else(|e| e.into_inner()).map_or(Ok(()), Err)
    }
}

impl Op for TopK {
    fn name(&self) -> &'static str {
        "topk"
    }

    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
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

    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let n = x[0].shape().last().copied().unwrap_or(0);
        let t = x[0].contiguous()?;
        let mut values = Tensor::empty(out[0].shape, out[0].dtype)?;
        let mut indices = Tensor::empty(out[1].shape, DType::I32)?;
        dispatch!(t.dtype(), [U8, I8, I16, I32, I64, F16, BF16, F32, F64], T => {
            self.eval_as::<T>(&t, n, &mut values, &mut indices)
        }, else Ok(()))?;
        Ok(smallvec![values, indices])
    }

    fn saves(&self, _: DType) -> Saves {
        Saves::OUTPUTS
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

fn two(results: Tensors) -> (Tensor, Tensor) {
    let mut results = results.into_iter();
    match (results.next(), results.next()) {
        (Some(values), Some(indices)) => (values, indices),
        _ => unreachable!("topk has two results"),
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

/// Running sums along one axis.
struct Cumsum {
    axis: usize,
    reverse: bool,
}

impl Op for Cumsum {
    fn name(&self) -> &'static str {
        "cumsum"
    }
    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        ensure!(x[0].dtype() != DType::Bool, DType, "cumsum: {} cannot be summed", x[0]);
        Ok(Meta::one(*x[0].shape(), x[0].dtype()))
    }
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let t = x[0].contiguous()?;
        let mut y = Tensor::empty(out[0].shape, out[0].dtype)?;
        let (n, inner) = (t.shape()[self.axis], t.shape()[self.axis + 1..].iter().product());
        dispatch!(t.dtype(), [U8, I8, I16, I32, I64, F16, BF16, F32, F64], T => {
            let (src, plane) = (t.as_slice::<T>()?, n * inner);
            let dst = Shared(y.as_mut_slice::<T>()?.as_mut_ptr());
            let outer = src.len().checked_div(plane).unwrap_or(0);
            pool::for_ranges(outer, ((1 << 14) / plane.max(1)).max(1), |from, to| {
                let (at, len) = ((from * plane) as isize, (to - from) * plane);
                // SAFETY: each task has its outer rows of the new result to itself.
                let dst = unsafe { std::slice::from_raw_parts_mut(dst.offset(at), len) };
                cumsum_kernel(&src[from * plane..to * plane], n, inner, self.reverse, dst);
            });
        }, else bail!(DType, "cumsum: {} cannot be summed", x[0]));
        Ok(smallvec![y])
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let op = || Cumsum { axis: self.axis, reverse: !self.reverse };
        g.each(|_| Ok(Some(apply1(op(), &[&g.dy(0)?])?)))
    }
}

/// Running sums: `y[k] = Σ x[i]` over i ≤ k along `axis`. Integers wrap; bools are counted as i32.
///
/// # Errors
/// Index: the axis is out of range. Memory: the result cannot be had.
pub fn cumsum(x: &Tensor, axis: isize) -> Result<Tensor> {
    let axis = normalize_axis("cumsum", axis, x.ndim())?;
    let x = &cast(x, if x.dtype() == DType::Bool { DType::I32 } else { x.dtype() })?;
    apply1(Cumsum { axis, reverse: false }, &[x])
}
