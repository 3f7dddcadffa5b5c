//! Tensors joined, cut, repeated, turned and padded.

use super::elementwise::promote;
use super::index::{Part, Parts, assign, region};
use super::{cast, expand_dims, reshape, take};
use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Entry, Grads, Meta, Metas, Op, Saves, Tensors};
use crate::shape::{MAX_DIMS, Shape, broadcast, normalize_axis};
use crate::{DType, Result, Scalar, Tensor, apply, apply1, bail, ensure};
use smallvec::{SmallVec, smallvec};

/// A part of `shape`'s axis, and all of the others.
fn range(shape: &Shape, axis: usize, start: usize, len: usize) -> Parts {
    let mut parts: Parts = shape.iter().map(|n| Part::all(*n)).collect();
    parts[axis] = Part::Range { start: if len == 0 { 0 } else { start }, step: 1, len };
    parts
}

pub(super) const OPERATORS: &[&[Entry]] =
    &[&[Entry::of::<Concat>(&["concat"]), Entry::of::<Split>(&["split"])]];

/// Any number of tensors, one after the other along an axis.
#[derive(Attributes)]
pub(crate) struct Concat {
    pub axis: usize,
}

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs > 0
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let (axis, mut extent) = (self.axis, 0usize);
        let Some(first) = x.first().filter(|t| axis < t.ndim()) else {
            bail!(Index, "concat: the tensors have no axis {axis}")
        };
        for t in x {
            let fits = t.ndim() == first.ndim()
                && (0..t.ndim()).all(|d| d == axis || t.shape()[d] == first.shape()[d]);
            ensure!(fits, Shape, "concat: {t} does not fit {first} along axis {axis}");
            if t.dtype() != first.dtype() {
                bail!(DType, "concat: {first} and {t} differ in dtype");
            }
            extent = extent.saturating_add(t.shape()[axis]);
        }
        Ok(Meta::one(first.shape().with(axis, extent)?, first.dtype()))
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let (dy, mut start) = (g.dy(0)?, 0);
        let mut grads = Grads::new();
        for k in 0..g.inputs() {
            let len = g.input_meta(k).shape[self.axis];
            let part = range(dy.shape(), self.axis, start, len);
            grads.push(if g.needs(k) { Some(region(&dy, &part)?) } else { None });
            start += len;
        }
        Ok(grads)
    }
}

/// Tensors one after the other along `axis`; they agree in all other extents and meet in one dtype.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let (a, b) = (Tensor::from_slice(&[1.0f32, 2.0], &[2])?, Tensor::from_slice(&[3.0f32], &[1])?);
/// assert_eq!(ops::concat(&[&a, &b], 0)?.to_vec::<f32>()?, [1.0, 2.0, 3.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
///
/// # Errors
/// Value: no tensors. Index: the axis is out of range. Shape: another extent differs. Memory: the
/// result cannot be had.
pub fn concat(xs: &[&Tensor], axis: isize) -> Result<Tensor> {
    let Some(first) = xs.first() else { bail!(Value, "concat: at least one tensor is needed") };
    let axis = normalize_axis("concat", axis, first.ndim())?;
    if let [only] = xs {
        return Ok((*only).clone());
    }
    if xs.iter().all(|x| x.dtype() == first.dtype()) {
        return apply1(Concat { axis }, xs);
    }
    let dtype = xs.iter().fold(first.dtype(), |d, x| promote([d, x.dtype()]));
    let xs = xs.iter().map(|x| cast(x, dtype)).collect::<Result<Vec<Tensor>>>()?;
    apply1(Concat { axis }, &xs.iter().collect::<Vec<_>>())
}

/// Tensors of one shape along a new axis, at place `axis` of the result; they meet in one dtype.
///
/// # Errors
/// Value: no tensors. Index: the axis is out of range. Shape: the shapes differ. Memory: the result
/// cannot be had.
pub fn stack(xs: &[&Tensor], axis: isize) -> Result<Tensor> {
    let Some(first) = xs.first() else { bail!(Value, "stack: at least one tensor is needed") };
    for x in xs {
        ensure!(x.shape() == first.shape(), Shape, "stack: {first} and {x} differ in shape");
    }
    let axis = normalize_axis("stack", axis, first.ndim() + 1)? as isize;
    let xs = xs.iter().map(|x| expand_dims(x, &[axis])).collect::<Result<Vec<Tensor>>>()?;
    concat(&xs.iter().collect::<Vec<_>>(), axis)
}

