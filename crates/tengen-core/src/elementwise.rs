//! The driver of elementwise operators: broadcasting, layout, threads; and the backward pass in
//! which gradients to broadcast operands are summed on the way.

use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::shape::{MAX_DIMS, Shape, broadcast};
use crate::{DType, Element, Result, Tensor, bail, dispatch, ops};
use smallvec::{SmallVec, smallvec};
use tengen_kernels::lanes::{Expr, Float, Graph, Node, OpCode, trace};
use tengen_kernels::map::{self, Dst, Map, Predicate, Scalar, Src};
use tengen_kernels::{copy, pool};

/// Elements per task; the split never depends on the number of threads.
const TASK: usize = 16 * 1024;
/// Below this many elements one thread is faster.
const PARALLEL: usize = 32 * 1024;
/// Runs shorter than this are not worth a kernel call each: operands are materialised instead.
const SHORT_RUN: usize = 32;

/// An elementwise operator of `N` tensors: a [`Map`] with its name and the types it takes.
pub trait Elementwise<const N: usize>: Map<N> {
    /// The operator's name.
    const NAME: &'static str;
    /// Whether it also works on integers, through [`Elementwise::int`]; otherwise they become f32.
    const INTS: bool = false;
    /// What its gradient reads.
    const SAVES: Saves = Saves::INPUTS;
    /// Whether it has a gradient.
    const DIFFERENTIABLE: bool = true;
    /// The formula on integers, computed in i64 and wrapped to the operands' type.
    fn int(&self, x: [i64; N]) -> i64 {
        x[0]
    }
}

/// The dtype in which operands meet: f64 if there is one; f16 or bf16 among themselves; f32 if
/// there is any float or a mixture of bool and numbers; else the smallest integer type that holds
/// all operands' values.
pub fn promote(dtypes: impl IntoIterator<Item = DType>) -> DType {
    dtypes.into_iter().reduce(promote2).unwrap_or(DType::F32)
}

fn promote2(a: DType, b: DType) -> DType {
    use DType::*;
    match (a, b) {
        _ if a == b => a,
        (F64, _) | (_, F64) => F64,
        _ if a.is_float() || b.is_float() || a == Bool || b == Bool => F32,
        (U8, I8) | (I8, U8) => I16,
        _ => a.max(b),
    }
}

/// The operator of a [`Map`].
#[derive(Clone, Copy)]
pub struct MapOp<M>(pub M);

/// Shape of the result of elementwise operators.
pub(crate) fn broadcast_all(op: &str, inputs: &[&Tensor]) -> Result<Shape> {
    let mut shape = *inputs[0].shape();
    for x in &inputs[1..] {
        shape = broadcast(op, &shape, x.shape())?;
    }
    Ok(shape)
}

impl<M: MapN> Op for MapOp<M> {
    fn name(&self) -> &'static str {
        self.0.name()
    }
    fn promote(&self, inputs: &[&Tensor]) -> Result<Option<DType>> {
        let dtype = promote(inputs.iter().map(|x| x.dtype()));
        Ok(Some(if dtype.is_float() || (dtype.is_int() && self.0.ints()) { dtype } else { DType::F32 }))
    }
    fn infer(&self, inputs: &[&Tensor]) -> Result<Metas> {
        Ok(Meta::one(broadcast_all(self.name(), inputs)?, inputs[0].dtype()))
    }
    fn eval(&self, inputs: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        Ok(smallvec![self.0.forward(inputs, out[0])?])
    }
    fn saves(&self) -> Saves {
        self.0.saves()
    }
    fn grad(&self, g: &crate::autograd::Gradient) -> Result<Grads> {
        self.0.backward(g)
    }
}
