//! Softmax and cross entropy over rows.
//!
//! With the greatest element m of a row x and s = Σ exp(x − m), softmax is exp(x − m)/s and the
//! cross entropy with class t is ln s + m − `x[t]`; neither overflows.

use crate::lanes::{Arch, Float, Kernel, Lane, Num, dispatch};
use crate::pool;
use crate::rows::{Parts, read, sums, write};

/// Elements per task.
const TASK: usize = 16 * 1024;

/// The greatest element, and the sum of the exponentials of differences to it. NaN if there is one.
#[inline(always)]
fn scale<L: Lane>(x: &[L::T]) -> (L::T, f64) {
    let lowest = L::splat(L::T::from_f64(f64::NEG_INFINITY));
    let mut top = lowest;
    let mut i = 0;
    while i < x.len() {
        let r = (x.len() - i).min(L::W);
        let v: L = read(x, i);
        top = Lane::max(top, if r < L::W { v.keep(r, lowest) } else { v });
        i += L::W;
    }
    let top = top.fold(|a, b| if b > a { b } else { a });
    let zero = L::splat(L::T::default());
    let m = L::splat(top);
    let [sum, _] = sums::<L>(x.len(), |i| [Num::exp(Lane::sub(read::<L>(x, i), m)), zero]);
    (top, sum)
}

struct Softmax<'a, T> {
    n: usize,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Float> Kernel for Softmax<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        for (x, y) in self.x.chunks(self.n).zip(self.y.chunks_mut(self.n)) {
            let (top, sum) = scale::<T::Lane<A>>(x);
            let top = <T::Lane<A>>::splat(top);
            let share = <T::Lane<A>>::splat(T::from_f64(1.0 / sum));
            let mut i = 0;
            while i < x.len() {
                let e = Num::exp(Lane::sub(read::<T::Lane<A>>(x, i), top));
                write(Lane::mul(e, share), y, i);
                i += <T::Lane<A> as Lane>::W;
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
    let out = Parts::new(y);
    for_rows(x.len(), n, |from, to| {
        // SAFETY: tasks have different rows.
        let y = unsafe { out.part(from * n, to * n) };
        dispatch(Softmax { n, x: &x[from * n..to * n], y });
    });
}

struct SoftmaxBackward<'a, T> {
    n: usize,
    y: &'a [T],
    dy: &'a [T],
    dx: &'a mut [T],
}

impl<T: Float> Kernel for SoftmaxBackward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let n = self.n;
        let zero = <T::Lane<A>>::splat(T::default());
        for ((y, dy), dx) in self.y.chunks(n).zip(self.dy.chunks(n)).zip(self.dx.chunks_mut(n)) {
            let [inner, _] = sums::<T::Lane<A>>(n, |i| [Lane::mul(read(y, i), read(dy, i)), zero]);
            let inner = <T::Lane<A>>::splat(T::from_f64(inner));
            let mut i = 0;
            while i < n {
                let d = Lane::sub(read::<T::Lane<A>>(dy, i), inner);
                write(Lane::mul(read(y, i), d), dx, i);
                i += <T::Lane<A> as Lane>::W;
            }
        }
    }
}

