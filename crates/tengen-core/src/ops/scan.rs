//! Running sums, products and extrema.

use super::index::{scatter_add, zeros_of};
use super::reduce::Kind;
use super::sort::two;
use super::{add, cast, concat, flip, mul, split_at};
use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Entry, Grads, Meta, Metas, Op, Saves};
use crate::shape::normalize_axis;
use crate::{DType, Result, Tensor, apply, apply1, ensure};

pub(super) const OPERATORS: &[&[Entry]] =
    &[&[Entry::of::<Scan>(&["cumsum", "cumprod", "cummax", "cummin"])]];

/// What runs along an axis: y[k] is the sum, product or extremum of x[i] over i ≤ k, or over i ≥ k if
/// `reverse`. Extrema have their positions along the axis, int32, as a second result.
#[derive(Clone, Copy, Attributes)]
pub(crate) struct Scan {
    pub kind: Kind,
    pub axis: usize,
    pub reverse: bool,
}

impl Op for Scan {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Sum => "cumsum",
            Kind::Prod => "cumprod",
            Kind::Max => "cummax",
            Kind::Min => "cummin",
        }
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let (name, shape, dtype) = (self.name(), *x[0].shape(), x[0].dtype());
        ensure!(self.axis < shape.len(), Index, "{name}: {} has no axis {}", x[0], self.axis);
        ensure!(dtype != DType::Bool, DType, "{name}: does not work on {}", x[0]);
        let mut out = Meta::one(shape, dtype);
        if matches!(self.kind, Kind::Max | Kind::Min) {
            let fits = i32::try_from(shape[self.axis]).is_ok();
            ensure!(fits, Unsupported, "{name}: positions in {} do not fit int32", x[0]);
            out.push(Meta { shape, dtype: DType::I32 });
        }
        Ok(out)
    }

    fn saves(&self, _: DType) -> Saves {
        match self.kind {
            Kind::Sum => Saves::NOTHING,
            Kind::Prod => Saves { inputs: 1, outputs: 1 },
            Kind::Max | Kind::Min => Saves { inputs: 0, outputs: 0b10 },
        }
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let dy = g.dy(0)?;
        g.each(|_| {
            if self.kind == Kind::Sum {
                return apply1(Scan { reverse: !self.reverse, ..*self }, &[&dy]).map(Some);
            }
            // Sums of many halves have more digits than halves.
            let dtype = dy.dtype();
            let wide = if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype };
            let dy = cast(&dy, wide)?;
            let dx = if self.kind == Kind::Prod {
                self.grad_of_products(&cast(g.input(0)?, wide)?, &cast(g.output(0)?, wide)?, dy)?
            } else {
                let zeros = zeros_of(dy.shape(), wide)?;
                scatter_add(&zeros, self.axis as isize, g.output(1)?, &dy)?
            };
            cast(&dx, dtype).map(Some)
        })
    }
}

impl Scan {
    /// dx[j] = y[j − 1]·s[j], with s[j] = Σ dy[k]·Π x[i] over k ≥ j and j < i ≤ k: no division, so
    /// elements may be 0.
    ///
    /// s[j] = dy[j] + x[j + 1]·s[j + 1] is solved for all j at once by doubling: when every s[j] has the
    /// `step` terms from j on, and p[j] is the product of the `step` elements after j, s[j] +
    /// p[j]·s[j + step] has twice as many. For n elements these are log₂ n rounds of O(n) work.
    fn grad_of_products(&self, x: &Tensor, y: &Tensor, dy: Tensor) -> Result<Tensor> {
        let axis = self.axis as isize;
        let turned = |t: &Tensor| if self.reverse { flip(t, Some(&[axis])) } else { Ok(t.clone()) };
        // The elements before place `at`, and those from it on.
        let cut = |t: &Tensor, at: usize| -> Result<[Tensor; 2]> {
            let parts = split_at(t, &[at], axis)?;
            Ok([parts[0].clone(), parts[1].clone()])
        };
        let n = x.shape()[self.axis];
        if n < 2 {
            return Ok(dy);
        }
        let mut s = turned(&dy)?;
        let [_, mut p] = cut(&turned(x)?, 1)?;
        let mut step = 1;
        while step < n {
            let ([low, done], [_, high]) = (cut(&s, n - step)?, cut(&s, step)?);
            s = concat(&[&add(&low, &mul(&p, &high)?)?, &done], axis)?;
            if 2 * step < n {
                p = mul(&cut(&p, n - 2 * step)?[0], &cut(&p, step)?[1])?;
            }
            step *= 2;
        }
        let ([first, rest], [before, _]) = (cut(&s, 1)?, cut(&turned(y)?, n - 1)?);
        turned(&concat(&[&first, &mul(&before, &rest)?], axis)?)
    }
}

/// Runs along an axis; bools count as integers.
fn run(kind: Kind, x: &Tensor, axis: isize) -> Result<crate::op::Tensors> {
    let mut op = Scan { kind, axis: 0, reverse: false };
    op.axis = normalize_axis(op.name(), axis, x.ndim())?;
    apply(op, &[&cast(x, if x.dtype() == DType::Bool { DType::I32 } else { x.dtype() })?])
}

/// Values and positions; the values of bools are bools again.
fn extrema(kind: Kind, x: &Tensor, axis: isize) -> Result<(Tensor, Tensor)> {
    let (values, indices) = two(run(kind, x, axis)?);
    Ok((cast(&values, x.dtype())?, indices))
}

/// Running sums: `y[k] = Σ x[i]` over i ≤ k along `axis`. Integers wrap; bools are counted as i32.
///
/// # Errors
/// Index: the axis is out of range. Memory: the result cannot be had.
pub fn cumsum(x: &Tensor, axis: isize) -> Result<Tensor> {
    Ok(run(Kind::Sum, x, axis)?.swap_remove(0))
}

/// Running products: `y[k] = Π x[i]` over i ≤ k along `axis`, as [`cumsum`]. The gradient is right
/// where elements are 0; it takes O(n·log n) work for n elements along the axis.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3])?;
/// assert_eq!(ops::cumprod(&x, 0)?.to_vec::<f32>()?, [1.0, 2.0, 6.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
///
/// # Errors
/// As [`cumsum`].
pub fn cumprod(x: &Tensor, axis: isize) -> Result<Tensor> {
    Ok(run(Kind::Prod, x, axis)?.swap_remove(0))
}

/// Running maxima, the greatest `x[i]` over i ≤ k along `axis`, and where along the axis they stand
/// (int32): of equal elements the last. From a NaN on all are NaN, at the last NaN. The gradient goes
/// to the elements at these positions.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let x = Tensor::from_slice(&[1.0f32, 3.0, 2.0, 3.0], &[4])?;
/// let (values, indices) = ops::cummax(&x, 0)?;
/// assert_eq!(values.to_vec::<f32>()?, [1.0, 3.0, 3.0, 3.0]);
/// assert_eq!(indices.to_vec::<i32>()?, [0, 1, 1, 3]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
///
/// # Errors
/// As [`cumsum`]; Unsupported: positions do not fit int32.
pub fn cummax(x: &Tensor, axis: isize) -> Result<(Tensor, Tensor)> {
    extrema(Kind::Max, x, axis)
}

/// Running minima and their positions, as [`cummax`].
///
/// # Errors
/// As [`cummax`].
pub fn cummin(x: &Tensor, axis: isize) -> Result<(Tensor, Tensor)> {
    extrema(Kind::Min, x, axis)
}
