//! Matrix multiplication with packed operands.
//!
//! C = A·B is computed in tiles that live in registers. Both operands are first packed into panels
//! in the order in which the tiles read them, a block of the inner dimension at a time (`blocks`).
//! What is packed comes from a [`Strided`] matrix, so transposed and half-precision operands need no
//! copy of their own. Every element of C is summed in the same order whatever the number of
//! threads.

use crate::lanes::{Arch, Float, Isa, Kernel, Lane, Operand, dispatch, isa, prefetch};
use crate::pool;
use blocks::{Block, PARALLEL_PACK, Plan, Right};
use std::any::TypeId;
use std::mem::MaybeUninit;
use std::ops::Range;

mod bf16;
mod blocks;
pub mod int8;
mod words;

/// An operand: a matrix of elements at regular distances, seen as `outer` × `k`, where `outer` counts
/// rows of A or columns of B.
#[derive(Clone, Copy)]
pub struct Strided<E> {
    /// The first element.
    pub ptr: *const E,
    /// Distance between neighbours along the outer dimension.
    pub outer: isize,
    /// Distance between neighbours along the inner dimension.
    pub inner: isize,
}

// SAFETY: a Strided only reads, from memory that `pack`'s caller vouches for.
unsafe impl<E> Sync for Strided<E> {}

impl<E> Strided<E> {
    /// Writes `dst[(k − ks.start)·width + i]` = element (`outer + i`, k) for `i < n` and k in
    /// `ks`. Places from `n` to `width` keep what they hold, or become 0.
    ///
    /// # Safety
    /// The elements exist, and `dst` is writable for `ks.len()·width` elements.
    pub unsafe fn pack<T: Float>(
        &self,
        outer: usize,
        n: usize,
        ks: Range<usize>,
        dst: *mut T,
        width: usize,
    ) where
        E: Operand<Wide = T>,
    {
        let start = outer as isize * self.outer + ks.start as isize * self.inner;
        let from = Strided { ptr: self.ptr.wrapping_offset(start), ..*self };
        dispatch(Pack { from, n, steps: ks.len(), dst, width });
    }
}

/// Steps between a step that is packed and the one that is fetched: a step of a wide matrix lies on a
/// page of its own.
const AHEAD: usize = 16;

/// Packs `steps` steps of `n` rows or columns.
pub(crate) struct Pack<E, T> {
    pub from: Strided<E>,
    pub n: usize,
    pub steps: usize,
    pub dst: *mut T,
    pub width: usize,
}

