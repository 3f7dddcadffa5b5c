//! Fully connected layer.

use super::{Base, Forward, Module, Parameter};
use tengen_core::{DType, Result, Tensor, ops};

/// x·Wᵀ + b over the last axis.
///
/// The weight `[out_features, in_features]` starts as normal numbers of variance 1/in_features,
/// the bias `[out_features]` at 0.
///
/// ```
/// use tengen::nn::{Forward, Linear};
/// use tengen::{DType, Tensor};
/// let y = Linear::new(3, 5)?.call(&Tensor::ones(&[2, 3], DType::F32)?)?;
/// assert_eq!(*y.shape(), [2, 5]);
/// # Ok::<(), tengen::Error>(())
/// ```
#[derive(Module)]
#[module(info = Linear::settings)]
pub struct Linear {
    /// Elements that each row of the input has.
    pub in_features: usize,
    /// Elements that each row of the result has.
    pub out_features: usize,
    /// `[out_features, in_features]`
    pub weight: Parameter,
    /// `[out_features]`
    pub bias: Option<Parameter>,
    #[module(base)]
    base: Base,
}

impl Linear {
    /// A layer from rows of `in_features` to rows of `out_features`, with a bias.
    ///
    /// # Errors
    /// Shape: the weight would be impossible. Memory: it cannot be had.
    pub fn new(in_features: usize, out_features: usize) -> Result<Linear> {
        let mut layer = Linear::without_bias(in_features, out_features)?;
        layer.bias = Some(Tensor::zeros(&[out_features], DType::F32)?.into());
        Ok(layer)
    }

    /// A layer without a bias.
    ///
    /// # Errors
    /// As [`Linear::new`].
    pub fn without_bias(in_features: usize, out_features: usize) -> Result<Linear> {
        let weight = Parameter::new(Tensor::zeros(&[out_features, in_features], DType::F32)?);
        super::init::normal(&weight, 0.0, (1.0 / in_features.max(1) as f64).sqrt())?;
        Ok(Linear { in_features, out_features, weight, bias: None, base: Base::new() })
    }

    fn settings(&self) -> String {
        let bias = if self.bias.is_some() { "True" } else { "False" };
        format!("in_features={}, out_features={}, bias={bias}", self.in_features, self.out_features)
    }
}

impl Forward for Linear {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(|b| b.get());
        ops::linear(x, &self.weight.get(), bias.as_ref())
    }
}
