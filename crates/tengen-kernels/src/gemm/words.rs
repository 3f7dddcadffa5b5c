//! Tiles of products whose packed operands hold several neighbours along the inner dimension in
//! each 32-bit word, for instructions that multiply and add up whole words.

use super::blocks::Block;
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
    let Block { k, a, b, c, ldc, m, n, accumulate } = block;
    let columns = V * S::W;
    for j in (0..n).step_by(columns) {
        for i in (0..m).step_by(R) {
            // SAFETY: the panels have `k` steps for all of these rows and columns, and C has them.
            unsafe {
                let tile = Block {
                    k,
                    a: a.add(i * k),
                    b: b.add(j * (k + 1)),
                    c: c.add(i * ldc + j),
                    ldc,
                    m: (m - i).min(R),
                    n: (n - j).min(columns),
                    accumulate,
                };
                run::<S, R, V, SWAP>(tile);
            }
        }
    }
}

/// One tile.
///
/// # Safety
/// As [`block`], for at most `R` rows and `V` registers' columns.
#[inline(always)]
unsafe fn run<S: Sums, const R: usize, const V: usize, const SWAP: bool>(tile: Block<u32, S::T>) {
    let Block { k, mut a, mut b, c, ldc, m, n, accumulate } = tile;
    // The tile's place in C arrives while the sums are made.
    for i in 0..R {
        for v in 0..V {
            crate::lanes::prefetch(c.wrapping_add(i * ldc + v * S::W));
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
