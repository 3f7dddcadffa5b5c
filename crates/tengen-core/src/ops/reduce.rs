//! Reductions over axes.

use super::{broadcast_to, cast, div, equal, mul, product, reshape, select, square, sub};
use crate::autograd::{Gradient, is_recording};
use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::ops::cast::cast_raw;
use crate::shape::{MAX_DIMS, Shape, normalize_axis};
use crate::{DType, Element, Result, Tensor, apply1, bail, dispatch, ensure};
use bytemuck::Pod;
use smallvec::{SmallVec, smallvec};
use std::ops::Range;
use tengen_kernels::lanes::Float;
use tengen_kernels::reduce::{self as kernels, Fold};

/// Which reduction.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Sum,
    Prod,
    Max,
    Min,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Sum => "sum",
            Kind::Prod => "prod",
            Kind::Max => "max",
            Kind::Min => "min",
        }
    }
}

/// Axes to reduce, as a set of bits.
#[derive(Clone, Copy)]
pub(crate) struct Axes(u8);

impl Axes {
    /// The given axes, or all if `None`.
    pub(crate) fn new(op: &str, axes: Option<&[isize]>, ndim: usize) -> Result<Axes> {
        let Some(axes) = axes else { return Ok(Axes(((1u32 << ndim) - 1) as u8)) };
        let mut set = 0u8;
        for axis in axes {
            let bit = 1 << normalize_axis(op, *axis, ndim)?;
            ensure!(set & bit == 0, Index, "{op}: axis {axis} is named twice in {axes:?}");
            set |= bit;
        }
        Ok(Axes(set))
    }

    pub(super) fn has(self, axis: usize) -> bool {
        self.0 >> axis & 1 == 1
    }

    /// The shape after reduction.
    fn reduced(self, shape: &Shape, keepdims: bool) -> Shape {
        let mut out = *shape;
        for d in (0..shape.len()).rev().filter(|d| self.has(*d)) {
            out = if keepdims { out.with(d, 1).unwrap_or(out) } else { out.without(d) };
        }
        out
    }

    /// The axes, if they are neighbours.
    pub(super) fn run(self, shape: &Shape) -> Option<Range<usize>> {
        let first = (0..shape.len()).find(|d| self.has(*d))?;
        let end = (first..shape.len()).find(|d| !self.has(*d)).unwrap_or(shape.len());
        (end..shape.len()).all(|d| !self.has(d)).then_some(first..end)
    }

    fn count(self, shape: &Shape) -> usize {
        (0..shape.len()).filter(|d| self.has(*d)).map(|d| shape[d]).product()
    }
}

struct Reduce {
    kind: Kind,
    axes: Axes,
    keepdims: bool,
}

impl Op for Reduce {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        let x = x[0];
        let empty = self.axes.count(x.shape()) == 0;
        if empty && matches!(self.kind, Kind::Max | Kind::Min) {
            bail!(Shape, "{}: there is no {0} of nothing ({x})", self.name());
        }
        Ok(Meta::one(self.axes.reduced(x.shape(), self.keepdims), x.dtype()))
    }

    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let half = matches!(x[0].dtype(), DType::F16 | DType::BF16);
        let mut t = if half { cast_raw(x[0], DType::F32)? } else { x[0].contiguous()?.detach() };
        // Runs of neighbouring axes, from the last: each is one pass.
        let mut end = t.ndim();
        while end > 0 {
            let mut start = end - 1;
            if self.axes.has(end - 1) {
                while start > 0 && self.axes.has(start - 1) {
                    start -= 1;
                }
                t = self.pass(&t, start, end)?;
            }
            end = start;
        }
        let t = if half { cast_raw(&t, out[0].dtype)? } else { t };
        // SAFETY: a contiguous tensor with as many elements.
        Ok(smallvec![unsafe {
            t.view(out[0].shape, out[0].shape.contiguous_strides(), t.offset())
        }])
    }

    fn saves(&self, _: DType) -> Saves {
        match self.kind {
            Kind::Sum => Saves::NOTHING,
            Kind::Prod => Saves { inputs: 1, outputs: false },
            _ => Saves { inputs: 1, outputs: true },
        }
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let shape = g.input_meta(0).shape;
        let kept = self.axes.reduced(&shape, true);
        let dy = broadcast_to(&reshape(&g.dy(0)?, &kept)?, &shape)?;
        g.each(|_| {
            if self.kind == Kind::Sum {
                return Ok(Some(dy.clone()));
            }
            let x = g.input(0)?;
            if self.kind == Kind::Prod {
                return Ok(Some(mul(&dy, &product::others(x, self.axes)?)?));
            }
            let y = reshape(g.output(0)?, &kept)?;
            let run = if is_recording() { None } else { self.axes.run(&shape) };
            Ok(Some(match run {
                // Every element that equals the extremum gets the gradient.
                Some(axes) if x.dtype() == DType::F32 => {
                    extremum_backward::<f32>(x, axes, &y, &g.dy(0)?)?
                }
                Some(axes) if x.dtype() == DType::F64 => {
                    extremum_backward::<f64>(x, axes, &y, &g.dy(0)?)?
                }
                _ => select(&equal(x, &y)?, &dy, &Tensor::zeros(&[], dy.dtype())?)?,
            }))
        })
    }
}

