//! Softmax, its logarithm and cross entropy over rows.
//!
//! With the greatest element m of a row x and s = Σ exp(x − m), softmax is exp(x − m)/s, its
//! logarithm x − m − ln s, ln Σ exp(x) is m + ln s, and the cross entropy with class t is ln s + m − `x[t]`; none overflows.

mod cross_entropy;
mod log_sum;
mod logarithm;
#[cfg(test)]
mod tests;

pub use cross_entropy::{cross_entropy, cross_entropy_backward};
pub use log_sum::{logsumexp, logsumexp_backward};
pub use logarithm::{logsoftmax, logsoftmax_backward};

use crate::copy::PAST;
use crate::lanes::{Arch, Float, Kernel, Lane, Num, dispatch, fence};
use crate::pool;
use crate::rows::{Parts, Terms, load, put, span, store, sums};

/// Elements per task.
const TASK: usize = 16 * 1024;

/// The greatest element that is a number; −∞ if none is.
#[inline(always)]
fn greatest<L: Lane>(x: &[L::T]) -> L::T {
    const SIDE: usize = 4;
    let lowest = L::splat(L::T::from_f64(f64::NEG_INFINITY));
    let mut top = [lowest; SIDE];
    let (n, mut i) = (x.len(), 0);
    while i + SIDE * L::W <= n {
        for s in 0..SIDE {
            top[s] = Lane::max(top[s], load(x, i + s * L::W, L::W));
        }
        i += SIDE * L::W;
    }
    while i < n {
        let r = L::W.min(n - i);
        top[0] = Lane::max(top[0], load::<L>(x, i, r).keep(r, lowest));
        i += r;
    }
    let top = Lane::max(Lane::max(top[0], top[1]), Lane::max(top[2], top[3]));
    top.fold(|a, b| if b > a { b } else { a })
}

/// y = exp(x − m) with the greatest element m, and the sum of y. NaN if there is one.
#[inline(always)]
fn exponentials<L: Lane>(x: &[L::T], y: &mut [L::T]) -> f64 {
    exponentials_from::<L>(x, greatest::<L>(x), y)
}

/// y = exp(x − m), and the sum of y.
#[inline(always)]
fn exponentials_from<L: Lane>(x: &[L::T], m: L::T, y: &mut [L::T]) -> f64 {
    let m = L::splat(m);
    let zero = L::splat(L::T::default());
    let (mut total, n, mut i) = (0.0, x.len(), 0);
    while i < n {
        let end = n.min(i + span::<L>(1));
        let mut sum = zero;
        while i + L::W <= end {
            let e = Num::exp(Lane::sub(load::<L>(x, i, L::W), m));
            store(e, y, i, L::W);
            sum = Lane::add(sum, e);
            i += L::W;
        }
        if i < end {
            let r = end - i;
            let e = Num::exp(Lane::sub(load::<L>(x, i, r), m));
            store(e, y, i, r);
            sum = Lane::add(sum, e.keep(r, zero));
            i = end;
        }
        total += sum.sum().to_f64();
    }
    total
}

/// The most elements of a row that goes past the caches; it is computed near first.
const ROW: usize = 2048;

struct Softmax<'a, T> {
    n: usize,
    x: &'a [T],
    y: &'a mut [T],
    /// Whether results go past the caches.
    past: bool,
}

impl<T: Float> Kernel for Softmax<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { n, x, y, past } = self;
        let w = <T::Lane<A> as Lane>::W;
        let share = |sum: f64| <T::Lane<A>>::splat(T::from_f64(1.0 / sum));
        if past && n <= ROW {
            let mut near = [T::default(); ROW];
            for (x, y) in x.chunks(n).zip(y.chunks_mut(n)) {
                let share = share(exponentials::<T::Lane<A>>(x, &mut near[..n]));
                for i in (0..n).step_by(w) {
                    let r = w.min(n - i);
                    let v = Lane::mul(load::<T::Lane<A>>(&near, i, r), share);
                    put(v, y, i, r, past);
                }
            }
            return fence();
        }
        for (x, y) in x.chunks(n).zip(y.chunks_mut(n)) {
            let share = share(exponentials::<T::Lane<A>>(x, y));
            for i in (0..n).step_by(w) {
                let r = w.min(n - i);
                store(Lane::mul(load::<T::Lane<A>>(y, i, r), share), y, i, r);
            }
        }
    }
}

/// The softmax of rows of `n` elements.
///
/// # Panics
/// If the lengths differ or are no multiples of `n`.
pub fn softmax<T: Float>(n: usize, x: &[T], y: &mut [T]) {
    assert!(x.len() == y.len() && x.len().is_multiple_of(n), "softmax: lengths");
    let past = size_of_val(y) >= PAST;
    let out = Parts::new(y);
    for_rows(x.len(), n, |from, to| {
        // SAFETY: tasks have different rows.
        let y = unsafe { out.part(from * n, to * n) };
        dispatch(Softmax { n, x: &x[from * n..to * n], y, past });
    });
}

/// a·b
struct Products<'a, T>(&'a [T], &'a [T]);
impl<L: Lane> Terms<L, 1> for Products<'_, L::T> {
    #[inline(always)]
    fn at(&self, i: usize, r: usize) -> [L; 1] {
        [Lane::mul(load::<L>(self.0, i, r), load(self.1, i, r))]
    }
}

struct SoftmaxBackward<'a, T> {
    n: usize,
    y: &'a [T],
    dy: &'a [T],
    dx: &'a mut [T],
    /// Whether results go past the caches.
    past: bool,
}

impl<T: Float> Kernel for SoftmaxBackward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let (n, w) = (self.n, <T::Lane<A> as Lane>::W);
        for ((y, dy), dx) in self.y.chunks(n).zip(self.dy.chunks(n)).zip(self.dx.chunks_mut(n)) {
            let [inner] = sums::<T::Lane<A>, 1>(n, &Products(y, dy));
            let inner = <T::Lane<A>>::splat(T::from_f64(inner));
            for i in (0..n).step_by(w) {
                let r = w.min(n - i);
                let d = Lane::sub(load::<T::Lane<A>>(dy, i, r), inner);
                let v = Lane::mul(load(y, i, r), d);
                put(v, dx, i, r, self.past);
            }
        }
        if self.past {
            fence();
        }
    }
}

/// The gradient of [`softmax`] with the result `y`: y·(dy − Σ y·dy).
///
/// # Panics
/// If the lengths differ or are no multiples of `n`.
pub fn softmax_backward<T: Float>(n: usize, y: &[T], dy: &[T], dx: &mut [T]) {
    assert!(y.len() == dy.len() && y.len() == dx.len() && y.len().is_multiple_of(n), "lengths");
    let past = size_of_val(dx) >= PAST;
    let out = Parts::new(dx);
    for_rows(y.len(), n, |from, to| {
        // SAFETY: tasks have different rows.
        let dx = unsafe { out.part(from * n, to * n) };
        let (y, dy) = (&y[from * n..to * n], &dy[from * n..to * n]);
        dispatch(SoftmaxBackward { n, y, dy, dx, past });
    });
}

/// Calls `f(from, to)` for groups of rows, on several threads.
fn for_rows(len: usize, n: usize, f: impl Fn(usize, usize) + Sync) {
    pool::for_ranges(len.checked_div(n).unwrap_or(0), (TASK / n.max(1)).max(1), f);
}
