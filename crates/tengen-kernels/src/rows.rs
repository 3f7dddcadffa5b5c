//! Loops over rows of neighbouring elements, in registers.

use crate::lanes::{Float, Lane};

/// Elements that are summed in `side` registers of the element type before f64 takes over: each
/// place of a register takes up to 16, whatever its length, so that rounding stays below a unit in
/// the last place or two.
pub(crate) const fn span<L: Lane>(side: usize) -> usize {
    16 * side * L::W
}

/// Memory that tasks write to, each to a part of its own.
pub(crate) struct Parts<T>(*mut T, usize);
// SAFETY: `part` is only called for parts that no other task has.
unsafe impl<T: Send> Sync for Parts<T> {}

impl<T> Parts<T> {
    pub(crate) fn new(all: &mut [T]) -> Self {
        Parts(all.as_mut_ptr(), all.len())
    }
    /// The first element.
    pub(crate) fn ptr(&self) -> *mut T {
        self.0
    }
    /// Elements `from..to`.
    ///
    /// # Safety
    /// The memory is still borrowed, and no other part in use overlaps this one.
    #[expect(clippy::mut_from_ref, reason = "parts do not overlap")]
    pub(crate) unsafe fn part(&self, from: usize, to: usize) -> &mut [T] {
        assert!(from <= to && to <= self.1, "part out of range");
        // SAFETY: in range by the assertion, unshared by the caller's contract.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(from), to - from) }
    }
}

/// Reads up to a register of elements from `i`; the rest are 0.
#[inline(always)]
pub(crate) fn read<L: Lane>(x: &[L::T], i: usize) -> L {
    let x = &x[i..];
    // SAFETY: as many elements as the slice has, or a register.
    unsafe { if x.len() >= L::W { L::load(x.as_ptr()) } else { L::load_n(x.as_ptr(), x.len()) } }
}

/// Writes up to a register of elements from `i`.
#[inline(always)]
pub(crate) fn write<L: Lane>(v: L, y: &mut [L::T], i: usize) {
    let y = &mut y[i..];
    // SAFETY: as many elements as the slice has, or a register.
    unsafe {
        if y.len() >= L::W { v.store(y.as_mut_ptr()) } else { v.store_n(y.as_mut_ptr(), y.len()) }
    }
}

/// Reads `r` elements, at most a register, from `i`; the rest are 0.
///
/// # Panics
/// If the slice does not have them.
#[inline(always)]
pub(crate) fn load<L: Lane>(x: &[L::T], i: usize, r: usize) -> L {
    assert!(r <= L::W, "more than a register");
    let x = &x[i..i + r];
    // SAFETY: the slice has exactly these elements.
    unsafe { if r == L::W { L::load(x.as_ptr()) } else { L::load_n(x.as_ptr(), r) } }
}

/// Writes `r` elements, at most a register, from `i`.
///
/// # Panics
/// If the slice does not have them.
#[inline(always)]
pub(crate) fn store<L: Lane>(v: L, y: &mut [L::T], i: usize, r: usize) {
    assert!(r <= L::W, "more than a register");
    let y = &mut y[i..i + r];
    // SAFETY: the slice has exactly these elements.
    unsafe { if r == L::W { v.store(y.as_mut_ptr()) } else { v.store_n(y.as_mut_ptr(), r) } }
}

/// [`store`], `past` the caches if it is a whole register and lies as registers do; [`fence`] then
/// comes before another thread reads it.
///
/// [`fence`]: crate::lanes::fence
///
/// # Panics
/// As [`store`].
#[inline(always)]
pub(crate) fn put<L: Lane>(v: L, y: &mut [L::T], i: usize, r: usize, past: bool) {
    if past && r == L::W {
        let to = y[i..i + r].as_mut_ptr();
        if to.addr().is_multiple_of(r * size_of::<L::T>()) {
            // SAFETY: the slice has these elements, at a multiple of their size.
            return unsafe { v.stream(to) };
        }
    }
    store(v, y, i, r);
}

/// `K` numbers for each element of rows. A trait and not a closure, since closures need not be
/// inlined and then lack the target features of their kernel.
pub(crate) trait Terms<L: Lane, const K: usize> {
    /// The numbers of `r` elements, at most a register, from `i`.
    fn at(&self, i: usize, r: usize) -> [L; K];
}

/// The sums of the terms of all elements `i < n`.
#[inline(always)]
pub(crate) fn sums<L: Lane, const K: usize>(n: usize, terms: &impl Terms<L, K>) -> [f64; K] {
    const SIDE: usize = 4;
    let zero = L::splat(L::T::default());
    let mut total = [0.0; K];
    let mut i = 0;
    while i < n {
        let end = n.min(i + span::<L>(SIDE));
        let mut acc = [[zero; K]; SIDE];
        while i + SIDE * L::W <= end {
            for s in 0..SIDE {
                let v = terms.at(i + s * L::W, L::W);
                for k in 0..K {
                    acc[s][k] = Lane::add(acc[s][k], v[k]);
                }
            }
            i += SIDE * L::W;
        }
        // What is left goes side by side too.
        for acc in &mut acc {
            if i + L::W <= end {
                let v = terms.at(i, L::W);
                for k in 0..K {
                    acc[k] = Lane::add(acc[k], v[k]);
                }
                i += L::W;
            }
        }
        if i < end {
            let v = terms.at(i, end - i);
            for k in 0..K {
                acc[1][k] = Lane::add(acc[1][k], v[k].keep(end - i, zero));
            }
            i = end;
        }
        for k in 0..K {
            let low = Lane::add(acc[0][k], acc[1][k]);
            total[k] += Lane::add(low, Lane::add(acc[2][k], acc[3][k])).sum().to_f64();
        }
    }
    total
}
