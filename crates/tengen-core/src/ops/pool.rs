//! Pooling over two-dimensional windows.

use crate::autograd::Gradient;
use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::ops::cast::cast_raw;
use crate::ops::reduce::mean;
use crate::shape::Shape;
use crate::{DType, Element, Result, Tensor, apply1, bail, ensure};
use smallvec::{SmallVec, smallvec};
use tengen_kernels::copy::{PAST, copy_past};
use tengen_kernels::pool;
use tengen_kernels::pool::Shared;
use tengen_kernels::pooling::{self as kernels, Float, Pool2d};

pub use tengen_kernels::pooling::CountMode;

/// The windows of a pooling; pairs are (vertical, horizontal), in pixels.
///
/// ```
/// use tengen_core::ops::PoolParams;
/// let p = PoolParams::square(2);
/// assert_eq!((p.kernel, p.stride, p.padding), ((2, 2), (2, 2), (0, 0)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy)]
enum Windows {
    Fixed(PoolParams),
    /// Those that give an image of this height and width.
    Adaptive(usize, usize),
}

impl Windows {
    /// The windows in an image of shape `s`, and the result's shape.
    fn geometry(self, op: &str, s: &Shape) -> Result<(Pool2d, Shape)> {
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

/// Calls `f(first plane, planes)` for groups of planes, on several threads.
fn for_planes(g: &Pool2d, planes: usize, f: impl Fn(usize, usize) + Sync) {
    let area = (g.input().0 * g.input().1).max(1);
    pool::for_ranges(planes, (16 * 1024 / area).max(1), |from, to| f(from, to - from));
}

/// The most elements of a plane that stays in the first-level caches.
const NEAR: usize = 8 * 1024;

/// A tensor of `shape`, computed plane by plane: `f(inputs' planes, result's planes)`.
fn by_planes<T: Float + Element>(
    g: &Pool2d,
    xs: &[&Tensor],
    shape: Shape,
    f: impl Fn(&[&[T]], &mut [T]) + Sync,
) -> Result<Tensor> {
    let y = Tensor::empty(shape, T::DTYPE)?;
    let planes = shape[0] * shape[1];
    let xs = xs.iter().map(|x| x.contiguous()).collect::<Result<SmallVec<[Tensor; 3]>>>()?;
    let mut sources: SmallVec<[(&[T], usize); 3]> = smallvec![];
    for x in &xs {
        sources.push((x.as_slice::<T>()?, x.shape()[2] * x.shape()[3]));
    }
    let (out, area) = (Shared(y.ptr::<T>()), shape[2] * shape[3]);
    // Planes of a large result are computed near and then copied past the caches.
    let past = y.numel() * size_of::<T>() >= PAST && area <= NEAR;
    for_planes(g, planes, |first, n| {
        let parts = |first: usize, n: usize| -> SmallVec<[&[T]; 3]> {
            sources.iter().map(|(x, a)| &x[first * a..(first + n) * a]).collect()
        };
        // SAFETY: `y` is new, and the planes of each group are its own.
        let y = unsafe { std::slice::from_raw_parts_mut(out.at(first * area), n * area) };
        if !past {
            return f(&parts(first, n), y);
        }
        let mut near = vec![T::ZERO; area];
        for (k, y) in y.chunks_exact_mut(area).enumerate() {
            f(&parts(first + k, 1), &mut near);
            copy_past(&near, y);
        }
    });
    Ok(y)
}

/// Runs a generic kernel in the inputs' dtype, or for halves in f32.
macro_rules! in_floats {
    ($xs:expr, $dtype:expr, $T:ident, $inner:ident => $run:expr) => {
        match $dtype {
            DType::F64 => {
                type $T = f64;
                let $inner = $xs;
                $run?
            }
            dtype => {
                type $T = f32;
                let cast = $xs
                    .iter()
                    .map(|x| cast_raw(x, DType::F32))
                    .collect::<Result<SmallVec<[Tensor; 3]>>>()?;
                let refs: SmallVec<[&Tensor; 3]> = cast.iter().collect();
                let $inner = &refs[..];
                cast_raw(&$run?, dtype)?
            }
        }
    };
}

fn float_dtype(x: &[&Tensor]) -> Option<DType> {
    let dtype = crate::promote(x.iter().map(|x| x.dtype()));
    Some(if dtype.is_float() { dtype } else { DType::F32 })
}

/// What a [`MaxPool`] computes; `y` are the maxima of `x`.
#[derive(Clone, Copy, PartialEq)]
enum MaxPass {
    /// x → y
    Forward,
    /// x, y, dy → dx: each dy at every element that equals its window's maximum
    Spread,
    /// x, y, v → the sum of v over those elements of each window
    Gather,
}

#[derive(Clone, Copy)]
struct MaxPool {
    windows: Windows,
    pass: MaxPass,
}

impl Op for MaxPool {
    fn name(&self) -> &'static str {
        match (self.windows, self.pass) {
            (_, MaxPass::Spread | MaxPass::Gather) => "max_pool2d gradient",
            (Windows::Fixed(_), _) => "max_pool2d",
            (Windows::Adaptive(..), _) => "adaptive_max_pool2d",
        }
    }

    fn promote(&self, x: &[&Tensor]) -> Result<Option<DType>> {
        Ok(float_dtype(x))
    }

    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
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

    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let (g, _) = self.windows.geometry(self.name(), x[0].shape())?;
        let pass = self.pass;
        Ok(smallvec![in_floats!(x, out[0].dtype, T, inputs => by_planes(
            &g,
            inputs,
            out[0].shape,
            |x: &[&[T]], y: &mut [T]| match pass {
                MaxPass::Forward => kernels::max_pool2d(&g, x[0], y),
                MaxPass::Spread => kernels::max_pool2d_backward(&g, x[0], x[1], x[2], y),
                MaxPass::Gather => kernels::max_pool2d_gather(&g, x[0], x[1], x[2], y),
            }
        ))])
    }

