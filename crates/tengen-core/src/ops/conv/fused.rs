//! A convolution and what follows it, in one pass over the results.

use super::op::{Conv, Pass};
use super::{ConvActivation, ConvParams, flat_filters};
use crate::op::{
    Attribute, Attributes, Described, Metas, Op, Tensors, Value, from_variant, variant,
};
use crate::ops::{add, broadcast_to, prelu, relu, reshape};
use crate::shape::Shape;
use crate::{DType, Error, ErrorKind, Result, Tensor, apply1, ensure};
use smallvec::{SmallVec, smallvec};

/// What follows the sums of [`conv2d_fused`]: `activation(sum + bias + residual)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConvEpilogue<'a> {
    /// As many elements as there are output channels, in any shape.
    pub bias: Option<&'a Tensor>,
    /// Of the result's shape.
    pub residual: Option<&'a Tensor>,
    /// Last: as in [`relu`], or as in [`prelu`] with slopes of one element or one for each output
    /// channel.
    pub activation: ConvActivation<&'a Tensor>,
}

/// [`conv2d`](super::conv2d), a sum and an activation: `activation(conv2d(x, weight, bias) + residual)`, computed
/// while the convolution's results are stored, so that they pass through memory once.
///
/// # Errors
/// As [`conv2d`](super::conv2d); Shape: the residual has another shape than the result, or the slopes are neither
/// one nor one for each output channel.
///
/// ```
/// use tengen_core::{DType, Tensor, ops};
/// use tengen_core::ops::{ConvActivation, ConvEpilogue, ConvParams};
/// let (x, w) = (Tensor::ones(&[1, 2, 3, 3], DType::F32)?, Tensor::ones(&[4, 2, 3, 3], DType::F32)?);
/// let bias = Tensor::from_slice(&[-20.0f32, -18.0, 0.0, 1.0], &[4])?;
/// let after =
///     ConvEpilogue { bias: Some(&bias), activation: ConvActivation::Relu, ..Default::default() };
/// let y = ops::conv2d_fused(&x, &w, ConvParams::default(), after)?;
/// assert_eq!(y.to_vec::<f32>()?, [0.0, 0.0, 18.0, 19.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn conv2d_fused(
    x: &Tensor,
    weight: &Tensor,
    params: ConvParams,
    after: ConvEpilogue<'_>,
) -> Result<Tensor> {
    let ConvEpilogue { bias, residual, activation } = after;
    let weight = flat_filters("conv2d", weight, params.groups)?;
    let channels = weight.shape()[0];
    let bias = bias.map(|bias| reshape(bias, &[bias.numel()])).transpose()?;
    let mut slope = None;
    let activation = activation.try_map(|given| {
        slope = Some(reshape(&slopes(given, channels)?, &[channels])?);
        Ok::<_, Error>(())
    })?;
    let conv = Conv { params, pass: Pass::Forward };
    let op = Fused { conv, bias: bias.is_some(), residual: residual.is_some(), activation };
    let mut inputs: SmallVec<[&Tensor; 5]> = smallvec![x, &weight];
    inputs.extend(bias.iter().chain(residual).chain(&slope));
    apply1(op, &inputs)
}

/// Slopes as `[1, channels, 1, 1]`.
fn slopes(slope: &Tensor, channels: usize) -> Result<Tensor> {
    let n = slope.numel();
    ensure!(
        n == 1 || n == channels,
        Shape,
        "conv2d_fused: {n} slopes but there are {channels} output channels; give 1 or {channels}"
    );
    broadcast_to(&reshape(slope, &[1, n, 1, 1])?, &Shape::new(&[1, channels, 1, 1])?)
}

fn fits(residual: &Described, shape: &Shape) -> Result<()> {
    ensure!(
        residual.shape() == shape,
        Shape,
        "conv2d_fused: the residual {residual} is added to a result of shape {shape}"
    );
    Ok(())
}

/// Inputs: x, filters, and then bias, residual and slopes, those that there are.
#[derive(Clone, Copy, Attributes)]
pub(crate) struct Fused {
    pub conv: Conv,
    pub bias: bool,
    pub residual: bool,
    pub activation: ConvActivation<()>,
}

/// Whether negative values stay, vanish or have slopes.
impl Attribute for ConvActivation<()> {
    fn to_value(&self) -> Value {
        let name = match self {
            ConvActivation::Identity => "identity",
            ConvActivation::Relu => "relu",
            ConvActivation::Prelu(()) => "prelu",
        };
        variant(name, vec![])
    }
    fn from_value(value: &Value) -> Result<Self> {
        from_variant(value, |name, reader| {
            Ok(match name {
                "identity" => ConvActivation::Identity,
                "relu" => ConvActivation::Relu,
                "prelu" => ConvActivation::Prelu(()),
                _ => return Err(reader.unknown(name)),
            })
        })
    }
}

impl Fused {
    /// The number of inputs.
    fn count(&self) -> usize {
        let slopes = matches!(self.activation, ConvActivation::Prelu(_));
        2 + [self.bias, self.residual, slopes].into_iter().filter(|given| *given).count()
    }

    /// What follows the sums, of the operands.
    pub(crate) fn after<'a>(&self, x: &[&'a Tensor]) -> Result<ConvEpilogue<'a>> {
        let mut rest = x[2..].iter().copied();
        let mut next = || {
            let missing = || Error::new(ErrorKind::Shape, "conv2d_fused: an operand is missing");
            rest.next().ok_or_else(missing)
        };
        Ok(ConvEpilogue {
            bias: self.bias.then(&mut next).transpose()?,
            residual: self.residual.then(&mut next).transpose()?,
            activation: self.activation.try_map(|()| next())?,
        })
    }
}

impl Op for Fused {
    fn name(&self) -> &'static str {
        "conv2d_fused"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == self.count()
    }

    fn promote(&self, x: &[&Described]) -> Result<Option<DType>> {
        self.conv.promote(x)
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let forward = self.conv.pass == Pass::Forward;
        ensure!(forward, Value, "conv2d_fused: only convolutions forwards are followed by more");
        let bias = 2 + usize::from(self.bias);
        let out = self.conv.infer(&x[..bias])?;
        if self.residual {
            fits(x[bias], &out[0].shape)?;
        }
        if let ConvActivation::Prelu(()) = self.activation {
            let (slopes, channels) = (x[x.len() - 1].numel(), out[0].shape[1]);
            ensure!(slopes == channels, Shape, "conv2d_fused: {slopes} slopes of {channels}");
        }
        Ok(out)
    }

    fn expand(&self, x: &[&Tensor]) -> Option<Result<Tensors>> {
        let all = || {
            let ConvEpilogue { bias, residual, activation } = self.after(x)?;
            let mut sums: SmallVec<[&Tensor; 3]> = smallvec![x[0], x[1]];
            sums.extend(bias);
            let y = apply1(self.conv, &sums)?;
            let y = match residual {
                Some(residual) => add(&y, residual)?,
                None => y,
            };
            Ok(smallvec![match activation {
                ConvActivation::Identity => y,
                ConvActivation::Relu => relu(&y)?,
                ConvActivation::Prelu(slope) => prelu(&y, &slopes(slope, y.shape()[1])?)?,
            }])
        };
        Some(all())
    }

    fn differentiates_expanded(&self) -> bool {
        true
    }
}
