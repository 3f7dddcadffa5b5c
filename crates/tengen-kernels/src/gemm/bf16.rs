//! Products of bf16 matrices in f32, by AVX-512 BF16 where the machine has it: a word holds two
//! neighbours along the inner dimension, and one instruction adds their products to a sum.
//!
//! The instruction rounds to nearest and takes and gives 0 for subnormal numbers. Machines without
//! it widen to f32 while packing.

use super::blocks::{Block, Plan, Right};
use super::{Element, Product, Strided, multiply_wide, wide_product, words};
use crate::lanes::{Arch, Feature, Kernel, dispatch, has};
use crate::pool;
use half::bf16;
use std::ops::Range;

/// Rows and columns of the tile.
const TILE: (usize, usize) = (14, 32);

impl Element<f32> for bf16 {
    fn product(m: usize, n: usize, k: usize) -> Product {
        if !has(Feature::Bf16) {
            return wide_product::<f32>(m, n, k);
        }
        let steps = k.div_ceil(2);
        let workers = pool::workers(m * n * steps);
        Product { plan: Plan { m, n, steps, tile: TILE, head: 1, workers }, k }
    }

    unsafe fn multiply(
        product: Product,
        a: Strided<Self>,
        b: Strided<Self>,
        c: *mut f32,
        work: *mut f32,
    ) {
        if !has(Feature::Bf16) {
            // SAFETY: by the contract.
            return unsafe { multiply_wide(product, a, b, c, work) };
        }
        let Product { plan, k } = product;
        let words = |steps: Range<usize>| (2 * steps.start)..k.min(2 * steps.end);
        let left = |row, n, steps, dst| {
            dispatch(Pairs::new(a, row, n, words(steps), dst, TILE.0));
        };
        let right = |column, n, steps, dst: *mut u32| {
            // SAFETY: the panel begins with one step's worth of zeros, from which sums start.
            unsafe { dst.write_bytes(0, TILE.1) };
            dispatch(Pairs::new(b, column, n, words(steps), dst.wrapping_add(TILE.1), TILE.1));
        };
        // SAFETY: by the contract; the driver asks for parts that exist and gives blocks that were
        // packed so, and the machine has the instructions.
        unsafe {
            let right = Right::Pack(&right);
            plan.product(c, work.cast(), &left, right, &|tiles| block(tiles));
        }
    }
}

/// Packs two neighbours along the inner dimension to a word.
struct Pairs {
    from: Strided<u16>,
    n: usize,
    k: usize,
    dst: *mut u32,
    width: usize,
}

impl Pairs {
    fn new(
        from: Strided<bf16>,
        outer: usize,
        n: usize,
        ks: Range<usize>,
        dst: *mut u32,
        width: usize,
    ) -> Self {
        let start = outer as isize * from.outer + ks.start as isize * from.inner;
        let ptr = from.ptr.wrapping_offset(start).cast();
        Pairs {
            from: Strided { ptr, outer: from.outer, inner: from.inner },
            n,
            k: ks.len(),
            dst,
            width,
        }
    }
}

