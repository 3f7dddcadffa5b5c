//! Loops over rows of neighbouring elements, in registers.

use crate::lanes::{Float, Lane};

/// Elements that are summed in the element type before f64 takes over.
pub(crate) const SPAN: usize = 2048;

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

/// The sums over `i < n` of both numbers that `f` gives for a register from `i`.
#[inline(always)]
pub(crate) fn sums<L: Lane>(n: usize, f: impl Fn(usize) -> [L; 2]) -> [f64; 2] {
    let zero = L::splat(L::T::default());
    let mut total = [0.0; 2];
    let mut i = 0;
    while i < n {
        let end = n.min(i + SPAN);
        let mut acc = [zero; 2];
        while i < end {
            let v = f(i);
            let r = (n - i).min(L::W);
            for k in 0..2 {
                acc[k] = Lane::add(acc[k], if r < L::W { v[k].keep(r, zero) } else { v[k] });
            }
            i += L::W;
        }
        for k in 0..2 {
            total[k] += acc[k].sum().to_f64();
        }
    }
    total
}
