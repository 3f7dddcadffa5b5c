//! Lanes of one number, in plain Rust: the fallback of every CPU and the reference of the others.

use super::Lane;

macro_rules! lane {
    ($S:ident, $t:ty, $double:literal, $mant:literal, $bias:literal, $bits:ty, $tiny:literal, $up:literal) => {
        #[doc = concat!("One ", stringify!($t), ".")]
        #[derive(Clone, Copy)]
        #[repr(transparent)]
        pub struct $S($t);

        impl Lane for $S {
            type T = $t;
            type M = bool;
            const W: usize = 1;
            const DOUBLE: bool = $double;
            #[inline(always)]
            fn splat(v: $t) -> Self {
                Self(v)
            }
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                // SAFETY: readable by the caller's contract.
                Self(unsafe { p.read() })
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                // SAFETY: writable by the caller's contract.
                unsafe { p.write(self.0) }
            }
            #[inline(always)]
            unsafe fn load_n(p: *const $t, n: usize) -> Self {
                // SAFETY: readable by the caller's contract when n is 1.
                if n == 0 { Self(0.0) } else { Self(unsafe { p.read() }) }
            }
            #[inline(always)]
            unsafe fn store_n(self, p: *mut $t, n: usize) {
                if n != 0 {
                    // SAFETY: writable by the caller's contract when n is 1.
                    unsafe { p.write(self.0) }
                }
            }
            #[inline(always)]
            unsafe fn store_mask(m: bool, p: *mut u8, n: usize) {
                if n != 0 {
                    // SAFETY: writable by the caller's contract when n is 1.
                    unsafe { p.write(m as u8) }
                }
            }
            #[inline(always)]
            fn keep(self, n: usize, other: Self) -> Self {
                if n == 0 { other } else { self }
            }
            #[inline(always)]
            fn transpose(_: &mut [Self; 16]) {}
            #[inline(always)]
            fn add(self, o: Self) -> Self {
                Self(self.0 + o.0)
            }
            #[inline(always)]
            fn sub(self, o: Self) -> Self {
                Self(self.0 - o.0)
            }
            #[inline(always)]
            fn mul(self, o: Self) -> Self {
                Self(self.0 * o.0)
            }
            #[inline(always)]
            fn div(self, o: Self) -> Self {
                Self(self.0 / o.0)
            }
            #[inline(always)]
            fn neg(self) -> Self {
                Self(-self.0)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                Self(self.0.abs())
            }
            #[inline(always)]
            fn fma(self, a: Self, b: Self) -> Self {
                // Without the instruction, `mul_add` is a slow library call.
                if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
                    Self(self.0.mul_add(a.0, b.0))
                } else {
                    Self(self.0 * a.0 + b.0)
                }
            }
            #[inline(always)]
            fn min(self, o: Self) -> Self {
                if o.0 < self.0 { o } else { self }
            }
            #[inline(always)]
            fn max(self, o: Self) -> Self {
                if self.0 < o.0 { o } else { self }
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                Self(self.0.sqrt())
            }
            #[inline(always)]
            fn copysign(self, s: Self) -> Self {
                Self(self.0.copysign(s.0))
            }
            #[inline(always)]
            fn floor(self) -> Self {
                Self(self.0.floor())
            }
            #[inline(always)]
            fn ceil(self) -> Self {
                Self(self.0.ceil())
            }
            #[inline(always)]
            fn rint(self) -> Self {
                Self(self.0.round_ties_even())
            }
            #[inline(always)]
            fn lt(self, o: Self) -> bool {
                self.0 < o.0
            }
            #[inline(always)]
            fn le(self, o: Self) -> bool {
                self.0 <= o.0
            }
            #[inline(always)]
            fn eq(self, o: Self) -> bool {
                self.0 == o.0
            }
            #[inline(always)]
            fn and(a: bool, b: bool) -> bool {
                a & b
            }
            #[inline(always)]
            fn or(a: bool, b: bool) -> bool {
                a | b
            }
            #[inline(always)]
            fn not(m: bool) -> bool {
                !m
            }
            #[inline(always)]
            fn sel(m: bool, a: Self, b: Self) -> Self {
                if m { a } else { b }
            }
            #[inline(always)]
            fn any(m: bool) -> bool {
                m
            }
            #[inline(always)]
            fn ldexp(self, k: Self) -> Self {
                // In two factors, so that neither leaves the range of normal numbers.
                let k = k.0 as i32;
                let h = k >> 1;
                let pow2 = |e: i32| <$t>::from_bits(((e.wrapping_add($bias)) as $bits) << $mant);
                Self(self.0 * pow2(h) * pow2(k.wrapping_sub(h)))
            }
            #[inline(always)]
            fn frexp(self) -> (Self, Self) {
                let tiny = self.0 < <$t>::MIN_POSITIVE;
                let x = if tiny { self.0 * $up } else { self.0 };
                let bits = x.to_bits();
                let e = (bits >> $mant) as i32 - $bias - if tiny { $tiny } else { 0 };
                let one = ($bias as $bits) << $mant;
                let m = <$t>::from_bits(bits & ((1 << $mant) - 1) | one);
                (Self(m), Self(e as $t))
            }
        }
    };
}

lane!(F32x1, f32, false, 23, 127, u32, 25, 33554432.0);
lane!(F64x1, f64, true, 52, 1023, u64, 54, 18014398509481984.0);
