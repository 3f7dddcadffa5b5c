//! Matrix multiplication with packed operands.
//!
//! C = A·B is computed in tiles that live in registers. Both operands are first packed into panels
//! in the order in which the tiles read them, `KC` steps of the inner dimension at a time. What is
//! packed comes from a [`Source`], so transposed, half-precision and convolution operands need no
//! copy of their own. Every element of C is summed in the same order whatever the number of
//! threads.

use crate::lanes::{Arch, Float, Isa, Kernel, Lane, dispatch, isa, prefetch};
use crate::pool;
use std::ops::Range;

/// Steps of the inner dimension per block: many, since C is read and written once per block; a panel
/// of B and a block of panels of A stay in the second-level cache.
const KC: usize = 1024;
/// Columns of B per block: the block stays in the last-level cache.
const NC: usize = 2048;

/// An operand: a matrix seen as `outer` × `k`, where `outer` counts rows of A or columns of B.
pub trait Source<T>: Sync {
    /// Writes `dst[(k − ks.start)·width + i]` = element (`outer + i`, k) for `i < n` and k in
    /// `ks`. Places from `n` to `width` keep what they hold, or become 0.
    ///
    /// # Safety
    /// The elements exist, and `dst` is writable for `ks.len()·width` elements.
    unsafe fn pack(&self, outer: usize, n: usize, ks: Range<usize>, dst: *mut T, width: usize);
}

/// A matrix of elements at regular distances.
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

