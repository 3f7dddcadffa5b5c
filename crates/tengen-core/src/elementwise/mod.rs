//! The driver of elementwise operators: broadcasting, layout, threads; and the backward pass in
//! which gradients to broadcast operands are summed on the way.

mod copy;
mod gradient;
mod int;
mod plan;
mod run;

pub(crate) use copy::{copy_both, copy_into};
pub(crate) use gradient::backward;
pub use int::Int;
pub(crate) use plan::{expand, past_caches, prepare};

use crate::autograd::{Gradient, is_recording};
use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::ops;
use crate::shape::{Shape, broadcast};
use crate::{DType, Result, Tensor, bail, dispatch};
use half::{bf16, f16};
use run::{ScalarInt, ScalarTest, forward, scalar, test};
use smallvec::smallvec;
use tengen_kernels::map::{Map, Predicate};

/// An elementwise operator of `N` tensors: a [`Map`] with its name and the types it takes.
pub trait Elementwise<const N: usize>: Map<N> {
    /// The operator's name.
    const NAME: &'static str;
    /// Whether it also works on integers, through [`Elementwise::int`]; otherwise they become f32.
    const INTS: bool = false;
    /// Whether it works on floating-point numbers.
    const FLOATS: bool = true;
    /// What its gradient reads.
    const SAVES: Saves = Saves::INPUTS;
    /// Whether its gradient reads its value instead, where that is of `dtype`.
    fn by_value(dtype: DType) -> bool {
        let _ = dtype;
        false
    }
    /// The formula on integers.
    fn int<I: Int>(&self, x: [I; N]) -> I {
        x[0]
    }
    /// The gradient rule: [`Map::df`], fused with the sums over broadcast axes; or, while the
    /// backward pass is recorded, `df` spelled out in operators.
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        map_gradient(self, g)
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
pub struct MapOp<M, const N: usize>(pub M);

/// The operator of a [`Predicate`].
#[derive(Clone, Copy)]
pub struct PredicateOp<P, const N: usize>(pub P);

/// An elementwise test of `N` tensors, with its name.
pub trait ElementwiseTest<const N: usize>: Predicate<N> {
    /// The operator's name.
    const NAME: &'static str;
    /// Whether it is for bool tensors only.
    const BOOLS: bool = false;
    /// The test on integers and bools.
    fn int(&self, x: [i64; N]) -> bool;
}

/// Shape of the result of elementwise operators.
fn broadcast_all(op: &str, inputs: &[&Tensor]) -> Result<Shape> {
    let mut shape = *inputs[0].shape();
    for x in &inputs[1..] {
        shape = broadcast(op, &shape, x.shape())?;
    }
    Ok(shape)
}

/// The inputs as an array.
pub(crate) fn operands<'a, const N: usize>(
    op: &str,
    inputs: &[&'a Tensor],
) -> Result<[&'a Tensor; N]> {
    match inputs.try_into() {
        Ok(xs) => Ok(xs),
        Err(_) => bail!(Value, "{op}: takes {N} inputs, not {}", inputs.len()),
    }
}

impl<M: Elementwise<N>, const N: usize> Op for MapOp<M, N> {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn promote(&self, inputs: &[&Tensor]) -> Result<Option<DType>> {
        let dtype = promote(inputs.iter().map(|x| x.dtype()));
        if !M::FLOATS && !dtype.is_int() {
            bail!(DType, "{}: works on integers, not {dtype}", M::NAME);
        }
        if dtype == DType::Bool && inputs.len() > 1 {
            bail!(DType, "{}: does not work on two bool tensors; convert one with astype", M::NAME);
        }
        let native = dtype.is_float() || (M::INTS && dtype.is_int());
        Ok(Some(if native { dtype } else { DType::F32 }))
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Metas> {
        Ok(Meta::one(broadcast_all(M::NAME, inputs)?, inputs[0].dtype()))
    }

    fn eval(&self, inputs: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let xs = operands::<N>(M::NAME, inputs)?;
        let Meta { shape, dtype } = out[0];
        let y = match dtype {
            DType::F32 => forward::<f32, M, N>(&self.0, xs, shape)?,
            DType::F64 => forward::<f64, M, N>(&self.0, xs, shape)?,
            DType::F16 => forward::<f16, M, N>(&self.0, xs, shape)?,
            DType::BF16 => forward::<bf16, M, N>(&self.0, xs, shape)?,
            _ => dispatch!(dtype, [U8, I8, I16, I32, I64], T => {
                scalar::<T, T, N>(xs, shape, ScalarInt(&self.0))?
            }, else bail!(DType, "{}: does not work on {dtype}", M::NAME)),
        };
        Ok(smallvec![y])
    }

    fn saves(&self, dtype: DType) -> Saves {
        if M::by_value(dtype) { Saves::OUTPUTS } else { M::SAVES }
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        Elementwise::grad(&self.0, g)
    }
}

/// The gradients of [`Map::df`] at the inputs.
pub(crate) fn map_gradient<M: Elementwise<N>, const N: usize>(
    map: &M,
    g: &Gradient,
) -> Result<Grads> {
    let dy = g.dy(0)?;
    // What the gradient does not read is stood in for by a zero of no dimensions.
    let stand_in = Tensor::zeros(&[], dy.dtype())?;
    let mut xs = [&stand_in; N];
    for (k, x) in xs.iter_mut().enumerate() {
        if M::SAVES.inputs >> k & 1 == 1 {
            *x = g.input(k)?;
        }
    }
    gradient_at(map, xs, &dy, g)
}

/// The gradients of [`Map::df`] at `xs`.
pub(crate) fn gradient_at<M: Map<N>, const N: usize>(
    map: &M,
    xs: [&Tensor; N],
    dy: &Tensor,
    g: &Gradient,
) -> Result<Grads> {
    if is_recording() {
        return ops::symbolic::gradient(map, xs, dy, g);
    }
    let wanted = std::array::from_fn(|k| g.needs(k).then(|| g.input_meta(k).shape));
    backward(map, xs, dy, wanted)
}

impl<P: ElementwiseTest<N>, const N: usize> Op for PredicateOp<P, N> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn promote(&self, inputs: &[&Tensor]) -> Result<Option<DType>> {
        if P::BOOLS
            && let Some(x) = inputs.iter().find(|x| x.dtype() != DType::Bool)
        {
            bail!(DType, "{}: works on bool tensors, not {x}", P::NAME);
        }
        Ok(Some(promote(inputs.iter().map(|x| x.dtype()))))
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Metas> {
        Ok(Meta::one(broadcast_all(P::NAME, inputs)?, DType::Bool))
    }

    fn eval(&self, inputs: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let xs = operands::<N>(P::NAME, inputs)?;
        let shape = out[0].shape;
        let y = match xs[0].dtype() {
            DType::F32 => test::<f32, P, N>(&self.0, xs, shape)?,
            DType::F64 => test::<f64, P, N>(&self.0, xs, shape)?,
            DType::F16 => test::<f16, P, N>(&self.0, xs, shape)?,
            DType::BF16 => test::<bf16, P, N>(&self.0, xs, shape)?,
            dtype => dispatch!(dtype, [Bool, U8, I8, I16, I32, I64], T => {
                scalar::<T, bool, N>(xs, shape, ScalarTest(&self.0))?
            }, else bail!(DType, "{}: does not work on {dtype}", P::NAME)),
        };
        Ok(smallvec![y])
    }

    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
}
