//! Slices along an axis by index: taken, replaced, added to.

use super::region::zeros_of;
use super::{Failed, TASK, as_index, expect_index, out_of_range, with_indices};
use crate::autograd::Gradient;
use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::ops::{reshape, select};
use crate::raw::{bits, bits_mut, by_size};
use crate::shape::{MAX_DIMS, Shape, normalize_axis};
use crate::{DType, Result, Tensor, apply1, bail, dispatch, ensure};
use bytemuck::Pod;
use smallvec::{SmallVec, smallvec};
use tengen_kernels::index::{self as kernels, Index, OutOfRange};
use tengen_kernels::pool;
use tengen_kernels::pool::Shared;

/// The fewest columns of a task that has some columns of all rows.
const COLUMNS: usize = 64;

/// A tensor as `[outer, n, inner]`.
#[derive(Clone, Copy)]
pub(super) struct Split {
    pub outer: usize,
    pub n: usize,
    pub inner: usize,
}

impl Split {
    pub(super) fn at(shape: &Shape, axis: usize) -> Split {
        let [outer, inner] = [&shape[..axis], &shape[axis + 1..]].map(|d| d.iter().product());
        Split { outer, n: shape[axis], inner }
    }
}

/// The shape with the axis replaced by the axes of the index.
fn picked(shape: &Shape, axis: usize, index: &Shape) -> Result<Shape> {
    let mut dims: SmallVec<[usize; MAX_DIMS]> = shape[..axis].into();
    dims.extend_from_slice(index);
    dims.extend_from_slice(&shape[axis + 1..]);
    Shape::new(&dims)
}

/// Calls `f(outer row, first pick, last pick)` for parts of the picks of every outer row.
fn for_picks(s: Split, picks: usize, f: impl Fn(usize, usize, usize) + Sync) {
    if s.outer == 1 {
        pool::for_ranges(picks, (TASK / s.inner.max(1)).max(1), |from, to| f(0, from, to));
    } else {
        let grain = (TASK / (picks * s.inner).max(1)).max(1);
        pool::for_ranges(s.outer, grain, |from, to| (from..to).for_each(|o| f(o, 0, picks)));
    }
}

/// `y[.., k, ..] = x[.., index[k], ..]`, with the index' axes in place of one axis.
struct Take(usize);

impl Op for Take {
    fn name(&self) -> &'static str {
        "take"
    }
    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        expect_index(self.name(), x[1])?;
        Ok(Meta::one(picked(x[0].shape(), self.0, x[1].shape())?, x[0].dtype()))
    }
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        fn run<U: Pod + Sync, I: kernels::Index>(
            src: &[U],
            s: Split,
            index: &[I],
            y: *mut U,
        ) -> Result<(), OutOfRange> {
            let failed = Failed::default();
            let (y, row) = (Shared(y), s.n * s.inner);
            for_picks(s, index.len(), |o, from, to| {
                let at = (o * index.len() + from) * s.inner;
                let src = &src[o * row..(o + 1) * row];
                // SAFETY: `y` is new and has `outer · picks · inner` elements, of which each task
                // has its own.
                let dst =
                    unsafe { std::slice::from_raw_parts_mut(y.at(at), (to - from) * s.inner) };
                failed.note(kernels::take_rows(src, s.n, s.inner, &index[from..to], dst));
            });
            failed.first(index, s.n)
        }
        let (t, index) = (x[0].contiguous()?, as_index(x[1])?);
        let y = Tensor::empty(out[0].shape, out[0].dtype)?;
        let s = Split::at(t.shape(), self.0);
        by_size!(t.dtype(), U => with_indices!(index, i => {
            run::<U, _>(bits(&t), s, i, y.ptr::<u8>().cast())
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
                    Some(apply1(IndexAdd(self.0), &[&zeros, g.input(1)?, &g.dy(0)?])?)
                }
                _ => None,
            })
        })
    }
}