/// Elements that multiplication takes, converted to the type that it computes in.
pub trait Input<T: Float>: Copy {
    /// The value.
    fn get(self) -> T;
    /// The first `n` values at `p` in a register; the rest are 0.
    ///
    /// # Safety
    /// `p` is readable for `n` elements, no more than the register has.
    unsafe fn lane<L: Lane<T = T>>(p: *const Self, n: usize) -> L;
}
macro_rules! itself {
    ($($t:ty)*) => {$(
        impl Input<$t> for $t {
            #[inline(always)]
            fn get(self) -> $t {
                self
            }
            #[inline(always)]
            unsafe fn lane<L: Lane<T = $t>>(p: *const $t, n: usize) -> L {
                // SAFETY: by the contract.
                unsafe { if n == L::W { L::load(p) } else { L::load_n(p, n) } }
            }
        }
    )*};
}
itself!(f32 f64);
impl Input<f32> for half::f16 {
    #[inline(always)]
    fn get(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    unsafe fn lane<L: Lane<T = f32>>(p: *const Self, n: usize) -> L {
        // SAFETY: by the contract.
        unsafe { L::load_half(p, n) }
    }
}
impl Input<f32> for half::bf16 {
    #[inline(always)]
    fn get(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    unsafe fn lane<L: Lane<T = f32>>(p: *const Self, n: usize) -> L {
        // SAFETY: by the contract.
        unsafe { L::load_half(p, n) }
    }
}

impl<T: Float, E: Input<T>> Source<T> for Strided<E> {
    unsafe fn pack(&self, outer: usize, n: usize, ks: Range<usize>, dst: *mut T, width: usize) {
        let start = outer as isize * self.outer + ks.start as isize * self.inner;
        let from = Strided { ptr: self.ptr.wrapping_offset(start), ..*self };
        dispatch(Pack { from, n, steps: ks.len(), dst, width });
    }
}

/// Packs `steps` steps of `n` rows or columns.
struct Pack<E, T> {
    from: Strided<E>,
    n: usize,
    steps: usize,
    dst: *mut T,
    width: usize,
}

impl<T: Float, E: Input<T>> Kernel for Pack<E, T> {
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
                        E::lane::<T::Lane<A>>(at(i, k), r).store_n(dst.add(k * width + i), r);
                    }
                }
            } else if from.inner == 1 {
                for (i, k) in
                    (0..n).step_by(w).flat_map(|i| (0..steps).step_by(w).map(move |k| (i, k)))
                {
                    let (rows, columns) = (w.min(n - i), w.min(steps - k));
                    let mut square = [<T::Lane<A>>::splat(T::default()); 16];
                    for (j, row) in square.iter_mut().enumerate().take(rows) {
                        *row = E::lane(at(i + j, k), columns);
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

/// Rows and columns of the tile of `T`.
fn tile_of<T: Float>(isa: Isa) -> (usize, usize) {
    let (rows, registers) = tile(isa);
    let width = match isa {
        Isa::Avx512 => 64 / size_of::<T>(),
        Isa::Avx2 => 32 / size_of::<T>(),
        Isa::Portable => 1,
    };
    (rows, registers * width)
}

struct Tile<T> {
    k: usize,
    a: *const T,
    b: *const T,
    c: *mut T,
    ldc: usize,
    m: usize,
    n: usize,
    accumulate: bool,
}

impl<T: Float> Tile<T> {
    /// # Safety
    /// Packed panels of `k` steps at `a` (R values a step) and `b` (V registers a step); `c`
    /// readable and writable for `m` ≤ R rows of `n` ≤ V registers' elements.
    #[inline(always)]
    unsafe fn run<L: Lane<T = T>, const R: usize, const V: usize>(self) {
        let Tile { k, mut a, mut b, c, ldc, m, n, accumulate } = self;
        // The tile's place in C arrives while the sums are made.
        for i in 0..R {
            for v in 0..V {
                prefetch(c.wrapping_add(i * ldc + v * L::W));
            }
        }
        let zero = L::splat(T::default());
        let mut acc = [[zero; V]; R];
        // SAFETY: the panels have `k` steps, and stores stay below `m` and `n`.
        unsafe {
            for _ in 0..k {
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
                b = b.add(V * L::W);
            }
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

/// All tiles of some rows and columns of C, for one block of the inner dimension.
struct Block<T> {
    k: usize,
    a: *const T,
    b: *const T,
    c: *mut T,
    ldc: usize,
    m: usize,
    n: usize,
    accumulate: bool,
}

impl<T: Float> Kernel for Block<T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Block { k, a, b, c, ldc, m, n, accumulate } = self;
        let (rows, registers) = tile(A::ISA);
        let columns = registers * <T::Lane<A> as Lane>::W;
        for j in (0..n).step_by(columns) {
            for i in (0..m).step_by(rows) {
                // SAFETY: `gemm` packed panels of `k` steps for all of these rows and columns,
                // and C has them.
                unsafe {
                    let tile = Tile {
                        k,
                        a: a.add(i * k),
                        b: b.add(j * k),
                        c: c.add(i * ldc + j),
                        ldc,
                        m: (m - i).min(rows),
                        n: (n - j).min(columns),
                        accumulate,
                    };
                    match A::ISA {
                        Isa::Avx512 => tile.run::<T::Lane<A>, 14, 2>(),
                        Isa::Avx2 => tile.run::<T::Lane<A>, 6, 2>(),
                        Isa::Portable => tile.run::<T::Lane<A>, 4, 4>(),
                    }
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Shared<T>(*mut T);
// SAFETY: the address is shared; tasks touch parts of their own, as each use says.
unsafe impl<T> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T> Send for Shared<T> {}
impl<T> Shared<T> {
    fn at(self, i: usize) -> *mut T {
        self.0.wrapping_add(i)
    }
}

/// Elements that packed A takes: all of it, so that it can serve several multiplications.
pub fn packed_len<T: Float>(m: usize, k: usize) -> usize {
    let (rows, _) = tile_of::<T>(isa());
    m.next_multiple_of(rows) * k
}

/// Elements of workspace that [`multiply`] takes.
pub fn workspace_len<T: Float>(n: usize, k: usize) -> usize {
    let (_, columns) = tile_of::<T>(isa());
    n.min(NC).next_multiple_of(columns) * k.min(KC)
}

/// Multiplications below this many steps run on the caller alone.
const PARALLEL: usize = 1 << 16;

/// The most panels of A in a block.
const HIGH: usize = 6;

/// The most panels of B in a block: few, so that threads end together.
const WIDE: usize = 4;

/// Blocks of A's panels, of equal height as far as possible: enough to share out.
fn parts(panels: usize) -> usize {
    panels.div_ceil(HIGH).max(panels.min(4))
}

/// Packs A (`m` × `k`) to `packed`.
///
/// # Safety
/// The source has `m` × `k` elements, and `packed` is writable for [`packed_len`] elements.
pub unsafe fn pack_a<T: Float>(m: usize, k: usize, a: &impl Source<T>, packed: *mut T) {
    let (rows, _) = tile_of::<T>(isa());
    let (panels, out) = (m.div_ceil(rows), Shared(packed));
    let pack = |from: usize, to: usize| {
        for (panel, start) in (from..to).flat_map(|p| (0..k).step_by(KC).map(move |s| (p, s))) {
            let ks = start..(start + KC).min(k);
            let n = rows.min(m - panel * rows);
            // Blocks of the inner dimension one after the other, panels within them.
            let at = start * panels * rows + panel * rows * ks.len();
            // SAFETY: each panel of each block has a part of `packed` of its own.
            unsafe {
                if n < rows {
                    out.at(at).write_bytes(0, ks.len() * rows);
                }
                a.pack(panel * rows, n, ks, out.at(at), rows);
            }
        }
    };
    if m * k < PARALLEL { pack(0, panels) } else { pool::for_ranges(panels, 4, pack) }
}

/// C = A·B, or C += A·B, with A packed by [`pack_a`] on the same instruction set.
///
/// # Safety
/// `packed` holds an `m` × `k` A, `b` has `n` × `k` elements, `c` is readable and writable for `m`
/// rows of `n` elements at distance `ldc`, `work` is writable for [`workspace_len`] elements.
#[allow(clippy::too_many_arguments)]
pub unsafe fn multiply<T: Float>(
    (m, n, k): (usize, usize, usize),
    packed: *const T,
    b: &impl Source<T>,
    c: *mut T,
    ldc: usize,
    accumulate: bool,
    work: *mut T,
) {
    let isa = isa();
    let (rows, columns) = tile_of::<T>(isa);
    let panels = m.div_ceil(rows);
    let (a, w, c) = (Shared(packed.cast_mut()), Shared(work), Shared(c));
    let serial = m * n * k < PARALLEL;
    let each = |tasks: usize, task: &(dyn Fn(usize) + Sync)| {
        if serial { (0..tasks).for_each(task) } else { pool::for_each(tasks, task) }
    };
    if k == 0 {
        for i in (0..m).filter(|_| !accumulate) {
            // SAFETY: C has `m` rows of `n` elements.
            unsafe { c.at(i * ldc).write_bytes(0, n) };
        }
        return;
    }
    for jc in (0..n).step_by(NC) {
        let width = (n - jc).min(NC);
        let b_panels = width.div_ceil(columns);
        for start in (0..k).step_by(KC) {
            let ks = start..(start + KC).min(k);
            let steps = ks.len();
            each(b_panels.div_ceil(4), &|group| {
                for p in group * 4..b_panels.min(group * 4 + 4) {
                    let n = columns.min(width - p * columns);
                    let dst = w.at(p * columns * steps);
                    // SAFETY: each panel has a part of the workspace of its own.
                    unsafe {
                        if n < columns {
                            dst.write_bytes(0, steps * columns);
                        }
                        b.pack(jc + p * columns, n, ks.clone(), dst, columns);
                    }
                }
            });
            // A block of A's panels stays in the second-level cache; a share of B's panels each.
            let (down, across) = (parts(panels), b_panels.div_ceil(WIDE));
            each(down * across, &|task| {
                let (i, j) = (task / across, task % across);
                let (top, bottom) = (i * panels / down * rows, (i + 1) * panels / down * rows);
                let left = j * b_panels / across * columns;
                let right = (j + 1) * b_panels / across * columns;
                let block = Block {
                    k: steps,
                    a: a.at(start * panels * rows + top * steps).cast_const(),
                    b: w.at(left * steps).cast_const(),
                    c: c.at(top * ldc + jc + left),
                    ldc,
                    m: m.min(bottom) - top,
                    n: width.min(right) - left,
                    accumulate: accumulate || start > 0,
                };
                debug_assert!(crate::lanes::isa() == isa);
                dispatch(block);
            });
        }
    }
}

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

    fn run<T: Float + Input<T>>(
        m: usize,
        n: usize,
        k: usize,
        ta: bool,
        tb: bool,
        acc: bool,
    ) -> f64 {
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
                // Rounding grows with the length of a sum.
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
                        assert!(e < 1e-5 + 1e-8 * k as f64, "{set:?} f32 {m}×{n}×{k} {bits}: {e}");
                        let e = run::<f64>(m, n, k, ta, tb, acc);
                        assert!(
                            e < 1e-13 + 1e-16 * k as f64,
                            "{set:?} f64 {m}×{n}×{k} {bits}: {e}"
                        );
                    }
                }
            });
        }
    }
}