/// Cuts an axis at `ends`, the ends of all parts but the last.
#[derive(Attributes)]
pub(crate) struct Split {
    pub axis: usize,
    pub ends: Vec<usize>,
}

impl Split {
    /// Start and length of every part of an axis of extent `n`.
    pub(crate) fn parts(&self, n: usize) -> impl Iterator<Item = (usize, usize)> + '_ {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ends = self.ends.iter().copied().chain(std::iter::once(n));
        starts.zip(ends).map(|(start, end)| (start, end.saturating_sub(start)))
    }
}

impl Op for Split {
    fn name(&self) -> &'static str {
        "split"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let shape = x[0].shape();
        let Some(n) = shape.get(self.axis).copied() else {
            bail!(Index, "split: {} has no axis {}", x[0], self.axis)
        };
        let rising = self.ends.is_sorted() && self.ends.iter().all(|e| *e <= n);
        ensure!(
            rising,
            Value,
            "split: sections {:?} must rise and lie in 0..={n}, axis {} of {}",
            self.ends,
            self.axis,
            x[0]
        );
        let meta = |(_, len)| Ok(Meta { shape: shape.with(self.axis, len)?, dtype: x[0].dtype() });
        self.parts(n).map(meta).collect()
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let dys = (0..=self.ends.len()).map(|k| g.dy(k)).collect::<Result<Vec<_>>>()?;
        Ok(smallvec![Some(concat(&dys.iter().collect::<Vec<_>>(), self.axis as isize)?)])
    }
}

/// `x` cut along `axis` into `parts` views whose extents differ by at most one, the longer ones
/// first, as `np.array_split` does.
///
/// # Errors
/// Value: `parts` is 0. Index: the axis is out of range.
pub fn split(x: &Tensor, parts: usize, axis: isize) -> Result<Tensors> {
    let axis = normalize_axis("split", axis, x.ndim())?;
    ensure!(parts > 0, Value, "split: the number of parts must be at least 1");
    let n = x.shape()[axis];
    let most = n.max(1 << 16);
    ensure!(parts <= most, Value, "split: {parts} parts of an axis of extent {n} are too many");
    let (len, longer) = (n / parts, n % parts);
    let ends = (1..parts).map(|k| k * len + k.min(longer)).collect();
    apply(Split { axis, ends }, &[x])
}

/// `x` cut along `axis` into views that end before each of `ends`, and one that has the rest.
///
/// # Errors
/// Value: `ends` do not rise or exceed the extent. Index: the axis is out of range.
pub fn split_at(x: &Tensor, ends: &[usize], axis: isize) -> Result<Tensors> {
    let axis = normalize_axis("split", axis, x.ndim())?;
    apply(Split { axis, ends: ends.to_vec() }, &[x])
}

/// `[a, b, c]` with axis 1 repeated as a whole or each slice for itself.
fn repeated(x: &Tensor, shape: [usize; 3], n: usize, whole: bool) -> Result<Tensor> {
    let [outer, axis, inner] = shape;
    let (from, to) = if whole {
        ([outer, 1, axis, inner], [outer, n, axis, inner])
    } else {
        ([outer, axis, 1, inner], [outer, axis, n, inner])
    };
    super::broadcast_to(&reshape(x, &from)?, &Shape::new(&to)?)
}

/// Repeats an axis `n` times.
fn repeat_axis(x: &Tensor, axis: usize, n: usize, whole: bool) -> Result<Tensor> {
    let shape = x.shape();
    let Some(extent) = shape[axis].checked_mul(n) else {
        bail!(Shape, "{n} repetitions of axis {axis} of {x} are too many")
    };
    let out = shape.with(axis, extent)?;
    if n == 1 {
        return Ok(x.clone());
    }
    let [outer, inner] = [&shape[..axis], &shape[axis + 1..]].map(|d| d.iter().product());
    reshape(&repeated(x, [outer, shape[axis], inner], n, whole)?, &out)
}

