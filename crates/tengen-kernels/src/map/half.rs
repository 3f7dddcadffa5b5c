//! Two-byte numbers as f32 and back.

use crate::lanes::{Arch, Half, Kernel, Lane, dispatch};

struct Widen<H> {
    x: *const H,
    y: *mut f32,
    n: usize,
}

impl<H: Half> Kernel for Widen<H> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, y, n } = self;
        let w = A::F32::W;
        let mut i = 0;
        // SAFETY: `widen`'s contract; no access reaches `n`.
        unsafe {
            while i + w <= n {
                A::F32::load_half(x.add(i), w).store(y.add(i));
                i += w;
            }
            if i < n {
                A::F32::load_half(x.add(i), n - i).store_n(y.add(i), n - i);
            }
        }
    }
}

/// `y[i] = x[i]`, exactly, for i < n.
///
/// # Safety
/// `x` is readable and `y` writable for `n` elements, and they do not overlap.
#[inline]
pub unsafe fn widen<H: Half>(x: *const H, y: *mut f32, n: usize) {
    dispatch(Widen { x, y, n });
}

struct Narrow<H> {
    x: *const f32,
    y: *mut H,
    n: usize,
}

impl<H: Half> Kernel for Narrow<H> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, y, n } = self;
        let w = A::F32::W;
        let mut i = 0;
        // SAFETY: `narrow`'s contract; no access reaches `n`.
        unsafe {
            while i + w <= n {
                A::F32::load(x.add(i)).store_half(y.add(i), w);
                i += w;
            }
            if i < n {
                A::F32::load_n(x.add(i), n - i).store_half(y.add(i), n - i);
            }
        }
    }
}

/// `y[i] = x[i]`, rounded to nearest, ties to even, for i < n.
///
/// # Safety
/// `x` is readable and `y` writable for `n` elements, and they do not overlap.
#[inline]
pub unsafe fn narrow<H: Half>(x: *const f32, y: *mut H, n: usize) {
    dispatch(Narrow { x, y, n });
}

#[cfg(test)]
mod tests {
    use super::super::tests::Product;
    use super::super::{Dst, Predicate, Src, backward, forward, test};
    use super::*;
    use crate::lanes::{Num, Operand, available, with_isa};
    use half::{bf16, f16};

    fn widened<H: Half>(all: &[H]) {
        for isa in available() {
            for n in [all.len(), 1, 7, 13, 29] {
                let mut y = vec![0.0f32; n];
                // SAFETY: both have `n` elements.
                with_isa(*isa, || unsafe { widen(all.as_ptr(), y.as_mut_ptr(), n) });
                for (x, y) in all.iter().zip(&y) {
                    assert_eq!(y.to_bits(), x.to_f32().to_bits(), "{isa:?}");
                }
            }
        }
    }

    fn narrowed<H: Half>(bits: impl Fn(H) -> u16) {
        // Every upper half, with lower halves at, around and between the ties of both types.
        let lower = [0u32, 1, 0x0fff, 0x1000, 0x1001, 0x3000, 0x7fff, 0x8000, 0x8001, 0xffff];
        let x: Vec<f32> = (0..=u16::MAX)
            .flat_map(|h| lower.map(|l| f32::from_bits(u32::from(h) << 16 | l)))
            .collect();
        for isa in available() {
            for n in [x.len(), 1, 7, 13, 29] {
                let mut y = vec![H::default(); n];
                // SAFETY: both have `n` elements.
                with_isa(*isa, || unsafe { narrow(x.as_ptr(), y.as_mut_ptr(), n) });
                for (x, y) in x.iter().zip(&y) {
                    assert_eq!(bits(*y), bits(H::from_f32(*x)), "{isa:?} {:#x}", x.to_bits());
                }
            }
        }
    }

    #[test]
    fn conversions_are_those_of_one_number() {
        widened(&(0..=u16::MAX).map(f16::from_bits).collect::<Vec<_>>());
        widened(&(0..=u16::MAX).map(bf16::from_bits).collect::<Vec<_>>());
        narrowed(f16::to_bits);
        narrowed(bf16::to_bits);
    }

    #[derive(Clone, Copy)]
    struct Less;
    impl Predicate<2> for Less {
        #[inline(always)]
        fn test<L: Num>(&self, [a, b]: [L; 2]) -> L::Mask {
            a.lt(b)
        }
    }

    fn mapped<H: Half + Operand + PartialEq + std::fmt::Debug>(near: f64) {
        let values = |seed: usize, n: usize| -> Vec<H> {
            (0..n).map(|i| H::from_f32(((i * 37 + seed) % 101) as f32 / 16.0 - 3.0)).collect()
        };
        for n in [1, 7, 15, 16, 33, 64, 3089] {
            let (a, b, dy) = (values(1, n), values(50, n), values(73, n));
            for single in [false, true] {
                let of = |v: &[H], i: usize| v[if single { 0 } else { i }].to_f32();
                let xs = [Src { ptr: a.as_ptr(), single: false }, Src { ptr: b.as_ptr(), single }];
                let g = Src { ptr: dy.as_ptr(), single: false };
                for isa in available() {
                    let mut y = vec![H::default(); n];
                    let mut less = vec![9u8; n];
                    let mut da = vec![H::default(); n];
                    let mut db = vec![H::default(); n];
                    let mut sum = 1.0;
                    let last =
                        if single { Dst::Sum(&mut sum) } else { Dst::Store(db.as_mut_ptr()) };
                    // SAFETY: runs have `n` elements, and the sum is one number.
                    with_isa(*isa, || unsafe {
                        forward(&Product, xs, y.as_mut_ptr(), n, false);
                        test(&Less, xs, less.as_mut_ptr(), n);
                        backward(&Product, xs, g, [Dst::Store(da.as_mut_ptr()), last], n, false);
                    });
                    let mut total = 1.0;
                    for i in 0..n {
                        let (p, q, g) = (a[i].to_f32(), of(&b, i), dy[i].to_f32());
                        assert_eq!(y[i], H::from_f32(p * q), "{isa:?} {i} of {n}");
                        assert_eq!(less[i], u8::from(p < q), "{isa:?} {i} of {n}");
                        assert_eq!(da[i], H::from_f32(g * q), "{isa:?} {i} of {n}");
                        if !single {
                            assert_eq!(db[i], H::from_f32(g * p), "{isa:?} {i} of {n}");
                        }
                        total += f64::from(g * p);
                    }
                    let want = if single { total } else { 1.0 };
                    assert!((sum - want).abs() <= near, "{isa:?} {n}: {sum}, not {want}");
                }
            }
        }
    }

    #[test]
    fn maps_of_halves_round_once_on_every_instruction_set() {
        mapped::<f16>(1e-2);
        mapped::<bf16>(1e-2);
    }
}
