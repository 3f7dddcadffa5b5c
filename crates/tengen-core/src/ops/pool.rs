//! Pooling over two-dimensional windows.

use crate::autograd::Gradient;
use crate::op::{Attribute, Attributes, Described, Entry, Grads, Meta, Metas, Op, Saves, Value};
use crate::ops::reduce::mean;
use crate::shape::Shape;
use crate::{DType, Result, Tensor, apply1, bail, ensure};
use tengen_kernels::pooling::Pool2d;

pub use tengen_kernels::pooling::CountMode;

pub(super) const OPERATORS: &[&[Entry]] = &[&[
    Entry::of::<MaxPool>(&[
        "max_pool2d",
        "adaptive_max_pool2d",
        "max_pool2d_gradient",
        "max_pool2d_gather",
    ]),
    Entry::of::<AvgPool>(&["avg_pool2d", "adaptive_avg_pool2d", "avg_pool2d_gradient"]),
]];

/// Whether padding counts.
impl Attribute for CountMode {
    fn to_value(&self) -> Value {
        (*self == CountMode::IncludePadding).to_value()
    }
    fn from_value(value: &Value) -> Result<Self> {
        Ok(match bool::from_value(value)? {
            true => CountMode::IncludePadding,
            false => CountMode::ExcludePadding,
        })
    }
}

/// The windows of a pooling; pairs are (vertical, horizontal), in pixels.
///
/// ```
/// use tengen_core::ops::PoolParams;
/// let p = PoolParams::square(2);
/// assert_eq!((p.kernel, p.stride, p.padding), ((2, 2), (2, 2), (0, 0)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Attributes)]
pub struct PoolParams {
    /// Extents of a window.
    pub kernel: (usize, usize),
    /// From one window to the next.
    pub stride: (usize, usize),
    /// Rows and columns around the image that belong to windows, on each side.
    pub padding: (usize, usize),
}

impl PoolParams {
    /// Square windows side by side, without padding.
    pub fn square(n: usize) -> PoolParams {
        PoolParams { kernel: (n, n), stride: (n, n), padding: (0, 0) }
    }
}

impl From<usize> for PoolParams {
    fn from(n: usize) -> PoolParams {
        PoolParams::square(n)
    }
}

/// Which windows there are.
#[derive(Clone, Copy, Attributes)]
pub(crate) enum Windows {
    Fixed(PoolParams),
    /// Those that give an image of this height and width.
    Adaptive(usize, usize),
}

impl Windows {
    /// The windows in an image of shape `s`, and the result's shape.
    pub(crate) fn geometry(self, op: &str, s: &Shape) -> Result<(Pool2d, Shape)> {
        ensure!(
            s.len() == 4,
            Shape,
            "{op}: inp must be [n, c, height, width], but its shape is {s}"
        );
        let image = (s[2], s[3]);
        let p = match self {
            Windows::Fixed(p) => Pool2d::new(image, p.kernel, p.stride, p.padding),
            Windows::Adaptive(h, w) => Pool2d::adaptive(image, (h, w)),
        };
        let Some(g) = p else {
            match self {
                Windows::Fixed(p) => bail!(
                    Shape,
                    "{op}: no windows of {:?}, {:?} apart, with padding {:?} in {s}; kernel and \
                     stride must be positive, padding less than the kernel, and the kernel not \
                     larger than the padded image, and a window's elements countable",
                    p.kernel,
                    p.stride,
                    p.padding
                ),
                Windows::Adaptive(h, w) => {
                    bail!(Shape, "{op}: an image of {image:?} does not divide into {h} × {w}")
                }
            }
        };
        Ok((g, Shape::new(&[s[0], s[1], g.output().0, g.output().1])?))
    }
}

fn float_dtype(x: &[&Described]) -> Option<DType> {
    let dtype = crate::promote(x.iter().map(|x| x.dtype()));
    Some(if dtype.is_float() { dtype } else { DType::F32 })
}

/// What a [`MaxPool`] computes; `y` are the maxima of `x`.
#[derive(Clone, Copy, PartialEq, Attributes)]
pub(crate) enum MaxPass {
    /// x → y
    Forward,
    /// x, y, dy → dx: each dy at every element that equals its window's maximum
    Spread,
    /// x, y, v → the sum of v over those elements of each window
    Gather,
}

/// The greatest element of windows.
#[derive(Clone, Copy, Attributes)]
pub(crate) struct MaxPool {
    pub windows: Windows,
    pub pass: MaxPass,
}

