//! The gradient of max pooling's gradient.

use super::{Float, Pool2d};
use crate::multiversion::with_avx2;

/// The gradient of [`max_pool2d_backward`](super::max_pool2d_backward) to its `dy`: the sum of `v` over the elements of each
/// window that equal its maximum `y`. `dst` is overwritten.
///
/// # Panics
/// If the lengths are not those of equally many planes.
pub fn max_pool2d_gather<T: Float>(p: &Pool2d, src: &[T], y: &[T], v: &[T], dst: &mut [T]) {
    p.planes(src.len(), y.len());
    p.planes(v.len(), dst.len());
    assert_eq!(src.len(), v.len(), "max_pool2d_gather: lengths");
    dst.fill(T::ZERO);
    with_avx2!(T: Float, gather(p: &Pool2d, src: &[T], y: &[T], v: &[T], dst: &mut [T]))
}

#[inline(always)]
fn gather<T: Float>(p: &Pool2d, src: &[T], y: &[T], v: &[T], dst: &mut [T]) {
    let share = |s: T, y: T, v: T| if s == y { v } else { T::ZERO };
    runs(p, src.len(), |r| {
        let elements = src[r.elements()].iter().zip(&v[r.elements()]);
        if r.step == 0 {
            let (d, y) = (&mut dst[r.output], y[r.output]);
            elements.for_each(|(s, v)| *d = *d + share(*s, y, *v));
        } else {
            let outputs = dst[r.outputs()].iter_mut().zip(&y[r.outputs()]);
            (elements.step_by(r.step).zip(outputs))
                .for_each(|((s, v), (d, y))| *d = *d + share(*s, *y, *v));
        }
    });
}

/// Neighbouring outputs of one row, each with one element of its window; or, if `step` is 0, one
/// output with neighbouring elements of a row of its window.
struct Run {
    /// The first element's position.
    at: usize,
    /// From one output's element to the next one's.
    step: usize,
    /// The first output.
    output: usize,
    /// How many pairs; at least one.
    n: usize,
}

impl Run {
    #[inline(always)]
    fn elements(&self) -> std::ops::Range<usize> {
        self.at..self.at + (self.n - 1) * self.step.max(1) + 1
    }
    #[inline(always)]
    fn outputs(&self) -> std::ops::Range<usize> {
        self.output..self.output + if self.step == 0 { 1 } else { self.n }
    }
}

/// Calls `f` for all pairs of an output and an element of its window, in runs, for planes with
/// `len` elements in all.
#[inline(always)]
fn runs(p: &Pool2d, len: usize, mut f: impl FnMut(Run)) {
    let ((h, w), (oh, ow)) = (p.input, p.output);
    let (kernel, stride, padding) = (p.kernel.1, p.stride.1, p.padding.1);
    for plane in 0..len / (h * w) {
        for oy in 0..oh {
            let out = (plane * oh + oy) * ow;
            for y in p.rows(oy) {
                let row = (plane * h + y) * w;
                // The longer of the two is the run.
                if ow < kernel {
                    for ox in 0..ow {
                        let end = ox * stride + kernel - padding;
                        let x = end.saturating_sub(kernel);
                        f(Run { at: row + x, step: 0, output: out + ox, n: end.min(w) - x });
                    }
                    continue;
                }
                for k in 0..kernel {
                    let from = padding.saturating_sub(k).div_ceil(stride);
                    let to = (w + padding).saturating_sub(k).div_ceil(stride).min(ow);
                    if from < to {
                        let at = row + from * stride + k - padding;
                        f(Run { at, step: stride, output: out + from, n: to - from });
                    }
                }
            }
        }
    }
}
