//! Selection by a mask of bytes.

use super::{Ready, Src, load, put, streams};
use crate::lanes::{Arch, Float, Kernel, Lane, dispatch, fence};

struct Select<U> {
    mask: Src<u8>,
    x: [Src<U>; 2],
    y: *mut U,
    rest: Option<*mut U>,
    n: usize,
    past: bool,
}

impl<U: Bits> Kernel for Select<U> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { mask, x: [a, b], y, rest, n, past } = self;
        // SAFETY: `select`'s contract: a run has `n` elements, a single source one, and results
        // overlap nothing. Registers move elements of their size, whatever they mean.
        unsafe {
            if mask.single {
                let (x, other) = if *mask.ptr != 0 { (a, b) } else { (b, a) };
                fill(x, y, n);
                if let Some(rest) = rest {
                    fill(other, rest, n);
                }
                return;
            }
            let moved = match size_of::<U>() {
                4 if A::F32::W > 1 => {
                    let x = [a.cast(), b.cast()];
                    registers::<f32, A>(mask.ptr, x, y.cast(), rest.map(|p| p.cast()), n, past)
                }
                8 if A::F64::W > 1 => {
                    let x = [a.cast(), b.cast()];
                    registers::<f64, A>(mask.ptr, x, y.cast(), rest.map(|p| p.cast()), n, past)
                }
                _ => 0,
            };
            let (mask, n) = (mask.ptr.add(moved), n - moved);
            let [a, b] = [a, b].map(|x| x.from(moved));
            runs(mask, [a, b], y.add(moved), n);
            if let Some(rest) = rest {
                runs(mask, [b, a], rest.add(moved), n);
            }
        }
    }
}

/// Whole registers of elements; returns how many elements they were.
///
/// # Safety
/// As [`select`], for elements of `T`'s size, and the mask is a run.
#[inline(always)]
unsafe fn registers<T: Float, A: Arch>(
    mask: *const u8,
    x: [Src<T>; 2],
    y: *mut T,
    rest: Option<*mut T>,
    n: usize,
    past: bool,
) -> usize {
    /// Registers in flight.
    const AT_ONCE: usize = 4;
    let w = <T::Lane<A> as Lane>::W;
    let past = past && streams(y) && rest.is_none_or(streams);
    let whole = n - n % (AT_ONCE * w);
    // SAFETY: by the contract; as in `Forward`.
    unsafe {
        let ready = Ready::new(x);
        let (p, m) = ready.runs();
        for i in (0..whole).step_by(AT_ONCE * w) {
            for i in (i..i + AT_ONCE * w).step_by(w) {
                let [a, b] = load::<T, A, 2>(p, m, i, w);
                let mask = <T::Lane<A> as Lane>::load_mask(mask.add(i));
                put(Lane::sel(mask, a, b), y.add(i), past);
                if let Some(rest) = rest {
                    put(Lane::sel(mask, b, a), rest.add(i), past);
                }
            }
        }
    }
    if past {
        fence();
    }
    whole
}

/// Writes `n` elements of a source.
///
/// # Safety
/// As [`select`].
#[inline(always)]
unsafe fn fill<U: Copy>(x: Src<U>, y: *mut U, n: usize) {
    // SAFETY: by the contract.
    unsafe {
        if x.single {
            std::slice::from_raw_parts_mut(y, n).fill(*x.ptr);
        } else {
            x.ptr.copy_to_nonoverlapping(y, n);
        }
    }
}

impl<U> Src<U> {
    /// The source from element `i` on.
    fn from(self, i: usize) -> Src<U> {
        Src { ptr: if self.single { self.ptr } else { self.ptr.wrapping_add(i) }, ..self }
    }

    /// The source as elements of another type.
    fn cast<V>(self) -> Src<V> {
        Src { ptr: self.ptr.cast(), single: self.single }
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

/// `y[i] = mask[i] ≠ 0 ? a[i] : b[i]` for i < n, of elements that are only moved, and `rest[i]`, if
/// there is such a result, the other one of the two. Results go `past` the caches where the machine
/// can.
///
/// # Safety
/// Sources are readable for `n` elements (one, if single) and results writable for `n`, all of them
/// initialised; results overlap nothing.
#[inline]
pub unsafe fn select<U: Bits>(
    mask: Src<u8>,
    x: [Src<U>; 2],
    y: *mut U,
    rest: Option<*mut U>,
    n: usize,
    past: bool,
) {
    dispatch(Select { mask, x, y, rest, n, past });
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
                    for (both, past) in [(false, false), (true, false), (false, true), (true, true)]
                    {
                        // Results that go past the caches begin at a cache line.
                        let [mut y, mut z] = [(); 2].map(|()| vec![U::default(); n + 64]);
                        let start = |v: &[U]| v.as_ptr().align_offset(64);
                        let (p0, q0) = (start(&y), start(&z));
                        let (to, rest) = (y[p0..].as_mut_ptr(), both.then(|| z[q0..].as_mut_ptr()));
                        let x = [a_at, b_at];
                        // SAFETY: runs have `n` elements, single sources one.
                        with_isa(*isa, || unsafe { select(mask_at, x, to, rest, n, past) });
                        for i in 0..n {
                            let (a, b) = (a[at(p, i)], b[at(q, i)]);
                            let (want, other) = if mask[at(m, i)] != 0 { (a, b) } else { (b, a) };
                            assert_eq!(y[p0 + i], want, "{isa:?} {case} {i} of {n}");
                            let other = if both { other } else { U::default() };
                            assert_eq!(z[q0 + i], other, "{isa:?} {case} {i} of {n}");
                        }
                        assert_eq!(y[p0 + n], U::default(), "{isa:?} {case} beyond {n}");
                        assert_eq!(z[q0 + n], U::default(), "{isa:?} {case} beyond {n}");
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
