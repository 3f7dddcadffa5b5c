//! CPU kernels of Tengen: slices and pointers in, slices and pointers out. Nothing here knows a
//! tensor, infers a shape or returns a `Result`; callers in `tengen-core` validate.

pub mod conv;
pub mod copy;
pub mod ctc;
pub mod depthwise;
pub mod direct;
pub mod epilogue;
pub mod gemm;
pub mod gemv;
pub mod index;
pub mod lanes;
pub mod map;
mod multiversion;
pub mod norm;
pub mod optim;
pub mod pool;
pub mod pooling;
pub mod random;
pub mod recurrent;
pub mod reduce;
mod rows;
pub mod scan;
pub mod small;
pub mod softmax;
pub mod sort;
#[cfg(test)]
mod testing;
pub mod windows;
pub mod winograd;