/// The gradient of [`softmax`] with the result `y`: y·(dy − Σ y·dy).
///
/// # Panics
/// If the lengths differ or are no multiples of `n`.
pub fn softmax_backward<T: Float>(n: usize, y: &[T], dy: &[T], dx: &mut [T]) {
    assert!(y.len() == dy.len() && y.len() == dx.len() && y.len().is_multiple_of(n), "lengths");
    let out = Parts::new(dx);
    for_rows(y.len(), n, |from, to| {
        // SAFETY: tasks have different rows.
        let dx = unsafe { out.part(from * n, to * n) };
        dispatch(SoftmaxBackward { n, y: &y[from * n..to * n], dy: &dy[from * n..to * n], dx });
    });
}

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
        let zero = <T::Lane<A>>::splat(T::default());
        for ((x, class), loss) in x.chunks(n).zip(classes).zip(loss) {
            let (top, sum) = scale::<T::Lane<A>>(x);
            let top = top.to_f64();
            let mut v = sum.ln();
            if smooth != 1.0 {
                v += (1.0 - smooth) * (top - x[*class as usize].to_f64());
            }
            if smooth != 0.0 {
                let [total, _] = sums::<T::Lane<A>>(n, |i| [read(x, i), zero]);
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
            let (top, sum) = scale::<T::Lane<A>>(x);
            let top = <T::Lane<A>>::splat(top);
            let dy = dy.to_f64();
            let share = <T::Lane<A>>::splat(T::from_f64(dy / sum));
            let level = <T::Lane<A>>::splat(T::from_f64(dy * smooth / n as f64));
            let mut i = 0;
            while i < n {
                let e = Num::exp(Lane::sub(read::<T::Lane<A>>(x, i), top));
                write(Lane::sub(Lane::mul(e, share), level), dx, i);
                i += <T::Lane<A> as Lane>::W;
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

/// Calls `f(from, to)` for groups of rows, on several threads.
fn for_rows(len: usize, n: usize, f: impl Fn(usize, usize) + Sync) {
    pool::for_ranges(len.checked_div(n).unwrap_or(0), (TASK / n.max(1)).max(1), f);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{available, with_isa};

    fn noise(n: usize, seed: u64) -> Vec<f64> {
        let mut s = seed;
        std::iter::repeat_with(|| {
            s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((s >> 40) as f64 / (1 << 23) as f64 - 1.0) * 20.0
        })
        .take(n)
        .collect()
    }

    fn close(a: &[f64], b: &[f64], tol: f64) {
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= tol * b.abs().max(1.0), "{a} against {b}");
        }
    }

    #[test]
    fn softmax_and_its_gradient_follow_their_formulas() {
        for n in [1, 3, 16, 40, 5000] {
            let (x, dy) = (noise(3 * n, 1), noise(3 * n, 2));
            let (mut want, mut want_dx) = (vec![], vec![]);
            for (x, dy) in x.chunks(n).zip(dy.chunks(n)) {
                let top = x.iter().copied().fold(f64::MIN, f64::max);
                let sum: f64 = x.iter().map(|v| (v - top).exp()).sum();
                let y: Vec<f64> = x.iter().map(|v| (v - top).exp() / sum).collect();
                let inner: f64 = y.iter().zip(dy).map(|(a, b)| a * b).sum();
                want_dx.extend(y.iter().zip(dy).map(|(y, g)| y * (g - inner)));
                want.extend(y);
            }
            for isa in available() {
                with_isa(*isa, || {
                    let (mut y, mut dx) = (x.clone(), x.clone());
                    softmax(n, &x, &mut y);
                    softmax_backward(n, &y, &dy, &mut dx);
                    close(&y, &want, 1e-13);
                    close(&dx, &want_dx, 1e-12);
                });
            }
        }
    }

    #[test]
    fn cross_entropy_and_its_gradient_follow_their_formulas() {
        for n in [1, 3, 17, 40, 5000] {
            for smooth in [0.0, 0.1, 1.0] {
                let (x, dy) = (noise(3 * n, 1), noise(3, 2));
                let classes = [0, n as i32 - 1, n as i32 / 2];
                let (mut want, mut want_dx) = (vec![], vec![]);
                for ((x, t), dy) in x.chunks(n).zip(classes).zip(&dy) {
                    let top = x.iter().copied().fold(f64::MIN, f64::max);
                    let sum: f64 = x.iter().map(|v| (v - top).exp()).sum();
                    let lse = top + sum.ln();
                    let share = |j: usize| {
                        smooth / n as f64 + if j == t as usize { 1.0 - smooth } else { 0.0 }
                    };
                    want.push((0..n).map(|j| share(j) * (lse - x[j])).sum::<f64>());
                    want_dx.extend((0..n).map(|j| dy * ((x[j] - lse).exp() - share(j))));
                }
                for isa in available() {
                    with_isa(*isa, || {
                        let (mut y, mut dx) = (vec![0.0; 3], x.clone());
                        cross_entropy(n, &x, &classes, smooth, &mut y);
                        cross_entropy_backward(n, &x, &classes, smooth, &dy, &mut dx);
                        close(&y, &want, 1e-12);
                        close(&dx, &want_dx, 1e-12);
                    });
                }
            }
        }
    }

    #[test]
    fn infinite_and_large_elements_do_not_overflow() {
        let mut y = [0.0f32; 3];
        softmax(3, &[1e30, -1e30, f32::NEG_INFINITY], &mut y);
        assert_eq!(y, [1.0, 0.0, 0.0]);
        softmax(3, &[1.0, f32::NAN, 2.0], &mut y);
        assert!(y.iter().all(|v| v.is_nan()));
        let mut loss = [0.0f32];
        cross_entropy(2, &[1000.0, 0.0], &[1], 0.0, &mut loss);
        assert_eq!(loss, [1000.0]);
    }
}
