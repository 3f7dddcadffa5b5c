//! CPU kernels of Tengen: slices and pointers in, slices and pointers out. Nothing here knows a
//! tensor, infers a shape or returns a `Result`; callers in `tengen-core` validate.

pub mod lanes;
pub mod map;
pub mod pool;
