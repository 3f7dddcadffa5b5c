//! Tiles of products whose packed operands hold several neighbours along the inner dimension in
//! each 32-bit word, for instructions that multiply and add up whole words.

use super::blocks::Block;
use crate::lanes::{Arch, Isa, Lane, prefetch};
use std::mem::MaybeUninit;

/// A register of sums, one for each word of a register of words.
///
/// # Safety
/// Every function may only be called inside a function that has the features of the instructions.
pub(super) trait Sums: Copy {
    /// One sum.
    type T: Copy;
    /// A register of words.
    type Words: Copy;
    /// Sums in a register.
    const W: usize;
    /// The same word everywhere.
    fn splat(word: u32) -> Self::Words;
    /// Reads `W` words.
    ///
    /// # Safety
    /// `p` is readable for `W` words.
    unsafe fn words(p: *const u32) -> Self::Words;
    /// Sums that start from what `W` words hold.
    ///
    /// # Safety
    /// `p` is readable for `W` words.
    unsafe fn start(p: *const u32) -> Self;
    /// self + the products of the elements of `x` and of `y`, word by word. Where signs matter to
    /// the instruction, `x` is the unsigned operand.
    fn dot(self, x: Self::Words, y: Self::Words) -> Self;
    /// self + what memory holds.
    ///
    /// # Safety
    /// `p` is readable for `W` sums.
    unsafe fn add(self, p: *const Self::T) -> Self;
    /// a + b
    fn plus(a: Self::T, b: Self::T) -> Self::T;
    /// Writes `W` sums.
    ///
    /// # Safety
    /// `p` is writable for `W` sums.
    unsafe fn store(self, p: *mut Self::T);
}

/// Computes the tiles of a block, `R` rows and `V` registers each. Each panel of B begins with one
/// step of words from which its columns' sums start. With `SWAP`, `B` is the unsigned operand.
///
/// # Safety
/// The block's panels and its part of C exist.
#[inline(always)]
pub(super) unsafe fn block<S: Sums, const R: usize, const V: usize, const SWAP: bool>(
    block: Block<u32, S::T>,
) {
    let Block { k, a, b, next, c, ldc, m, n, .. } = block;
    let columns = V * S::W;
    for j in (0..n).step_by(columns) {
        for i in (0..m).step_by(R) {
            // SAFETY: the panels have `k` steps for all of these rows and columns, and C has them.
            unsafe {
                let tile = Block {
                    a: a.add(i * k),
                    b: b.add(j / columns * next),
                    c: c.add(i * ldc + j),
                    m: (m - i).min(R),
                    n: (n - j).min(columns),
                    ..block
                };
                run::<S, R, V, SWAP>(tile, block.ahead(i, j, columns));
            }
        }
    }
}

/// One tile.
///
/// # Safety
/// As [`block`], for at most `R` rows and `V` registers' columns.
#[inline(always)]
unsafe fn run<S: Sums, const R: usize, const V: usize, const SWAP: bool>(
    tile: Block<u32, S::T>,
    (mut ahead, share): (*const u32, usize),
) {
    let Block { k, mut a, mut b, c, ldc, m, n, accumulate, .. } = tile;
    // The tile's place in C arrives while the sums are made.
    for i in 0..R {
        for v in 0..V {
            prefetch(c.wrapping_add(i * ldc + v * S::W));
        }
    }
    // SAFETY: panels have `k` steps, B's one more, and stores stay below `m` and `n`.
    unsafe {
        let mut start = [S::start(b); V];
        for (v, s) in start.iter_mut().enumerate().skip(1) {
            *s = S::start(b.add(v * S::W));
        }
        let mut acc = [start; R];
        for _ in 0..k {
            prefetch(ahead);
            ahead = ahead.wrapping_byte_add(share);
            b = b.add(V * S::W);
            let mut y = [S::words(b); V];
            for (v, y) in y.iter_mut().enumerate().skip(1) {
                *y = S::words(b.add(v * S::W));
            }
            for (i, row) in acc.iter_mut().enumerate() {
                let x = S::splat(*a.add(i));
                for v in 0..V {
                    row[v] = if SWAP { row[v].dot(y[v], x) } else { row[v].dot(x, y[v]) };
                }
            }
            a = a.add(R);
        }
        if m == R && n == V * S::W {
            // Fixed bounds keep the sums in registers.
            for (i, row) in acc.iter().enumerate() {
                for (v, sum) in row.iter().enumerate() {
                    let p = c.add(i * ldc + v * S::W);
                    let sum = if accumulate { sum.add(p) } else { *sum };
                    sum.store(p);
                }
            }
            return;
        }
        // The whole tile beside C, from where its part in C is taken.
        let mut beside = [[MaybeUninit::<[S::T; 16]>::uninit(); V]; R];
        for (row, sums) in beside.iter_mut().zip(&acc) {
            for (place, sum) in row.iter_mut().zip(sums) {
                sum.store(place.as_mut_ptr().cast());
            }
        }
        for (i, row) in beside.iter().enumerate().take(m) {
            for (v, sums) in row.iter().enumerate() {
                let done = v * S::W;
                if done >= n {
                    break;
                }
                let p = c.add(i * ldc + done);
                for j in 0..S::W.min(n - done) {
                    let sum = *sums.as_ptr().cast::<S::T>().add(j);
                    *p.add(j) = if accumulate { S::plus(sum, *p.add(j)) } else { sum };
                }
            }
        }
    }
}

/// Packs words that lie one after the other in memory: `dst[s·width + i]` = word `s` of row `i`,
/// rows at a distance of `outer` bytes. Squares of words are transposed in registers.
///
/// # Safety
/// `n` rows have `steps` words, and `dst` is writable for `width` ≥ `n` words for each step.
#[inline(always)]
pub(super) unsafe fn transpose<A: Arch>(
    ptr: *const u8,
    outer: isize,
    n: usize,
    steps: usize,
    dst: *mut u32,
    width: usize,
) {
    let at = |i: usize, s: usize| ptr.wrapping_offset(i as isize * outer).wrapping_add(4 * s);
    if A::ISA == Isa::Portable {
        for (i, s) in (0..n).flat_map(|i| (0..steps).map(move |s| (i, s))) {
            // SAFETY: by the contract.
            unsafe { *dst.add(s * width + i) = at(i, s).cast::<u32>().read_unaligned() };
        }
        return;
    }
    let w = A::F32::W;
    for i in (0..n).step_by(w) {
        for s in (0..steps).step_by(w) {
            let (rows, columns) = (w.min(n - i), w.min(steps - s));
            let mut square = [A::F32::splat(0.0); 16];
            // SAFETY: rows below `n` have `steps` words, and stores stay below `n` or are
            // overwritten by the next step.
            unsafe {
                for (j, row) in square.iter_mut().enumerate().take(rows) {
                    let p = at(i + j, s).cast();
                    *row = if columns == w { Lane::load(p) } else { Lane::load_n(p, columns) };
                }
                Lane::transpose(&mut square);
                for (j, column) in square.iter().enumerate().take(columns) {
                    let to = dst.add((s + j) * width + i).cast();
                    if rows == w || (n <= w && width + rows >= w && s + j + 1 < steps) {
                        column.store(to);
                    } else {
                        column.store_n(to, rows);
                    }
                }
            }
        }
    }
}
