//! Tensors, operators and automatic differentiation.

mod dtype;
mod error;

pub use dtype::{DType, Element};
pub use error::{Error, ErrorKind, Result};
#[doc(hidden)]
pub use half;
