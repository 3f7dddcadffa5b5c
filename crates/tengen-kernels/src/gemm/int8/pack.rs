//! Packing bytes in words.

use super::Byte;
use crate::gemm::Strided;
use crate::gemm::words;
use crate::lanes::{Arch, Kernel, dispatch};
use std::ops::Range;

/// Some steps of some rows of A or columns of B.
pub(super) struct Panel<E> {
    pub from: Strided<E>,
    /// The first row or column.
    pub outer: usize,
    /// How many there are.
    pub n: usize,
    /// Words of the inner dimension.
    pub steps: Range<usize>,
    /// Elements of the inner dimension.
    pub k: usize,
    /// Words from step to step.
    pub width: usize,
}

/// Steps of four bytes that are widened at a time.
const CHUNK: usize = 32;
/// The widest panel.
const WIDEST: usize = 32;

impl<E: Byte> Panel<E> {
    /// Writes `dst[s·width + i]` = the word of element i and step s: four bytes, or two 16-bit
    /// integers of the same values. Bytes past the inner dimension are 0.
    ///
    /// # Safety
    /// The elements exist, `dst` is writable for all words, the steps begin at an even one.
    pub unsafe fn pack(&self, quads: bool, dst: *mut u32) {
        let Self { from, outer, n, ref steps, k, width } = *self;
        let at = |quad: usize| {
            let start = outer as isize * from.outer + 4 * quad as isize * from.inner;
            Strided {
                ptr: from.ptr.wrapping_offset(start).cast::<u8>(),
                outer: from.outer,
                inner: from.inner,
            }
        };
        if quads {
            let bytes = k.min(4 * steps.end) - 4 * steps.start;
            return dispatch(Quads { from: at(steps.start), n, bytes, dst, width });
        }
        let mut wide = [0; CHUNK * WIDEST];
        for step in steps.clone().step_by(2 * CHUNK) {
            let (quad, count) = (step / 2, (steps.end - step).div_ceil(2).min(CHUNK));
            let bytes = k.min(4 * (quad + count)) - 4 * quad;
            dispatch(Quads { from: at(quad), n, bytes, dst: wide.as_mut_ptr(), width });
            let dst = dst.wrapping_add((step - steps.start) * width);
            dispatch(Widen::<E> {
                from: &wide,
                count,
                dst,
                width,
                element: std::marker::PhantomData,
            });
        }
    }

    /// Adds 128 to all bytes.
    ///
    /// # Safety
    /// `dst` holds all words.
    pub unsafe fn flip(&self, dst: *mut u32) {
        // SAFETY: by the contract.
        let words = unsafe { std::slice::from_raw_parts_mut(dst, self.steps.len() * self.width) };
        words.iter_mut().for_each(|w| *w ^= 0x8080_8080);
    }
}

/// Packs four bytes to a word.
struct Quads {
    from: Strided<u8>,
    n: usize,
    bytes: usize,
    dst: *mut u32,
    width: usize,
}

impl Quads {
    /// The word of element `i` and of the `count` bytes from `k`.
    ///
    /// # Safety
    /// The bytes exist.
    #[inline(always)]
    unsafe fn word(&self, i: usize, k: usize, count: usize) -> u32 {
        let mut word = [0; 4];
        for (j, byte) in word.iter_mut().enumerate().take(count) {
            // SAFETY: by the contract.
            *byte = unsafe { *self.at(i, k + j) };
        }
        u32::from_ne_bytes(word)
    }

    #[inline(always)]
    fn at(&self, i: usize, k: usize) -> *const u8 {
        let Strided { ptr, outer, inner } = self.from;
        ptr.wrapping_offset(i as isize * outer + k as isize * inner)
    }
}

impl Kernel for Quads {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { from, n, bytes, dst, width } = self;
        let (full, rest) = (bytes / 4, bytes % 4);
        // SAFETY: bytes (i < n, k < bytes) exist, and `dst` has `width` ≥ n words for each step.
        unsafe {
            if from.inner == 1 {
                words::transpose::<A>(from.ptr, from.outer, n, full, dst, width);
            } else {
                for s in 0..full {
                    let mut i = 0;
                    if from.outer == 1 {
                        while i + 16 <= n {
                            let rows: [[u8; 16]; 4] = std::array::from_fn(|j| {
                                self.at(i, 4 * s + j).cast::<[u8; 16]>().read()
                            });
                            let mut words = [0u32; 16];
                            for (t, word) in words.iter_mut().enumerate() {
                                *word = u32::from_ne_bytes([
                                    rows[0][t], rows[1][t], rows[2][t], rows[3][t],
                                ]);
                            }
                            dst.add(s * width + i).cast::<[u32; 16]>().write_unaligned(words);
                            i += 16;
                        }
                    }
                    for i in i..n {
                        *dst.add(s * width + i) = self.word(i, 4 * s, 4);
                    }
                }
            }
            for i in (0..n).filter(|_| rest > 0) {
                *dst.add(full * width + i) = self.word(i, 4 * full, rest);
            }
        }
    }
}

/// Turns words of four bytes into two words of two 16-bit integers each, in two steps.
struct Widen<'a, E> {
    from: &'a [u32; CHUNK * WIDEST],
    count: usize,
    dst: *mut u32,
    width: usize,
    element: std::marker::PhantomData<E>,
}

impl<E: Byte> Kernel for Widen<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { from, count, dst, width, .. } = self;
        for s in 0..count {
            // SAFETY: `dst` has two steps for each one in `from`.
            let (low, high) = unsafe {
                let low = std::slice::from_raw_parts_mut(dst.add(2 * s * width), width);
                (low, std::slice::from_raw_parts_mut(dst.add((2 * s + 1) * width), width))
            };
            for (i, x) in from[s * width..][..width].iter().enumerate() {
                let bytes = x.to_ne_bytes().map(E::widen);
                low[i] = bytes[0] | bytes[1] << 16;
                high[i] = bytes[2] | bytes[3] << 16;
            }
        }
    }
}