impl Kernel for Pairs {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { from, n, k, dst, width } = self;
        let full = k / 2;
        let at = |i: usize, k: usize| {
            from.ptr.wrapping_offset(i as isize * from.outer + k as isize * from.inner)
        };
        // SAFETY: elements (i < n, below k) exist, and `dst` has `width` ≥ n words for each step.
        unsafe {
            if from.inner == 1 {
                words::transpose::<A>(from.ptr.cast(), 2 * from.outer, n, full, dst, width);
            } else {
                for s in 0..full {
                    let mut i = 0;
                    if from.outer == 1 {
                        while i + 16 <= n {
                            let even = at(i, 2 * s).cast::<[u16; 16]>().read_unaligned();
                            let odd = at(i, 2 * s + 1).cast::<[u16; 16]>().read_unaligned();
                            let mut words = [0; 16];
                            for (t, word) in words.iter_mut().enumerate() {
                                *word = u32::from(even[t]) | u32::from(odd[t]) << 16;
                            }
                            dst.add(s * width + i).cast::<[u32; 16]>().write_unaligned(words);
                            i += 16;
                        }
                    }
                    for i in i..n {
                        let (even, odd) = (*at(i, 2 * s), *at(i, 2 * s + 1));
                        *dst.add(s * width + i) = u32::from(even) | u32::from(odd) << 16;
                    }
                }
            }
            for i in (0..n).filter(|_| k % 2 == 1) {
                *dst.add(full * width + i) = u32::from(*at(i, 2 * full));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::*;
    use std::arch::x86_64::*;
    use std::mem::transmute;

    /// 16 sums of two products.
    #[derive(Clone, Copy)]
    struct Sums(__m512);

    impl words::Sums for Sums {
        type T = f32;
        type Words = __m512i;
        const W: usize = 16;
        #[inline(always)]
        fn splat(word: u32) -> __m512i {
            // SAFETY: `Sums` are used only where the machine has the instructions.
            unsafe { _mm512_set1_epi32(word as i32) }
        }
        #[inline(always)]
        unsafe fn words(p: *const u32) -> __m512i {
            // SAFETY: as above, and by the contract.
            unsafe { _mm512_loadu_si512(p.cast()) }
        }
        #[inline(always)]
        unsafe fn start(p: *const u32) -> Self {
            // SAFETY: as above, and by the contract.
            Self(unsafe { _mm512_loadu_ps(p.cast()) })
        }
        #[inline(always)]
        fn dot(self, x: __m512i, y: __m512i) -> Self {
            // SAFETY: as above; registers of the same bits.
            unsafe {
                let (x, y) = (transmute::<__m512i, __m512bh>(x), transmute::<__m512i, __m512bh>(y));
                Self(_mm512_dpbf16_ps(self.0, x, y))
            }
        }
        #[inline(always)]
        unsafe fn add(self, p: *const f32) -> Self {
            // SAFETY: as above, and by the contract.
            Self(unsafe { _mm512_add_ps(self.0, _mm512_loadu_ps(p)) })
        }
        #[inline(always)]
        fn plus(a: f32, b: f32) -> f32 {
            a + b
        }
        #[inline(always)]
        unsafe fn store(self, p: *mut f32) {
            // SAFETY: as above, and by the contract.
            unsafe { _mm512_storeu_ps(p, self.0) }
        }
    }

    /// The tiles of a block.
    ///
    /// # Safety
    /// As [`words::block`], and the machine has the features.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")]
    pub unsafe fn block(tiles: Block<u32, f32>) {
        // SAFETY: by the contract.
        unsafe { words::block::<Sums, 14, 2, false>(tiles) }
    }
}
#[cfg(target_arch = "x86_64")]
use x86::block;

/// Machines of this kind never have the feature.
///
/// # Safety
/// None.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn block(_: Block<u32, f32>) {
    unreachable!("the feature was detected")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{available, with_isa, with_plain_isa};

    fn product(
        (m, n, k): (usize, usize, usize),
        (a, ta): (&[bf16], bool),
        (b, tb): (&[bf16], bool),
    ) -> Vec<f32> {
        let product = <bf16 as Element<f32>>::product(m, n, k);
        let mut work = vec![f32::NAN; product.workspace_len()];
        let mut c = vec![f32::NAN; m * n];
        let strided = |x: &[bf16], along: bool, long: usize| {
            let (outer, inner) = if along { (k as isize, 1) } else { (1, long as isize) };
            Strided { ptr: x.as_ptr(), outer, inner }
        };
        // SAFETY: the vectors have the lengths that the functions ask for.
        unsafe {
            let (a, b) = (strided(a, !ta, m), strided(b, tb, n));
            bf16::multiply(product, a, b, c.as_mut_ptr(), work.as_mut_ptr());
        }
        c
    }

    /// Numbers around 0; whole ones are so small that their sums are exact.
    fn values(n: usize, seed: usize, whole: bool) -> Vec<bf16> {
        let value = |i: usize| ((i * 7919 + seed) % 2003) as f32 / 2003.0 - 0.5;
        let scaled = |x: f32| if whole { (x * 33.0).round() } else { x };
        (0..n).map(|i| bf16::from_f32(scaled(value(i)))).collect()
    }

    fn both(f: impl Fn()) {
        for isa in available() {
            with_isa(*isa, &f);
            with_plain_isa(*isa, &f);
        }
    }

    #[test]
    fn products_agree_with_f64_with_and_without_the_instruction() {
        for dims in [(1, 1, 1), (3, 5, 7), (14, 32, 64), (15, 33, 65), (29, 70, 2049), (5, 7, 0)] {
            let (m, n, k) = dims;
            for bits in 0..8 {
                let (ta, tb, whole) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
                let (a, b) = (values(m * k, 1, whole), values(k * n, 500, whole));
                both(|| {
                    let c = product(dims, (&a, ta), (&b, tb));
                    for (i, got) in c.iter().enumerate() {
                        let (row, column) = (i / n, i % n);
                        let x = |p: usize| a[if ta { p * m + row } else { row * k + p }].to_f64();
                        let y =
                            |p: usize| b[if tb { column * k + p } else { p * n + column }].to_f64();
                        let want: f64 = (0..k).map(|p| x(p) * y(p)).sum();
                        let size: f64 = (0..k).map(|p| (x(p) * y(p)).abs()).sum();
                        let e = (f64::from(*got) - want).abs();
                        // Each of the additions rounds by half a unit in the last place at most.
                        let bound = if whole { 0.0 } else { size * k as f64 / (1 << 24) as f64 };
                        assert!(e <= bound, "{dims:?} {ta} {tb}: {got} {want}");
                    }
                });
            }
        }
    }

    #[test]
    fn infinities_and_nan_come_through() {
        let (m, n, k) = (15, 33, 5);
        let mut a = vec![bf16::ONE; m * k];
        let mut b = vec![bf16::ONE; n * k];
        a[3] = bf16::INFINITY;
        a[k + 2] = bf16::NAN;
        a[2 * k] = bf16::INFINITY;
        a[2 * k + 1] = bf16::NEG_INFINITY;
        // The largest finite bf16: two of its products overflow.
        a[3 * k] = bf16::MAX;
        b[..k].fill(bf16::ZERO);
        both(|| {
            let c = product((m, n, k), (&a, false), (&b, true));
            let row = |i: usize| &c[i * n..][..n];
            assert!(row(0)[0].is_nan() && row(0)[1..].iter().all(|x| *x == f32::INFINITY));
            assert!(row(1).iter().all(|x| x.is_nan()) && row(2).iter().all(|x| x.is_nan()));
            assert!(row(3)[1..].iter().all(|x| *x == bf16::MAX.to_f32()));
            assert!(row(4)[0] == 0.0 && row(4)[1..].iter().all(|x| *x == 5.0));
        });
    }

    #[test]
    fn products_do_not_depend_on_the_number_of_threads() {
        let (a, b) = (values(90 * 2500, 3, false), values(2500 * 80, 4, false));
        let before = pool::threads();
        let at = |threads| {
            pool::set_threads(threads);
            product((90, 80, 2500), (&a, false), (&b, false))
                .iter()
                .map(|x| x.to_bits())
                .collect::<Vec<_>>()
        };
        both(|| assert_eq!(at(1), at(2)));
        pool::set_threads(before);
    }
}
