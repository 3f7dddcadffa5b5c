//! CPU kernels: slices in, slices out.

pub mod copy;
