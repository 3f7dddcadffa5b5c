//! The gradient of extrema.

use super::{PARALLEL, TASK};
use crate::lanes::{Arch, Float, Kernel, Lane, dispatch};
use crate::pool;
use crate::rows::{Parts, load, store};
use std::ops::Range;

/// Elements of a task's part of a row.
const STRIP: usize = TASK / 4;

/// `dx[o, k, i]` = `dy[o, i]` where `x[o, k, i]` is the extremum `y[o, i]`, else 0.
///
/// # Panics
/// If `x` and `dx` have not outer·n·inner, or `y` and `dy` not outer·inner elements.
pub fn extremum_backward<T: Float>(
    x: &[T],
    n: usize,
    inner: usize,
    y: &[T],
    dy: &[T],
    dx: &mut [T],
) {
    assert!(x.len() == dx.len() && y.len() == dy.len(), "gradient's length");
    assert_eq!(x.len(), y.len() * n, "input length");
    if x.is_empty() {
        return;
    }
    // Rows share a result each (if there is one column) or go with the row of results.
    let len = if inner == 1 { n } else { inner };
    let (strips, rows) = (len.div_ceil(STRIP), x.len() / len);
    let (total, out) = (x.len(), Parts::new(dx));
    let run = |from: usize, to: usize| {
        dispatch(ToInput { x, n, inner, len, strips, tasks: from..to, y, dy, dx: &out });
    };
    if total < PARALLEL {
        return run(0, rows * strips);
    }
    pool::for_ranges(rows * strips, (STRIP / len).max(1), run);
}

struct ToInput<'a, T> {
    x: &'a [T],
    n: usize,
    inner: usize,
    len: usize,
    strips: usize,
    tasks: Range<usize>,
    y: &'a [T],
    dy: &'a [T],
    dx: &'a Parts<T>,
}

impl<T: Float> Kernel for ToInput<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, n, inner, len, strips, tasks, y, dy, dx } = self;
        let zero = <T::Lane<A>>::splat(T::default());
        for task in tasks {
            let (row, at) = (task / strips, task % strips * STRIP);
            let (from, to) = (row * len + at, row * len + len.min(at + STRIP));
            let x = &x[from..to];
            // SAFETY: every task has elements of its own.
            let dx = unsafe { dx.part(from, to) };
            let mut i = 0;
            if inner == 1 {
                let (y, dy) = (<T::Lane<A>>::splat(y[row]), <T::Lane<A>>::splat(dy[row]));
                while i < x.len() {
                    let r = <T::Lane<A> as Lane>::W.min(x.len() - i);
                    let equal = Lane::eq(load::<T::Lane<A>>(x, i, r), y);
                    store(<T::Lane<A> as Lane>::sel(equal, dy, zero), dx, i, r);
                    i += r;
                }
            } else {
                let first = row / n * inner + at;
                let (y, dy) = (&y[first..first + x.len()], &dy[first..first + x.len()]);
                while i < x.len() {
                    let r = <T::Lane<A> as Lane>::W.min(x.len() - i);
                    let equal = Lane::eq(load::<T::Lane<A>>(x, i, r), load(y, i, r));
                    store(<T::Lane<A> as Lane>::sel(equal, load(dy, i, r), zero), dx, i, r);
                    i += r;
                }
            }
        }
    }
}
