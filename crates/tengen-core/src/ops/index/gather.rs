//! Elements along an axis by index: gathered, scattered, added.

use super::region::{Part, Parts, assign, region, zeros_of};
use super::rows::Split;
use super::{Failed, TASK, as_index, expect_index, out_of_range, with_indices};
use crate::autograd::Gradient;
use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::ops::{cast, equal, select};
use crate::raw::{bits, bits_mut, by_size};
use crate::shape::{Shape, normalize_axis};
use crate::{DType, Result, Tensor, apply1, bail, dispatch, ensure};
use bytemuck::Pod;
use smallvec::smallvec;
use tengen_kernels::index::{self as kernels, OutOfRange};
use tengen_kernels::pool;
use tengen_kernels::pool::Shared;

/// Checks indices into `axis` of `x`, which have all its other extents.
fn expect_along(op: &str, x: &Tensor, axis: usize, index: &Tensor) -> Result<()> {
    expect_index(op, index)?;
    let fits = index.ndim() == x.ndim()
        && (0..x.ndim()).all(|d| d == axis || index.shape()[d] == x.shape()[d]);
    ensure!(fits, Shape, "{op}: indices {index} into axis {axis} do not fit {x}");
    Ok(())
}

/// Runs `f(first outer row, last)` for parts of the outer rows.
fn for_outer(s: Split, picks: usize, f: impl Fn(usize, usize) + Sync) {
    pool::for_ranges(s.outer, (TASK / (picks * s.inner).max(1)).max(1), f);
}

struct Gather(usize);

impl Op for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }
    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        expect_along(self.name(), x[0], self.0, x[1])?;
        Ok(Meta::one(*x[1].shape(), x[0].dtype()))
    }
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        fn run<U: Pod + Sync, I: kernels::Index>(
            src: &[U],
            s: Split,
            index: &[I],
            picks: usize,
            y: *mut U,
        ) -> Result<(), OutOfRange> {
            let failed = Failed::default();
            let (y, row, part) = (Shared(y), s.n * s.inner, picks * s.inner);
            let gather = |src: &[U], at: usize, n: usize, picks: usize| {
                // SAFETY: `y` is new and has as many elements as there are indices, of which each
                // task has its own.
                let dst = unsafe { std::slice::from_raw_parts_mut(y.at(at), n) };
                let index = &index[at..at + n];
                failed.note(kernels::gather(src, s.n, s.inner, index, picks, dst));
            };
            if s.outer == 1 {
                pool::for_ranges(picks, (TASK / s.inner.max(1)).max(1), |from, to| {
                    gather(src, from * s.inner, (to - from) * s.inner, to - from);
                });
            } else {
                for_outer(s, picks, |from, to| {
                    gather(&src[from * row..to * row], from * part, (to - from) * part, picks);
                });
            }
            failed.first(index, s.n)
        }
        let (t, index) = (x[0].contiguous()?, as_index(x[1])?);
        let y = Tensor::empty(out[0].shape, out[0].dtype)?;
        let (s, picks) = (Split::at(t.shape(), self.0), index.shape()[self.0]);
        by_size!(t.dtype(), U => with_indices!(index, i => {
            run::<U, _>(bits(&t), s, i, picks, y.ptr::<u8>().cast())
        }))
        .map_err(|e| out_of_range(self.name(), e, self.0, x[0]))?;
        Ok(smallvec![y])
    }
    fn saves(&self, _: DType) -> Saves {
        Saves { inputs: 0b10, outputs: false }
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        g.each(|k| {
            let Meta { shape, dtype } = g.input_meta(0);
            Ok(match k {
                0 => {
                    let zeros = zeros_of(&shape, dtype)?;
                    Some(apply1(ScatterAdd(self.0), &[&zeros, g.input(1)?, &g.dy(0)?])?)
                }
                _ => None,
            })
        })
    }
}

fn expect_source(op: &str, axis: usize, x: &[&Tensor]) -> Result<Metas> {
    expect_along(op, x[0], axis, x[1])?;
    let same = x[2].shape() == x[1].shape();
    ensure!(same, Shape, "{op}: the source {} has not the shape of the indices {}", x[2], x[1]);
    if x[2].dtype() != x[0].dtype() {
        bail!(DType, "{op}: {} and {} differ in dtype", x[0], x[2]);
    }
    Ok(Meta::one(*x[0].shape(), x[0].dtype()))
}

