//! Convolution: three operators, of which each is the others' gradient.

mod cost;
mod depthwise;
mod direct;
mod fused;
mod gathered;
mod op;
mod plan;
mod pointwise;
#[cfg(test)]
mod tests;
mod winograd;

pub use fused::{ConvEpilogue, conv2d_fused};
pub use plan::set_winograd;
pub use tengen_kernels::epilogue::Activation as ConvActivation;

use super::reshape;
use crate::{Result, Tensor, apply1, bail, ensure};
use op::{Conv, Pass};

/// How the window of a convolution moves; pairs are (vertical, horizontal).
///
/// ```
/// use tengen_core::ops::ConvParams;
/// let same = ConvParams { padding: (1, 1), ..ConvParams::default() };
/// assert_eq!(same.stride, (1, 1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvParams {
    /// Step of the window, in pixels.
    pub stride: (usize, usize),
    /// Zeros around the image, on each side, in pixels.
    pub padding: (usize, usize),
    /// Distance between the filter's taps, in pixels.
    pub dilation: (usize, usize),
    /// Into how many groups channels are divided; each sees only its own.
    pub groups: usize,
}

impl Default for ConvParams {
    fn default() -> Self {
        ConvParams { stride: (1, 1), padding: (0, 0), dilation: (1, 1), groups: 1 }
    }
}

/// Filters without their axis of groups: `[groups, k/groups, c/groups, r, s]` as
/// `[k, c/groups, r, s]`.
fn flat_filters(op: &str, weight: &Tensor, groups: usize) -> Result<Tensor> {
    let s = weight.shape();
    match s.len() {
        4 if groups == 1 => Ok(weight.clone()),
        5 if s[0] == groups => reshape(weight, &[s[0] * s[1], s[2], s[3], s[4]]),
        _ => bail!(
            Shape,
            "{op}: weight is {weight}; give [out, in, height, width], or with {groups} groups \
             [{groups}, out/{groups}, in/{groups}, height, width]"
        ),
    }
}

/// A convolution with its bias, whatever the bias's shape is.
fn convolve(
    params: ConvParams,
    pass: Pass,
    x: [&Tensor; 2],
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let conv = Conv { params, pass };
    match bias {
        None => apply1(conv, &x),
        Some(bias) => apply1(conv, &[x[0], x[1], &reshape(bias, &[bias.numel()])?]),
    }
}

/// Two-dimensional convolution (cross-correlation):
/// `y[n, k, i, j] = b[k] + Σ x[n, c, i·sᵥ − pᵥ + u·dᵥ, j·sₕ − pₕ + v·dₕ]·w[k, c, u, v]`.
///
/// `x` is `[n, c, h, w]`; `weight` `[k, c, r, s]`, or `[groups, k/groups, c/groups, r, s]`; `bias`
/// has k elements in any shape. The result is `[n, k, h', w']`, h' = ⌊(h + 2p − d(r − 1) − 1)/s⌋ + 1.
///
/// # Errors
/// Shape: ranks or channels do not fit, or the filter is larger than the padded image. Value: a
/// stride, a dilation or the groups are 0. Memory: the result cannot be had.
pub fn conv2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: ConvParams,
) -> Result<Tensor> {
    let weight = flat_filters("conv2d", weight, params.groups)?;
    convolve(params, Pass::Forward, [x, &weight], bias)
}

/// One-dimensional convolution: [`conv2d`] on `[n, c, w]` with `weight` `[k, c, s]`, or
/// `[groups, k/groups, c/groups, s]`; the horizontal parameters count.
///
/// # Errors
/// As [`conv2d`].
pub fn conv1d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: ConvParams,
) -> Result<Tensor> {
    ensure!(x.ndim() == 3, Shape, "conv1d: three dimensions are needed, not {x}");
    ensure!(
        weight.ndim() == if params.groups == 1 { 3 } else { 4 },
        Shape,
        "conv1d: weight is {weight}; give [out, in, width], or with {0} groups [{0}, out/{0}, in/{0}, width]",
        params.groups
    );
    let params = ConvParams {
        stride: (1, params.stride.1),
        padding: (0, params.padding.1),
        dilation: (1, params.dilation.1),
        ..params
    };
    let x = super::expand_dims(x, &[2])?;
    let weight = super::expand_dims(weight, &[-2])?;
    super::squeeze(&conv2d(&x, &weight, bias, params)?, Some(&[2]))
}

/// Transposed two-dimensional convolution: what [`conv2d`] with the same parameters has as its
/// gradient to the input, so that it undoes its change of shape.
///
/// `x` is `[n, k, h, w]`; `weight` `[k, c, r, s]`, or `[groups, k/groups, c/groups, r, s]`. The
/// result is `[n, c, h', w']`, h' = (h − 1)s − 2p + d(r − 1) + 1 + o with the output padding o.
///
/// # Errors
/// As [`conv2d`]; Value: the output padding is not below the stride.
pub fn conv_transpose2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: ConvParams,
    output_padding: (usize, usize),
) -> Result<Tensor> {
    let weight = flat_filters("conv_transpose2d", weight, params.groups)?;
    ensure!(x.ndim() == 4, Shape, "conv_transpose2d: four dimensions are needed, not {x}");
    let extent = |d: usize, s: usize, p: usize, dil: usize, o: usize| -> Result<usize> {
        ensure!(
            o < s.max(dil),
            Value,
            "conv_transpose2d: output padding {o} must be below the stride {s}"
        );
        let grown = x.shape()[d].checked_sub(1).and_then(|n| n.checked_mul(s));
        let reach = weight.shape()[d].checked_sub(1).and_then(|r| r.checked_mul(dil));
        let full = grown.zip(reach).and_then(|(a, b)| a.checked_add(b)?.checked_add(1 + o));
        match full.zip(p.checked_mul(2)).and_then(|(f, p)| f.checked_sub(p)) {
            Some(n) if n > 0 => Ok(n),
            _ => bail!(
                Shape,
                "conv_transpose2d: nothing is left of the result (inp: {x}, weight: {weight}, {params:?})"
            ),
        }
    };
    let (s, p, d) = (params.stride, params.padding, params.dilation);
    let h = extent(2, s.0, p.0, d.0, output_padding.0)?;
    let w = extent(3, s.1, p.1, d.1, output_padding.1)?;
    convolve(params, Pass::ToInput(h, w), [x, &weight], bias)
}
