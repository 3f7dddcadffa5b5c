//! Graphs: how they are recorded, read and written.

mod bytes;
mod corpus;
mod file;
mod hostile;
mod recording;
mod text;

use tengen_core::op::Meta;
use tengen_core::{DType, Shape, Tensor};

/// A description of f32 tensors.
fn floats(dims: &[usize]) -> Meta {
    Meta { shape: Shape::new(dims).unwrap(), dtype: DType::F32 }
}

/// Numbers between −1 and 1 that look random.
fn numbers(meta: Meta, seed: usize) -> Tensor {
    let at = |i: usize| ((i * 7919 + seed * 104_729 + 17) % 2003) as f64 / 1001.0 - 1.0;
    let data: Vec<f64> = (0..meta.shape.numel()).map(at).collect();
    let t = Tensor::from_slice(&data, &meta.shape).unwrap();
    tengen_core::ops::cast(&t, meta.dtype).unwrap()
}