/// `x` repeated `reps[d]` times along each axis, as a whole; with fewer `reps` than axes, along the
/// last ones, and with more, along new leading axes.
///
/// # Errors
/// Shape: the result would have too many dimensions or elements. Memory: it cannot be had.
pub fn tile(x: &Tensor, reps: &[usize]) -> Result<Tensor> {
    let ndim = x.ndim().max(reps.len());
    let mut shape: SmallVec<[usize; MAX_DIMS]> = smallvec![1; ndim - x.ndim()];
    shape.extend_from_slice(x.shape());
    let mut y = reshape(x, &shape)?;
    for (axis, n) in (ndim - reps.len()..ndim).zip(reps).rev() {
        y = repeat_axis(&y, axis, *n, true).map_err(|e| e.context("tile"))?;
    }
    Ok(y)
}

/// Every slice of `x` along `axis` repeated `repeats` times in place; every element of the flattened
/// tensor, if `None`.
///
/// # Errors
/// Index: the axis is out of range. Shape: the result would be too large. Memory: it cannot be had.
pub fn repeat(x: &Tensor, repeats: usize, axis: Option<isize>) -> Result<Tensor> {
    let (x, axis) = match axis {
        Some(axis) => (x.clone(), normalize_axis("repeat", axis, x.ndim())?),
        None => (reshape(x, &[x.numel()])?, 0),
    };
    repeat_axis(&x, axis, repeats, false).map_err(|e| e.context("repeat"))
}

/// The elements moved by `shifts[i]` places along `axes[i]`; what leaves at the end comes back at the
/// beginning. Without axes, the flattened tensor is rolled by the one shift.
///
/// # Errors
/// Value: there are not as many shifts as axes. Index: an axis is out of range. Memory: the result
/// cannot be had.
pub fn roll(x: &Tensor, shifts: &[isize], axes: Option<&[isize]>) -> Result<Tensor> {
    let count = axes.map_or(1, <[isize]>::len);
    let given = shifts.len();
    ensure!(given == count, Value, "roll: {given} shifts for {count} axes");
    let Some(axes) = axes else {
        let flat = roll(&reshape(x, &[x.numel()])?, shifts, Some(&[0]))?;
        return reshape(&flat, x.shape());
    };
    let mut y = x.clone();
    for (shift, axis) in shifts.iter().zip(axes) {
        let axis = normalize_axis("roll", *axis, x.ndim())?;
        let n = x.shape()[axis];
        let by = if n == 0 { 0 } else { shift.rem_euclid(n as isize) as usize };
        if by != 0 {
            let halves = split_at(&y, &[n - by], axis as isize)?;
            y = concat(&[&halves[1], &halves[0]], axis as isize)?;
        }
    }
    Ok(y)
}

/// The elements in reverse order along `axes` (all, if `None`). A view.
///
/// # Errors
/// Index: an axis is out of range or named twice.
pub fn flip(x: &Tensor, axes: Option<&[isize]>) -> Result<Tensor> {
    let mut parts: Parts = x.shape().iter().map(|n| Part::all(*n)).collect();
    let all: SmallVec<[isize; MAX_DIMS]> = (0..x.ndim() as isize).collect();
    let mut turned = [false; MAX_DIMS];
    for axis in axes.unwrap_or(&all) {
        let axis = normalize_axis("flip", *axis, x.ndim())?;
        let twice = std::mem::replace(&mut turned[axis], true);
        ensure!(!twice, Index, "flip: axis {axis} is named twice in {axes:?}");
        if let Some(last) = x.shape()[axis].checked_sub(1) {
            parts[axis] = Part::Range { start: last, step: -1, len: last + 1 };
        }
    }
    region(x, &parts)
}

/// What [`pad`] puts around a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Padding {
    /// A value.
    Constant(Scalar),
    /// The elements behind the edge, mirrored at it; the edge itself is not repeated.
    Reflect,
    /// The edge itself.
    Replicate,
}

