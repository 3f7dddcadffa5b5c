//! CPU kernels: slices in, slices out.
