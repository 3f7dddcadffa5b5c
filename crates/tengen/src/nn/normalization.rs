//! Normalisation within one sample: y = (x − μ) / √(σ² + ε)·γ + β.
//!
//! The layers differ in the elements that share a mean μ and a population variance σ². γ starts
//! from ones and β from zeros; state dicts hold both with one dimension.

use super::{Base, Forward, Module, Parameter, init, number};
use tengen_core::{DType, Result, Tensor, ensure, ops};

/// The settings of [`LayerNorm`], [`GroupNorm`] and [`InstanceNorm`].
///
/// ```
/// use tengen::nn::NormParams;
/// assert_eq!(NormParams::default(), NormParams { eps: 1e-5, affine: true });
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormParams {
    /// ε, which keeps the quotient finite.
    pub eps: f64,
    /// Whether there are γ and β.
    pub affine: bool,
}

impl Default for NormParams {
    fn default() -> Self {
        NormParams { eps: 1e-5, affine: true }
    }
}

impl NormParams {
    /// γ and β of a shape, if there are any.
    fn affine(&self, shape: &[usize]) -> Result<[Option<Parameter>; 2]> {
        if !self.affine {
            return Ok([None, None]);
        }
        let (ones, zeros) = (Tensor::ones(shape, DType::F32)?, Tensor::zeros(shape, DType::F32)?);
        Ok([Some(ones.into()), Some(zeros.into())])
    }

    fn settings(&self) -> String {
        let affine = if self.affine { "True" } else { "False" };
        format!("eps={}, affine={affine}", number(self.eps))
    }
}

/// Common to the layers of this file: γ, β and what is done with them.
macro_rules! affine {
    ($name:ident) => {
        impl $name {
            /// Sets γ to 1 and β to 0.
            ///
            /// # Errors
            /// Memory: the values cannot be had.
            pub fn reset_parameters(&self) -> Result<()> {
                self.weight.iter().try_for_each(|p| init::ones(p))?;
                self.bias.iter().try_for_each(|p| init::zeros(p))
            }

            fn values(&self) -> (Option<Tensor>, Option<Tensor>) {
                let value = |p: &Option<Parameter>| p.as_ref().map(|p| p.get());
                (value(&self.weight), value(&self.bias))
            }
        }
    };
}

/// Normalisation over the last axes of the input.
///
/// Source: Ba, Kiros and Hinton, "Layer normalization" (2016).
///
/// # Errors
/// Shape: the input does not end in `normalized_shape`.
///
/// ```
/// use tengen::nn::{Forward, LayerNorm};
/// use tengen::Tensor;
/// let y = LayerNorm::new(&[2])?.call(&Tensor::from_slice(&[0.0f32, 2.0], &[1, 2])?)?;
/// assert!((y.to_vec::<f32>()?[1] - 1.0).abs() < 1e-4);
/// # Ok::<(), tengen::Error>(())
/// ```
#[derive(Module)]
#[module(info = LayerNorm::settings, flatten)]
pub struct LayerNorm {
    /// γ, of shape `normalized_shape`.
    pub weight: Option<Parameter>,
    /// β, of shape `normalized_shape`.
    pub bias: Option<Parameter>,
    /// The settings.
    #[module(skip)]
    pub params: NormParams,
    #[module(skip)]
    normalized_shape: Vec<usize>,
    #[module(base)]
    base: Base,
}

impl LayerNorm {
    /// Normalisation over last axes of these extents, with the usual settings.
    ///
    /// # Errors
    /// Shape: the shape is impossible. Memory: the parameters cannot be had.
    pub fn new(normalized_shape: &[usize]) -> Result<LayerNorm> {
        LayerNorm::with_params(normalized_shape, NormParams::default())
    }

    /// Normalisation over last axes of these extents.
    ///
    /// # Errors
    /// As [`LayerNorm::new`].
    pub fn with_params(normalized_shape: &[usize], params: NormParams) -> Result<LayerNorm> {
        let [weight, bias] = params.affine(normalized_shape)?;
        let normalized_shape = normalized_shape.to_vec();
        Ok(LayerNorm { weight, bias, params, normalized_shape, base: Base::new() })
    }

    fn settings(&self) -> String {
        let shape: Vec<String> = self.normalized_shape.iter().map(usize::to_string).collect();
        let comma = if shape.len() == 1 { "," } else { "" };
        format!("normalized_shape=({}{comma}), {}", shape.join(", "), self.params.settings())
    }
}

affine!(LayerNorm);

impl Forward for LayerNorm {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (w, b) = self.values();
        ops::layer_norm(x, &self.normalized_shape, w.as_ref(), b.as_ref(), self.params.eps)
    }
}

