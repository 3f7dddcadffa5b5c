//! Arithmetic: four operations and their kin.

use super::elementwise::{Elementwise, Int, MapOp, Rule};
use super::map;
use crate::op::{Attributes, Entry};
use crate::{Result, Saves, Tensor, apply1};
use tengen_kernels::lanes::Num;
use tengen_kernels::map::Map;

pub(super) const OPERATORS: &[&[Entry]] = &[SUMS, MAPS, STEPS];

/// Sums and differences: the gradients are ±dy, with nothing to save or compute.
macro_rules! linear {
    ($($(#[$doc:meta])* $name:ident = $Op:ident, $f:ident, $signs:expr;)*) => {
        const SUMS: &[Entry] = &[$(Entry::of::<MapOp<$Op, 2>>(&[stringify!($name)])),*];
        $(
        #[derive(Clone, Copy, Attributes)]
        struct $Op {}
        impl Map<2> for $Op {
            #[inline(always)]
            fn f<L: Num>(&self, [a, b]: [L; 2]) -> L {
                a.$f(b)
            }
            #[inline(always)]
            fn df<L: Num>(&self, _: [L; 2], dy: L) -> [L; 2] {
                [dy, L::c(0.0).$f(dy)]
            }
        }
        impl Elementwise<2> for $Op {
            const NAME: &'static str = stringify!($name);
            const GRADIENT: &'static str = concat!(stringify!($name), "_gradient");
            const INTS: bool = true;
            const RULE: Rule = Rule::Signs($signs);
            #[inline(always)]
            fn int<I: Int>(&self, [a, b]: [I; 2]) -> I {
                a.$f(b)
            }
        }
        $(#[$doc])*
        ///
        /// # Errors
        /// Shape: the operands cannot be broadcast together. Memory: the result cannot be had.
        pub fn $name(a: &Tensor, b: &Tensor) -> Result<Tensor> {
            apply1(MapOp($Op {}), &[a, b])
        }
    )*};
}

linear! {
    /// a + b, elementwise.
    add = Add, add, [1, 1];
    /// a − b, elementwise.
    sub = Sub, sub, [1, -1];
}

map! {
    /// a · b, elementwise.
    mul = Mul(a, b) {
        f = a.mul(b);
        df(dy) = [dy.mul(b), dy.mul(a)];
        int(a, b) = a.mul(b);
    }

    /// a ÷ b, elementwise; integers are divided as f32.
    div = Div(a, b) {
        f = a.div(b);
        df(dy) = { let q = dy.div(b); [q, q.mul(a).div(b).neg()] };
    }

    /// −x, elementwise.
    neg = Neg(x) {
        f = x.neg();
        df(dy) = [dy.neg()];
        saves = Saves::NOTHING;
        int(x) = I::sub(I::default(), x);
    }

    /// |x|, elementwise; the derivative at 0 is −1.
    abs = Abs(x) {
        f = x.abs();
        df(dy) = [L::sel(L::lt(L::c(0.0), x), dy, dy.neg())];
        int(x) = I::abs(x);
    }

    /// The larger of a and b; NaN if either is. Where they are equal, a gets the gradient.
    maximum = Maximum(a, b) {
        f = L::sel(b.eq(b), L::sel(a.lt(b), b, a), b);
        df(dy) = { let first = b.le(a); [L::sel(first, dy, L::c(0.0)), L::sel(first, L::c(0.0), dy)] };
        int(a, b) = a.max(b);
    }

    /// The smaller of a and b; NaN if either is. Where they are equal, a gets the gradient.
    minimum = Minimum(a, b) {
        f = L::sel(b.eq(b), L::sel(b.lt(a), b, a), b);
        df(dy) = { let first = a.le(b); [L::sel(first, dy, L::c(0.0)), L::sel(first, L::c(0.0), dy)] };
        int(a, b) = a.min(b);
    }

    /// aᵇ, elementwise; integers are raised as f32. The gradient to b needs a > 0.
    pow = Pow(a, b) {
        f = a.pow(b);
        df(dy) = [
            dy.mul(b).mul(a.pow(b.sub(L::c(1.0)))),
            dy.mul(a.pow(b)).mul(a.log()),
        ];
    }

    /// x², elementwise.
    square = Square(x) {
        f = x.mul(x);
        df(dy) = [dy.mul(x.add(x))];
        int(x) = x.mul(x);
    }

    /// √x, elementwise.
    sqrt = Sqrt(x) {
        f = x.sqrt();
        df(dy) = [dy.mul(L::c(0.5)).div(x.sqrt())];
    }

    /// The remainder of a ÷ b, elementwise: for floats with the sign of a (as C's `fmod`), for
    /// integers with the sign of b (as Python's `%`; 0 where b is 0). Its gradient to b is minus the
    /// whole number of times that b was taken from a.
    modulo = Modulo(a, b) {
        f = a.modulo(b);
        // What was taken is a multiple of b, so that rounding the quotient gives the very number.
        df(dy) = [dy, dy.mul(a.sub(a.modulo(b)).div(b).round()).neg()];
        int(a, b) = I::modulo(a, b);
    }
}

/// Operators that are constant between jumps: no gradient flows through them.
macro_rules! stepwise {
    ($($(#[$doc:meta])* $name:ident = $Op:ident($($x:ident),+): f = $f:expr; $(floats = $floats:literal;)? int = $int:expr;)*) => {
        const STEPS: &[Entry] = &[$(
            Entry::of::<MapOp<$Op, { [$(stringify!($x)),+].len() }>>(&[stringify!($name)])
        ),*];
        $(
        #[derive(Clone, Copy, Attributes)]
        struct $Op {}
        impl Map<{ [$(stringify!($x)),+].len() }> for $Op {
            #[inline(always)]
            fn f<L: Num>(&self, [$($x),+]: [L; [$(stringify!($x)),+].len()]) -> L {
                $f
            }
            #[inline(always)]
            fn df<L: Num>(
                &self,
                _: [L; [$(stringify!($x)),+].len()],
                _: L,
            ) -> [L; [$(stringify!($x)),+].len()] {
                [L::c(0.0); [$(stringify!($x)),+].len()]
            }
        }
        impl Elementwise<{ [$(stringify!($x)),+].len() }> for $Op {
            const NAME: &'static str = stringify!($name);
            const GRADIENT: &'static str = concat!(stringify!($name), "_gradient");
            const INTS: bool = true;
            $(const FLOATS: bool = $floats;)?
            const RULE: Rule = Rule::Steps;
            #[inline(always)]
            fn int<I: Int>(&self, [$($x),+]: [I; [$(stringify!($x)),+].len()]) -> I {
                $int
            }
        }
        $(#[$doc])*
        ///
        /// # Errors
        /// Shape: the operands cannot be broadcast together. DType: a dtype that it does not take.
        /// Memory: the result cannot be had.
        pub fn $name($($x: &Tensor),+) -> Result<Tensor> {
            apply1(MapOp($Op {}), &[$($x),+])
        }
    )*};
}

stepwise! {
    /// −1, 0 or 1 by the sign of x; NaN for NaN. It gets no gradient.
    sign = Sign(x):
    f = L::sel(L::or(L::lt(x, L::c(0.0)), L::lt(L::c(0.0), x)), L::c(1.0).copysign(x), L::sel(x.eq(x), L::c(0.0), x));
    int = I::sign(x);

    /// ⌊x⌋. It gets no gradient.
    floor = Floor(x): f = x.floor(); int = x;

    /// ⌈x⌉. It gets no gradient.
    ceil = Ceil(x): f = x.ceil(); int = x;

    /// x rounded to the nearest integer, halves away from zero. It gets no gradient.
    round = Round(x): f = x.round(); int = x;

    /// ⌊a ÷ b⌋, elementwise. Integers divided by 0 give 0. It gets no gradient.
    floor_div = FloorDiv(a, b): f = a.div(b).floor(); int = I::floor_div(a, b);

    /// x · 2ᵇ for integers; 0 where b is not a number of bits of the type.
    left_shift = LeftShift(x, b): f = x.sub(b); floats = false; int = I::shl(x, b);

    /// ⌊x ÷ 2ᵇ⌋ for integers.
    right_shift = RightShift(x, b): f = x.sub(b); floats = false; int = I::shr(x, b);
}

/// base^e for one exponent; the common exponents take a shorter way.
///
/// # Errors
/// Memory: the result cannot be had.
pub fn pow_scalar(base: &Tensor, e: f64) -> Result<Tensor> {
    let base =
        &super::cast(base, if base.dtype().is_float() { base.dtype() } else { crate::DType::F32 })?;
    if e == 2.0 {
        return square(base);
    }
    if e == 0.5 {
        return sqrt(base);
    }
    if e == 3.0 {
        return mul(&square(base)?, base);
    }
    if e == 1.0 {
        return Ok(base.clone());
    }
    pow(base, &Tensor::full(&[], e, base.dtype())?)
}