/// `x` with `widths[d]` = (before, after) elements added along each axis.
///
/// ```
/// use tengen_core::{Tensor, ops, ops::Padding};
/// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3])?;
/// let y = ops::pad(&x, &[(2, 1)], Padding::Reflect)?;
/// assert_eq!(y.to_vec::<f32>()?, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
///
/// # Errors
/// Value: there are more widths than axes. Shape: the result would be too large, a reflection is
/// not narrower than its axis, or there is no edge. Memory: the result cannot be had.
pub fn pad(x: &Tensor, widths: &[(usize, usize)], padding: Padding) -> Result<Tensor> {
    let given = widths.len();
    ensure!(given <= x.ndim(), Value, "pad: {given} pairs of widths for {x}");
    let mut shape = *x.shape();
    for (axis, (before, after)) in widths.iter().enumerate() {
        let extent = before.checked_add(*after).and_then(|w| w.checked_add(shape[axis]));
        let Some(extent) = extent else { bail!(Shape, "pad: widths {widths:?} are too large") };
        shape = shape.with(axis, extent)?;
    }
    if let Padding::Constant(value) = padding {
        let mut parts: Parts = x.shape().iter().map(|n| Part::all(*n)).collect();
        for ((axis, part), (before, _)) in parts.iter_mut().enumerate().zip(widths) {
            let len = x.shape()[axis];
            *part = Part::Range { start: if len == 0 { 0 } else { *before }, step: 1, len };
        }
        let value = Tensor::full(&[], value, x.dtype())?;
        return assign(&super::broadcast_to(&value, &shape)?, &parts, x);
    }
    let mut y = x.clone();
    for (axis, (before, after)) in widths.iter().enumerate().filter(|(_, w)| **w != (0, 0)) {
        let n = x.shape()[axis];
        let most = (*before).max(*after);
        let possible = if padding == Padding::Reflect { most < n } else { n > 0 };
        ensure!(possible, Shape, "pad: axis {axis} of {x} is too short for widths {widths:?}");
        let last = n as i64 - 1;
        let source = |k: usize| {
            let at = k as i64 - *before as i64;
            match padding {
                Padding::Reflect => last - (last - at.abs()).abs(),
                _ => at.clamp(0, last),
            }
        };
        let index: Vec<i64> = (0..shape[axis]).map(source).collect();
        let mut index = Tensor::from_slice(&index, &[index.len()])?;
        if i32::try_from(n).is_ok() {
            index = cast(&index, DType::I32)?;
        }
        // A few places come along from the host; more of them are copied.
        if !index.is_small() {
            index = index.to(x.device())?;
        }
        y = take(&y, axis as isize, &index)?;
    }
    Ok(y)
}

/// How [`meshgrid`] orders the first two axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// As a picture's: the first input runs along axis 1, the second along axis 0.
    Xy,
    /// As a matrix': input `i` runs along axis `i`.
    Ij,
}

/// The coordinates of a grid: for each one-dimensional input a tensor (a view) in which it runs
/// along its axis and repeats along all others.
///
/// # Errors
/// Shape: an input is not one-dimensional, or the grid would have too many dimensions or elements.
pub fn meshgrid(xs: &[&Tensor], indexing: Indexing) -> Result<Vec<Tensor>> {
    for x in xs {
        ensure!(x.ndim() == 1, Shape, "meshgrid: {x} must have one dimension");
    }
    ensure!(xs.len() <= MAX_DIMS, Shape, "meshgrid: {} inputs; at most {MAX_DIMS}", xs.len());
    let swapped = indexing == Indexing::Xy && xs.len() > 1;
    let lines = xs.iter().enumerate().map(|(i, x)| {
        let mut dims: SmallVec<[usize; MAX_DIMS]> = smallvec![1; xs.len()];
        dims[if swapped && i < 2 { 1 - i } else { i }] = x.numel();
        reshape(x, &dims)
    });
    let lines = lines.collect::<Result<Vec<Tensor>>>()?;
    let mut shape = Shape::default();
    for line in &lines {
        shape = broadcast("meshgrid", &shape, line.shape())?;
    }
    lines.iter().map(|line| super::broadcast_to(line, &shape)).collect()
}
