//! How elements in memory become numbers in registers and back.

use super::{Float, Lane};
use half::{bf16, f16};

/// Elements that loops read and write in the type that they compute in: itself, or f32 for two-byte
/// numbers.
pub trait Operand: Copy + Default + Send + Sync + 'static {
    /// The type that is computed in.
    type Wide: Float;
    /// The value.
    fn get(self) -> Self::Wide;
    /// The first `n` values at `p` in a register; the rest are 0.
    ///
    /// # Safety
    /// `p` is readable for `n` elements, no more than the register has.
    unsafe fn load<L: Lane<T = Self::Wide>>(p: *const Self, n: usize) -> L;
    /// Writes the first `n` values of a register to `p`, rounded to nearest, ties to even.
    ///
    /// # Safety
    /// `p` is writable for `n` elements, no more than the register has.
    unsafe fn store<L: Lane<T = Self::Wide>>(x: L, p: *mut Self, n: usize);
    /// Writes a whole register, past the caches where the machine can, as [`Lane::stream`] does.
    ///
    /// # Safety
    /// `p` is writable for a register's elements and a multiple of 64.
    #[inline(always)]
    unsafe fn stream<L: Lane<T = Self::Wide>>(x: L, p: *mut Self) {
        // SAFETY: by the contract.
        unsafe { Self::store(x, p, L::W) }
    }
}

macro_rules! itself {
    ($($t:ty)*) => {$(
        impl Operand for $t {
            type Wide = $t;
            #[inline(always)]
            fn get(self) -> $t {
                self
            }
            #[inline(always)]
            unsafe fn load<L: Lane<T = $t>>(p: *const $t, n: usize) -> L {
                // SAFETY: by the contract.
                unsafe { if n == L::W { L::load(p) } else { L::load_n(p, n) } }
            }
            #[inline(always)]
            unsafe fn store<L: Lane<T = $t>>(x: L, p: *mut $t, n: usize) {
                // SAFETY: by the contract.
                unsafe { if n == L::W { x.store(p) } else { x.store_n(p, n) } }
            }
            #[inline(always)]
            unsafe fn stream<L: Lane<T = $t>>(x: L, p: *mut $t) {
                // SAFETY: by the contract.
                unsafe { x.stream(p) }
            }
        }
    )*};
}
itself!(f32 f64);

macro_rules! halves {
    ($($t:ty)*) => {$(
        impl Operand for $t {
            type Wide = f32;
            #[inline(always)]
            fn get(self) -> f32 {
                self.to_f32()
            }
            #[inline(always)]
            unsafe fn load<L: Lane<T = f32>>(p: *const $t, n: usize) -> L {
                // SAFETY: by the contract.
                unsafe { L::load_half(p, n) }
            }
            #[inline(always)]
            unsafe fn store<L: Lane<T = f32>>(x: L, p: *mut $t, n: usize) {
                // SAFETY: by the contract.
                unsafe { x.store_half(p, n) }
            }
        }
    )*};
}
halves!(f16 bf16);
