//! Dropout.

use super::{Base, Forward, Module, number};
use tengen_core::{Result, Tensor, ops};

/// Sets each element to 0 with probability p in training, and the others to x / (1 − p); gives the
/// input itself in evaluation.
///
/// Numbers come from the global generator ([`random::seed`](tengen_core::random::seed)).
///
/// Source: Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting"
/// (2014).
///
/// # Errors
/// Value: p is no probability.
///
/// ```
/// use tengen::nn::{Dropout, Forward, Module};
/// use tengen::{DType, Tensor};
/// let layer = Dropout::new(0.5);
/// let x = Tensor::ones(&[100], DType::F32)?;
/// assert!(layer.call(&x)?.to_vec::<f32>()?.iter().all(|v| *v == 0.0 || *v == 2.0));
/// layer.eval();
/// assert_eq!(layer.call(&x)?.to_vec::<f32>()?, [1.0; 100]);
/// # Ok::<(), tengen::Error>(())
/// ```
#[derive(Module)]
#[module(info = Dropout::settings)]
pub struct Dropout {
    /// The probability p.
    pub drop_prob: f64,
    #[module(base)]
    base: Base,
}

impl Dropout {
    /// Dropout with this probability.
    pub fn new(drop_prob: f64) -> Dropout {
        Dropout { drop_prob, base: Base::new() }
    }

    fn settings(&self) -> String {
        format!("drop_prob={}", number(self.drop_prob))
    }
}

impl Forward for Dropout {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::dropout(x, self.drop_prob, self.training())
    }
}