impl Op for MaxPool {
    fn name(&self) -> &'static str {
        match (self.windows, self.pass) {
            (_, MaxPass::Spread) => "max_pool2d_gradient",
            (_, MaxPass::Gather) => "max_pool2d_gather",
            (Windows::Fixed(_), _) => "max_pool2d",
            (Windows::Adaptive(..), _) => "adaptive_max_pool2d",
        }
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == if self.pass == MaxPass::Forward { 1 } else { 3 }
    }

    fn promote(&self, x: &[&Described]) -> Result<Option<DType>> {
        Ok(float_dtype(x))
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let (_, y) = self.windows.geometry(self.name(), x[0].shape())?;
        let (wanted, shape) = match self.pass {
            MaxPass::Forward => (None, y),
            MaxPass::Spread => (Some(y), *x[0].shape()),
            MaxPass::Gather => (Some(*x[0].shape()), y),
        };
        if let Some(third) = wanted {
            ensure!(
                *x[1].shape() == y && *x[2].shape() == third,
                Shape,
                "{}: {} and {} do not belong to {}",
                self.name(),
                x[1],
                x[2],
                x[0]
            );
        }
        Ok(Meta::one(shape, x[0].dtype()))
    }

    fn saves(&self, _: DType) -> Saves {
        match self.pass {
            MaxPass::Forward => Saves { inputs: 1, outputs: u32::MAX },
            _ => Saves { inputs: 0b11, outputs: 0 },
        }
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let (x, dy) = (g.input(0)?, g.dy(0)?);
        let to = |pass, y: &Tensor| {
            apply1(MaxPool { windows: self.windows, pass }, &[x, y, &dy]).map(Some)
        };
        g.each(|k| match (self.pass, k) {
            (MaxPass::Forward, _) => to(MaxPass::Spread, g.output(0)?),
            (MaxPass::Spread, 2) => to(MaxPass::Gather, g.input(1)?),
            (MaxPass::Gather, 2) => to(MaxPass::Spread, g.input(1)?),
            // Which elements are maxima does not change with a small change of x.
            _ => Ok(None),
        })
    }
}

/// The mean of windows.
#[derive(Clone, Copy, Attributes)]
pub(crate) struct AvgPool {
    pub windows: Windows,
    pub mode: CountMode,
    /// The shape of the image, if this is the gradient to it.
    pub back: Option<Shape>,
}

impl Op for AvgPool {
    fn name(&self) -> &'static str {
        match (self.back, self.windows) {
            (Some(_), _) => "avg_pool2d_gradient",
            (None, Windows::Fixed(_)) => "avg_pool2d",
            (None, Windows::Adaptive(..)) => "adaptive_avg_pool2d",
        }
    }

    fn promote(&self, x: &[&Described]) -> Result<Option<DType>> {
        Ok(float_dtype(x))
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let image = self.back.unwrap_or(*x[0].shape());
        let (_, y) = self.windows.geometry(self.name(), &image)?;
        if self.back.is_some() {
            ensure!(*x[0].shape() == y, Shape, "{}: {} is not {y}", self.name(), x[0]);
        }
        Ok(Meta::one(self.back.unwrap_or(y), x[0].dtype()))
    }

    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let back = if self.back.is_some() { None } else { Some(g.input_meta(0).shape) };
        g.each(|_| apply1(AvgPool { back, ..*self }, &[&g.dy(0)?]).map(Some))
    }
}

/// The greatest element of every window: y[n, c, i, j] = max x[n, c, i·sᵥ − pᵥ + u, j·sₕ − pₕ + v]
/// over the elements of the image with 0 ≤ u < kᵥ, 0 ≤ v < kₕ; NaN if there is one.
///
/// `x` is `[n, c, h, w]`, the result `[n, c, h', w']` with h' = ⌊(h + 2p − k)/s⌋ + 1. Every element
/// that equals its window's maximum gets the gradient.
///
/// # Errors
/// Shape: `x` has not four dimensions, or there are no such windows in it. Memory: the result
/// cannot be had.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[1, 1, 2, 2])?;
/// assert_eq!(ops::max_pool2d(&x, ops::PoolParams::square(2))?.to_vec::<f32>()?, [4.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn max_pool2d(x: &Tensor, params: PoolParams) -> Result<Tensor> {
    apply1(MaxPool { windows: Windows::Fixed(params), pass: MaxPass::Forward }, &[x])
}

/// The mean of every window, as [`max_pool2d`]; `mode` says whether padding counts, as zeros.
///
/// # Errors
/// As [`max_pool2d`].
pub fn avg_pool2d(x: &Tensor, params: PoolParams, mode: CountMode) -> Result<Tensor> {
    apply1(AvgPool { windows: Windows::Fixed(params), mode, back: None }, &[x])
}

/// [`max_pool2d`] with equal windows that give an image of the given height and width: s = ⌊h/h'⌋,
/// k = h − (h' − 1)s, and so for the width.
///
/// # Errors
/// As [`max_pool2d`]; Shape: the result would be larger than the image.
pub fn adaptive_max_pool2d(x: &Tensor, output: (usize, usize)) -> Result<Tensor> {
    let windows = Windows::Adaptive(output.0, output.1);
    apply1(MaxPool { windows, pass: MaxPass::Forward }, &[x])
}

/// [`avg_pool2d`] with the windows of [`adaptive_max_pool2d`].
///
/// # Errors
/// As [`adaptive_max_pool2d`].
pub fn adaptive_avg_pool2d(x: &Tensor, output: (usize, usize)) -> Result<Tensor> {
    // One window is the whole image, and its sum a reduction.
    let whole = output == (1, 1) && x.ndim() == 4 && x.shape()[2..].iter().all(|n| *n > 0);
    if whole && matches!(x.dtype(), DType::F32 | DType::F64) {
        return mean(x, Some(&[2, 3]), true);
    }
    let windows = Windows::Adaptive(output.0, output.1);
    apply1(AvgPool { windows, mode: CountMode::IncludePadding, back: None }, &[x])
}
