//! Deep learning in Rust.

pub use tengen_core::*;
