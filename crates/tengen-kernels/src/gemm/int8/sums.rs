//! The methods' instructions.

use super::{Byte, Method};
use crate::gemm::blocks::Block;
use crate::gemm::words::{self, Sums};

/// Four sums in plain Rust; words hold two 16-bit integers.
#[derive(Clone, Copy)]
struct Pairs([i32; 4]);

impl Sums for Pairs {
    type T = i32;
    type Words = [i16; 8];
    const W: usize = 4;
    #[inline(always)]
    fn splat(word: u32) -> [i16; 8] {
        let (even, odd) = (word as i16, (word >> 16) as i16);
        [even, odd, even, odd, even, odd, even, odd]
    }
    #[inline(always)]
    unsafe fn words(p: *const u32) -> [i16; 8] {
        // SAFETY: by the contract.
        let words = unsafe { p.cast::<[u32; 4]>().read_unaligned() };
        std::array::from_fn(|i| (words[i / 2] >> (16 * (i % 2))) as i16)
    }
    #[inline(always)]
    unsafe fn start(p: *const u32) -> Self {
        // SAFETY: by the contract.
        Self(unsafe { p.cast::<[i32; 4]>().read_unaligned() })
    }
    #[inline(always)]
    fn dot(self, x: [i16; 8], y: [i16; 8]) -> Self {
        let product = |i: usize| i32::from(x[i]) * i32::from(y[i]);
        Self(std::array::from_fn(|i| self.0[i].wrapping_add(product(2 * i) + product(2 * i + 1))))
    }
    #[inline(always)]
    unsafe fn add(self, p: *const i32) -> Self {
        // SAFETY: by the contract.
        let other = unsafe { p.cast::<[i32; 4]>().read_unaligned() };
        Self(std::array::from_fn(|i| self.0[i].wrapping_add(other[i])))
    }
    #[inline(always)]
    fn plus(a: i32, b: i32) -> i32 {
        a.wrapping_add(b)
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut i32) {
        // SAFETY: by the contract.
        unsafe { p.cast::<[i32; 4]>().write_unaligned(self.0) }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use std::arch::x86_64::*;

    macro_rules! sums {
        ($S:ident, $V:ty, $w:literal, $what:literal, $set1:ident $ld:ident $st:ident $add:ident,
         $dot:expr) => {
            #[doc = $what]
            #[derive(Clone, Copy)]
            pub struct $S($V);
            impl Sums for $S {
                type T = i32;
                type Words = $V;
                const W: usize = $w;
                #[inline(always)]
                fn splat(word: u32) -> $V {
                    // SAFETY: `Sums` are used only where the machine has the instructions.
                    unsafe { $set1(word as i32) }
                }
                #[inline(always)]
                unsafe fn words(p: *const u32) -> $V {
                    // SAFETY: as above, and by the contract.
                    unsafe { $ld(p.cast()) }
                }
                #[inline(always)]
                unsafe fn start(p: *const u32) -> Self {
                    // SAFETY: by the contract.
                    Self(unsafe { Self::words(p) })
                }
                #[inline(always)]
                fn dot(self, x: $V, y: $V) -> Self {
                    // SAFETY: `Sums` are used only where the machine has the instructions.
                    Self(unsafe { $dot(self.0, x, y) })
                }
                #[inline(always)]
                unsafe fn add(self, p: *const i32) -> Self {
                    // SAFETY: as above, and by the contract.
                    Self(unsafe { $add(self.0, $ld(p.cast())) })
                }
                #[inline(always)]
                fn plus(a: i32, b: i32) -> i32 {
                    a.wrapping_add(b)
                }
                #[inline(always)]
                unsafe fn store(self, p: *mut i32) {
                    // SAFETY: as above, and by the contract.
                    unsafe { $st(p.cast(), self.0) }
                }
            }
        };
    }
    macro_rules! madd {
        ($name:ident, $V:ty, $madd:ident $add:ident) => {
            /// # Safety
            /// The machine has the instructions.
            #[inline(always)]
            unsafe fn $name(sum: $V, x: $V, y: $V) -> $V {
                // SAFETY: by the contract.
                unsafe { $add(sum, $madd(x, y)) }
            }
        };
    }
    madd!(madd512, __m512i, _mm512_madd_epi16 _mm512_add_epi32);
    madd!(madd256, __m256i, _mm256_madd_epi16 _mm256_add_epi32);
    sums!(Quads512, __m512i, 16, "16 sums of four products.",
        _mm512_set1_epi32 _mm512_loadu_si512 _mm512_storeu_si512 _mm512_add_epi32,
        _mm512_dpbusd_epi32);
    sums!(Quads256, __m256i, 8, "8 sums of four products.",
        _mm256_set1_epi32 _mm256_loadu_si256 _mm256_storeu_si256 _mm256_add_epi32,
        _mm256_dpbusd_avx_epi32);
    sums!(Pairs512, __m512i, 16, "16 sums of two products.",
        _mm512_set1_epi32 _mm512_loadu_si512 _mm512_storeu_si512 _mm512_add_epi32,
        madd512);
    sums!(Pairs256, __m256i, 8, "8 sums of two products.",
        _mm256_set1_epi32 _mm256_loadu_si256 _mm256_storeu_si256 _mm256_add_epi32,
        madd256);

    macro_rules! entry {
        ($block:ident, $S:ty, $r:literal, $features:literal) => {
            /// The tiles of a block.
            ///
            /// # Safety
            /// As [`words::block`], and the machine has the features.
            #[target_feature(enable = $features)]
            pub unsafe fn $block<const SWAP: bool>(block: Block<u32, i32>) {
                // SAFETY: by the contract.
                unsafe { words::block::<$S, $r, 2, SWAP>(block) }
            }
        };
    }
    entry!(quads512, Quads512, 14, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni");
    entry!(quads256, Quads256, 6, "avx2,avxvnni");
    entry!(pairs512, Pairs512, 14, "avx512f,avx512bw,avx512dq,avx512vl");
    entry!(pairs256, Pairs256, 6, "avx2");

    macro_rules! start {
        ($start:ident, $S:ty, $features:literal) => {
            /// `out` = −128·(the sum of each column's bytes) of a panel of B.
            ///
            /// # Safety
            /// The panel has `steps` steps of `columns` words, `out` is writable for `columns`
            /// words, and the machine has the features.
            #[target_feature(enable = $features)]
            pub unsafe fn $start(columns: usize, steps: usize, panel: *const u32, out: *mut u32) {
                for i in (0..columns).step_by(<$S>::W) {
                    // SAFETY: by the contract; tiles have whole registers of columns.
                    unsafe {
                        let mut sum = <$S>::start([0; 16].as_ptr());
                        for s in 0..steps {
                            let y = <$S>::words(panel.add(s * columns + i));
                            sum = sum.dot(<$S>::splat(0x8080_8080), y);
                        }
                        sum.store(out.add(i).cast());
                    }
                }
                // SAFETY: by the contract.
                let out = unsafe { std::slice::from_raw_parts_mut(out, columns) };
                out.iter_mut().for_each(|x| *x = x.wrapping_neg());
            }
        };
    }
    start!(start512, Quads512, "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni");
    start!(start256, Quads256, "avx2,avxvnni");
}

/// The tiles of a block, with operands of `X` and `Y`.
///
/// # Safety
/// As [`words::block`], and the machine has the method's instructions.
pub(super) unsafe fn block<X: Byte, Y: Byte>(method: Method, block: Block<u32, i32>) {
    // Bytes of an unsigned B come first; an A of signed bytes before a signed B is shifted.
    let swap = X::SIGNED && !Y::SIGNED;
    // SAFETY: by the contract.
    unsafe {
        match (method, swap) {
            #[cfg(target_arch = "x86_64")]
            (Method::Quads512, false) => x86::quads512::<false>(block),
            #[cfg(target_arch = "x86_64")]
            (Method::Quads512, true) => x86::quads512::<true>(block),
            #[cfg(target_arch = "x86_64")]
            (Method::Quads256, false) => x86::quads256::<false>(block),
            #[cfg(target_arch = "x86_64")]
            (Method::Quads256, true) => x86::quads256::<true>(block),
            #[cfg(target_arch = "x86_64")]
            (Method::Pairs512, _) => x86::pairs512::<false>(block),
            #[cfg(target_arch = "x86_64")]
            (Method::Pairs256, _) => x86::pairs256::<false>(block),
            _ => words::block::<Pairs, 4, 2, false>(block),
        }
    }
}

/// `out` = what the sums of a panel of B start from, −128·(the sum of each column's bytes), where
/// words hold four bytes.
///
/// # Safety
/// The panel has `steps` steps of `columns` words, `out` is writable for `columns` words, and the
/// machine has the method's instructions.
pub(super) unsafe fn start(
    method: Method,
    columns: usize,
    steps: usize,
    panel: *const u32,
    out: *mut u32,
) {
    // SAFETY: by the contract.
    unsafe {
        match method {
            #[cfg(target_arch = "x86_64")]
            Method::Quads512 => x86::start512(columns, steps, panel, out),
            #[cfg(target_arch = "x86_64")]
            Method::Quads256 => x86::start256(columns, steps, panel, out),
            _ => unreachable!("words hold two integers: {columns} {steps} {panel:?} {out:?}"),
        }
    }
}
