//! Lookup tables.

use super::{Base, Forward, Module, Parameter, init};
use tengen_core::{DType, Result, Tensor, ensure, ops};

/// A table whose rows are looked up by index: `yᵢ = W[xᵢ]`.
///
/// Integers of any shape `[…]` become `[…, embedding_dim]`. The weight is
/// `[num_embeddings, embedding_dim]`, at first with normal elements of variance 1.
///
/// # Errors
/// DType: the input does not hold integers. Index: one is out of range.
///
/// ```
/// use tengen::nn::{Embedding, Forward};
/// use tengen::Tensor;
/// let x = Tensor::from_slice(&[0i32, 4, 1, 1], &[2, 2])?;
/// assert_eq!(*Embedding::new(5, 3)?.call(&x)?.shape(), [2, 2, 3]);
/// # Ok::<(), tengen::Error>(())
/// ```
#[derive(Module)]
pub struct Embedding {
    /// `[num_embeddings, embedding_dim]`
    pub weight: Parameter,
    /// Whether the table gets no gradient.
    pub freeze: bool,
    #[module(base)]
    base: Base,
}

impl Embedding {
    /// A table of `num_embeddings` rows of `embedding_dim` elements.
    ///
    /// # Errors
    /// Shape: the table would be impossible. Memory: it cannot be had.
    pub fn new(num_embeddings: usize, embedding_dim: usize) -> Result<Embedding> {
        let zeros = Tensor::zeros(&[num_embeddings, embedding_dim], DType::F32)?;
        let layer = Embedding { weight: zeros.into(), freeze: false, base: Base::new() };
        layer.reset_parameters()?;
        Ok(layer)
    }

    /// A table with these rows; with `freeze` it gets no gradient.
    ///
    /// # Errors
    /// Shape: `weight` has not two dimensions.
    ///
    /// ```
    /// use tengen::nn::{Embedding, Forward};
    /// use tengen::{DType, Tensor, ops};
    /// let layer = Embedding::from_pretrained(ops::eye(2, 2, 0, DType::F32)?, true)?;
    /// let y = layer.call(&Tensor::from_slice(&[1i32], &[1])?)?;
    /// assert_eq!(y.to_vec::<f32>()?, [0.0, 1.0]);
    /// # Ok::<(), tengen::Error>(())
    /// ```
    pub fn from_pretrained(weight: Tensor, freeze: bool) -> Result<Embedding> {
        ensure!(
            weight.ndim() == 2,
            Shape,
            "Embedding: a table has two dimensions, but {weight} was given"
        );
        Ok(Embedding { weight: weight.detach().into(), freeze, base: Base::new() })
    }

    /// Draws the table anew.
    ///
    /// # Errors
    /// Memory: the numbers cannot be had.
    pub fn reset_parameters(&self) -> Result<()> {
        init::normal(&self.weight, 0.0, 1.0)
    }
}

impl Forward for Embedding {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let weight = self.weight.get();
        ops::embedding(x, &if self.freeze { weight.detach() } else { weight })
    }
}
