//! Batch normalisation.

use super::{Base, Buffer, Forward, Module, Parameter, init, number};
use tengen_core::{DType, Result, Tensor, ensure, ops, without_recording};

/// The settings of [`BatchNorm2d`] and [`BatchNorm1d`].
///
/// ```
/// use tengen::nn::BatchNormParams;
/// let p = BatchNormParams::default();
/// assert_eq!((p.eps, p.momentum, p.affine), (1e-5, 0.9, true));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormParams {
    /// ε, which keeps the quotient finite.
    pub eps: f64,
    /// How much of the running statistics a batch leaves as it was.
    pub momentum: f64,
    /// Whether there are γ and β.
    pub affine: bool,
    /// Whether there are running statistics. Without them the batch's own are used in evaluation
    /// too.
    pub track_running_stats: bool,
    /// Whether to normalise by the running statistics in training too, and leave them as they are;
    /// γ and β then get no gradient.
    pub freeze: bool,
}

impl Default for BatchNormParams {
    fn default() -> Self {
        BatchNormParams {
            eps: 1e-5,
            momentum: 0.9,
            affine: true,
            track_running_stats: true,
            freeze: false,
        }
    }
}

fn python(b: bool) -> &'static str {
    if b { "True" } else { "False" }
}

macro_rules! batch_norm {
    ($(#[$doc:meta])* $name:ident, $text:literal, $dims:pat, $wanted:literal) => {
        $(#[$doc])*
        #[derive(Module)]
        #[module(info = $name::settings, flatten)]
        pub struct $name {
            /// γ: `[1, num_features, 1, 1]`
            pub weight: Option<Parameter>,
            /// β: `[1, num_features, 1, 1]`
            pub bias: Option<Parameter>,
            /// `[1, num_features, 1, 1]`
            pub running_mean: Option<Buffer>,
            /// `[1, num_features, 1, 1]`
            pub running_var: Option<Buffer>,
            /// The settings.
            #[module(skip)]
            pub params: BatchNormParams,
            num_features: usize,
            #[module(base)]
            base: Base,
        }

        impl $name {
            /// Normalisation of `num_features` channels with the usual settings.
            ///
            /// # Errors
            /// Memory: the parameters cannot be had.
            pub fn new(num_features: usize) -> Result<$name> {
                $name::with_params(num_features, BatchNormParams::default())
            }

            /// Normalisation of `num_features` channels.
            ///
            /// # Errors
            /// Value: frozen statistics that are not tracked. Memory: the parameters cannot be had.
            pub fn with_params(num_features: usize, params: BatchNormParams) -> Result<$name> {
                ensure!(
                    params.track_running_stats || !params.freeze,
                    Value,
                    concat!($text, ": freeze needs track_running_stats")
                );
                let all = |v| Tensor::full(&[1, num_features, 1, 1], v, DType::F32);
                let (affine, tracked) = (params.affine, params.track_running_stats);
                Ok($name {
                    weight: affine.then(|| all(1.0).map(Parameter::new)).transpose()?,
                    bias: affine.then(|| all(0.0).map(Parameter::new)).transpose()?,
                    running_mean: tracked.then(|| all(0.0).map(Buffer::new)).transpose()?,
                    running_var: tracked.then(|| all(1.0).map(Buffer::new)).transpose()?,
                    params,
                    num_features,
                    base: Base::new(),
                })
            }

            /// Sets the running mean to 0 and the running variance to 1, if there are any.
            ///
            /// # Errors
            /// Memory: the values cannot be had.
            pub fn reset_running_stats(&self) -> Result<()> {
                self.running_mean.iter().try_for_each(|b| init::zeros(b))?;
                self.running_var.iter().try_for_each(|b| init::ones(b))
            }

            /// Resets the running statistics, γ to 1 and β to 0.
            ///
            /// # Errors
            /// Memory: the values cannot be had.
            pub fn reset_parameters(&self) -> Result<()> {
                self.reset_running_stats()?;
                self.weight.iter().try_for_each(|p| init::ones(p))?;
                self.bias.iter().try_for_each(|p| init::zeros(p))
            }

            fn settings(&self) -> String {
                let p = &self.params;
                format!(
                    "{}, eps={}, momentum={}, affine={}, track_running_stats={}",
                    self.num_features,
                    number(p.eps),
                    number(p.momentum),
                    python(p.affine),
                    python(p.track_running_stats)
                )
            }
        }

        impl Forward for $name {
            type Input = Tensor;
            type Output = Tensor;
            fn forward(&self, x: &Tensor) -> Result<Tensor> {
                ensure!(
                    matches!(x.ndim(), $dims),
                    Shape,
                    concat!($text, ": inp must be ", $wanted, ", not {}"),
                    x
                );
                let constant = |t: Tensor| if self.params.freeze { t.detach() } else { t };
                let given = |p: &Option<Parameter>| p.as_ref().map(|p| constant(p.get()));
                let (weight, bias) = (given(&self.weight), given(&self.bias));
                let (weight, bias, eps) = (weight.as_ref(), bias.as_ref(), self.params.eps);
                let (Some(mean), Some(var)) = (&self.running_mean, &self.running_var) else {
                    return Ok(ops::batch_norm_train(x, weight, bias, eps)?.0);
                };
                if !self.training() || self.params.freeze {
                    return ops::batch_norm_eval(x, &mean.get(), &var.get(), weight, bias, eps);
                }
                let (y, batch_mean, batch_var) = ops::batch_norm_train(x, weight, bias, eps)?;
                if x.numel() == 0 {
                    return Ok(y);
                }
                blend(mean, &batch_mean, self.params.momentum)?;
                blend(var, &batch_var, self.params.momentum)?;
                Ok(y)
            }
        }
    };
}

/// r ← momentum·r + (1 − momentum)·s
fn blend(running: &Buffer, batch: &Tensor, momentum: f64) -> Result<()> {
    without_recording(|| {
        let old = running.get().detach();
        let share = |t: &Tensor, f| ops::mul(t, &Tensor::full(&[], f, t.dtype())?);
        let batch = ops::reshape(&batch.detach(), old.shape())?;
        let new = ops::add(&share(&old, momentum)?, &share(&batch, 1.0 - momentum)?)?;
        running.set(ops::cast(&new, old.dtype())?)
    })
}

batch_norm! {
    /// Gives every channel of `[n, c, h, w]` mean β and deviation γ over the batch:
    /// y = (x − μ) / √(σ² + ε)·γ + β.
    ///
    /// In training, μ and σ² are the mean and the population variance over all axes but the
    /// channels, and the running statistics follow: r ← momentum·r + (1 − momentum)·s, where s is
    /// the batch's mean or unbiased variance, which of one element is 0. A batch without elements
    /// leaves them as they are. In evaluation μ and σ² are the running statistics.
    ///
    /// `weight` (γ, from 1), `bias` (β, from 0), `running_mean` (from 0) and `running_var` (from 1)
    /// are `[1, c, 1, 1]`, and `[c]` in state dicts.
    ///
    /// Source: Ioffe and Szegedy, "Batch normalization" (2015).
    ///
    /// # Errors
    /// Shape: the input is not `[n, num_features, h, w]`.
    ///
    /// ```
    /// use tengen::nn::{BatchNorm2d, Forward};
    /// use tengen::{DType, Tensor, ops, random};
    /// let x = random::normal(3.0, 2.0, &[8, 4, 5, 5], DType::F32)?;
    /// let norm = BatchNorm2d::new(4)?;
    /// let y = norm.call(&x)?;
    /// assert!(ops::mean(&y, None, false)?.item()?.abs() < 1e-5);
    /// assert!((ops::std(&y, None, false)?.item()? - 1.0).abs() < 1e-3);
    /// # Ok::<(), tengen::Error>(())
    /// ```
    BatchNorm2d, "BatchNorm2d", 4, "[n, c, h, w]"
}

batch_norm! {
    /// [`BatchNorm2d`] for `[n, c]` or `[n, c, l]`.
    ///
    /// # Errors
    /// Shape: the input is neither `[n, num_features]` nor `[n, num_features, l]`.
    ///
    /// ```
    /// use tengen::nn::{BatchNorm1d, Forward};
    /// use tengen::Tensor;
    /// let x = Tensor::from_slice(&[1.0f32, 10.0, 3.0, 30.0], &[2, 2])?;
    /// let y = BatchNorm1d::new(2)?.call(&x)?.to_vec::<f32>()?;
    /// assert!((y[0] + 1.0).abs() < 1e-4 && (y[3] - 1.0).abs() < 1e-4);
    /// # Ok::<(), tengen::Error>(())
    /// ```
    BatchNorm1d, "BatchNorm1d", 2 | 3, "[n, c] or [n, c, l]"
}