/// Hands outer rows of `y`, indices and source to `f` on several threads.
fn by_rows<T: Copy + Send + Sync, I: kernels::Index>(
    y: &mut [T],
    s: Split,
    index: &[I],
    picks: usize,
    source: &[T],
    f: impl Fn(&mut [T], &[I], &[T]) -> Result<(), OutOfRange> + Sync,
) -> Result<(), OutOfRange> {
    kernels::check_indices(index, s.n)?;
    let (row, part, p) = (s.n * s.inner, picks * s.inner, Shared(y.as_mut_ptr()));
    for_outer(s, picks, |from, to| {
        // SAFETY: each task has its outer rows of `y` to itself.
        let y = unsafe { std::slice::from_raw_parts_mut(p.at(from * row), (to - from) * row) };
        let done = f(y, &index[from * part..to * part], &source[from * part..to * part]);
        debug_assert!(done.is_ok());
    });
    Ok(())
}

struct Scatter(usize);

impl Op for Scatter {
    fn name(&self) -> &'static str {
        "scatter"
    }
    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        expect_source(self.name(), self.0, x)
    }
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        let mut y = x[0].copy()?;
        let (index, source) = (as_index(x[1])?, x[2].contiguous()?);
        let (s, picks) = (Split::at(y.shape(), self.0), index.shape()[self.0]);
        by_size!(y.dtype(), U => with_indices!(index, i => {
            by_rows(bits_mut::<U>(&mut y)?, s, i, picks, bits(&source), |y, i, source| {
                kernels::scatter(y, s.n, s.inner, i, picks, source)
            })
        }))
        .map_err(|e| out_of_range(self.name(), e, self.0, x[0]))?;
        Ok(smallvec![y])
    }
    fn saves(&self, _: DType) -> Saves {
        Saves { inputs: 0b10, outputs: false }
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let (dy, index) = (g.dy(0)?, g.input(1)?);
        g.each(|k| {
            Ok(match k {
                0 => {
                    let zeros = zeros_of(index.shape(), dy.dtype())?;
                    Some(apply1(Scatter(self.0), &[&dy, index, &zeros])?)
                }
                2 => {
                    let d = apply1(Gather(self.0), &[&dy, index])?;
                    let zero = Tensor::zeros(&[], d.dtype())?;
                    Some(select(&winners(index, &g.input_meta(0).shape, self.0)?, &d, &zero)?)
                }
                _ => None,
            })
        })
    }
}

/// Which indices are not overwritten by an equal one after them.
fn winners(index: &Tensor, shape: &Shape, axis: usize) -> Result<Tensor> {
    let mut order = Tensor::empty(*index.shape(), DType::I64)?;
    order.as_mut_slice::<i64>()?.iter_mut().enumerate().for_each(|(k, o)| *o = k as i64);
    let placed = apply1(Scatter(axis), &[&zeros_of(shape, DType::I64)?, index, &order])?;
    equal(&apply1(Gather(axis), &[&placed, index])?, &order)
}

struct ScatterAdd(usize);

impl Op for ScatterAdd {
    fn name(&self) -> &'static str {
        "scatter_add"
    }
    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        ensure!(x[0].dtype() != DType::Bool, DType, "scatter_add: {} cannot be added to", x[0]);
        expect_source(self.name(), self.0, x)
    }
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        let mut y = x[0].copy()?;
        let (index, source) = (as_index(x[1])?, x[2].contiguous()?);
        let (s, picks) = (Split::at(y.shape(), self.0), index.shape()[self.0]);
        dispatch!(y.dtype(), [U8, I8, I16, I32, I64, F16, BF16, F32, F64], T => {
            let source = source.as_slice::<T>()?;
            with_indices!(index, i => {
                by_rows(y.as_mut_slice::<T>()?, s, i, picks, source, |y, i, source| {
                    kernels::scatter_add(y, s.n, s.inner, i, picks, source)
                })
            })
        }, else Ok(()))
        .map_err(|e| out_of_range(self.name(), e, self.0, x[0]))?;
        Ok(smallvec![y])
    }
    fn saves(&self, _: DType) -> Saves {
        Saves { inputs: 0b10, outputs: false }
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let dy = g.dy(0)?;
        g.each(|k| {
            Ok(match k {
                0 => Some(dy.clone()),
                2 => Some(apply1(Gather(self.0), &[&dy, g.input(1)?])?),
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
        None => apply1(Gather(axis), &[x, index]),
        Some(parts) => apply1(Gather(axis), &[&region(x, &parts)?, index]),
    }
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
    place(Scatter(axis), x, axis, index, source)
}

/// `x` with elements added along `axis`, in the order of the indices; otherwise as [`scatter`].
///
/// # Errors
/// As [`scatter`].
pub fn scatter_add(x: &Tensor, axis: isize, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let axis = normalize_axis("scatter_add", axis, x.ndim())?;
    place(ScatterAdd(axis), x, axis, index, source)
}
