//! Reductions over the middle axis of `[outer, n, inner]`.
//!
//! Rows are cut into blocks whose size depends on the shape alone; each block is folded in the
//! element type, and block results are combined in f64, in order. So results are accurate and do
//! not depend on the number of threads.

use crate::lanes::{Arch, Float, Kernel, Lane, dispatch};
use crate::pool;

/// How elements are combined.
pub trait Fold: Copy + Send + Sync + 'static {
    /// The result of nothing.
    const EMPTY: f64;
    /// Combines two registers, elementwise.
    fn lanes<L: Lane>(a: L, b: L) -> L;
    /// Combines two numbers.
    fn numbers(a: f64, b: f64) -> f64;
    /// Combines two integers, wrapping.
    fn ints(a: i64, b: i64) -> i64;
}

/// a + b
#[derive(Clone, Copy)]
pub struct Sum;
/// a · b
#[derive(Clone, Copy)]
pub struct Prod;
/// The larger; NaN if either is.
#[derive(Clone, Copy)]
pub struct Max;
/// The smaller; NaN if either is.
#[derive(Clone, Copy)]
pub struct Min;

impl Fold for Sum {
    const EMPTY: f64 = 0.0;
    #[inline(always)]
    fn lanes<L: Lane>(a: L, b: L) -> L {
        Lane::add(a, b)
    }
    #[inline(always)]
    fn numbers(a: f64, b: f64) -> f64 {
        a + b
    }
    #[inline(always)]
    fn ints(a: i64, b: i64) -> i64 {
        a.wrapping_add(b)
    }
}
impl Fold for Prod {
    const EMPTY: f64 = 1.0;
    #[inline(always)]
    fn lanes<L: Lane>(a: L, b: L) -> L {
        Lane::mul(a, b)
    }
    #[inline(always)]
    fn numbers(a: f64, b: f64) -> f64 {
        a * b
    }
    #[inline(always)]
    fn ints(a: i64, b: i64) -> i64 {
        a.wrapping_mul(b)
    }
}
impl Fold for Max {
    const EMPTY: f64 = f64::NEG_INFINITY;
    #[inline(always)]
    fn lanes<L: Lane>(a: L, b: L) -> L {
        L::sel(Lane::eq(b, b), Lane::max(a, b), b)
    }
    #[inline(always)]
    fn numbers(a: f64, b: f64) -> f64 {
        if a.is_nan() || a > b { a } else { b }
    }
    #[inline(always)]
    fn ints(a: i64, b: i64) -> i64 {
        a.max(b)
    }
}
impl Fold for Min {
    const EMPTY: f64 = f64::INFINITY;
    #[inline(always)]
    fn lanes<L: Lane>(a: L, b: L) -> L {
        L::sel(Lane::eq(b, b), Lane::min(a, b), b)
    }
    #[inline(always)]
    fn numbers(a: f64, b: f64) -> f64 {
        if a.is_nan() || a < b { a } else { b }
    }
    #[inline(always)]
    fn ints(a: i64, b: i64) -> i64 {
        a.min(b)
    }
}

/// Elements folded in the element type before f64 takes over.
const SPAN: usize = 1024;
/// Elements per task.
const TASK: usize = 64 * 1024;

struct FoldRow<'a, T, F> {
    x: &'a [T],
    fold: F,
}

impl<T: Float, F: Fold> Kernel for FoldRow<'_, T, F> {
    type Output = f64;
    #[inline(always)]
    fn run<A: Arch>(self) -> f64 {
        let w = <T::Lane<A> as Lane>::W;
        let empty = <T::Lane<A>>::splat(T::from_f64(F::EMPTY));
        let _ = self.fold;
        let mut total = F::EMPTY;
        for span in self.x.chunks(SPAN) {
            let mut acc = [empty; 4];
            let (p, n) = (span.as_ptr(), span.len());
            let mut i = 0;
            // SAFETY: every load stays below `n`, the length of `span`.
            unsafe {
                while i + 4 * w <= n {
                    for (k, a) in acc.iter_mut().enumerate() {
                        *a = F::lanes(*a, <T::Lane<A>>::load(p.add(i + k * w)));
                    }
                    i += 4 * w;
                }
                while i < n {
                    let r = (n - i).min(w);
                    acc[0] = F::lanes(acc[0], <T::Lane<A>>::load_n(p.add(i), r).keep(r, empty));
                    i += w;
                }
            }
            let all = F::lanes(F::lanes(acc[0], acc[1]), F::lanes(acc[2], acc[3]));
            let v = all.fold(|a, b| T::from_f64(F::numbers(a.to_f64(), b.to_f64())));
            total = F::numbers(total, v.to_f64());
        }
        total
    }
}

