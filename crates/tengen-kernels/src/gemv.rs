//! Products of a vector and a matrix, at the speed of reading the matrix once.

use crate::gemm::Strided;
use crate::lanes::{Arch, Float, Kernel, Lane, Operand, dispatch};
use crate::pool::{self, Shared};

/// Rows of a part that are summed apart; it does not depend on the number of threads.
const PART: usize = 128;
/// The most parts.
const PARTS: usize = 32;
/// Rows that are added, or columns that are multiplied, at once.
const ROWS: usize = 4;

/// Whether [`multiply`] takes this matrix: its rows or its columns are contiguous.
pub fn applies<E>(b: &Strided<E>) -> bool {
    b.outer == 1 || b.inner == 1
}

/// How many parts the inner dimension is divided into.
fn parts<E>(k: usize, b: &Strided<E>) -> usize {
    if b.inner == 1 { 1 } else { k.div_ceil(PART).clamp(1, PARTS) }
}

/// Elements of workspace that [`multiply`] takes.
pub fn workspace_len<T, E>(n: usize, k: usize, b: &Strided<E>) -> usize {
    let parts = parts(k, b);
    k + if parts > 1 { parts * n } else { 0 }
}

/// y = x·B for a vector of `k` and a matrix of `k` × `n`, of which `b.outer` counts columns.
///
/// # Safety
/// [`applies`] holds; `x` has `k` elements at distance `step`, `b` has `n` × `k`; `y` is writable
/// for `n` elements, `work` for [`workspace_len`].
pub unsafe fn multiply<T: Float, E: Operand<Wide = T>>(
    (n, k): (usize, usize),
    (x, step): (*const E, isize),
    b: Strided<E>,
    y: *mut T,
    work: *mut T,
) {
    // SAFETY: by the contract; the vector's copy is at the start of the workspace.
    unsafe {
        for i in 0..k {
            *work.add(i) = (*x.offset(i as isize * step)).get();
        }
    }
    let (x, sums, y) = (Shared(work), Shared(work.wrapping_add(k)), Shared(y));
    let b = Matrix(b);
    if b.0.inner == 1 {
        return pool::for_ranges(n, ROWS * 4, |from, to| {
            for j in (from..to).step_by(ROWS) {
                let rows = ROWS.min(to - j);
                dispatch(Dots { x: x.at(0).cast_const(), b: b.column(j), k, rows, y: y.at(j) });
            }
        });
    }
    let parts = parts(k, &b.0);
    pool::for_each(parts, |p| {
        let (from, to) = (p * k / parts, (p + 1) * k / parts);
        let y = if parts > 1 { sums.at(p * n) } else { y.at(0) };
        dispatch(Rows { x: x.at(from).cast_const(), b: b.row(from), k: to - from, n, y });
    });
    if parts > 1 {
        pool::for_ranges(n, 1 << 12, |from, to| {
            dispatch(Add {
                parts: sums.at(from).cast_const(),
                step: n,
                count: parts,
                n: to - from,
                y: y.at(from),
            })
        });
    }
}

#[derive(Clone, Copy)]
struct Matrix<E>(Strided<E>);
// SAFETY: a Matrix only reads, from memory that `multiply`'s caller vouches for.
unsafe impl<E> Sync for Matrix<E> {}
impl<E> Matrix<E> {
    fn row(&self, k: usize) -> Strided<E> {
        Strided { ptr: self.0.ptr.wrapping_offset(k as isize * self.0.inner), ..self.0 }
    }
    fn column(&self, n: usize) -> Strided<E> {
        Strided { ptr: self.0.ptr.wrapping_offset(n as isize * self.0.outer), ..self.0 }
    }
}
/// `y` = Σ x·row over some rows, which are contiguous.
struct Rows<T, E> {
    x: *const T,
    b: Strided<E>,
    k: usize,
    n: usize,
    y: *mut T,
}

impl<T: Float, E: Operand<Wide = T>> Kernel for Rows<T, E> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, b, k, n, y } = self;
        let w = <T::Lane<A> as Lane>::W;
        let zero = <T::Lane<A>>::splat(T::default());
        for first in (0..k).step_by(ROWS) {
            let rows = ROWS.min(k - first);
            // SAFETY: rows below `k` and columns below `n` exist, in `y` too.
            unsafe {
                // Rows that do not exist repeat one, with the factor 0.
                let row: [*const E; ROWS] = std::array::from_fn(|i| {
                    let i = first + if i < rows { i } else { 0 };
                    b.ptr.wrapping_offset(i as isize * b.inner)
                });
                let factor: [T::Lane<A>; ROWS] = std::array::from_fn(|i| {
                    if i < rows { <T::Lane<A>>::splat(*x.add(first + i)) } else { zero }
                });
                let mut j = 0;
                while j < n {
                    let r = w.min(n - j);
                    let mut sum = if first == 0 { zero } else { <T::Lane<A>>::load_n(y.add(j), r) };
                    for i in 0..ROWS {
                        if i < rows {
                            sum = Lane::fma(factor[i], E::load(row[i].add(j), r), sum);
                        }
                    }
                    sum.store_n(y.add(j), r);
                    j += w;
                }
            }
        }
        if k == 0 {
            // SAFETY: `y` is writable for `n` elements.
            unsafe { y.write_bytes(0, n) };
        }
    }
}

