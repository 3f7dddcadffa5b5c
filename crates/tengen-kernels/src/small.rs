//! Products of small matrices, summed straight from their operands: packing whole panels would cost
//! more than the product itself.

use crate::gemm::{Pack, Strided};
use crate::lanes::{Arch, Float, Kernel, Lane, Operand, dispatch};
use std::mem::MaybeUninit;

/// The longest inner dimension: a panel of B then fits into a buffer on the stack.
const DEEP: usize = 64;
/// Multiplications, in whole tiles, up to which this is the faster way.
const MOST: usize = 1 << 14;
/// Columns of the widest register.
const WIDEST: usize = 16;
/// Rows of a tile: as many sums as hide what a multiply-add takes.
const ROWS: usize = 4;

/// Whether `m` × `k` times `k` × `n` is so small.
pub fn applies(m: usize, n: usize, k: usize) -> bool {
    let tiles = |n: usize, of: usize| n.min(MOST).next_multiple_of(of);
    k <= DEEP && n.max(m) <= MOST && tiles(m, ROWS) * tiles(n, WIDEST) * k <= MOST
}

/// C = A·B, summed in the order of the inner dimension as [`crate::gemm::multiply`] does. C has rows
/// of `n` elements without gaps.
///
/// # Safety
/// [`applies`] to the extents; `a` has `m` × `k` elements and `b` `n` × `k` (its outer dimension
/// counts columns), and `c` is writable for `m`·`n`.
pub unsafe fn multiply<T: Float, E: Operand<Wide = T>>(
    (m, n, k): (usize, usize, usize),
    a: Strided<E>,
    b: Strided<E>,
    c: *mut T,
) {
    dispatch(Product { m, n, k, a, b, c });
}

struct Product<T, E> {
    m: usize,
    n: usize,
    k: usize,
    a: Strided<E>,
    b: Strided<E>,
    c: *mut T,
}

impl<T: Float, E: Operand<Wide = T>> Kernel for Product<T, E> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Product { m, n, k, a, b, c } = self;
        let width = <T::Lane<A> as Lane>::W;
        let mut panel = [const { MaybeUninit::<T>::uninit() }; DEEP * WIDEST];
        for j in (0..n).step_by(width) {
            let columns = width.min(n - j);
            let from = Strided { ptr: b.ptr.wrapping_offset(j as isize * b.outer), ..b };
            let step = if b.outer == 1 {
                b.inner
            } else {
                Pack { from, n: columns, steps: k, dst: panel.as_mut_ptr().cast(), width }
                    .run::<A>();
                width as isize
            };
            for i in (0..m).step_by(ROWS) {
                let a = Strided { ptr: a.ptr.wrapping_offset(i as isize * a.outer), ..a };
                let c = c.wrapping_add(i * n + j);
                // SAFETY: these rows and columns exist; a packed panel has `k` steps of `columns`
                // elements, a step `width` apart.
                unsafe {
                    if b.outer == 1 {
                        rows::<T, E, E, A>(m - i, columns, k, a, (from.ptr, step), c, n);
                    } else {
                        let panel = panel.as_ptr().cast::<T>();
                        rows::<T, E, T, A>(m - i, columns, k, a, (panel, step), c, n);
                    }
                }
            }
        }
    }
}

/// At most [`ROWS`] rows of C, of `columns` elements.
#[inline(always)]
unsafe fn rows<T: Float, E: Operand<Wide = T>, B: Operand<Wide = T>, A: Arch>(
    m: usize,
    columns: usize,
    k: usize,
    a: Strided<E>,
    b: (*const B, isize),
    c: *mut T,
    ldc: usize,
) {
    // SAFETY: as the caller says.
    unsafe {
        match m {
            1 => tile::<T, E, B, T::Lane<A>, 1>(columns, k, a, b, c, ldc),
            2 => tile::<T, E, B, T::Lane<A>, 2>(columns, k, a, b, c, ldc),
            3 => tile::<T, E, B, T::Lane<A>, 3>(columns, k, a, b, c, ldc),
            _ => tile::<T, E, B, T::Lane<A>, 4>(columns, k, a, b, c, ldc),
        }
    }
}

