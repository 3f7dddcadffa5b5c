//! AVX2 + FMA lanes: 8 × f32 and 4 × f64.

use super::{Half, Lane, exchange};
use std::arch::x86_64::*;

/// Runs an intrinsic.
macro_rules! op {
    ($e:expr) => {
        // SAFETY: lanes are used only inside functions that `dispatch` entered after checking the
        // CPU's features (see `Lane`), and pointers are valid by the caller's contract.
        unsafe { $e }
    };
}

/// All-ones for the first `n` of eight 4-byte (or, read as pairs, four 8-byte) elements.
static FIRST: [u64; 16] = {
    let mut m = [0; 16];
    let mut i = 0;
    while i < 8 {
        m[i] = u64::MAX;
        i += 1;
    }
    m
};

macro_rules! lane {
    ($S:ident, $t:ty, $V:ty, $w:literal, $double:literal, $first:expr, $pow2:expr, $frexp:expr,
     $set1:ident $add:ident $sub:ident $mul:ident $div:ident $xor:ident $fma:ident $min:ident
     $max:ident $sqrt:ident $andnot:ident $and:ident $or:ident $cmp:ident $blend:ident $round:ident
     $ld:ident $st:ident $mld:ident $mst:ident $bits:ident $cast:ident
     $stream:ident $transpose:ident, {$($more:item)*}) => {
        #[doc = concat!("A 256-bit register of ", stringify!($t), ".")]
        #[derive(Clone, Copy)]
        #[repr(transparent)]
        pub struct $S($V);

        impl Lane for $S {
            type T = $t;
            type M = $V;
            const W: usize = $w;
            const DOUBLE: bool = $double;
            #[inline(always)]
            fn splat(v: $t) -> Self {
                Self(op!($set1(v)))
            }
            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                Self(op!($ld(p)))
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                op!($st(p, self.0))
            }
            #[inline(always)]
            unsafe fn stream(self, p: *mut $t) {
                op!($stream(p, self.0))
            }
            #[inline(always)]
            unsafe fn load_n(p: *const $t, n: usize) -> Self {
                Self(op!($mld(p, $first(n))))
            }
            #[inline(always)]
            unsafe fn store_n(self, p: *mut $t, n: usize) {
                op!($mst(p, $first(n), self.0))
            }
            #[inline(always)]
            unsafe fn store_mask(m: $V, p: *mut u8, n: usize) {
                let bits = op!($bits(m));
                for i in 0..n {
                    op!(*p.add(i) = (bits >> i & 1) as u8);
                }
            }
            $($more)*
            #[inline(always)]
            fn keep(self, n: usize, other: Self) -> Self {
                Self(op!($blend(other.0, self.0, $cast($first(n)))))
            }
            #[inline(always)]
            fn transpose(rows: &mut [Self; 16]) {
                $transpose(rows)
            }
            #[inline(always)]
            fn add(self, o: Self) -> Self {
                Self(op!($add(self.0, o.0)))
            }
            #[inline(always)]
            fn sub(self, o: Self) -> Self {
                Self(op!($sub(self.0, o.0)))
            }
            #[inline(always)]
            fn mul(self, o: Self) -> Self {
                Self(op!($mul(self.0, o.0)))
            }
            #[inline(always)]
            fn div(self, o: Self) -> Self {
                Self(op!($div(self.0, o.0)))
            }
            #[inline(always)]
            fn neg(self) -> Self {
                Self(op!($xor(self.0, $set1(-0.0))))
            }
            #[inline(always)]
            fn abs(self) -> Self {
                Self(op!($andnot($set1(-0.0), self.0)))
            }
            #[inline(always)]
            fn fma(self, a: Self, b: Self) -> Self {
                Self(op!($fma(self.0, a.0, b.0)))
            }
            #[inline(always)]
            fn min(self, o: Self) -> Self {
                Self(op!($min(o.0, self.0)))
            }
            #[inline(always)]
            fn max(self, o: Self) -> Self {
                Self(op!($max(o.0, self.0)))
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                Self(op!($sqrt(self.0)))
            }
            #[inline(always)]
            fn copysign(self, s: Self) -> Self {
                Self(op!({
                    let sign = $set1(-0.0);
                    $or($andnot(sign, self.0), $and(sign, s.0))
                }))
            }
            #[inline(always)]
            fn floor(self) -> Self {
                Self(op!($round::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(self.0)))
            }
            #[inline(always)]
            fn ceil(self) -> Self {
                Self(op!($round::<{ _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC }>(self.0)))
            }
            #[inline(always)]
            fn rint(self) -> Self {
                Self(op!($round::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)))
            }
            #[inline(always)]
            fn lt(self, o: Self) -> $V {
                op!($cmp::<_CMP_LT_OQ>(self.0, o.0))
            }
            #[inline(always)]
            fn le(self, o: Self) -> $V {
                op!($cmp::<_CMP_LE_OQ>(self.0, o.0))
            }
            #[inline(always)]
            fn eq(self, o: Self) -> $V {
                op!($cmp::<_CMP_EQ_OQ>(self.0, o.0))
            }
            #[inline(always)]
            fn and(a: $V, b: $V) -> $V {
                op!($and(a, b))
            }
            #[inline(always)]
            fn or(a: $V, b: $V) -> $V {
                op!($or(a, b))
            }
            #[inline(always)]
            fn not(m: $V) -> $V {
                op!($xor(m, $cast(_mm256_set1_epi32(-1))))
            }
            #[inline(always)]
            fn sel(m: $V, a: Self, b: Self) -> Self {
                Self(op!($blend(b.0, a.0, m)))
            }
            #[inline(always)]
            fn any(m: $V) -> bool {
                op!($bits(m)) != 0
            }
            #[inline(always)]
            fn ldexp(self, k: Self) -> Self {
                // In two factors, so that neither leaves the range of normal numbers.
                let h = Lane::floor(Lane::mul(k, Self::splat(0.5)));
                let l = Lane::sub(k, h);
                Lane::mul(Lane::mul(self, Self(op!($pow2(h.0)))), Self(op!($pow2(l.0))))
            }
            #[inline(always)]
            fn frexp(self) -> (Self, Self) {
                let (scale, up) =
                    if $double { (54.0, 18014398509481984.0) } else { (25.0, 33554432.0) };
                let tiny = Lane::lt(self, Self::splat(<$t>::MIN_POSITIVE));
                let x = Self::sel(tiny, Lane::mul(self, Self::splat(up)), self);
                let (m, e) = op!($frexp(x.0));
                let e = Self(e);
                (Self(m), Self::sel(tiny, Lane::sub(e, Self::splat(scale)), e))
            }
        }
    };
}

