//! Embedding.

use super::take;
use crate::{Result, Tensor, ensure};

/// Row `index[…]` of `weight` `[rows, n]` for every index: a tensor of shape `[…, n]`.
///
/// # Errors
/// Index: an index is not in 0..rows. DType: the indices are not integers. Shape: the weight has
/// not two dimensions. Memory: the result cannot be had.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let table = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
/// let y = ops::embedding(&Tensor::from_slice(&[1, 0, 1], &[3])?, &table)?;
/// assert_eq!(y.to_vec::<f32>()?, [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn embedding(index: &Tensor, weight: &Tensor) -> Result<Tensor> {
    ensure!(weight.ndim() == 2, Shape, "embedding: weight must be [rows, n], not {weight}");
    take(weight, 0, index).map_err(|e| e.context("embedding"))
}