/// Normalisation over groups of neighbouring channels of each sample `[n, c, …]`.
///
/// Source: Wu and He, "Group normalization" (2018).
///
/// # Errors
/// Shape: the input has not `num_channels` channels.
///
/// ```
/// use tengen::nn::{Forward, GroupNorm};
/// use tengen::{DType, Tensor};
/// let x = Tensor::ones(&[1, 4, 3, 3], DType::F32)?;
/// assert_eq!(*GroupNorm::new(2, 4)?.call(&x)?.shape(), [1, 4, 3, 3]);
/// # Ok::<(), tengen::Error>(())
/// ```
#[derive(Module)]
#[module(info = GroupNorm::settings, flatten)]
pub struct GroupNorm {
    /// γ: `[num_channels]`
    pub weight: Option<Parameter>,
    /// β: `[num_channels]`
    pub bias: Option<Parameter>,
    /// The settings.
    #[module(skip)]
    pub params: NormParams,
    num_groups: usize,
    num_channels: usize,
    #[module(base)]
    base: Base,
}

impl GroupNorm {
    /// Normalisation of `num_channels` channels in `num_groups` groups, with the usual settings.
    ///
    /// # Errors
    /// Value: the channels do not divide into the groups. Memory: the parameters cannot be had.
    pub fn new(num_groups: usize, num_channels: usize) -> Result<GroupNorm> {
        GroupNorm::with_params(num_groups, num_channels, NormParams::default())
    }

    /// Normalisation of `num_channels` channels in `num_groups` groups.
    ///
    /// # Errors
    /// As [`GroupNorm::new`].
    pub fn with_params(
        num_groups: usize,
        num_channels: usize,
        params: NormParams,
    ) -> Result<GroupNorm> {
        ensure!(
            num_groups > 0 && num_channels.is_multiple_of(num_groups),
            Value,
            "GroupNorm: {num_channels} channels do not divide into {num_groups} groups"
        );
        let [weight, bias] = params.affine(&[num_channels])?;
        Ok(GroupNorm { weight, bias, params, num_groups, num_channels, base: Base::new() })
    }

    fn settings(&self) -> String {
        let (g, c) = (self.num_groups, self.num_channels);
        format!("groups={g}, channels={c}, {}", self.params.settings())
    }
}

affine!(GroupNorm);

impl Forward for GroupNorm {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (w, b) = self.values();
        ops::group_norm(x, self.num_groups, w.as_ref(), b.as_ref(), self.params.eps)
    }
}

/// Normalisation of each channel of each sample `[n, c, …]`.
///
/// Source: Ulyanov, Vedaldi and Lempitsky, "Instance normalization" (2016).
///
/// # Errors
/// Shape: the input has not `num_channels` channels.
///
/// ```
/// use tengen::nn::{Forward, InstanceNorm};
/// use tengen::{DType, Tensor};
/// let x = Tensor::ones(&[1, 4, 3, 3], DType::F32)?;
/// assert_eq!(*InstanceNorm::new(4)?.call(&x)?.shape(), [1, 4, 3, 3]);
/// # Ok::<(), tengen::Error>(())
/// ```
#[derive(Module)]
#[module(info = InstanceNorm::settings, flatten)]
pub struct InstanceNorm {
    /// γ: `[num_channels]`
    pub weight: Option<Parameter>,
    /// β: `[num_channels]`
    pub bias: Option<Parameter>,
    /// The settings.
    #[module(skip)]
    pub params: NormParams,
    num_channels: usize,
    #[module(base)]
    base: Base,
}

impl InstanceNorm {
    /// Normalisation of `num_channels` channels with the usual settings.
    ///
    /// # Errors
    /// Memory: the parameters cannot be had.
    pub fn new(num_channels: usize) -> Result<InstanceNorm> {
        InstanceNorm::with_params(num_channels, NormParams::default())
    }

    /// Normalisation of `num_channels` channels.
    ///
    /// # Errors
    /// As [`InstanceNorm::new`].
    pub fn with_params(num_channels: usize, params: NormParams) -> Result<InstanceNorm> {
        let [weight, bias] = params.affine(&[num_channels])?;
        Ok(InstanceNorm { weight, bias, params, num_channels, base: Base::new() })
    }

    fn settings(&self) -> String {
        format!("channels={}, {}", self.num_channels, self.params.settings())
    }
}

affine!(InstanceNorm);

impl Forward for InstanceNorm {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (w, b) = self.values();
        ops::instance_norm(x, w.as_ref(), b.as_ref(), self.params.eps)
    }
}