/// The mask of the first `n` 4-byte elements.
#[inline(always)]
unsafe fn first32(n: usize) -> __m256i {
    // SAFETY: 32 bytes from element 8 − n (in units of 4 bytes) stay inside FIRST's 128.
    op!(_mm256_loadu_si256(FIRST.as_ptr().cast::<u32>().add(16 - n).cast()))
}

/// The mask of the first `n` 8-byte elements.
#[inline(always)]
unsafe fn first64(n: usize) -> __m256i {
    // SAFETY: 32 bytes from element 8 − n stay inside FIRST's 128.
    op!(_mm256_loadu_si256(FIRST.as_ptr().add(8 - n).cast()))
}

/// 2ᵏ for integral k within the exponents of normal numbers.
#[inline(always)]
unsafe fn pow2_ps(k: __m256) -> __m256 {
    op!({
        let bits = _mm256_add_epi32(_mm256_cvtps_epi32(k), _mm256_set1_epi32(127));
        _mm256_castsi256_ps(_mm256_slli_epi32::<23>(bits))
    })
}

/// 2ᵏ for integral k within the exponents of normal numbers: adding 1.5·2⁵² leaves k in the low
/// bits.
#[inline(always)]
unsafe fn pow2_pd(k: __m256d) -> __m256d {
    op!({
        let bits = _mm256_castpd_si256(_mm256_add_pd(k, _mm256_set1_pd(6755399441055744.0)));
        let bits = _mm256_add_epi64(bits, _mm256_set1_epi64x(1023));
        _mm256_castsi256_pd(_mm256_slli_epi64::<52>(bits))
    })
}

