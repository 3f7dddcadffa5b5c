//! Dropout.

use super::{cast, mul};
use crate::{Result, Tensor, ensure, random};

/// Elements are 0 with probability `p`, and scaled by 1 / (1 − p) otherwise, so that the mean stays
/// (Srivastava et al. 2014); outside of training they are left alone. Which ones follows from the
/// global generator.
///
/// # Errors
/// Value: `p` is not in 0..=1. Memory: the result cannot be had.
pub fn dropout(x: &Tensor, p: f64, training: bool) -> Result<Tensor> {
    ensure!((0.0..=1.0).contains(&p), Value, "dropout: {p} is no probability");
    if p == 0.0 || !training {
        return Ok(x.clone());
    }
    let keep = if p == 1.0 { 0.0 } else { 1.0 / (1.0 - p) };
    mul(x, &cast(&random::mask(p, keep, x.shape())?, x.dtype())?)
}
