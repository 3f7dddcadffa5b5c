//! Reductions over axes.

use super::{broadcast_to, cast, div, equal, mul, product, reshape, select, square, sub};
use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Entry, Grads, Meta, Metas, Op, Saves, Tensors};
use crate::shape::{MAX_DIMS, Shape, normalize_axis};
use crate::{DType, Result, Tensor, apply1, bail, ensure};
use smallvec::{SmallVec, smallvec};
use std::ops::Range;

pub(super) const OPERATORS: &[&[Entry]] = &[&[
    Entry::of::<Reduce>(&["sum", "prod", "max", "min"]),
    Entry::of::<ExtremumGradient>(&["max_gradient"]),
    Entry::of::<ArgReduce>(&["argmax", "argmin"]),
]];

/// Which reduction.
#[derive(Clone, Copy, PartialEq, Attributes)]
pub(crate) enum Kind {
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
#[derive(Clone, Copy, Attributes)]
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

    pub(crate) fn has(self, axis: usize) -> bool {
        self.0 >> axis & 1 == 1
    }

    /// The shape after reduction.
    pub(crate) fn reduced(self, shape: &Shape, keepdims: bool) -> Shape {
        let mut out = *shape;
        for d in (0..shape.len()).rev().filter(|d| self.has(*d)) {
            out = if keepdims { out.with(d, 1).unwrap_or(out) } else { out.without(d) };
        }
        out
    }

    /// Checks that a tensor has these axes.
    fn check(self, op: &str, x: &Described) -> Result<()> {
        ensure!(u32::from(self.0) < 1 << x.ndim(), Index, "{op}: an axis is out of range for {x}");
        Ok(())
    }

    /// The axes, if they are neighbours.
    pub(crate) fn run(self, shape: &Shape) -> Option<Range<usize>> {
        let first = (0..shape.len()).find(|d| self.has(*d))?;
        let end = (first..shape.len()).find(|d| !self.has(*d)).unwrap_or(shape.len());
        (end..shape.len()).all(|d| !self.has(d)).then_some(first..end)
    }

    fn count(self, shape: &Shape) -> usize {
        (0..shape.len()).filter(|d| self.has(*d)).map(|d| shape[d]).product()
    }
}

/// A fold over axes.
#[derive(Attributes)]
pub(crate) struct Reduce {
    pub kind: Kind,
    pub axes: Axes,
    pub keepdims: bool,
}

impl Op for Reduce {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let x = x[0];
        self.axes.check(self.name(), x)?;
        if x.dtype() == DType::Bool {
            bail!(DType, "{}: does not work on {x}", self.name());
        }
        let empty = self.axes.count(x.shape()) == 0;
        if empty && matches!(self.kind, Kind::Max | Kind::Min) {
            bail!(Shape, "{}: there is no {0} of nothing ({x})", self.name());
        }
        Ok(Meta::one(self.axes.reduced(x.shape(), self.keepdims), x.dtype()))
    }

    fn saves(&self, _: DType) -> Saves {
        match self.kind {
            Kind::Sum => Saves::NOTHING,
            Kind::Prod => Saves { inputs: 1, outputs: 0 },
            Kind::Max | Kind::Min => Saves { inputs: 1, outputs: 1 },
        }
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let shape = g.input_meta(0).shape;
        let kept = self.axes.reduced(&shape, true);
        let dy = reshape(&g.dy(0)?, &kept)?;
        g.each(|_| {
            if self.kind == Kind::Sum {
                return broadcast_to(&dy, &shape).map(Some);
            }
            let x = g.input(0)?;
            if self.kind == Kind::Prod {
                return Ok(Some(mul(&dy, &product::others(x, self.axes)?)?));
            }
            let y = reshape(g.output(0)?, &kept)?;
            apply1(ExtremumGradient { axes: self.axes }, &[x, &y, &dy]).map(Some)
        })
    }
}

/// x, its extremum y over axes, which it keeps, and dy like y → dy where x = y, else 0: every element
/// that equals the extremum gets the gradient.
#[derive(Attributes)]
pub(crate) struct ExtremumGradient {
    pub axes: Axes,
}

impl Op for ExtremumGradient {
    fn name(&self) -> &'static str {
        "max_gradient"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 3
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        self.axes.check(self.name(), x[0])?;
        let kept = self.axes.reduced(x[0].shape(), true);
        let fits = x[1..].iter().all(|t| *t.shape() == kept && t.dtype() == x[0].dtype());
        ensure!(fits, Shape, "{}: {} and {} do not fit {}", self.name(), x[1], x[2], x[0]);
        Ok(Meta::one(*x[0].shape(), x[0].dtype()))
    }

    fn expand(&self, x: &[&Tensor]) -> Option<Result<Tensors>> {
        let all = || {
            let zero = Tensor::zeros(&[], x[2].dtype())?;
            Ok(smallvec![select(&equal(x[0], x[1])?, x[2], &zero)?])
        };
        Some(all())
    }

    fn differentiates_expanded(&self) -> bool {
        true
    }
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
#[derive(Attributes)]
pub(crate) struct ArgReduce {
    pub greatest: bool,
    /// All axes as one, if `None`.
    pub axis: Option<usize>,
    pub keepdims: bool,
}

impl Op for ArgReduce {
    fn name(&self) -> &'static str {
        if self.greatest { "argmax" } else { "argmin" }
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        if let Some(a) = self.axis {
            ensure!(a < x[0].ndim(), Index, "{}: {} has no axis {a}", self.name(), x[0]);
        }
        let axes = Axes(self.axis.map_or((1u32 << x[0].ndim()) - 1, |a| 1 << a) as u8);
        let n = axes.count(x[0].shape());
        ensure!(n > 0, Shape, "{}: there is no index into nothing ({})", self.name(), x[0]);
        ensure!(i32::try_from(n).is_ok(), Shape, "{}: {n} indices do not fit i32", self.name());
        Ok(Meta::one(axes.reduced(x[0].shape(), self.keepdims), DType::I32))
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
