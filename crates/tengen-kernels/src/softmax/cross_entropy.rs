//! The cross entropy of logits with classes.

use super::log_sum::Exp;
use super::logarithm::Plain;
use super::{exponentials, for_rows, greatest};
use crate::lanes::{Arch, Float, Kernel, Lane, dispatch};
use crate::rows::{Parts, load, store, sums};

struct CrossEntropy<'a, T> {
    n: usize,
    x: &'a [T],
    classes: &'a [i32],
    smooth: f64,
    loss: &'a mut [T],
}

impl<T: Float> Kernel for CrossEntropy<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let CrossEntropy { n, x, classes, smooth, loss } = self;
        for ((x, class), loss) in x.chunks(n).zip(classes).zip(loss) {
            let top = greatest::<T::Lane<A>>(x);
            let [sum] = sums(n, &Exp { x, m: <T::Lane<A>>::splat(top) });
            let top = top.to_f64();
            let mut v = sum.ln();
            if smooth != 1.0 {
                v += (1.0 - smooth) * (top - x[*class as usize].to_f64());
            }
            if smooth != 0.0 {
                let [total] = sums::<T::Lane<A>, 1>(n, &Plain(x));
                v += smooth * (top - total / n as f64);
            }
            *loss = T::from_f64(v);
        }
    }
}

/// The cross entropy of every row of `n` logits with its class, of which the share `smooth` is
/// spread over all classes: ln Σeˣ − (1 − smooth)·`x[class]` − smooth·mean(x).
///
/// # Panics
/// If the lengths do not belong together, or a class is not in 0..n.
pub fn cross_entropy<T: Float>(n: usize, x: &[T], classes: &[i32], smooth: f64, loss: &mut [T]) {
    assert!(x.len() == classes.len() * n && loss.len() == classes.len(), "cross_entropy: lengths");
    let out = Parts::new(loss);
    for_rows(x.len(), n, |from, to| {
        // SAFETY: tasks have different rows.
        let loss = unsafe { out.part(from, to) };
        let (x, classes) = (&x[from * n..to * n], &classes[from..to]);
        dispatch(CrossEntropy { n, x, classes, smooth, loss });
    });
}

struct CrossEntropyBackward<'a, T> {
    n: usize,
    x: &'a [T],
    classes: &'a [i32],
    smooth: f64,
    dy: &'a [T],
    dx: &'a mut [T],
}

impl<T: Float> Kernel for CrossEntropyBackward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let CrossEntropyBackward { n, x, classes, smooth, dy, dx } = self;
        let rows = x.chunks(n).zip(dx.chunks_mut(n)).zip(classes.iter().zip(dy));
        for ((x, dx), (class, dy)) in rows {
            let sum = exponentials::<T::Lane<A>>(x, dx);
            let dy = dy.to_f64();
            let share = <T::Lane<A>>::splat(T::from_f64(dy / sum));
            let level = <T::Lane<A>>::splat(T::from_f64(dy * smooth / n as f64));
            let mut i = 0;
            while i < n {
                let r = <T::Lane<A> as Lane>::W.min(n - i);
                let e = Lane::mul(load::<T::Lane<A>>(dx, i, r), share);
                store(Lane::sub(e, level), dx, i, r);
                i += r;
            }
            let at = &mut dx[*class as usize];
            *at = T::from_f64(at.to_f64() - dy * (1.0 - smooth));
        }
    }
}

/// The gradient of [`cross_entropy`]: dy·(softmax(x) − target).
///
/// # Panics
/// As [`cross_entropy`].
pub fn cross_entropy_backward<T: Float>(
    n: usize,
    x: &[T],
    classes: &[i32],
    smooth: f64,
    dy: &[T],
    dx: &mut [T],
) {
    assert!(x.len() == classes.len() * n && dy.len() == classes.len(), "cross_entropy: lengths");
    assert_eq!(x.len(), dx.len(), "cross_entropy: gradient's length");
    let out = Parts::new(dx);
    for_rows(x.len(), n, |from, to| {
        // SAFETY: tasks have different rows.
        let dx = unsafe { out.part(from * n, to * n) };
        let (x, classes, dy) = (&x[from * n..to * n], &classes[from..to], &dy[from..to]);
        dispatch(CrossEntropyBackward { n, x, classes, smooth, dy, dx });
    });
}
