//! AVX-512 lanes: 16 × f32 and 8 × f64.

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

macro_rules! lane {
    ($S:ident, $t:ty, $V:ty, $M:ty, $w:literal, $double:literal,
     $set1:ident $add:ident $sub:ident $mul:ident $div:ident $xor:ident $abs:ident $fma:ident
     $min:ident $max:ident $sqrt:ident $andnot:ident $and:ident $or:ident $cmp:ident $blend:ident
     $round:ident $scalef:ident $getexp:ident $getmant:ident $ld:ident $st:ident $mld:ident
     $mst:ident $stream:ident $transpose:ident, {$($more:item)*}) => {
        #[doc = concat!("A 512-bit register of ", stringify!($t), ".")]
        #[derive(Clone, Copy)]
        #[repr(transparent)]
        pub struct $S($V);

        impl $S {
            #[inline(always)]
            fn first(n: usize) -> $M {
                ((1u32 << n) - 1) as $M
            }
        }

        impl Lane for $S {
            type T = $t;
            type M = $M;
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
                Self(op!($mld(Self::first(n), p)))
            }
            #[inline(always)]
            unsafe fn store_n(self, p: *mut $t, n: usize) {
                op!($mst(p, Self::first(n), self.0))
            }
            #[inline(always)]
            unsafe fn store_mask(m: $M, p: *mut u8, n: usize) {
                op!({
                    let bytes = _mm_maskz_set1_epi8(m as __mmask16, 1);
                    _mm_mask_storeu_epi8(p.cast(), ((1u32 << n) - 1) as __mmask16, bytes)
                })
            }
            $($more)*
            #[inline(always)]
            fn keep(self, n: usize, other: Self) -> Self {
                Self(op!($blend(Self::first(n), other.0, self.0)))
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
                Self(op!($abs(self.0)))
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
            fn lt(self, o: Self) -> $M {
                op!($cmp::<_CMP_LT_OQ>(self.0, o.0))
            }
            #[inline(always)]
            fn le(self, o: Self) -> $M {
                op!($cmp::<_CMP_LE_OQ>(self.0, o.0))
            }
            #[inline(always)]
            fn eq(self, o: Self) -> $M {
                op!($cmp::<_CMP_EQ_OQ>(self.0, o.0))
            }
            #[inline(always)]
            fn and(a: $M, b: $M) -> $M {
                a & b
            }
            #[inline(always)]
            fn or(a: $M, b: $M) -> $M {
                a | b
            }
            #[inline(always)]
            fn not(m: $M) -> $M {
                !m
            }
            #[inline(always)]
            fn sel(m: $M, a: Self, b: Self) -> Self {
                Self(op!($blend(m, b.0, a.0)))
            }
            #[inline(always)]
            fn any(m: $M) -> bool {
                m != 0
            }
            #[inline(always)]
            fn ldexp(self, k: Self) -> Self {
                Self(op!($scalef(self.0, k.0)))
            }
            #[inline(always)]
            fn frexp(self) -> (Self, Self) {
                op!((
                    Self($getmant::<_MM_MANT_NORM_1_2, _MM_MANT_SIGN_SRC>(self.0)),
                    Self($getexp(self.0))
                ))
            }
        }
    };
}

/// The numbers whose upper halves are given.
#[inline(always)]
unsafe fn from_bfloat(bits: __m256i) -> __m512 {
    op!(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits))))
}

/// The upper halves of the nearest such numbers, ties to even; NaNs become quiet.
#[inline(always)]
unsafe fn to_bfloat(x: __m512) -> __m256i {
    op!({
        let bits = _mm512_castps_si512(x);
        let odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(1 << 16));
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
        let rounded = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
        let rounded = _mm512_mask_add_epi32(rounded, odd, rounded, _mm512_set1_epi32(1));
        let rounded = _mm512_mask_or_epi32(rounded, nan, bits, _mm512_set1_epi32(0x0040_0000));
        let upper = _mm512_loadu_si512(UPPER.as_ptr().cast());
        _mm512_castsi512_si256(_mm512_permutexvar_epi16(upper, rounded))
    })
}

/// The upper halves of the elements of a register, among its halves.
const UPPER: [u16; 32] = {
    let (mut at, mut i) = ([0; 32], 0);
    while i < 16 {
        at[i] = 2 * i as u16 + 1;
        i += 1;
    }
    at
};

/// Pairs of elements, then quadruples within each quarter of a register, then quarters.
#[inline(always)]
fn transpose_ps(rows: &mut [F32x16; 16]) {
    let pd = |v: F32x16| op!(_mm512_castps_pd(v.0));
    let ps = |v| F32x16(op!(_mm512_castpd_ps(v)));
    let unpack_low = |a: F32x16, b: F32x16| F32x16(op!(_mm512_unpacklo_ps(a.0, b.0)));
    let unpack_high = |a: F32x16, b: F32x16| F32x16(op!(_mm512_unpackhi_ps(a.0, b.0)));
    exchange::<_, 16, 1>(rows, unpack_low, unpack_high);
    let pairs_low = |a, b| ps(op!(_mm512_unpacklo_pd(pd(a), pd(b))));
    let pairs_high = |a, b| ps(op!(_mm512_unpackhi_pd(pd(a), pd(b))));
    exchange::<_, 16, 2>(rows, pairs_low, pairs_high);
    for i in 0..4 {
        rows.swap(4 * i + 1, 4 * i + 2);
    }
    let even = |a: F32x16, b: F32x16| F32x16(op!(_mm512_shuffle_f32x4::<0x88>(a.0, b.0)));
    let odd = |a: F32x16, b: F32x16| F32x16(op!(_mm512_shuffle_f32x4::<0xdd>(a.0, b.0)));
    exchange::<_, 16, 4>(rows, even, odd);
    exchange::<_, 16, 8>(rows, even, odd);
}