impl Reduce {
    /// Reduces axes `start..end` to one of extent 1.
    fn pass(&self, x: &Tensor, start: usize, end: usize) -> Result<Tensor> {
        let n: usize = x.shape()[start..end].iter().product();
        let inner: usize = x.shape()[end..].iter().product();
        let mut shape = *x.shape();
        for d in start..end {
            shape = shape.with(d, 1)?;
        }
        let mut y = Tensor::empty(shape, x.dtype())?;
        match self.kind {
            Kind::Sum => fold(kernels::Sum, x, n, inner, &mut y)?,
            Kind::Prod => fold(kernels::Prod, x, n, inner, &mut y)?,
            Kind::Max => fold(kernels::Max, x, n, inner, &mut y)?,
            Kind::Min => fold(kernels::Min, x, n, inner, &mut y)?,
        }
        Ok(y)
    }
}

fn fold<F: Fold>(fold: F, x: &Tensor, n: usize, inner: usize, y: &mut Tensor) -> Result<()> {
    fn floats<T: Float + Element + Pod, F: Fold>(
        fold: F,
        x: &Tensor,
        n: usize,
        inner: usize,
        y: &mut Tensor,
    ) -> Result<()> {
        kernels::reduce(fold, x.as_slice::<T>()?, n, inner, y.as_mut_slice::<T>()?);
        Ok(())
    }
    match x.dtype() {
        DType::F32 => floats::<f32, F>(fold, x, n, inner, y),
        DType::F64 => floats::<f64, F>(fold, x, n, inner, y),
        dtype => dispatch!(dtype, [U8, I8, I16, I32, I64], T => {
            kernels::reduce_ints(fold, x.as_slice::<T>()?, n, inner, y.as_mut_slice::<T>()?);
            Ok(())
        }, else bail!(DType, "a reduction does not work on {dtype}")),
    }
}

/// The gradient `dy` where `x` is the extremum `y` over neighbouring `axes`, else 0.
fn extremum_backward<T: Float + Element + Pod>(
    x: &Tensor,
    axes: Range<usize>,
    y: &Tensor,
    dy: &Tensor,
) -> Result<Tensor> {
    let n: usize = x.shape()[axes.clone()].iter().product();
    let inner: usize = x.shape()[axes.end..].iter().product();
    let (source, y, dy) = (x.contiguous()?, y.contiguous()?, dy.contiguous()?);
    let mut dx = Tensor::empty(*x.shape(), T::DTYPE)?;
    kernels::extremum_backward(
        source.as_slice::<T>()?,
        n,
        inner,
        y.as_slice::<T>()?,
        dy.as_slice::<T>()?,
        dx.as_mut_slice::<T>()?,
    );
    Ok(dx)
}

fn run(kind: Kind, x: &Tensor, axes: Option<&[isize]>, keepdims: bool) -> Result<Tensor> {
    let axes = Axes::new(kind.name(), axes, x.ndim())?;
    let op = Reduce { kind, axes, keepdims };
    if x.dtype() != DType::Bool {
        return apply1(op, &[x]);
    }
    // Bools count as integers, of which the greatest and least are bools again.
    let y = apply1(op, &[&cast(x, DType::I32)?])?;
    if matches!(kind, Kind::Max | Kind::Min) { cast(&y, DType::Bool) } else { Ok(y) }
}

