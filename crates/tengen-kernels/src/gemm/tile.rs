//! The tiles of C that live in registers.

use super::blocks::Block;
use crate::lanes::{Arch, Float, Isa, Kernel, Lane, prefetch};
use std::mem::MaybeUninit;

/// Rows and registers of the tile that an instruction set has room for: all but a few registers
/// accumulate.
const fn tile(isa: Isa) -> (usize, usize) {
    match isa {
        Isa::Avx512 => (14, 2),
        Isa::Avx2 => (6, 2),
        Isa::Portable => (4, 4),
    }
}

/// Rows and columns of the tiles of `T` that `m` rows are divided into: as few tiles as possible, and
/// of about the same height.
pub(super) fn tile_of<T: Float>(isa: Isa, m: usize) -> (usize, usize) {
    let (most, registers) = tile(isa);
    let rows = m.div_ceil(m.div_ceil(most).max(1)).max(LEAST.min(most));
    let width = match isa {
        Isa::Avx512 => 64 / size_of::<T>(),
        Isa::Avx2 => 32 / size_of::<T>(),
        Isa::Portable => 1,
    };
    (rows, registers * width)
}

/// Rows of the lowest tiles that there are.
const LEAST: usize = 8;

/// Steps that a tile sums in registers before it adds them to its sums: rounding grows with the length
/// of a sum.
const RUN: usize = 256;
/// Elements of the largest tile.
const TILE: usize = 14 * 32;

/// A tile's sums; no register of them crosses a cache line.
#[repr(align(64))]
struct Sums<T>(MaybeUninit<[T; TILE]>);

struct Tile<T> {
    k: usize,
    a: *const T,
    b: *const T,
    step: usize,
    /// As [`Block::ahead`] says.
    ahead: (*const T, usize),
    c: *mut T,
    ldc: usize,
    m: usize,
    n: usize,
    accumulate: bool,
}

impl<T: Float> Tile<T> {
    /// # Safety
    /// Panels of `k` steps at `a` (R values a step) and `b` (V registers every `step` places); `c`
    /// readable and writable for `m` ≤ R rows of `n` ≤ V registers' elements.
    #[inline(always)]
    unsafe fn run<L: Lane<T = T>, const R: usize, const V: usize>(self) {
        let Tile { k, mut a, mut b, step, ahead: (mut ahead, share), c, ldc, m, n, accumulate } =
            self;
        // The tile's place in C arrives while the sums are made.
        for i in 0..R {
            for v in 0..V {
                prefetch(c.wrapping_add(i * ldc + v * L::W));
            }
        }
        let zero = L::splat(T::default());
        let mut sums = Sums(MaybeUninit::<[T; TILE]>::uninit());
        let sums = sums.0.as_mut_ptr().cast::<T>();
        let mut done = 0;
        // SAFETY: the panels have `k` steps, stores stay below `m` and `n`, and sums are written
        // after the first run and read after later ones.
        unsafe {
            let acc = loop {
                let mut acc = [[zero; V]; R];
                let end = k.min(done + RUN);
                for _ in done..end {
                    prefetch(ahead);
                    ahead = ahead.wrapping_byte_add(share);
                    let mut y = [zero; V];
                    for (v, y) in y.iter_mut().enumerate() {
                        *y = L::load(b.add(v * L::W));
                    }
                    for (i, row) in acc.iter_mut().enumerate() {
                        let x = L::splat(*a.add(i));
                        for v in 0..V {
                            row[v] = Lane::fma(x, y[v], row[v]);
                        }
                    }
                    a = a.add(R);
                    b = b.wrapping_add(step);
                }
                if done > 0 {
                    for (i, row) in acc.iter_mut().enumerate() {
                        for (v, x) in row.iter_mut().enumerate() {
                            *x = Lane::add(L::load(sums.add((i * V + v) * L::W)), *x);
                        }
                    }
                }
                if end == k {
                    break acc;
                }
                for (i, row) in acc.iter().enumerate() {
                    for (v, x) in row.iter().enumerate() {
                        x.store(sums.add((i * V + v) * L::W));
                    }
                }
                done = end;
            };
            if m == R && n == V * L::W {
                // Fixed bounds keep the sums in registers.
                for (i, row) in acc.iter().enumerate() {
                    for (v, x) in row.iter().enumerate() {
                        let p = c.add(i * ldc + v * L::W);
                        let x = if accumulate { Lane::add(L::load(p), *x) } else { *x };
                        x.store(p);
                    }
                }
                return;
            }
            for (i, row) in acc.iter().enumerate() {
                if i == m {
                    break;
                }
                for (v, x) in row.iter().enumerate() {
                    let done = v * L::W;
                    if done >= n {
                        break;
                    }
                    let p = c.add(i * ldc + done);
                    let r = n - done;
                    if r >= L::W {
                        let x = if accumulate { Lane::add(L::load(p), *x) } else { *x };
                        x.store(p);
                    } else {
                        let x = if accumulate { Lane::add(L::load_n(p, r), *x) } else { *x };
                        x.store_n(p, r);
                    }
                }
            }
        }
    }
}

impl<T: Float> Kernel for Block<T, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Block { k, a, b, step, next, c, ldc, rows, m, n, accumulate } = self;
        let (_, registers) = tile(A::ISA);
        let columns = registers * <T::Lane<A> as Lane>::W;
        for j in (0..n).step_by(columns) {
            for i in (0..m).step_by(rows) {
                // SAFETY: `gemm` packed panels of `k` steps for all of these rows and columns,
                // and C has them.
                unsafe {
                    let tile = Tile {
                        k,
                        a: a.add(i * k),
                        b: b.add(j / columns * next),
                        step,
                        ahead: self.ahead(i, j, columns),
                        c: c.add(i * ldc + j),
                        ldc,
                        m: (m - i).min(rows),
                        n: (n - j).min(columns),
                        accumulate,
                    };
                    match (A::ISA, rows) {
                        (Isa::Avx512, 8) => tile.run::<T::Lane<A>, 8, 2>(),
                        (Isa::Avx512, 9) => tile.run::<T::Lane<A>, 9, 2>(),
                        (Isa::Avx512, 10) => tile.run::<T::Lane<A>, 10, 2>(),
                        (Isa::Avx512, 11) => tile.run::<T::Lane<A>, 11, 2>(),
                        (Isa::Avx512, 12) => tile.run::<T::Lane<A>, 12, 2>(),
                        (Isa::Avx512, 13) => tile.run::<T::Lane<A>, 13, 2>(),
                        (Isa::Avx512, _) => tile.run::<T::Lane<A>, 14, 2>(),
                        (Isa::Avx2, _) => tile.run::<T::Lane<A>, 6, 2>(),
                        (Isa::Portable, _) => tile.run::<T::Lane<A>, 4, 4>(),
                    }
                }
            }
        }
    }
}
