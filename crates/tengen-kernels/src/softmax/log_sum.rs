//! The logarithm of a sum of exponentials.

use super::{exponentials_from, for_rows, greatest};
use crate::lanes::{Arch, Float, Kernel, Lane, Num, dispatch};
use crate::rows::{Parts, Terms, load, store, sums};

/// exp(x − m)
pub(super) struct Exp<'a, L: Lane> {
    pub x: &'a [L::T],
    pub m: L,
}
impl<L: Lane> Terms<L, 1> for Exp<'_, L> {
    #[inline(always)]
    fn at(&self, i: usize, r: usize) -> [L; 1] {
        [Num::exp(Lane::sub(load::<L>(self.x, i, r), self.m))]
    }
}

/// The number that is subtracted from elements before they are exponents: the greatest, unless it is
/// infinite and would give ∞ − ∞.
#[inline(always)]
fn level<L: Lane>(x: &[L::T]) -> L::T {
    let m = greatest::<L>(x);
    if m.to_f64().is_infinite() { L::T::default() } else { m }
}

/// The number m that is subtracted from elements first, and ln Σ exp(x − m).
#[inline(always)]
pub(super) fn log_sum<L: Lane>(x: &[L::T]) -> (L::T, f64) {
    let m = level::<L>(x);
    let [sum] = sums(x.len(), &Exp { x, m: L::splat(m) });
    (m, sum.ln())
}

struct LogSumExp<'a, T> {
    n: usize,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Float> Kernel for LogSumExp<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        for (x, y) in self.x.chunks(self.n).zip(self.y) {
            let (m, log) = log_sum::<T::Lane<A>>(x);
            *y = T::from_f64(m.to_f64() + log);
        }
    }
}

/// ln Σ exp(x) of every row of `n` elements, without overflow.
///
/// # Panics
/// If the lengths do not belong together.
pub fn logsumexp<T: Float>(n: usize, x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len() * n, "logsumexp: lengths");
    let out = Parts::new(y);
    for_rows(x.len(), n, |from, to| {
        // SAFETY: tasks have different rows.
        let y = unsafe { out.part(from, to) };
        dispatch(LogSumExp { n, x: &x[from * n..to * n], y });
    });
}

struct LogSumExpBackward<'a, T> {
    n: usize,
    x: &'a [T],
    dy: &'a [T],
    dx: &'a mut [T],
}

impl<T: Float> Kernel for LogSumExpBackward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let (n, w) = (self.n, <T::Lane<A> as Lane>::W);
        for ((x, dy), dx) in self.x.chunks(n).zip(self.dy).zip(self.dx.chunks_mut(n)) {
            let sum = exponentials_from::<T::Lane<A>>(x, level::<T::Lane<A>>(x), dx);
            let share = <T::Lane<A>>::splat(T::from_f64(dy.to_f64() / sum));
            for i in (0..n).step_by(w) {
                let r = w.min(n - i);
                store(Lane::mul(load::<T::Lane<A>>(dx, i, r), share), dx, i, r);
            }
        }
    }
}

/// The gradient of [`logsumexp`]: dy·softmax(x).
///
/// # Panics
/// As [`logsumexp`], and if `dx` has not the length of `x`.
pub fn logsumexp_backward<T: Float>(n: usize, x: &[T], dy: &[T], dx: &mut [T]) {
    assert!(x.len() == dy.len() * n && x.len() == dx.len(), "logsumexp: lengths");
    let out = Parts::new(dx);
    for_rows(x.len(), n, |from, to| {
        // SAFETY: tasks have different rows.
        let dx = unsafe { out.part(from * n, to * n) };
        dispatch(LogSumExpBackward { n, x: &x[from * n..to * n], dy: &dy[from..to], dx });
    });
}
