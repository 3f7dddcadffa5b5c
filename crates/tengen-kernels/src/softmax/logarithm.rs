//! The logarithm of softmax.

use super::for_rows;
use super::log_sum::log_sum;
use crate::lanes::{Arch, Float, Kernel, Lane, Num, dispatch};
use crate::rows::{Parts, Terms, load, store, sums};

struct LogSoftmax<'a, T> {
    n: usize,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Float> Kernel for LogSoftmax<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let n = self.n;
        for (x, y) in self.x.chunks(n).zip(self.y.chunks_mut(n)) {
            let (m, log) = log_sum::<T::Lane<A>>(x);
            let (m, log) = (<T::Lane<A>>::splat(m), <T::Lane<A>>::splat(T::from_f64(log)));
            let mut i = 0;
            while i < n {
                let r = <T::Lane<A> as Lane>::W.min(n - i);
                let d = Lane::sub(load::<T::Lane<A>>(x, i, r), m);
                store(Lane::sub(d, log), y, i, r);
                i += r;
            }
        }
    }
}

/// The logarithm of the softmax of rows of `n` elements, accurate where that is near 0.
///
/// # Panics
/// If the lengths differ or are no multiples of `n`.
pub fn logsoftmax<T: Float>(n: usize, x: &[T], y: &mut [T]) {
    assert!(x.len() == y.len() && x.len().is_multiple_of(n), "logsoftmax: lengths");
    let out = Parts::new(y);
    for_rows(x.len(), n, |from, to| {
        // SAFETY: tasks have different rows.
        let y = unsafe { out.part(from * n, to * n) };
        dispatch(LogSoftmax { n, x: &x[from * n..to * n], y });
    });
}

/// The elements.
pub(super) struct Plain<'a, T>(pub &'a [T]);
impl<L: Lane> Terms<L, 1> for Plain<'_, L::T> {
    #[inline(always)]
    fn at(&self, i: usize, r: usize) -> [L; 1] {
        [load(self.0, i, r)]
    }
}

struct LogSoftmaxBackward<'a, T> {
    n: usize,
    y: &'a [T],
    dy: &'a [T],
    dx: &'a mut [T],
}

impl<T: Float> Kernel for LogSoftmaxBackward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let n = self.n;
        for ((y, dy), dx) in self.y.chunks(n).zip(self.dy.chunks(n)).zip(self.dx.chunks_mut(n)) {
            let [total] = sums::<T::Lane<A>, 1>(n, &Plain(dy));
            let total = <T::Lane<A>>::splat(T::from_f64(total));
            let mut i = 0;
            while i < n {
                let r = <T::Lane<A> as Lane>::W.min(n - i);
                let share = Lane::mul(Num::exp(load::<T::Lane<A>>(y, i, r)), total);
                store(Lane::sub(load(dy, i, r), share), dx, i, r);
                i += r;
            }
        }
    }
}

/// The gradient of [`logsoftmax`] with the result `y`: dy − exp(y)·Σ dy.
///
/// # Panics
/// If the lengths differ or are no multiples of `n`.
pub fn logsoftmax_backward<T: Float>(n: usize, y: &[T], dy: &[T], dx: &mut [T]) {
    assert!(y.len() == dy.len() && y.len() == dx.len() && y.len().is_multiple_of(n), "lengths");
    let out = Parts::new(dx);
    for_rows(y.len(), n, |from, to| {
        // SAFETY: tasks have different rows.
        let dx = unsafe { out.part(from * n, to * n) };
        dispatch(LogSoftmaxBackward { n, y: &y[from * n..to * n], dy: &dy[from * n..to * n], dx });
    });
}
