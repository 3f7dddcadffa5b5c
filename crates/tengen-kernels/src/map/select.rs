//! Selection by a mask of bytes.

use super::Src;
use crate::lanes::{Arch, Kernel, dispatch};

struct Select<U> {
    mask: Src<u8>,
    a: Src<U>,
    b: Src<U>,
    y: *mut U,
    n: usize,
}

impl<U: Bits> Kernel for Select<U> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { mask, a, b, y, n } = self;
        // SAFETY: `select`'s contract: a run has `n` elements, a single source one, and `y`
        // overlaps no source.
        unsafe {
            if mask.single {
                let x = if *mask.ptr != 0 { a } else { b };
                if x.single {
                    std::slice::from_raw_parts_mut(y, n).fill(*x.ptr);
                } else {
                    x.ptr.copy_to_nonoverlapping(y, n);
                }
                return;
            }
            runs(mask.ptr, [a, b], y, n);
        }
    }
}

/// Elements of which only the bits count.
pub trait Bits: Copy {
    /// `a` where `m` is not 0, else `b`: without a choice, which the compiler would move to the
    /// addresses and then gather from them.
    fn pick(m: u8, a: Self, b: Self) -> Self;
}
macro_rules! bits {
    ($($t:ty)*) => {$(
        impl Bits for $t {
            #[inline(always)]
            fn pick(m: u8, a: $t, b: $t) -> $t {
                let all = ((m | m.wrapping_neg()) as i8 >> 7) as $t;
                b ^ ((a ^ b) & all)
            }
        }
    )*};
}
bits!(u8 u16 u32 u64);

/// # Safety
/// As [`select`], and the mask is a run.
#[inline(always)]
unsafe fn runs<U: Bits>(mask: *const u8, [a, b]: [Src<U>; 2], y: *mut U, n: usize) {
    // SAFETY: by the contract; single sources are read at 0 alone.
    unsafe {
        match (a.single, b.single) {
            (false, false) => {
                for i in 0..n {
                    *y.add(i) = U::pick(*mask.add(i), *a.ptr.add(i), *b.ptr.add(i));
                }
            }
            (false, true) => {
                let b = *b.ptr;
                for i in 0..n {
                    *y.add(i) = U::pick(*mask.add(i), *a.ptr.add(i), b);
                }
            }
            (true, false) => {
                let a = *a.ptr;
                for i in 0..n {
                    *y.add(i) = U::pick(*mask.add(i), a, *b.ptr.add(i));
                }
            }
            (true, true) => {
                let (a, b) = (*a.ptr, *b.ptr);
                for i in 0..n {
                    *y.add(i) = U::pick(*mask.add(i), a, b);
                }
            }
        }
    }
}

/// `y[i] = mask[i] ≠ 0 ? a[i] : b[i]` for i < n, of elements that are only moved.
///
/// # Safety
/// Sources are readable for `n` elements (one, if single) and `y` is writable for `n`, all of them
/// initialised; `y` overlaps no source.
#[inline]
pub unsafe fn select<U: Bits>(mask: Src<u8>, a: Src<U>, b: Src<U>, y: *mut U, n: usize) {
    dispatch(Select { mask, a, b, y, n });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{available, with_isa};

    fn selected<U: Bits + Default + PartialEq + std::fmt::Debug>(of: impl Fn(usize) -> U) {
        for n in [1, 7, 31, 64, 100, 257] {
            let mask: Vec<u8> = (0..n).map(|i| (i * i % 3 == 1) as u8).collect();
            let a: Vec<U> = (0..n).map(|i| of(2 * i)).collect();
            let b: Vec<U> = (0..n).map(|i| of(2 * i + 1)).collect();
            for case in 0..8 {
                let [m, p, q] = [1, 2, 4].map(|bit| case & bit != 0);
                let at = |single: bool, i: usize| if single { n / 2 } else { i };
                let mask_at = Src { ptr: &raw const mask[at(m, 0)], single: m };
                let a_at = Src { ptr: &raw const a[at(p, 0)], single: p };
                let b_at = Src { ptr: &raw const b[at(q, 0)], single: q };
                for isa in available() {
                    let mut y = vec![U::default(); n];
                    // SAFETY: runs have `n` elements, single sources one.
                    with_isa(*isa, || unsafe { select(mask_at, a_at, b_at, y.as_mut_ptr(), n) });
                    for i in 0..n {
                        let want = if mask[at(m, i)] != 0 { a[at(p, i)] } else { b[at(q, i)] };
                        assert_eq!(y[i], want, "{isa:?} {case} {i} of {n}");
                    }
                }
            }
        }
    }

    #[test]
    fn elements_of_every_size_are_selected_from_runs_and_single_elements() {
        selected(|i| i as u8);
        selected(|i| i as u16);
        selected(|i| i as u32);
        selected(|i| i as u64);
    }
}