/// Pairs of elements, then quarters of a register.
#[inline(always)]
fn transpose_pd(rows: &mut [F64x8; 16]) {
    let unpack_low = |a: F64x8, b: F64x8| F64x8(op!(_mm512_unpacklo_pd(a.0, b.0)));
    let unpack_high = |a: F64x8, b: F64x8| F64x8(op!(_mm512_unpackhi_pd(a.0, b.0)));
    exchange::<_, 8, 1>(rows, unpack_low, unpack_high);
    let even = |a: F64x8, b: F64x8| F64x8(op!(_mm512_shuffle_f64x2::<0x88>(a.0, b.0)));
    let odd = |a: F64x8, b: F64x8| F64x8(op!(_mm512_shuffle_f64x2::<0xdd>(a.0, b.0)));
    exchange::<_, 8, 2>(rows, even, odd);
    exchange::<_, 8, 4>(rows, even, odd);
}

lane!(F32x16, f32, __m512, __mmask16, 16, false,
_mm512_set1_ps _mm512_add_ps _mm512_sub_ps _mm512_mul_ps _mm512_div_ps _mm512_xor_ps
_mm512_abs_ps _mm512_fmadd_ps _mm512_min_ps _mm512_max_ps _mm512_sqrt_ps _mm512_andnot_ps
_mm512_and_ps _mm512_or_ps _mm512_cmp_ps_mask _mm512_mask_blend_ps _mm512_roundscale_ps
_mm512_scalef_ps _mm512_getexp_ps _mm512_getmant_ps _mm512_loadu_ps _mm512_storeu_ps
_mm512_maskz_loadu_ps _mm512_mask_storeu_ps _mm512_stream_ps transpose_ps, {
    #[inline(always)]
    unsafe fn store_apart(self, p: *mut f32, n: usize) {
        op!({
            let twice = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
            let low = _mm512_permutexvar_ps(twice, self.0);
            _mm512_mask_storeu_ps(p, 0x5555 & Self::first(2 * n.min(8)), low);
            if n > 8 {
                let high = _mm512_add_epi32(twice, _mm512_set1_epi32(8));
                let high = _mm512_permutexvar_ps(high, self.0);
                _mm512_mask_storeu_ps(p.add(16), 0x5555 & Self::first(2 * n - 16), high);
            }
        })
    }
    #[inline(always)]
    fn look_up(table: &[f32; 32], indices: Self) -> Option<Self> {
        Some(Self(op!({
            let (low, high) = (table.as_ptr(), table.as_ptr().add(16));
            let (low, high) = (_mm512_loadu_ps(low), _mm512_loadu_ps(high));
            _mm512_permutex2var_ps(low, _mm512_castps_si512(indices.0), high)
        })))
    }
    #[inline(always)]
    unsafe fn load_mask(p: *const u8) -> __mmask16 {
        op!({
            let bytes = _mm_loadu_si128(p.cast());
            _mm_test_epi8_mask(bytes, bytes)
        })
    }
    #[inline(always)]
    unsafe fn pick(p: *const f32, n: i32, indices: *const i32) -> Self {
        Self(op!({
            let i = _mm512_loadu_si512(indices.cast());
            let i = _mm512_mask_add_epi32(i, _mm512_movepi32_mask(i), i, _mm512_set1_epi32(n));
            _mm512_i32gather_ps::<4>(i, p)
        }))
    }
    #[inline(always)]
    unsafe fn load_half<H: Half>(p: *const H, n: usize) -> Self {
        op!({
            let bits = if n == 16 {
                _mm256_loadu_si256(p.cast())
            } else {
                _mm256_maskz_loadu_epi16(Self::first(n), p.cast())
            };
            Self(if H::BFLOAT { from_bfloat(bits) } else { _mm512_cvtph_ps(bits) })
        })
    }
    #[inline(always)]
    unsafe fn store_half<H: Half>(self, p: *mut H, n: usize) {
        op!({
            let bits = if H::BFLOAT {
                to_bfloat(self.0)
            } else {
                _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)
            };
            if n == 16 {
                _mm256_storeu_si256(p.cast(), bits)
            } else {
                _mm256_mask_storeu_epi16(p.cast(), Self::first(n), bits)
            }
        })
    }
});
lane!(F64x8, f64, __m512d, __mmask8, 8, true,
    _mm512_set1_pd _mm512_add_pd _mm512_sub_pd _mm512_mul_pd _mm512_div_pd _mm512_xor_pd
    _mm512_abs_pd _mm512_fmadd_pd _mm512_min_pd _mm512_max_pd _mm512_sqrt_pd _mm512_andnot_pd
    _mm512_and_pd _mm512_or_pd _mm512_cmp_pd_mask _mm512_mask_blend_pd _mm512_roundscale_pd
    _mm512_scalef_pd _mm512_getexp_pd _mm512_getmant_pd _mm512_loadu_pd _mm512_storeu_pd
    _mm512_maskz_loadu_pd _mm512_mask_storeu_pd _mm512_stream_pd transpose_pd, {
    #[inline(always)]
    unsafe fn load_mask(p: *const u8) -> __mmask8 {
        op!({
            let bytes = _mm_loadl_epi64(p.cast());
            _mm_test_epi8_mask(bytes, bytes) as __mmask8
        })
    }
});
