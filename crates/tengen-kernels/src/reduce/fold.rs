//! How elements are combined.

use crate::lanes::Lane;

/// How elements are combined.
pub trait Fold: Copy + Send + Sync + 'static {
    /// The result of nothing.
    const EMPTY: f64;
    /// Whether results are never rounded.
    const EXACT: bool;
    /// Combines two registers, elementwise.
    fn lanes<L: Lane>(a: L, b: L) -> L;
    /// Combines two numbers.
    fn numbers(a: f64, b: f64) -> f64;
    /// Combines two integers, wrapping.
    fn ints<I: Int>(a: I, b: I) -> I;
    /// The result of nothing, for integers; the extreme value for extrema.
    fn no_ints<I: Int>() -> I;
}

/// a + b
#[derive(Clone, Copy)]
pub struct Sum;
/// a · b
#[derive(Clone, Copy)]
pub struct Prod;
/// The larger; NaN if either is.
#[derive(Clone, Copy)]
pub struct Max;
/// The smaller; NaN if either is.
#[derive(Clone, Copy)]
pub struct Min;

impl Fold for Sum {
    const EMPTY: f64 = 0.0;
    const EXACT: bool = false;
    #[inline(always)]
    fn lanes<L: Lane>(a: L, b: L) -> L {
        Lane::add(a, b)
    }
    #[inline(always)]
    fn numbers(a: f64, b: f64) -> f64 {
        a + b
    }
    #[inline(always)]
    fn ints<I: Int>(a: I, b: I) -> I {
        a.plus(b)
    }
    #[inline(always)]
    fn no_ints<I: Int>() -> I {
        I::ZERO
    }
}
impl Fold for Prod {
    const EMPTY: f64 = 1.0;
    const EXACT: bool = false;
    #[inline(always)]
    fn lanes<L: Lane>(a: L, b: L) -> L {
        Lane::mul(a, b)
    }
    #[inline(always)]
    fn numbers(a: f64, b: f64) -> f64 {
        a * b
    }
    #[inline(always)]
    fn ints<I: Int>(a: I, b: I) -> I {
        a.times(b)
    }
    #[inline(always)]
    fn no_ints<I: Int>() -> I {
        I::ONE
    }
}
impl Fold for Max {
    const EMPTY: f64 = f64::NEG_INFINITY;
    const EXACT: bool = true;
    #[inline(always)]
    fn lanes<L: Lane>(a: L, b: L) -> L {
        L::sel(Lane::eq(b, b), Lane::max(a, b), b)
    }
    #[inline(always)]
    fn numbers(a: f64, b: f64) -> f64 {
        if a.is_nan() || a > b { a } else { b }
    }
    #[inline(always)]
    fn ints<I: Int>(a: I, b: I) -> I {
        a.max(b)
    }
    #[inline(always)]
    fn no_ints<I: Int>() -> I {
        I::LEAST
    }
}
impl Fold for Min {
    const EMPTY: f64 = f64::INFINITY;
    const EXACT: bool = true;
    #[inline(always)]
    fn lanes<L: Lane>(a: L, b: L) -> L {
        L::sel(Lane::eq(b, b), Lane::min(a, b), b)
    }
    #[inline(always)]
    fn numbers(a: f64, b: f64) -> f64 {
        if a.is_nan() || a < b { a } else { b }
    }
    #[inline(always)]
    fn ints<I: Int>(a: I, b: I) -> I {
        a.min(b)
    }
    #[inline(always)]
    fn no_ints<I: Int>() -> I {
        I::GREATEST
    }
}

/// Integers that reductions work on.
pub trait Int: Copy + Ord + Default + Send + Sync + 'static {
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// The least value.
    const LEAST: Self;
    /// The greatest value.
    const GREATEST: Self;
    /// The sum, modulo the type's range.
    fn plus(self, o: Self) -> Self;
    /// The product, modulo the type's range.
    fn times(self, o: Self) -> Self;
}

macro_rules! ints {
    ($($t:ty)*) => {$(
        impl Int for $t {
            const ZERO: Self = 0;
            const ONE: Self = 1;
            const LEAST: Self = <$t>::MIN;
            const GREATEST: Self = <$t>::MAX;
            #[inline(always)]
            fn plus(self, o: Self) -> Self {
                self.wrapping_add(o)
            }
            #[inline(always)]
            fn times(self, o: Self) -> Self {
                self.wrapping_mul(o)
            }
        }
    )*};
}
ints!(u8 i8 i16 i32 i64);