/// Mantissa in [1, 2) and exponent of normal positive numbers.
#[inline(always)]
unsafe fn frexp_ps(x: __m256) -> (__m256, __m256) {
    op!({
        let bits = _mm256_castps_si256(x);
        let e = _mm256_sub_epi32(_mm256_srli_epi32::<23>(bits), _mm256_set1_epi32(127));
        let m = _mm256_and_si256(bits, _mm256_set1_epi32(0x7f_ffff));
        let m = _mm256_or_si256(m, _mm256_set1_epi32(0x3f80_0000));
        (_mm256_castsi256_ps(m), _mm256_cvtepi32_ps(e))
    })
}

/// Mantissa in [1, 2) and exponent of normal positive numbers.
#[inline(always)]
unsafe fn frexp_pd(x: __m256d) -> (__m256d, __m256d) {
    op!({
        let bits = _mm256_castpd_si256(x);
        // An integer below 2⁵² or-ed into 2⁵²'s mantissa is that integer plus 2⁵².
        let e = _mm256_or_si256(
            _mm256_srli_epi64::<52>(bits),
            _mm256_set1_epi64x(0x4330_0000_0000_0000),
        );
        let e = _mm256_sub_pd(_mm256_castsi256_pd(e), _mm256_set1_pd(4503599627370496.0 + 1023.0));
        let m = _mm256_and_si256(bits, _mm256_set1_epi64x(0xf_ffff_ffff_ffff));
        let m = _mm256_or_si256(m, _mm256_set1_epi64x(0x3ff0_0000_0000_0000));
        (_mm256_castsi256_pd(m), e)
    })
}

/// The numbers whose upper halves are given.
#[inline(always)]
unsafe fn from_bfloat(bits: __m128i) -> __m256 {
    op!(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(bits))))
}

/// The upper halves of the nearest such numbers, ties to even; NaNs become quiet.
#[inline(always)]
unsafe fn to_bfloat(x: __m256) -> __m128i {
    op!({
        let bits = _mm256_castps_si256(x);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
        let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(x, x));
        let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
        let rounded = _mm256_blendv_epi8(_mm256_add_epi32(bits, half), quiet, nan);
        let upper = _mm256_srli_epi32::<16>(rounded);
        // The pack works within halves of the register; the two wanted quarters are then joined.
        let packed = _mm256_permute4x64_epi64::<0x08>(_mm256_packus_epi32(upper, upper));
        _mm256_castsi256_si128(packed)
    })
}

/// Pairs of elements, then quadruples within each half of a register, then halves.
#[inline(always)]
fn transpose_ps(rows: &mut [F32x8; 16]) {
    let pd = |v: F32x8| op!(_mm256_castps_pd(v.0));
    let ps = |v| F32x8(op!(_mm256_castpd_ps(v)));
    let unpack_low = |a: F32x8, b: F32x8| F32x8(op!(_mm256_unpacklo_ps(a.0, b.0)));
    let unpack_high = |a: F32x8, b: F32x8| F32x8(op!(_mm256_unpackhi_ps(a.0, b.0)));
    exchange::<_, 8, 1>(rows, unpack_low, unpack_high);
    let pairs_low = |a, b| ps(op!(_mm256_unpacklo_pd(pd(a), pd(b))));
    let pairs_high = |a, b| ps(op!(_mm256_unpackhi_pd(pd(a), pd(b))));
    exchange::<_, 8, 2>(rows, pairs_low, pairs_high);
    for i in 0..2 {
        rows.swap(4 * i + 1, 4 * i + 2);
    }
    let low = |a: F32x8, b: F32x8| F32x8(op!(_mm256_permute2f128_ps::<0x20>(a.0, b.0)));
    let high = |a: F32x8, b: F32x8| F32x8(op!(_mm256_permute2f128_ps::<0x31>(a.0, b.0)));
    exchange::<_, 8, 4>(rows, low, high);
}