impl<T: Float, E: Operand<Wide = T>> Kernel for Pack<E, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { from, n, steps, dst, width } = self;
        let w = <T::Lane<A> as Lane>::W;
        let at = |i: usize, k: usize| {
            from.ptr.wrapping_offset(i as isize * from.outer + k as isize * from.inner)
        };
        // SAFETY: `pack`'s contract: elements (i < n, k < steps) are readable, and `dst` has
        // `width` ≥ n places for each step; every access below stays under these bounds.
        unsafe {
            if from.outer == 1 {
                for k in 0..steps {
                    for i in (0..n).step_by(w) {
                        let r = w.min(n - i);
                        prefetch(at(i, k + AHEAD));
                        E::load::<T::Lane<A>>(at(i, k), r).store_n(dst.add(k * width + i), r);
                    }
                }
            } else if from.inner == 1 {
                for (i, k) in
                    (0..n).step_by(w).flat_map(|i| (0..steps).step_by(w).map(move |k| (i, k)))
                {
                    let (rows, columns) = (w.min(n - i), w.min(steps - k));
                    let mut square = [<T::Lane<A>>::splat(T::default()); 16];
                    for (j, row) in square.iter_mut().enumerate().take(rows) {
                        *row = E::load(at(i + j, k), columns);
                    }
                    Lane::transpose(&mut square);
                    for (j, column) in square.iter().enumerate().take(columns) {
                        let to = dst.add((k + j) * width + i);
                        // A whole store is faster; what it writes too much of, the next step's
                        // place, is written after it.
                        if n <= w && width + rows >= w && k + j + 1 < steps {
                            column.store(to);
                        } else {
                            column.store_n(to, rows);
                        }
                    }
                }
            } else {
                for k in 0..steps {
                    for i in 0..n {
                        *dst.add(k * width + i) = (*at(i, k)).get();
                    }
                }
            }
        }
    }
}

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
fn tile_of<T: Float>(isa: Isa, m: usize) -> (usize, usize) {
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
        let Tile { k, mut a, mut b, step, c, ldc, m, n, accumulate } = self;
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

/// Bytes over which a right operand lies that tiles read as it is, without packing: it stays in the
/// first caches all the while.
const NEAR: usize = 64 << 10;

/// Elements that packed A takes: all of it, so that it can serve several multiplications.
pub fn packed_len<T: Float>(m: usize, k: usize) -> usize {
    plan::<T>(m, 0, k).packed_len()
}

/// Elements of workspace that [`multiply`] takes.
pub fn workspace_len<T: Float>(n: usize, k: usize) -> usize {
    plan::<T>(0, n, k).workspace_len()
}

fn plan<T: Float>(m: usize, n: usize, k: usize) -> Plan {
    Plan {
        m,
        n,
        steps: k,
        tile: tile_of::<T>(isa(), m),
        head: 0,
        shared: pool::workers(m * n * k) > 1,
    }
}

/// Packs A (`m` × `k`) to `packed`.
///
/// # Safety
/// `a` has `m` × `k` elements, and `packed` is writable for [`packed_len`] elements.
pub unsafe fn pack_a<T: Float, E: Operand<Wide = T>>(
    m: usize,
    k: usize,
    a: &Strided<E>,
    packed: *mut T,
) {
    let plan = Plan { shared: m * k >= PARALLEL_PACK, ..plan::<T>(m, 0, k) };
    let (rows, _) = plan.tile;
    // SAFETY: by the contract; the driver asks for parts of A and of `packed` that exist.
    unsafe {
        plan.pack_a(packed, &|row, n, ks, dst| a.pack(row, n, ks, dst, rows));
    }
}

/// C = A·B, or C += A·B, with A packed by [`pack_a`] on the same instruction set.
///
/// # Safety
/// `packed` holds an `m` × `k` A, `b` has `n` × `k` elements, `c` is readable and writable for `m`
/// rows of `n` elements at distance `ldc`, `work` is writable for [`workspace_len`] elements.
pub unsafe fn multiply<T: Float, E: Operand<Wide = T>>(
    (m, n, k): (usize, usize, usize),
    packed: *const T,
    b: &Strided<E>,
    c: *mut T,
    ldc: usize,
    accumulate: bool,
    work: *mut T,
) {
    let plan = plan::<T>(m, n, k);
    let (_, columns) = plan.tile;
    let pack = |column, n, ks: Range<usize>, dst| {
        // SAFETY: by the contract; the driver asks for parts of B and of the workspace that exist.
        unsafe { b.pack(column, n, ks, dst, columns) }
    };
    // Tiles read all of their columns' registers.
    let near = b.inner >= 0 && k * b.inner.unsigned_abs() * size_of::<T>() <= NEAR;
    let as_is = TypeId::of::<E>() == TypeId::of::<T>() && b.outer == 1 && near;
    let right = if as_is && n.is_multiple_of(columns) {
        Right::InPlace(b.ptr.cast(), b.inner.unsigned_abs())
    } else {
        Right::Pack(&pack)
    };
    // SAFETY: by the contract.
    unsafe { plan.multiply(packed, c, ldc, accumulate, work, right, &|block| dispatch(block)) }
}

/// Elements of matrices, with the way in which products of two such matrices are summed in `T`.
pub trait Element<T: Float>: Operand<Wide = T> {
    /// Elements of `T` that packed A takes.
    fn packed_len(m: usize, k: usize) -> usize {
        packed_len::<T>(m, k)
    }
    /// Elements of workspace that [`Element::multiply`] takes.
    fn workspace_len(n: usize, k: usize) -> usize {
        workspace_len::<T>(n, k)
    }
    /// Packs A (`m` × `k`) to `packed`.
    ///
    /// # Safety
    /// As [`pack_a`], for [`Element::packed_len`] elements.
    unsafe fn pack_a(m: usize, k: usize, a: Strided<Self>, packed: *mut T) {
        // SAFETY: by the contract.
        unsafe { pack_a(m, k, &a, packed) }
    }
    /// C = A·B with A packed by [`Element::pack_a`] on the same instruction set.
    ///
    /// # Safety
    /// As [`multiply`], for [`Element::workspace_len`] elements and rows of C without gaps.
    unsafe fn multiply(
        (m, n, k): (usize, usize, usize),
        packed: *const T,
        b: Strided<Self>,
        c: *mut T,
        work: *mut T,
    ) {
        // SAFETY: by the contract.
        unsafe { multiply((m, n, k), packed, &b, c, n, false, work) }
    }
}
impl Element<f32> for f32 {}
impl Element<f64> for f64 {}
impl Element<f32> for half::f16 {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{available, with_isa};

    fn values(n: usize, seed: u64) -> Vec<f64> {
        let mut s = seed | 1;
        (0..n)
            .map(|_| {
                s = s.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (s >> 40) as f64 / (1 << 24) as f64 - 0.5
            })
            .collect()
    }

    fn run<T: Float>(m: usize, n: usize, k: usize, ta: bool, tb: bool, acc: bool) -> f64 {
        let (a, b) = (values(m * k, 1), values(k * n, 2));
        let to = |v: &[f64]| v.iter().map(|v| T::from_f64(*v)).collect::<Vec<T>>();
        let (x, y) = (to(&a), to(&b));
        let sa = if ta { (1, m as isize) } else { (k as isize, 1) };
        let sb = if tb { (k as isize, 1) } else { (1, n as isize) };
        let mut packed = vec![T::default(); packed_len::<T>(m, k)];
        let mut work = vec![T::default(); workspace_len::<T>(n, k)];
        let mut c = vec![T::from_f64(0.25); m * n];
        let a_src = Strided { ptr: x.as_ptr(), outer: sa.0, inner: sa.1 };
        let b_src = Strided { ptr: y.as_ptr(), outer: sb.0, inner: sb.1 };
        // SAFETY: the vectors have the lengths that the functions ask for.
        unsafe {
            pack_a(m, k, &a_src, packed.as_mut_ptr());
            multiply((m, n, k), packed.as_ptr(), &b_src, c.as_mut_ptr(), n, acc, work.as_mut_ptr());
        }
        let mut worst: f64 = 0.0;
        for i in 0..m {
            for j in 0..n {
                let at = |v: &[f64], o: usize, k: usize, s: (isize, isize)| {
                    T::from_f64(v[o * s.0 as usize + k * s.1 as usize]).to_f64()
                };
                let dot: f64 = (0..k).map(|p| at(&a, i, p, sa) * at(&b, j, p, sb)).sum();
                let want = dot + if acc { 0.25 } else { 0.0 };
                worst = worst.max((c[i * n + j].to_f64() - want).abs());
            }
        }
        worst
    }

    #[test]
    fn agrees_with_the_definition_on_every_instruction_set() {
        for set in available() {
            with_isa(*set, || {
                for (m, n, k) in [
                    (1, 1, 1),
                    (3, 5, 7),
                    (14, 32, 256),
                    (15, 33, 257),
                    (64, 10, 2100),
                    (100, 129, 31),
                    (2, 4100, 3),
                    (16, 2100, 1030),
                    (5, 7, 0),
                ] {
                    for bits in 0..8 {
                        let (ta, tb, acc) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
                        let e = run::<f32>(m, n, k, ta, tb, acc);
                        assert!(e < 1e-5, "{set:?} f32 {m}×{n}×{k} {bits}: {e}");
                        let e = run::<f64>(m, n, k, ta, tb, acc);
                        assert!(e < 1e-13, "{set:?} f64 {m}×{n}×{k} {bits}: {e}");
                    }
                }
            });
        }
    }
}