/// `R` rows of C, of `columns` elements.
#[inline(always)]
unsafe fn tile<
    T: Float,
    E: Operand<Wide = T>,
    B: Operand<Wide = T>,
    L: Lane<T = T>,
    const R: usize,
>(
    columns: usize,
    k: usize,
    a: Strided<E>,
    (b, step): (*const B, isize),
    c: *mut T,
    ldc: usize,
) {
    let mut sums = [L::splat(T::default()); R];
    // SAFETY: as the caller says: A has `R` rows, B and C `columns` columns.
    unsafe {
        for s in 0..k as isize {
            let y = B::load::<L>(b.offset(s * step), columns);
            for (i, sum) in sums.iter_mut().enumerate() {
                let x = *a.ptr.offset(i as isize * a.outer + s * a.inner);
                *sum = Lane::fma(L::splat(x.get()), y, *sum);
            }
        }
        for (i, sum) in sums.iter().enumerate() {
            sum.store_n(c.add(i * ldc), columns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm;
    use crate::lanes::{available, with_isa};

    fn numbers(n: usize) -> Vec<f64> {
        (0..n).map(|i| ((i * 37 + 11) % 101) as f64 / 17.0 - 3.0).collect()
    }

    /// The product by this way and by the packed one.
    fn both<T: Float>((m, n, k): (usize, usize, usize), turned: (bool, bool)) -> [Vec<T>; 2] {
        let of = |n| numbers(n).into_iter().map(T::from_f64).collect::<Vec<T>>();
        let (a, b) = (of(m * k), of(n * k));
        let strided = |x: &[T], outer: usize, inner: usize| Strided {
            ptr: x.as_ptr(),
            outer: outer as isize,
            inner: inner as isize,
        };
        let a = if turned.0 { strided(&a, 1, m) } else { strided(&a, k, 1) };
        let b = if turned.1 { strided(&b, k, 1) } else { strided(&b, 1, n) };
        let mut results = [0, 1].map(|_| vec![T::from_f64(7.0); m * n]);
        let mut packed = vec![T::default(); gemm::packed_len::<T>(m, k)];
        let mut work = vec![T::default(); gemm::workspace_len::<T>(n, k)];
        let [small, large] = &mut results;
        // SAFETY: the vectors have the lengths that the functions ask for.
        unsafe {
            multiply((m, n, k), a, b, small.as_mut_ptr());
            gemm::pack_a(m, k, &a, packed.as_mut_ptr());
            let (p, w) = (packed.as_ptr(), work.as_mut_ptr());
            gemm::multiply((m, n, k), p, &b, large.as_mut_ptr(), n, false, w);
        }
        results
    }

    #[test]
    fn the_bits_are_those_of_the_packed_product() {
        for isa in available() {
            with_isa(*isa, || {
                for size in [(1, 1, 1), (4, 4, 4), (3, 17, 5), (7, 16, 64), (9, 33, 2), (2, 3, 0)] {
                    assert!(applies(size.0, size.1, size.2));
                    for bits in 0..4 {
                        let turned = (bits & 1 != 0, bits & 2 != 0);
                        let [small, large] = both::<f32>(size, turned);
                        assert_eq!(small, large, "{isa:?} {size:?} {turned:?}");
                        let [small, large] = both::<f64>(size, turned);
                        assert_eq!(small, large, "{isa:?} {size:?} {turned:?}");
                    }
                }
            });
        }
    }

    #[test]
    fn large_and_deep_products_are_left_to_the_packed_one() {
        let most = usize::MAX;
        for (m, n, k) in [(64, 64, 64), (1, 1, 65), (most, 1, 1), (1, most, 1), (1, 1, most)] {
            assert!(!applies(m, n, k));
        }
    }
}
