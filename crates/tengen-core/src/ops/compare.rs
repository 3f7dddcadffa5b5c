//! Comparisons, logic and selection.

use super::sum_to;
use crate::autograd::Gradient;
use crate::elementwise::{ElementwiseTest, PredicateOp, operands, prepare, promote};
use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::raw::by_size;
use crate::shape::broadcast;
use crate::{DType, Result, Tensor, apply1, bail, ensure};
use smallvec::smallvec;
use tengen_kernels::lanes::Num;
use tengen_kernels::map::{self, Predicate, Src};
use tengen_kernels::pool::Shared;

/// Declares elementwise tests: on floats in the language of formulas, on integers and bools (as
/// i64) in Rust's. Comparisons with NaN are false, except `not_equal`.
macro_rules! tests {
    ($($(#[$doc:meta])* $name:ident = $Op:ident($($x:ident),+): $f:expr, $int:expr $(, bools = $bools:literal)?;)*) => {$(
        #[derive(Clone, Copy)]
        struct $Op;
        impl Predicate<{ [$(stringify!($x)),+].len() }> for $Op {
            #[inline(always)]
            fn test<L: Num>(&self, [$($x),+]: [L; [$(stringify!($x)),+].len()]) -> L::Mask {
                $f
            }
        }
        impl ElementwiseTest<{ [$(stringify!($x)),+].len() }> for $Op {
            const NAME: &'static str = stringify!($name);
            $(const BOOLS: bool = $bools;)?
            #[inline(always)]
            #[allow(unused_variables, reason = "some formulas leave an argument unread")]
            fn int(&self, [$($x),+]: [i64; [$(stringify!($x)),+].len()]) -> bool {
                $int
            }
        }
        $(#[$doc])*
        ///
        /// # Errors
        /// Shape: the operands cannot be broadcast together. DType: a dtype that it does not take.
        /// Memory: the result cannot be had.
        pub fn $name($($x: &Tensor),+) -> Result<Tensor> {
            apply1(PredicateOp($Op), &[$($x),+])
        }
    )*};
}

tests! {
    /// a = b, elementwise; bool.
    equal = Equal(a, b): a.eq(b), a == b;
    /// a ≠ b, elementwise; bool.
    not_equal = NotEqual(a, b): L::not(a.eq(b)), a != b;
    /// a < b, elementwise; bool.
    less = Less(a, b): a.lt(b), a < b;
    /// a ≤ b, elementwise; bool.
    less_equal = LessEqual(a, b): a.le(b), a <= b;
    /// a > b, elementwise; bool.
    greater = Greater(a, b): b.lt(a), a > b;
    /// a ≥ b, elementwise; bool.
    greater_equal = GreaterEqual(a, b): b.le(a), a >= b;
    /// Whether x is NaN, elementwise; bool.
    isnan = IsNan(x): L::not(x.eq(x)), false;
    /// Whether x is infinite, elementwise; bool.
    isinf = IsInf(x): x.abs().eq(L::c(f64::INFINITY)), false;
    /// a and b, elementwise, of bool tensors.
    logical_and = LogicalAnd(a, b): L::lt(L::c(0.0), a.mul(b)), a & b != 0, bools = true;
    /// a or b, elementwise, of bool tensors.
    logical_or = LogicalOr(a, b): L::lt(L::c(0.0), a.add(b)), a | b != 0, bools = true;
    /// Either a or b, elementwise, of bool tensors.
    logical_xor = LogicalXor(a, b): L::not(a.eq(b)), a != b, bools = true;
    /// The opposite, elementwise, of a bool tensor.
    logical_not = LogicalNot(x): x.eq(L::c(0.0)), x == 0, bools = true;
}

/// `y[i] = mask[i] ? a[i] : b[i]`.
struct Where;

impl Op for Where {
    fn name(&self) -> &'static str {
        "where"
    }

    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        ensure!(x[0].dtype() == DType::Bool, DType, "where: mask must be bool, not {}", x[0]);
        if x[1].dtype() != x[2].dtype() {
            bail!(DType, "where: {} and {} differ in dtype", x[1], x[2]);
        }
        let values = broadcast("where", x[1].shape(), x[2].shape())?;
        Ok(Meta::one(broadcast("where", x[0].shape(), &values)?, x[1].dtype()))
    }

    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let Meta { shape, dtype } = out[0];
        let y = Tensor::empty(shape, dtype)?;
        let (x, plan) = prepare(&shape, operands::<3>("where", x)?)?;
        by_size!(dtype, U => {
            let mask = Shared(x[0].ptr::<bool>().cast::<u8>());
            let [a, b] = [&x[1], &x[2]].map(|x| Shared(x.ptr::<u8>().cast::<U>()));
            let y = Shared(y.ptr::<u8>().cast::<U>());
            let src = |p: Shared<U>, k: usize, at: isize| {
                Src { ptr: p.offset(at).cast_const(), single: plan.single[k] }
            };
            plan.for_each(|_, position, at, n| {
                let mask = Src { ptr: mask.offset(at[0]).cast_const(), single: plan.single[0] };
                // SAFETY: the plan keeps offsets inside the operands, and each piece of the new
                // `y` is written once.
                unsafe {
                    map::select(mask, src(a, 1, at[1]), src(b, 2, at[2]), y.at(position), n)
                };
            });
        });
        Ok(smallvec![y])
    }

    fn saves(&self) -> Saves {
        Saves { inputs: 1, outputs: false }
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let (mask, dy) = (g.input(0)?, g.dy(0)?);
        let zero = Tensor::zeros(&[], dy.dtype())?;
        g.each(|k| {
            let d = if k == 1 { select(mask, &dy, &zero)? } else { select(mask, &zero, &dy)? };
            Ok(Some(sum_to(&d, &g.input_meta(k).shape)?))
        })
    }
}

/// `a` where `mask` is true, else `b`: elementwise, with broadcasting. `a` and `b` meet in one
/// dtype; `mask` is bool.
///
/// # Errors
/// DType: `mask` is not bool. Shape: the operands cannot be broadcast together. Memory: the result
/// cannot be had.
pub fn select(mask: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let dtype = promote([a.dtype(), b.dtype()]);
    apply1(Where, &[mask, &super::cast(a, dtype)?, &super::cast(b, dtype)?])
}