/// Columns folded at a time when the axis is not the last.
const COLUMNS: usize = 256;

struct FoldColumns<'a, T, F> {
    x: &'a [T],
    inner: usize,
    y: &'a mut [f64],
    fold: F,
}

impl<T: Float, F: Fold> Kernel for FoldColumns<'_, T, F> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, inner, y, fold } = self;
        let _ = fold;
        let w = <T::Lane<A> as Lane>::W;
        let rows = x.len() / inner;
        // Rows that meet in the element type before f64 takes over.
        let span = 32;
        let empty = T::from_f64(F::EMPTY);
        for (c, y) in y.chunks_mut(COLUMNS).enumerate() {
            let (start, n) = (c * COLUMNS, y.len());
            y.fill(F::EMPTY);
            let mut from = 0;
            while from < rows {
                let to = (from + span).min(rows);
                let mut acc = [empty; COLUMNS];
                for row in from..to {
                    let x = &x[row * inner + start..][..n];
                    let mut i = 0;
                    while i < n {
                        let r = (n - i).min(w);
                        // SAFETY: `r` elements from `i` are within `x` and `acc`.
                        unsafe {
                            let a = <T::Lane<A>>::load_n(acc.as_ptr().add(i), r);
                            let b = <T::Lane<A>>::load_n(x.as_ptr().add(i), r);
                            F::lanes(a, b).store_n(acc.as_mut_ptr().add(i), r);
                        }
                        i += w;
                    }
                }
                for (y, a) in y.iter_mut().zip(acc) {
                    *y = F::numbers(*y, a.to_f64());
                }
                from = to;
            }
        }
    }
}

/// `y[o, i]` = the fold of `x[o, ·, i]`; the fold's empty value if `n` is 0.
///
/// # Panics
/// If the slices do not have outer·n·inner and outer·inner elements.
pub fn reduce<T: Float, F: Fold>(fold: F, x: &[T], n: usize, inner: usize, y: &mut [T]) {
    if y.is_empty() {
        return;
    }
    let outer = y.len() / inner;
    assert_eq!(x.len(), outer * n * inner, "input length");
    if n == 0 {
        return y.fill(T::from_f64(F::EMPTY));
    }
    let row = n * inner;
    // A block is a number of positions along the axis.
    let block = if inner == 1 { TASK } else { TASK.div_ceil(inner) }.min(n);
    let blocks = n.div_ceil(block);
    let per_task = (TASK / (block * inner)).max(1);
    let mut partial = vec![0.0f64; outer * blocks * inner];
    let cells = SharedF64(partial.as_mut_ptr());
    let each = |task: usize| {
        let (o, b) = (task / blocks, task % blocks);
        let from = b * block;
        let x = &x[o * row + from * inner..o * row + (from + block).min(n) * inner];
        // SAFETY: each task has its own `inner` cells of `partial`, which outlives the call.
        let y = unsafe { std::slice::from_raw_parts_mut(cells.at(task * inner), inner) };
        if inner == 1 {
            y[0] = dispatch(FoldRow { x, fold });
        } else {
            dispatch(FoldColumns { x, inner, y, fold });
        }
    };
    let tasks = outer * blocks;
    if x.len() < TASK {
        (0..tasks).for_each(each);
    } else {
        pool::for_ranges(tasks, per_task, |from, to| (from..to).for_each(each));
    }
    for (o, y) in y.chunks_mut(inner).enumerate() {
        let first = o * blocks * inner;
        for (i, y) in y.iter_mut().enumerate() {
            let parts = (0..blocks).map(|b| partial[first + b * inner + i]);
            *y = T::from_f64(parts.reduce(F::numbers).unwrap_or(F::EMPTY));
        }
    }
}