/// Checks the source of slices that go to `index` along `axis` of `x`.
fn expect_source(op: &str, axis: usize, x: &[&Tensor]) -> Result<Metas> {
    expect_index(op, x[1])?;
    let wanted = picked(x[0].shape(), axis, x[1].shape())?;
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
struct IndexAdd(usize);

impl Op for IndexAdd {
    fn name(&self) -> &'static str {
        "index_add"
    }
    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        ensure!(x[0].dtype() != DType::Bool, DType, "index_add: {} cannot be added to", x[0]);
        expect_source(self.name(), self.0, x)
    }
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        fn run<T: kernels::Number, I: kernels::Index>(
            y: &mut [T],
            s: Split,
            index: &[I],
            source: &[T],
        ) -> Result<(), OutOfRange> {
            kernels::check_indices(index, s.n)?;
            // Every task looks at all indices, so with one outer row there are few tasks.
            let tasks = if source.len() < TASK || s.inner < 16 { 1 } else { 8 };
            let (grain, row) = (s.n.div_ceil(tasks).max(1), s.n * s.inner);
            let p = Shared(y.as_mut_ptr());
            let add = |o: usize, first: usize, to: usize| {
                let at = o * row + first * s.inner;
                // SAFETY: each task has rows `first..to` of outer row `o` of `y` to itself.
                let dst =
                    unsafe { std::slice::from_raw_parts_mut(p.at(at), (to - first) * s.inner) };
                let source = &source[o * index.len() * s.inner..(o + 1) * index.len() * s.inner];
                let done = kernels::add_rows(dst, first, s.n, s.inner, index, source);
                debug_assert!(done.is_ok());
            };
            if s.outer == 1 {
                pool::for_ranges(s.n, grain, |from, to| add(0, from, to));
            } else {
                let grain = (TASK / (index.len() * s.inner).max(1)).max(1);
                pool::for_ranges(s.outer, grain, |a, b| (a..b).for_each(|o| add(o, 0, s.n)));
            }
            Ok(())
        }
        let mut y = x[0].copy()?;
        let (index, source, s) =
            (as_index(x[1])?, x[2].contiguous()?, Split::at(x[0].shape(), self.0));
        dispatch!(y.dtype(), [U8, I8, I16, I32, I64, F16, BF16, F32, F64], T => {
            let source = source.as_slice::<T>()?;
            with_indices!(index, i => run(y.as_mut_slice::<T>()?, s, i, source))
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
                2 => Some(apply1(Take(self.0), &[&dy, g.input(1)?])?),
                _ => None,
            })
        })
    }
}

/// `x` with `y[.., index[k], ..] = source[.., k, ..]`; of equal indices the last wins.
struct Put(usize);

impl Put {
    fn write(&self, y: &mut Tensor, s: Split, index: &Tensor, source: &Tensor) -> Result<()> {
        fn run<U: Pod + Sync, I: kernels::Index>(
            y: &mut [U],
            s: Split,
            index: &[I],
            source: &[U],
        ) -> Result<(), OutOfRange> {
            kernels::check_indices(index, s.n)?;
            let (row, p) = (s.n * s.inner, Shared(y.as_mut_ptr()));
            let picks = index.len() * s.inner;
            if s.outer == 1 && picks > TASK && s.inner >= 2 * COLUMNS {
                // Equal indices must be written in order, so tasks share the columns instead.
                pool::for_ranges(s.inner, s.inner.div_ceil(8).max(COLUMNS), |from, to| {
                    // SAFETY: `y` has `row` elements, and each task has its columns to itself.
                    let done = unsafe {
                        kernels::put_columns(p.at(0), s.n, s.inner, from..to, index, source)
                    };
                    debug_assert!(done.is_ok());
                });
                return Ok(());
            }
            pool::for_ranges(s.outer, (TASK / picks.max(1)).max(1), |from, to| {
                for o in from..to {
                    // SAFETY: each task has its outer rows of `y` to itself.
                    let dst = unsafe { std::slice::from_raw_parts_mut(p.at(o * row), row) };
                    let source = &source[o * picks..(o + 1) * picks];
                    let done = kernels::put_rows(dst, s.n, s.inner, index, source);
                    debug_assert!(done.is_ok());
                }
            });
            Ok(())
        }
        let (index, source) = (as_index(index)?, source.contiguous()?);
        by_size!(y.dtype(), U => with_indices!(index, i => {
            run::<U, _>(bits_mut(y)?, s, i, bits(&source))
        }))
        .map_err(|e| out_of_range(self.name(), e, self.0, y))
    }
}