/// The sum over `axes` (all, if `None`). Integers wrap; bools are counted as i32; the sum of
/// nothing is 0. With `keepdims`, reduced axes stay with extent 1.
///
/// # Errors
/// Index: an axis is out of range or named twice. Memory: the result cannot be had.
pub fn sum(x: &Tensor, axes: Option<&[isize]>, keepdims: bool) -> Result<Tensor> {
    run(Kind::Sum, x, axes, keepdims)
}

/// The product over `axes`, as [`sum`]; the product of nothing is 1.
///
/// # Errors
/// As [`sum`].
pub fn prod(x: &Tensor, axes: Option<&[isize]>, keepdims: bool) -> Result<Tensor> {
    run(Kind::Prod, x, axes, keepdims)
}

/// The greatest element over `axes`, as [`sum`]; NaN if there is one. Every element that equals it
/// gets the gradient.
///
/// # Errors
/// As [`sum`]; Shape: a maximum of nothing.
pub fn max(x: &Tensor, axes: Option<&[isize]>, keepdims: bool) -> Result<Tensor> {
    run(Kind::Max, x, axes, keepdims)
}

/// The least element over `axes`, as [`max`].
///
/// # Errors
/// As [`max`].
pub fn min(x: &Tensor, axes: Option<&[isize]>, keepdims: bool) -> Result<Tensor> {
    run(Kind::Min, x, axes, keepdims)
}

/// f32, unless it is f64 already: the dtype in which means are taken.
fn mean_dtype(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// The mean over `axes` (all, if `None`), in f32 (f64 for f64); NaN for nothing.
///
/// # Errors
/// As [`sum`].
pub fn mean(x: &Tensor, axes: Option<&[isize]>, keepdims: bool) -> Result<Tensor> {
    let x = &cast(x, mean_dtype(x.dtype()))?;
    let n = Axes::new("mean", axes, x.ndim())?.count(x.shape());
    let total = sum(x, axes, keepdims)?;
    div(&total, &Tensor::full(&[], n as f64, total.dtype())?)
}

/// The variance Σ(x − x̄)²/n over `axes` (all, if `None`), in f32 (f64 for f64).
///
/// # Errors
/// As [`sum`].
pub fn var(x: &Tensor, axes: Option<&[isize]>, keepdims: bool) -> Result<Tensor> {
    let x = &cast(x, mean_dtype(x.dtype()))?;
    mean(&square(&sub(x, &mean(x, axes, true)?)?)?, axes, keepdims)
}

/// The standard deviation: the root of [`var`].
///
/// # Errors
/// As [`sum`].
pub fn std(x: &Tensor, axes: Option<&[isize]>, keepdims: bool) -> Result<Tensor> {
    super::sqrt(&var(x, axes, keepdims)?)
}

/// The p-norm (Σ|x|ᵖ)^(1/p) over `axes` (all, if `None`); p may be ±∞ (greatest, least |x|) or 0
/// (the number of elements that are not 0).
///
/// # Errors
/// As [`sum`].
pub fn norm(x: &Tensor, p: f64, axes: Option<&[isize]>, keepdims: bool) -> Result<Tensor> {
    use super::{abs, not_equal, pow_scalar, sqrt};
    if p == f64::INFINITY {
        return max(&abs(x)?, axes, keepdims);
    }
    if p == f64::NEG_INFINITY {
        return min(&abs(x)?, axes, keepdims);
    }
    if p == 0.0 {
        let zero = Tensor::zeros(&[], x.dtype())?;
        return sum(&cast(&not_equal(x, &zero)?, x.dtype())?, axes, keepdims);
    }
    let float = if x.dtype().is_float() { x.dtype() } else { DType::F32 };
    let x = &cast(x, float)?;
    if p == 1.0 {
        return sum(&abs(x)?, axes, keepdims);
    }
    if p == 2.0 {
        return sqrt(&sum(&square(x)?, axes, keepdims)?);
    }
    pow_scalar(&sum(&pow_scalar(&abs(x)?, p)?, axes, keepdims)?, 1.0 / p)
}

/// x / max(‖x‖, eps), with the p-norm over `axes` (all, if `None`) as of [`norm`].
///
/// # Errors
/// As [`sum`].
pub fn normalize(x: &Tensor, p: f64, axes: Option<&[isize]>, eps: f64) -> Result<Tensor> {
    let norm = norm(x, p, axes, true)?;
    div(x, &super::maximum(&norm, &Tensor::full(&[], eps, norm.dtype())?)?)
}

/// Index of an extremum.
struct ArgReduce {
    greatest: bool,
    /// All axes as one, if `None`.
    axis: Option<usize>,
    keepdims: bool,
}

impl Op for ArgReduce {
    fn name(&self) -> &'static str {
        if self.greatest { "argmax" } else { "argmin" }
    }

    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        let axes = Axes(self.axis.map_or((1u32 << x[0].ndim()) - 1, |a| 1 << a) as u8);
        let n = axes.count(x[0].shape());
        ensure!(n > 0, Shape, "{}: there is no index into nothing ({})", self.name(), x[0]);
        ensure!(i32::try_from(n).is_ok(), Shape, "{}: {n} indices do not fit i32", self.name());
        Ok(Meta::one(axes.reduced(x[0].shape(), self.keepdims), DType::I32))
    }

    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        // Halves are compared as what they are in f32.
        let half = matches!(x[0].dtype(), DType::F16 | DType::BF16);
        let x = if half { cast_raw(x[0], DType::F32)? } else { x[0].contiguous()? };
        let (n, inner) = match self.axis {
            Some(a) => (x.shape()[a], x.shape()[a + 1..].iter().product()),
            None => (x.numel(), 1),
        };
        let mut y = Tensor::empty(out[0].shape, DType::I32)?;
        dispatch!(x.dtype(), T => {
            let (x, y) = (x.as_slice::<T>()?, y.as_mut_slice::<i32>()?);
            match self.greatest {
                true => kernels::arg_reduce::<T, true>(x, n, inner, y),
                false => kernels::arg_reduce::<T, false>(x, n, inner, y),
            }
        });
        Ok(smallvec![y])
    }

    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
}

