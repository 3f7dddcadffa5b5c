//! Comparisons, logic and selection.

use super::elementwise::{ElementwiseTest, PredicateOp, promote};
use super::sum_to;
use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Entry, Grads, Meta, Metas, Op, Saves};
use crate::shape::broadcast;
use crate::{DType, Result, Tensor, apply, apply1, bail, ensure};
use smallvec::smallvec;
use tengen_kernels::lanes::Num;
use tengen_kernels::map::Predicate;

pub(super) const OPERATORS: &[&[Entry]] = &[TESTS, &[Entry::of::<Where>(&["where"])]];

/// Declares elementwise tests: on floats in the language of formulas, on integers and bools (as
/// i64) in Rust's. Comparisons with NaN are false, except `not_equal`.
macro_rules! tests {
    ($($(#[$doc:meta])* $name:ident = $Op:ident($($x:ident),+): $f:expr, $int:expr $(, bools = $bools:literal)?;)*) => {
        const TESTS: &[Entry] = &[$(
            Entry::of::<PredicateOp<$Op, { [$(stringify!($x)),+].len() }>>(&[stringify!($name)])
        ),*];
        $(
        #[derive(Clone, Copy, Attributes)]
        struct $Op {}
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
            apply1(PredicateOp($Op {}), &[$($x),+])
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

/// `y[i] = mask[i] ? a[i] : b[i]`, and, if `both`, also `z[i] = mask[i] ? b[i] : a[i]`.
#[derive(Attributes)]
pub(crate) struct Where {
    both: bool,
}

impl Op for Where {
    fn name(&self) -> &'static str {
        "where"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 3
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        ensure!(x[0].dtype() == DType::Bool, DType, "where: mask must be bool, not {}", x[0]);
        if x[1].dtype() != x[2].dtype() {
            bail!(DType, "where: {} and {} differ in dtype", x[1], x[2]);
        }
        let values = broadcast("where", x[1].shape(), x[2].shape())?;
        let meta = Meta { shape: broadcast("where", x[0].shape(), &values)?, dtype: x[1].dtype() };
        Ok(smallvec![meta; 1 + usize::from(self.both)])
    }

    fn saves(&self, _: DType) -> Saves {
        Saves { inputs: 1, outputs: 0 }
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let (mask, dy) = (g.input(0)?, g.dy(0)?);
        let dz = if self.both { g.dy(1)? } else { Tensor::zeros(&[], dy.dtype())? };
        let to = |k: usize, d: &Tensor| sum_to(d, &g.input_meta(k).shape).map(Some);
        if g.needs(1) && g.needs(2) {
            let d = apply(Where { both: true }, &[mask, &dy, &dz])?;
            return Ok(smallvec![None, to(1, &d[0])?, to(2, &d[1])?]);
        }
        g.each(|k| match k {
            1 => to(1, &select(mask, &dy, &dz)?),
            _ => to(2, &select(mask, &dz, &dy)?),
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
    apply1(Where { both: false }, &[mask, &super::cast(a, dtype)?, &super::cast(b, dtype)?])
}