impl Op for Put {
    fn name(&self) -> &'static str {
        "setitem"
    }
    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        expect_source(self.name(), self.0, x)
    }
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        let mut y = x[0].copy()?;
        self.write(&mut y, Split::at(x[0].shape(), self.0), x[1], x[2])?;
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
                    let zeros = zeros_of(&g.input_meta(2).shape, dy.dtype())?;
                    Some(put(&dy, self.0, index, &zeros)?)
                }
                2 => {
                    let d = apply1(Take(self.0), &[&dy, index])?;
                    Some(match winners(index, &g.input_meta(0).shape, self.0)? {
                        None => d,
                        Some(mask) => {
                            // The mask's axes stand where the axis was.
                            let mut dims: SmallVec<[usize; MAX_DIMS]> = mask.shape()[..].into();
                            dims.resize(d.ndim() - self.0, 1);
                            let zero = Tensor::zeros(&[], d.dtype())?;
                            select(&reshape(&mask, &dims)?, &d, &zero)?
                        }
                    })
                }
                _ => None,
            })
        })
    }
}

/// Which indices are not overwritten by an equal one after them; `None` if that is all of them.
fn winners(index: &Tensor, shape: &Shape, axis: usize) -> Result<Option<Tensor>> {
    if shape.numel() == 0 {
        return Ok(None);
    }
    let n = shape[axis];
    let (index, mut last) = (as_index(index)?, Tensor::full(&[n], -1, DType::I64)?);
    let last = last.as_mut_slice::<i64>()?;
    let mut wins = Tensor::empty(*index.shape(), DType::U8)?;
    let out = wins.as_mut_slice::<u8>()?;
    let unique = with_indices!(index, i => {
        let at = |i: i64| if i < 0 { (i + n as i64) as usize } else { i as usize };
        i.iter().enumerate().for_each(|(k, i)| last[at(i.to_i64())] = k as i64);
        let mut unique = true;
        for (k, (i, w)) in i.iter().zip(out).enumerate() {
            *w = u8::from(last[at(i.to_i64())] == k as i64);
            unique &= *w == 1;
        }
        unique
    });
    if unique { Ok(None) } else { super::cast_raw(&wins, DType::Bool).map(Some) }
}

/// `x` with the slices at `index` along `axis` replaced by those of `source`, whose shape is that
/// of [`take`]'s result.
pub(super) fn put(x: &Tensor, axis: usize, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    apply1(Put(axis), &[x, index, source])
}

/// [`put`] without a record and without checks, to `x` itself if this is its only handle; `x` is
/// seen as `split`.
pub(super) fn put_in_place(
    x: &mut Tensor,
    split: Split,
    index: &Tensor,
    source: &Tensor,
) -> Result<()> {
    Put(0).write(x, split, index, source)
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
    apply1(Take(normalize_axis("take", axis, x.ndim())?), &[x, index])
}

/// `x` with slices added at the given places of `axis`: `y[.., index[i], ..] += source[.., i, ..]`,
/// in the order of i. The shape of `source` is that of [`take`]'s result.
///
/// # Errors
/// Index: the axis or an index is out of range. Shape: `source` has another shape. DType: the
/// indices are not integers, or `source` differs in dtype. Memory: the result cannot be had.
pub fn index_add(x: &Tensor, axis: isize, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    apply1(IndexAdd(normalize_axis("index_add", axis, x.ndim())?), &[x, index, source])
}
