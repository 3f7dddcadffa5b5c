//! One number, in whatever representation: the language in which elementwise formulas are written,
//! and its SIMD representations.
//!
//! [`Num`] is the language. [`Lane`] is a register of numbers: what an instruction set must provide
//! for every [`Num`] function to follow (see `math.rs`). [`Arch`] groups the lanes of one
//! instruction set, and [`dispatch`] runs a [`Kernel`] on the best one that the machine has.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dispatch;
mod expr;
mod half;
mod math;
mod normal;
mod operand;
mod portable;

pub use dispatch::{
    Arch, Feature, Isa, Kernel, Portable, available, dispatch, dispatch_on, has, isa, with_isa,
    with_plain_isa,
};
pub(crate) use dispatch::{Forced, forced, with_forced};
pub use expr::{Expr, Graph, Node, OpCode, trace};
pub use half::Half;
pub use normal::Table;
pub use operand::Operand;

use std::f64::consts::FRAC_1_SQRT_2;

/// √(2π)⁻¹, the normal density at 0.
const FRAC_1_SQRT_2PI: f64 = 0.398_942_280_401_432_7;

/// The language of elementwise formulas. Implemented by every [`Lane`] (numbers) and by [`Expr`]
/// (symbols, from which gradients of gradients and generated code follow).
///
/// All functions take and give floating-point values; comparisons with NaN are false.
pub trait Num: Copy {
    /// The result of a comparison.
    type Mask: Copy;
    /// A constant.
    fn c(v: f64) -> Self;
    /// self + o
    fn add(self, o: Self) -> Self;
    /// self − o
    fn sub(self, o: Self) -> Self;
    /// self · o
    fn mul(self, o: Self) -> Self;
    /// self ÷ o
    fn div(self, o: Self) -> Self;
    /// −self
    fn neg(self) -> Self;
    /// |self|
    fn abs(self) -> Self;
    /// self · a + b, rounded once where the hardware can.
    fn fma(self, a: Self, b: Self) -> Self;
    /// The smaller; `self` when either is NaN.
    fn min(self, o: Self) -> Self;
    /// The larger; `self` when either is NaN.
    fn max(self, o: Self) -> Self;
    /// √self
    fn sqrt(self) -> Self;
    /// |self| with the sign of `s`.
    fn copysign(self, s: Self) -> Self;
    /// Towards −∞.
    fn floor(self) -> Self;
    /// Towards +∞.
    fn ceil(self) -> Self;
    /// To nearest, halves away from zero.
    fn round(self) -> Self;
    /// self < o
    fn lt(self, o: Self) -> Self::Mask;
    /// self ≤ o
    fn le(self, o: Self) -> Self::Mask;
    /// self = o
    fn eq(self, o: Self) -> Self::Mask;
    /// Both.
    fn and(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Either.
    fn or(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// The opposite.
    fn not(m: Self::Mask) -> Self::Mask;
    /// `a` where the mask holds, else `b`.
    fn sel(m: Self::Mask, a: Self, b: Self) -> Self;
    /// eˣ
    fn exp(self) -> Self;
    /// eˣ − 1, accurate near 0.
    fn expm1(self) -> Self;
    /// Natural logarithm.
    fn log(self) -> Self;
    /// ln(1 + x), accurate near 0.
    fn log1p(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// 1 / (1 + e⁻ˣ)
    fn sigmoid(self) -> Self;
    /// Error function.
    fn erf(self) -> Self;
    /// 1 − erf(x), accurate for large x.
    fn erfc(self) -> Self;
    /// e^(−x²/2), and how likely a standard normal number is beyond |x|: erfc(|x|/√2) / 2.
    #[inline(always)]
    fn gauss(self) -> [Self; 2] {
        let half = self.mul(self).mul(Self::c(-0.5));
        let beyond = self.abs().mul(Self::c(FRAC_1_SQRT_2)).erfc();
        [half.exp(), beyond.mul(Self::c(0.5))]
    }
    /// s(x) of a [`Table`], where that is faster than the formula.
    #[inline(always)]
    fn stepwise(self, table: &Table) -> Option<Self> {
        let _ = table;
        None
    }
    /// Φ(x), how likely a standard normal number is below x.
    #[inline(always)]
    fn normal(self) -> Self {
        if let Some(below) = self.stepwise(&normal::BEYOND) {
            return below;
        }
        let [_, beyond] = self.gauss();
        Self::sel(self.lt(Self::c(0.0)), beyond, Self::c(1.0).sub(beyond))
    }
    /// Φ(x) + x·φ(x), where φ is the density: the derivative of x·Φ(x).
    #[inline(always)]
    fn normal_slope(self) -> Self {
        if let Some(slope) = self.stepwise(&normal::SLOPE) {
            return slope;
        }
        let [e, beyond] = self.gauss();
        let below = Self::sel(self.lt(Self::c(0.0)), beyond, Self::c(1.0).sub(beyond));
        self.fma(e.mul(Self::c(FRAC_1_SQRT_2PI)), below)
    }
    /// Sine of an angle in radians.
    fn sin(self) -> Self;
    /// Cosine of an angle in radians.
    fn cos(self) -> Self;
    /// Tangent of an angle in radians.
    fn tan(self) -> Self;
    /// Arc sine.
    fn asin(self) -> Self;
    /// Arc cosine.
    fn acos(self) -> Self;
    /// Arc tangent.
    fn atan(self) -> Self;
    /// Hyperbolic sine.
    fn sinh(self) -> Self;
    /// Hyperbolic cosine.
    fn cosh(self) -> Self;
    /// Inverse hyperbolic sine.
    fn asinh(self) -> Self;
    /// Inverse hyperbolic cosine.
    fn acosh(self) -> Self;
    /// Inverse hyperbolic tangent.
    fn atanh(self) -> Self;
    /// self raised to `e`.
    fn pow(self, e: Self) -> Self;
    /// The angle of the point (x, self).
    fn atan2(self, x: Self) -> Self;
    /// The remainder of self ÷ o with the sign of `self`.
    fn modulo(self, o: Self) -> Self;
}

/// The element types that lanes hold.
pub trait Float: Operand<Wide = Self> + PartialOrd {
    /// This type's lane in an instruction set.
    type Lane<A: Arch>: Lane<T = Self>;
    /// From f64, rounded.
    fn from_f64(v: f64) -> Self;
    /// To f64, exactly.
    fn to_f64(self) -> f64;
}

impl Float for f32 {
    type Lane<A: Arch> = A::F32;
    #[inline(always)]
    fn from_f64(v: f64) -> Self {
        v as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self as f64
    }
}

impl Float for f64 {
    type Lane<A: Arch> = A::F64;
    #[inline(always)]
    fn from_f64(v: f64) -> Self {
        v
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
}

/// A number in every place.
#[inline(always)]
fn k<L: Lane>(v: f64) -> L {
    L::splat(Float::from_f64(v))
}

/// A register of `W` numbers of type `T`.
///
/// # Safety
/// Every function of a lane may only be called inside a function that has the lane's target
/// features, which [`dispatch`] sees to: kernels receive their lanes from it and never name one.
/// Loads and stores read and write exactly the elements that they name.
pub trait Lane: Copy + Send + Sync + 'static {
    /// The element.
    type T: Float;
    /// One truth value per element.
    type M: Copy;
    /// Elements in a register.
    const W: usize;
    /// Whether elements are f64 (else f32): chooses polynomials.
    const DOUBLE: bool;
    /// All elements `v`.
    fn splat(v: Self::T) -> Self;
    /// Reads `W` elements, unaligned.
    ///
    /// # Safety
    /// `p` is valid for reading `W` elements.
    unsafe fn load(p: *const Self::T) -> Self;
    /// Writes `W` elements, unaligned.
    ///
    /// # Safety
    /// `p` is valid for writing `W` elements.
    unsafe fn store(self, p: *mut Self::T);
    /// [`Lane::store`] past the caches. Before another thread may read what was written, this one
    /// calls [`fence`].
    ///
    /// # Safety
    /// `p` is valid for writing `W` elements, and a multiple of their size.
    #[inline(always)]
    unsafe fn stream(self, p: *mut Self::T) {
        // SAFETY: by the contract.
        unsafe { self.store(p) }
    }
    /// Reads the first `n` ≤ `W` elements; the rest are 0.
    ///
    /// # Safety
    /// `p` is valid for reading `n` elements.
    unsafe fn load_n(p: *const Self::T, n: usize) -> Self;
    /// Writes the first `n` ≤ `W` elements.
    ///
    /// # Safety
    /// `p` is valid for writing `n` elements.
    unsafe fn store_n(self, p: *mut Self::T, n: usize);
    /// Writes the first `n` ≤ `W` elements to every second place from `p` on.
    ///
    /// # Safety
    /// These places are valid for writing.
    #[inline(always)]
    unsafe fn store_apart(self, p: *mut Self::T, n: usize) {
        for (i, v) in self.to_array()[..n].iter().enumerate() {
            // SAFETY: writable by the caller's contract.
            unsafe { p.add(2 * i).write(*v) };
        }
    }
    /// Writes the first `n` ≤ `W` truth values as bytes 0 and 1.
    ///
    /// # Safety
    /// `p` is valid for writing `n` bytes.
    unsafe fn store_mask(m: Self::M, p: *mut u8, n: usize);
    /// Which of `W` bytes are not 0.
    ///
    /// # Safety
    /// `p` is valid for reading `W` bytes.
    #[inline(always)]
    unsafe fn load_mask(p: *const u8) -> Self::M {
        let mut b = [Self::T::default(); 16];
        for (i, v) in b[..Self::W].iter_mut().enumerate() {
            // SAFETY: readable by the caller's contract.
            *v = Self::T::from_f64(unsafe { p.add(i).read() }.into());
        }
        // SAFETY: `b` holds 16 elements and no lane has more.
        Self::splat(Self::T::default()).lt(unsafe { Self::load(b.as_ptr()) })
    }
    /// Reads the first `n` ≤ `W` two-byte numbers; the rest are 0.
    ///
    /// # Safety
    /// `p` is valid for reading `n` elements.
    #[inline(always)]
    unsafe fn load_half<H: Half>(p: *const H, n: usize) -> Self {
        let mut b = [Self::T::default(); 16];
        for (i, v) in b[..n].iter_mut().enumerate() {
            // SAFETY: readable by the caller's contract.
            *v = Self::T::from_f64(unsafe { p.add(i).read() }.to_f32().to_f64());
        }
        // SAFETY: `b` holds 16 elements and no lane has more.
        unsafe { Self::load(b.as_ptr()) }
    }
    /// Writes the first `n` ≤ `W` elements as two-byte numbers, rounded through f32 to nearest,
    /// ties to even.
    ///
    /// # Safety
    /// `p` is valid for writing `n` elements.
    #[inline(always)]
    unsafe fn store_half<H: Half>(self, p: *mut H, n: usize) {
        for (i, v) in self.to_array()[..n].iter().enumerate() {
            // SAFETY: writable by the caller's contract.
            unsafe { p.add(i).write(H::from_f32(v.to_f64() as f32)) };
        }
    }
    /// The elements of `p` that `W` indices name; those below 0 count from `n`.
    ///
    /// # Safety
    /// `p` is valid for reading `n` elements, `indices` for `W`, which lie in `-n..n`.
    #[inline(always)]
    unsafe fn pick(p: *const Self::T, n: i32, indices: *const i32) -> Self {
        let mut b = [Self::T::default(); 16];
        for (k, v) in b[..Self::W].iter_mut().enumerate() {
            // SAFETY: by the contract.
            unsafe {
                let i = *indices.add(k);
                *v = *p.add((if i < 0 { i + n } else { i }) as usize);
            }
        }
        // SAFETY: `b` holds 16 elements and no lane has more.
        unsafe { Self::load(b.as_ptr()) }
    }
    /// The elements of a table whose indices are the lowest five bits of each element; `None` where
    /// that is not fast.
    #[inline(always)]
    fn look_up(table: &[f32; 32], indices: Self) -> Option<Self> {
        let _ = (table, indices);
        None
    }
    /// Keeps the first `n` elements; the rest become `other`'s.
    fn keep(self, n: usize, other: Self) -> Self;
    /// self + o
    fn add(self, o: Self) -> Self;
    /// self − o
    fn sub(self, o: Self) -> Self;
    /// self · o
    fn mul(self, o: Self) -> Self;
    /// self ÷ o
    fn div(self, o: Self) -> Self;
    /// Flips the sign bit.
    fn neg(self) -> Self;
    /// Clears the sign bit.
    fn abs(self) -> Self;
    /// self · a + b
    fn fma(self, a: Self, b: Self) -> Self;
    /// The smaller; `self` when either is NaN.
    fn min(self, o: Self) -> Self;
    /// The larger; `self` when either is NaN.
    fn max(self, o: Self) -> Self;
    /// √self
    fn sqrt(self) -> Self;
    /// |self| with the sign of `s`.
    fn copysign(self, s: Self) -> Self;
    /// Towards −∞.
    fn floor(self) -> Self;
    /// Towards +∞.
    fn ceil(self) -> Self;
    /// To nearest, halves to even.
    fn rint(self) -> Self;
    /// self < o
    fn lt(self, o: Self) -> Self::M;
    /// self ≤ o
    fn le(self, o: Self) -> Self::M;
    /// self = o
    fn eq(self, o: Self) -> Self::M;
    /// Both.
    fn and(a: Self::M, b: Self::M) -> Self::M;
    /// Either.
    fn or(a: Self::M, b: Self::M) -> Self::M;
    /// The opposite.
    fn not(m: Self::M) -> Self::M;
    /// `a` where the mask holds, else `b`.
    fn sel(m: Self::M, a: Self, b: Self) -> Self;
    /// Whether any element's mask holds.
    fn any(m: Self::M) -> bool;
    /// self · 2ᵏ for integral `k`, correct into the denormals and to infinity.
    fn ldexp(self, k: Self) -> Self;
    /// Mantissa in [1, 2) and integral exponent of a positive finite number, denormals included.
    fn frexp(self) -> (Self, Self);
    /// Transposes the square that the first `W` registers make; the rest are left alone.
    fn transpose(rows: &mut [Self; 16]);
    /// The sum of all elements, in a fixed order.
    #[inline(always)]
    fn sum(self) -> Self::T {
        self.fold(|a, b| Self::T::from_f64(a.to_f64() + b.to_f64()))
    }
    /// Combines neighbouring halves until one element is left.
    #[inline(always)]
    fn fold(self, f: impl Fn(Self::T, Self::T) -> Self::T) -> Self::T {
        let mut b = self.to_array();
        let mut n = Self::W;
        while n > 1 {
            n /= 2;
            for i in 0..n {
                b[i] = f(b[i], b[i + n]);
            }
        }
        b[0]
    }
    /// The elements, in the first `W` places.
    #[inline(always)]
    fn to_array(self) -> [Self::T; 16] {
        let mut b = [Self::T::default(); 16];
        // SAFETY: `b` holds 16 elements and no lane has more.
        unsafe { self.store(b.as_mut_ptr()) };
        b
    }
    /// Applies a scalar function to every element, in f64: for functions too rare to vectorise.
    #[inline(always)]
    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        let mut b = self.to_array();
        for v in &mut b[..Self::W] {
            *v = Self::T::from_f64(f(v.to_f64()));
        }
        // SAFETY: `b` holds 16 elements and no lane has more.
        unsafe { Self::load(b.as_ptr()) }
    }
    /// Applies a scalar function to every pair of elements, in f64.
    #[inline(always)]
    fn map2(self, o: Self, f: impl Fn(f64, f64) -> f64) -> Self {
        let (mut a, b) = (self.to_array(), o.to_array());
        for (v, w) in a[..Self::W].iter_mut().zip(b) {
            *v = Self::T::from_f64(f(v.to_f64(), w.to_f64()));
        }
        // SAFETY: `a` holds 16 elements and no lane has more.
        unsafe { Self::load(a.as_ptr()) }
    }
}

/// Asks for the cache line at `p`, which need not be valid, to be brought near.
#[inline(always)]
pub fn prefetch<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program sees, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// Orders what this thread wrote with [`Lane::stream`] before what it writes from now on.
#[inline(always)]
pub fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has SSE.
    unsafe {
        std::arch::x86_64::_mm_sfence()
    };
}

/// One stage of a transposition of `N` registers: every pair at distance `D` becomes its low and
/// its high halves, in some granularity. The loop has constant bounds and no branch, so that it is
/// unrolled and the square stays in registers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn exchange<L: Copy, const N: usize, const D: usize>(
    rows: &mut [L; 16],
    low: impl Fn(L, L) -> L,
    high: impl Fn(L, L) -> L,
) {
    for pair in 0..N / 2 {
        let i = pair / D * 2 * D + pair % D;
        (rows[i], rows[i + D]) = (low(rows[i], rows[i + D]), high(rows[i], rows[i + D]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Transpose<T>(std::marker::PhantomData<T>);
    impl<T: Float> Kernel for Transpose<T> {
        type Output = ();
        #[inline(always)]
        fn run<A: Arch>(self) {
            let w = <T::Lane<A> as Lane>::W;
            let square: Vec<T> = (0..w * w).map(|v| T::from_f64(v as f64)).collect();
            let mut rows = [<T::Lane<A>>::splat(T::from_f64(-1.0)); 16];
            for (row, values) in rows.iter_mut().zip(square.chunks(w)) {
                // SAFETY: a chunk has `w` elements.
                *row = unsafe { Lane::load(values.as_ptr()) };
            }
            Lane::transpose(&mut rows);
            for (i, row) in rows.iter().enumerate() {
                for (j, v) in row.to_array()[..w].iter().enumerate() {
                    let want = if i < w { (j * w + i) as f64 } else { -1.0 };
                    assert!(v.to_f64() == want, "{:?} row {i}, place {j}", A::ISA);
                }
            }
        }
    }

    #[test]
    fn squares_are_transposed() {
        for isa in available() {
            assert!(dispatch_on(*isa, Transpose::<f32>(std::marker::PhantomData)).is_ok());
            assert!(dispatch_on(*isa, Transpose::<f64>(std::marker::PhantomData)).is_ok());
        }
    }
}
