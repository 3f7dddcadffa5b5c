//! Elementwise operators: broadcasting, layout, threads; and the backward pass in which gradients to
//! broadcast operands are summed on the way.

mod copy;
mod gradient;
mod plan;
mod run;

pub(crate) use copy::{copy_both, copy_into};
pub(crate) use plan::{expand, past_caches, prepare};

use crate::op::{Eval, Meta, Tensors};
use crate::ops::elementwise::{
    Elementwise, ElementwiseTest, MapGradient, MapOp, PredicateOp, operands,
};
use crate::{DType, Result, Tensor, bail, dispatch};
use gradient::backward;
use half::{bf16, f16};
use run::{ScalarInt, ScalarTest, forward, scalar, test};
use smallvec::smallvec;
use tengen_kernels::lanes::Num;
use tengen_kernels::map::Map;

impl<M: Elementwise<N>, const N: usize> Eval for MapOp<M, N> {
    fn eval(&self, inputs: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let xs = operands::<_, N>(M::NAME, inputs)?;
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
}

impl<P: ElementwiseTest<N>, const N: usize> Eval for PredicateOp<P, N> {
    fn eval(&self, inputs: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let xs = operands::<_, N>(P::NAME, inputs)?;
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
}

/// A function with its derivative by its value.
#[derive(Clone, Copy)]
struct ByValue<M>(M);

impl<M: Elementwise<N>, const N: usize> Map<N> for ByValue<M> {
    #[inline(always)]
    fn f<L: Num>(&self, x: [L; N]) -> L {
        self.0.f(x)
    }
    #[inline(always)]
    fn df<L: Num>(&self, y: [L; N], dy: L) -> [L; N] {
        y.map(|y| self.0.dv(y, dy))
    }
}

impl<M: Elementwise<N>, const N: usize> Eval for MapGradient<M, N> {
    fn eval(&self, inputs: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let Some((dy, xs)) = inputs.split_last() else {
            bail!(Value, "{}: inputs are missing", M::GRADIENT)
        };
        let mut out = out.iter();
        let wanted = self.wanted.map(|spread| spread.and_then(|_| Some(out.next()?.shape)));
        let grads = if const { !M::BY_VALUE.is_empty() } && self.by_value {
            backward(&ByValue(self.map), operands::<_, N>(M::GRADIENT, xs)?, dy, wanted)?
        } else {
            backward(&self.map, operands::<_, N>(M::GRADIENT, xs)?, dy, wanted)?
        };
        Ok(grads.into_iter().flatten().collect())
    }
}
