//! Deep learning in Rust: tensors, automatic differentiation, modules and optimizers.
//!
//! ```
//! use tengen::nn::{Forward, PReLU};
//! use tengen::Tensor;
//!
//! let data = Tensor::from_slice(&[-1.2f32, -3.7, 2.7], &[3])?;
//! let prelu = PReLU::new(1, 0.25)?;
//! let output = prelu.call(&data)?;
//! assert_eq!(output.to_vec::<f32>()?, [-0.3, -0.925, 2.7]);
//! # Ok::<(), tengen::Error>(())
//! ```

// Code from the derive macro names this crate.
extern crate self as tengen;

pub mod data;
pub mod files;
pub mod nn;
pub mod optim;

pub use tengen_core::*;
