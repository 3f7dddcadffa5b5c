//! Maps and tests over whole tensors.

use super::plan::{PARALLEL, Plan, is_plain, past_caches, prepare};
use crate::ops::elementwise::{Elementwise, ElementwiseTest, Int};
use crate::shape::Shape;
use crate::{DType, Element, Result, Tensor};
use tengen_kernels::lanes::Operand;
use tengen_kernels::map::{self, Map, Predicate, Src};
use tengen_kernels::pool::Shared;

/// The loop's view of operands at some offsets.
pub(super) fn sources<T: Element, const K: usize>(
    p: &[Shared<T>; K],
    plan: &Plan<K>,
    at: [isize; K],
) -> [Src<T>; K] {
    std::array::from_fn(|k| Src { ptr: p[k].offset(at[k]).cast_const(), single: plan.single[k] })
}

pub(super) fn forward<T: Operand + Element, M: Map<N>, const N: usize>(
    map: &M,
    xs: [&Tensor; N],
    shape: Shape,
) -> Result<Tensor> {
    let y = Tensor::empty(shape, T::DTYPE)?;
    let n = y.numel();
    if n < PARALLEL && xs.iter().all(|x| is_plain(x, &shape)) {
        let src = xs.map(|x| Src { ptr: x.ptr::<T>().cast_const(), single: x.numel() == 1 });
        // SAFETY: operands are contiguous with `n` elements, or have one; `y` is new.
        unsafe { map::forward(map, src, y.ptr::<T>(), n, false) };
        return Ok(y);
    }
    let (xs, plan) = prepare(&shape, xs)?;
    let (p, q) = (xs.each_ref().map(|x| Shared(x.ptr::<T>())), Shared(y.ptr::<T>()));
    let past = past_caches::<T>(&shape);
    plan.for_each(|_, position, at, n| {
        // SAFETY: the plan keeps offsets inside the operands, and each piece of the new `y` is
        // written once.
        unsafe { map::forward(map, sources(&p, &plan, at), q.at(position), n, past) };
    });
    Ok(y)
}

pub(super) fn test<T: Operand + Element, P: Predicate<N>, const N: usize>(
    predicate: &P,
    xs: [&Tensor; N],
    shape: Shape,
) -> Result<Tensor> {
    let y = Tensor::empty(shape, DType::Bool)?;
    let (xs, plan) = prepare(&shape, xs)?;
    let (p, q) =
        (xs.each_ref().map(|x| Shared(x.ptr::<T>())), Shared(y.ptr::<bool>().cast::<u8>()));
    plan.for_each(|_, position, at, n| {
        // SAFETY: as in `forward`.
        unsafe { map::test(predicate, sources(&p, &plan, at), q.at(position), n) };
    });
    Ok(y)
}

/// A map's formula on integers.
pub(super) struct ScalarInt<'a, M>(pub &'a M);
/// A test's formula on integers.
pub(super) struct ScalarTest<'a, P>(pub &'a P);

/// A formula over plain elements.
pub(super) trait Plain<I, O, const N: usize>: Sync {
    fn value(&self, x: [I; N]) -> O;
}
impl<I: Int, M: Elementwise<N>, const N: usize> Plain<I, I, N> for ScalarInt<'_, M> {
    #[inline(always)]
    fn value(&self, x: [I; N]) -> I {
        self.0.int(x)
    }
}
impl<I: Element, P: ElementwiseTest<N>, const N: usize> Plain<I, bool, N> for ScalarTest<'_, P> {
    #[inline(always)]
    fn value(&self, x: [I; N]) -> bool {
        self.0.int(x.map(I::to_i64))
    }
}

/// Applies a formula over plain elements.
pub(super) fn scalar<I: Element, O: Element, const N: usize>(
    xs: [&Tensor; N],
    shape: Shape,
    f: impl Plain<I, O, N>,
) -> Result<Tensor> {
    let y = Tensor::empty(shape, O::DTYPE)?;
    let (xs, plan) = prepare(&shape, xs)?;
    let (p, q) = (xs.each_ref().map(|x| Shared(x.ptr::<I>())), Shared(y.ptr::<O>()));
    plan.for_each(|_, position, at, n| {
        // SAFETY: as in `forward`.
        unsafe {
            map::scalar(|x| f.value(x), sources(&p, &plan, at), q.at(position), n);
        }
    });
    Ok(y)
}