/// A pointer that tasks share, each for its own part.
#[derive(Clone, Copy)]
struct SharedF64(*mut f64);
// SAFETY: sharing the address is harmless; its use states why parts do not overlap.
unsafe impl Send for SharedF64 {}
// SAFETY: as above.
unsafe impl Sync for SharedF64 {}
impl SharedF64 {
    fn at(self, i: usize) -> *mut f64 {
        self.0.wrapping_add(i)
    }
}

/// [`reduce`] for integers, given as functions to and from i64; the fold of nothing is `empty`.
pub fn reduce_ints<I: Copy, F: Fold>(
    _: F,
    x: &[I],
    n: usize,
    inner: usize,
    y: &mut [I],
    (to, from, empty): (impl Fn(I) -> i64, impl Fn(i64) -> I, i64),
) {
    for (o, y) in y.chunks_mut(inner.max(1)).enumerate() {
        for (i, y) in y.iter_mut().enumerate() {
            let row = (0..n).map(|k| to(x[(o * n + k) * inner + i]));
            *y = from(row.reduce(F::ints).unwrap_or(empty));
        }
    }
}

/// `y[o, i]` = the index of the first greatest (or least) element of `x[o, ·, i]`; a NaN counts as
/// both. `before(a, b)` says whether `a` displaces the earlier `b`.
///
/// # Panics
/// If `n` is 0 or the slices do not have outer·n·inner and outer·inner elements.
pub fn arg_reduce<T: Copy + Sync>(
    x: &[T],
    n: usize,
    inner: usize,
    y: &mut [i32],
    before: impl Fn(T, T) -> bool + Sync,
) {
    if y.is_empty() {
        return;
    }
    assert!(n > 0 && x.len() == y.len() * n, "input length");
    for (o, y) in y.chunks_mut(inner).enumerate() {
        let x = &x[o * n * inner..(o + 1) * n * inner];
        let mut best: Vec<T> = x[..inner].to_vec();
        y.fill(0);
        for (k, row) in x.chunks(inner).enumerate().skip(1) {
            for ((v, b), y) in row.iter().zip(&mut best).zip(&mut *y) {
                if before(*v, *b) {
                    (*b, *y) = (*v, k as i32);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<F: Fold>(fold: F, outer: usize, n: usize, inner: usize) {
        let x: Vec<f32> =
            (0..outer * n * inner).map(|i| ((i * 7919) % 1000) as f32 / 999.0 + 0.5).collect();
        let mut y = vec![0.0; outer * inner];
        reduce(fold, &x, n, inner, &mut y);
        for (at, y) in y.iter().enumerate() {
            let (o, i) = (at / inner, at % inner);
            let want =
                (0..n).fold(F::EMPTY, |a, k| F::numbers(a, x[(o * n + k) * inner + i] as f64));
            assert!((*y as f64 - want).abs() <= want.abs() * 3e-7, "{y} {want} at {at}");
        }
    }

    #[test]
    fn folds_agree_with_f64_on_any_shape() {
        for (outer, n, inner) in [
            (1, 1, 1),
            (3, 7, 1),
            (2, 5000, 1),
            (1, 200_000, 1),
            (2, 33, 5),
            (1, 70_000, 3),
            (2, 9, 300),
        ] {
            check(Sum, outer, n, inner);
            check(Max, outer, n, inner);
            check(Min, outer, n, inner);
        }
        check(Prod, 3, 12, 1);
        check(Prod, 3, 12, 4);
    }

    #[test]
    fn nan_wins_wherever_it_is() {
        for at in [0, 5, 17, 40] {
            let mut x = vec![1.0f32; 41];
            x[at] = f32::NAN;
            let mut y = [0.0];
            reduce(Max, &x, 41, 1, &mut y);
            assert!(y[0].is_nan());
            reduce(Min, &x, 41, 1, &mut y);
            assert!(y[0].is_nan());
        }
    }
}