/// `y` = x·column for some columns, which are contiguous.
struct Dots<T, E> {
    x: *const T,
    b: Strided<E>,
    k: usize,
    rows: usize,
    y: *mut T,
}

impl<T: Float, E: Operand<Wide = T>> Kernel for Dots<T, E> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, b, k, rows, y } = self;
        let w = <T::Lane<A> as Lane>::W;
        let zero = <T::Lane<A>>::splat(T::default());
        let column: [*const E; ROWS] = std::array::from_fn(|i| {
            b.ptr.wrapping_offset(if i < rows { i as isize * b.outer } else { 0 })
        });
        let mut sums = [[zero; 2]; ROWS];
        let mut i = 0;
        // SAFETY: columns below `rows` have `k` elements; so has `x`.
        unsafe {
            while i < k {
                for half in 0..2 {
                    let at = i + half * w;
                    if at < k {
                        let r = w.min(k - at);
                        let v = if r == w {
                            <T::Lane<A>>::load(x.add(at))
                        } else {
                            <T::Lane<A>>::load_n(x.add(at), r)
                        };
                        for j in 0..ROWS {
                            let c = E::load(column[j].add(at), r);
                            sums[j][half] = Lane::fma(v, c, sums[j][half]);
                        }
                    }
                }
                i += 2 * w;
            }
            for (j, sum) in sums.iter().enumerate() {
                if j < rows {
                    *y.add(j) = Lane::add(sum[0], sum[1]).sum();
                }
            }
        }
    }
}

/// `y` = the sum of some vectors.
struct Add<T> {
    parts: *const T,
    step: usize,
    count: usize,
    n: usize,
    y: *mut T,
}

impl<T: Float> Kernel for Add<T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { parts, step, count, n, y } = self;
        let w = <T::Lane<A> as Lane>::W;
        for j in (0..n).step_by(w) {
            let r = w.min(n - j);
            // SAFETY: every vector has `n` elements.
            unsafe {
                let mut sum = <T::Lane<A>>::load_n(parts.add(j), r);
                for p in 1..count {
                    sum = Lane::add(sum, <T::Lane<A>>::load_n(parts.add(p * step + j), r));
                }
                sum.store_n(y.add(j), r);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{available, with_isa};

    #[test]
    fn products_are_those_of_the_definition_on_every_instruction_set() {
        let value = |i: usize| ((i * 7919 % 1009) as f64 / 1009.0) - 0.5;
        for isa in available() {
            with_isa(*isa, || {
                for (n, k) in [(1, 1), (3, 5), (33, 130), (70, 1000), (5, 0), (1000, 17)] {
                    let x: Vec<f32> = (0..2 * k).map(|i| value(i) as f32).collect();
                    let m: Vec<f32> = (0..n * k).map(|i| value(i + 3) as f32).collect();
                    for by_rows in [false, true] {
                        let (outer, inner) =
                            if by_rows { (1, n as isize) } else { (k as isize, 1) };
                        let b = Strided { ptr: m.as_ptr(), outer, inner };
                        let mut y = vec![f32::NAN; n];
                        let mut work = vec![f32::NAN; workspace_len::<f32, f32>(n, k, &b)];
                        // SAFETY: the vectors have the lengths that the function asks for.
                        unsafe {
                            let x = (x.as_ptr(), 2);
                            multiply((n, k), x, b, y.as_mut_ptr(), work.as_mut_ptr());
                        }
                        for (j, got) in y.iter().enumerate() {
                            let at = |i: usize| (j as isize * outer + i as isize * inner) as usize;
                            let want: f64 = (0..k).map(|i| x[2 * i] as f64 * m[at(i)] as f64).sum();
                            assert!(
                                (*got as f64 - want).abs() < 1e-4,
                                "{isa:?} {n} {k} {by_rows} {j}"
                            );
                        }
                    }
                }
            });
        }
    }
}
