//! CPU kernels: slices in, slices out.

pub mod copy;
pub mod index;
mod multiversion;
pub mod pooling;
pub mod random;
pub mod sort;
