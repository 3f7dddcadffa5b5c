//! Tensors, operators and automatic differentiation: the body of Tengen.
//!
//! A [`Tensor`] is an immutable value behind a cheap handle; [`ops`] are functions on tensors, each
//! an [`Op`] that runs through one door, [`apply`]; a [`GradManager`] records what runs and
//! computes gradients of the [`Var`]s attached to it.

mod apply;
mod autograd;
mod device;
mod dtype;
mod elementwise;
mod error;
pub mod files;
mod op;
pub mod ops;
pub mod optimizer;
mod prepared;
pub mod random;
mod raw;
mod scalar;
mod shape;
mod storage;
mod tensor;
mod threads;

pub use apply::{apply, apply1};
pub use autograd::{
    BackwardPass, Callback, GradManager, Gradient, Var, is_recording, without_recording,
};
pub use device::Device;
pub use dtype::{DType, Element};
pub use elementwise::{Elementwise, ElementwiseTest, Int, MapOp, PredicateOp, promote};
pub use error::{Error, ErrorKind, Result};
pub use op::{Grads, Meta, Metas, Op, Saves, Tensors};
pub use scalar::Scalar;
pub use shape::{MAX_DIMS, Shape, broadcast};
pub use storage::{MemoryStats, memory_stats, release_cached_memory, reset_peak_memory};
pub use tensor::Tensor;
pub use threads::{num_threads, set_num_threads};

#[doc(hidden)]
pub use half;
