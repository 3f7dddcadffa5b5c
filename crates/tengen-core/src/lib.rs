//! Tensors, operators and automatic differentiation: the body of Tengen.
//!
//! A [`Tensor`] is an immutable value behind a cheap handle; [`ops`] are functions on tensors, each
//! an [`Op`] that runs through one door, [`apply`]; a [`GradManager`] records what runs and
//! computes gradients of the [`Var`]s attached to it.

// Code from the derive macro names the crate that users depend on.
extern crate self as tengen;

mod autograd;
mod cpu;
pub mod device;
mod door;
mod dtype;
mod error;
pub mod files;
pub mod graph;
pub mod op;
pub mod ops;
pub mod optimizer;
pub mod random;
mod scalar;
mod shape;
mod storage;
mod tensor;
mod threads;

pub use autograd::{
    BackwardPass, Callback, GradManager, Gradient, Var, is_recording, without_recording,
};
pub use device::Device;
pub use door::{apply, apply_all_in_place, apply_in_place, apply1};
pub use dtype::{DType, Element};
pub use error::{Error, ErrorKind, Result};
pub use op::{Eval, Grads, Meta, Metas, Op, Saves, Tensors};
pub use ops::elementwise::{Elementwise, ElementwiseTest, Int, MapOp, PredicateOp, promote};
pub use scalar::Scalar;
pub use shape::{MAX_DIMS, Shape, broadcast};
pub use storage::{MemoryStats, memory_stats, release_cached_memory, reset_peak_memory};
pub use tensor::Tensor;
pub use threads::{num_threads, set_num_threads};

#[doc(hidden)]
pub use half;