fn arg(x: &Tensor, axis: Option<isize>, keepdims: bool, greatest: bool) -> Result<Tensor> {
    let name = if greatest { "argmax" } else { "argmin" };
    let axis = axis.map(|a| normalize_axis(name, a, x.ndim())).transpose()?;
    apply1(ArgReduce { greatest, axis, keepdims }, &[x])
}

/// The index of the first greatest element along `axis`, or among all elements in row-major order
/// if `None`; i32. A NaN counts as greatest.
///
/// # Errors
/// Index: the axis is out of range. Shape: there are no elements.
pub fn argmax(x: &Tensor, axis: Option<isize>, keepdims: bool) -> Result<Tensor> {
    arg(x, axis, keepdims, true)
}

/// The index of the first least element, as [`argmax`]; a NaN counts as least.
///
/// # Errors
/// As [`argmax`].
pub fn argmin(x: &Tensor, axis: Option<isize>, keepdims: bool) -> Result<Tensor> {
    arg(x, axis, keepdims, false)
}

/// Sums `x` over the axes along which `shape` was broadcast to `x`'s shape.
///
/// # Errors
/// Shape: `shape` does not broadcast to `x`'s. Memory: the result cannot be had.
pub fn sum_to(x: &Tensor, shape: &Shape) -> Result<Tensor> {
    if x.shape() == shape {
        return Ok(x.clone());
    }
    let lead = match x.ndim().checked_sub(shape.len()) {
        Some(lead) => lead,
        None => bail!(Shape, "sum_to: {shape} has more dimensions than {x}"),
    };
    let mut axes: SmallVec<[isize; MAX_DIMS]> = smallvec![];
    for d in 0..x.ndim() {
        let kept = d >= lead && shape[d - lead] == x.shape()[d];
        ensure!(
            kept || d < lead || shape[d - lead] == 1,
            Shape,
            "sum_to: {shape} does not broadcast to {x}"
        );
        if !kept {
            axes.push(d as isize);
        }
    }
    reshape(&sum(x, Some(&axes), false)?, shape)
}