    fn saves(&self, _: DType) -> Saves {
        match self.pass {
            MaxPass::Forward => Saves { inputs: 1, outputs: true },
            _ => Saves { inputs: 0b11, outputs: false },
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

#[derive(Clone, Copy)]
struct AvgPool {
    windows: Windows,
    mode: CountMode,
    /// The shape of the image, if this is the gradient to it.
    back: Option<Shape>,
}

impl Op for AvgPool {
    fn name(&self) -> &'static str {
        match (self.back, self.windows) {
            (Some(_), _) => "avg_pool2d gradient",
            (None, Windows::Fixed(_)) => "avg_pool2d",
            (None, Windows::Adaptive(..)) => "adaptive_avg_pool2d",
        }
    }

    fn promote(&self, x: &[&Tensor]) -> Result<Option<DType>> {
        Ok(float_dtype(x))
    }

    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        let image = self.back.unwrap_or(*x[0].shape());
        let (_, y) = self.windows.geometry(self.name(), &image)?;
        if self.back.is_some() {
            ensure!(*x[0].shape() == y, Shape, "{}: {} is not {y}", self.name(), x[0]);
        }
        Ok(Meta::one(self.back.unwrap_or(y), x[0].dtype()))
    }

    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let image = self.back.unwrap_or(*x[0].shape());
        let (g, _) = self.windows.geometry(self.name(), &image)?;
        let (mode, back) = (self.mode, self.back.is_some());
        Ok(smallvec![in_floats!(x, out[0].dtype, T, inputs => by_planes(
            &g,
            inputs,
            out[0].shape,
            |x: &[&[T]], y: &mut [T]| if back {
                kernels::avg_pool2d_backward(&g, mode, x[0], y)
            } else {
                kernels::avg_pool2d(&g, mode, x[0], y)
            }
        ))])
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