/// Pairs of elements, then halves of a register.
#[inline(always)]
fn transpose_pd(rows: &mut [F64x4; 16]) {
    let unpack_low = |a: F64x4, b: F64x4| F64x4(op!(_mm256_unpacklo_pd(a.0, b.0)));
    let unpack_high = |a: F64x4, b: F64x4| F64x4(op!(_mm256_unpackhi_pd(a.0, b.0)));
    exchange::<_, 4, 1>(rows, unpack_low, unpack_high);
    let low = |a: F64x4, b: F64x4| F64x4(op!(_mm256_permute2f128_pd::<0x20>(a.0, b.0)));
    let high = |a: F64x4, b: F64x4| F64x4(op!(_mm256_permute2f128_pd::<0x31>(a.0, b.0)));
    exchange::<_, 4, 2>(rows, low, high);
}

lane!(F32x8, f32, __m256, 8, false, first32, pow2_ps, frexp_ps,
_mm256_set1_ps _mm256_add_ps _mm256_sub_ps _mm256_mul_ps _mm256_div_ps _mm256_xor_ps
_mm256_fmadd_ps _mm256_min_ps _mm256_max_ps _mm256_sqrt_ps _mm256_andnot_ps _mm256_and_ps
_mm256_or_ps _mm256_cmp_ps _mm256_blendv_ps _mm256_round_ps _mm256_loadu_ps _mm256_storeu_ps
_mm256_maskload_ps _mm256_maskstore_ps _mm256_movemask_ps _mm256_castsi256_ps
_mm256_stream_ps transpose_ps, {
    #[inline(always)]
    unsafe fn load_mask(p: *const u8) -> __m256 {
        op!({
            let bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast()));
            _mm256_castsi256_ps(_mm256_cmpgt_epi32(bytes, _mm256_setzero_si256()))
        })
    }
    #[inline(always)]
    unsafe fn load_half<H: Half>(p: *const H, n: usize) -> Self {
        op!({
            let bits = if n == 8 {
                _mm_loadu_si128(p.cast())
            } else {
                let mut some = [H::default(); 8];
                for (i, v) in some[..n].iter_mut().enumerate() {
                    *v = p.add(i).read();
                }
                _mm_loadu_si128(some.as_ptr().cast())
            };
            Self(if H::BFLOAT { from_bfloat(bits) } else { _mm256_cvtph_ps(bits) })
        })
    }
    #[inline(always)]
    unsafe fn store_half<H: Half>(self, p: *mut H, n: usize) {
        op!({
            let bits = if H::BFLOAT {
                to_bfloat(self.0)
            } else {
                _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0)
            };
            if n == 8 {
                _mm_storeu_si128(p.cast(), bits);
            } else {
                let mut all = [H::default(); 8];
                _mm_storeu_si128(all.as_mut_ptr().cast(), bits);
                for (i, v) in all[..n].iter().enumerate() {
                    p.add(i).write(*v);
                }
            }
        })
    }
});
lane!(F64x4, f64, __m256d, 4, true, first64, pow2_pd, frexp_pd,
    _mm256_set1_pd _mm256_add_pd _mm256_sub_pd _mm256_mul_pd _mm256_div_pd _mm256_xor_pd
    _mm256_fmadd_pd _mm256_min_pd _mm256_max_pd _mm256_sqrt_pd _mm256_andnot_pd _mm256_and_pd
    _mm256_or_pd _mm256_cmp_pd _mm256_blendv_pd _mm256_round_pd _mm256_loadu_pd _mm256_storeu_pd
    _mm256_maskload_pd _mm256_maskstore_pd _mm256_movemask_pd _mm256_castsi256_pd
    _mm256_stream_pd transpose_pd, {
    #[inline(always)]
    unsafe fn load_mask(p: *const u8) -> __m256d {
        op!({
            let bytes = _mm256_cvtepu8_epi64(_mm_loadu_si32(p.cast()));
            _mm256_castsi256_pd(_mm256_cmpgt_epi64(bytes, _mm256_setzero_si256()))
        })
    }
});
