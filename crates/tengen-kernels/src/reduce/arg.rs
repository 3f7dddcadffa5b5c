//! Indices of extrema.

use super::{COLUMNS, Cut};
use crate::lanes::{Arch, Kernel, dispatch};
use crate::rows::Parts;
use std::ops::Range;

/// Elements of a row that are compared side by side; loops of this constant length become vector
/// code.
const SIDE: usize = 64;

/// Whether `a` displaces the earlier `b`: it is greater (or less), or the first NaN.
#[inline(always)]
fn displaces<T: PartialOrd + Copy, const GREATEST: bool>(a: T, b: T) -> bool {
    let not = if GREATEST { a <= b } else { a >= b };
    #[expect(clippy::eq_op, reason = "a NaN is not equal to itself")]
    let number = b == b;
    !not & number
}

/// `y[o, i]` = the index of the first greatest (or least) element of `x[o, ·, i]`; a NaN counts as
/// both.
///
/// # Panics
/// If `n` is 0 or beyond i32, or the slices do not have outer·n·inner and outer·inner elements.
pub fn arg_reduce<T: Copy + Default + PartialOrd + Send + Sync, const GREATEST: bool>(
    x: &[T],
    n: usize,
    inner: usize,
    y: &mut [i32],
) {
    if y.is_empty() {
        return;
    }
    assert!(n > 0 && x.len() == y.len() * n && i32::try_from(n).is_ok(), "input length");
    let cut = Cut::new(y.len() / inner, n, inner);
    let size = y.len();
    let mut partial = vec![0i32; if cut.blocks > 1 { cut.blocks * size } else { 0 }];
    {
        let out = Parts::new(if cut.blocks > 1 { &mut partial } else { &mut *y });
        cut.share(|from, to| {
            dispatch(Search::<T, GREATEST> { x, cut, tasks: from..to, out: &out });
        });
    }
    for (b, block) in partial.chunks(size).enumerate() {
        for (at, (y, k)) in y.iter_mut().zip(block).enumerate() {
            let (o, i) = (at / inner, at % inner);
            let value = |k: i32| x[(o * n + k as usize) * inner + i];
            if b == 0 || displaces::<T, GREATEST>(value(*k), value(*y)) {
                *y = *k;
            }
        }
    }
}

struct Search<'a, T, const GREATEST: bool> {
    x: &'a [T],
    cut: Cut,
    tasks: Range<usize>,
    /// The indices for every block.
    out: &'a Parts<i32>,
}

impl<T: Copy + Default + PartialOrd, const GREATEST: bool> Kernel for Search<'_, T, GREATEST> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, cut, tasks, out } = self;
        let mut best = [T::default(); COLUMNS];
        for task in tasks {
            let part = cut.part(task);
            let first = cut.block(&part) * cut.outer * cut.inner;
            let results = cut.results(&part);
            // SAFETY: every task has results of its own.
            let y = unsafe { out.part(first + results.start, first + results.end) };
            if cut.inner == 1 {
                let start = part.outer * cut.n;
                let x = &x[start + part.rows.start..start + part.rows.end];
                y[0] = (part.rows.start + search::<T, GREATEST>(x)) as i32;
                continue;
            }
            let best = &mut best[..part.columns.len()];
            for row in part.rows.clone() {
                let at = (part.outer * cut.n + row) * cut.inner;
                let x = &x[at + part.columns.start..at + part.columns.end];
                if row == part.rows.start {
                    best.copy_from_slice(x);
                    y.fill(row as i32);
                }
                for ((v, b), y) in x.iter().zip(&mut *best).zip(&mut *y) {
                    let better = displaces::<T, GREATEST>(*v, *b);
                    *b = if better { *v } else { *b };
                    *y = if better { row as i32 } else { *y };
                }
            }
        }
    }
}

/// The index of the first extremum of a row that is not empty.
#[inline(always)]
fn search<T: Copy + PartialOrd, const GREATEST: bool>(x: &[T]) -> usize {
    let Some((first, _)) = x.split_first_chunk::<SIDE>() else {
        let mut best = 0;
        for k in 1..x.len() {
            if displaces::<T, GREATEST>(x[k], x[best]) {
                best = k;
            }
        }
        return best;
    };
    // The best element so far at each place of a group, and where its group starts.
    let (mut values, mut starts) = (*first, [0i32; SIDE]);
    let (groups, _) = x.as_chunks::<SIDE>();
    for (g, group) in groups.iter().enumerate().skip(1) {
        take::<T, GREATEST>(&mut values, &mut starts, group, (g * SIDE) as i32);
    }
    // The last group may have elements again that displace nothing.
    if let Some(last) = x.last_chunk::<SIDE>() {
        take::<T, GREATEST>(&mut values, &mut starts, last, (x.len() - SIDE) as i32);
    }
    for k in 0..SIDE {
        starts[k] += k as i32;
    }
    for half in [32, 16, 8, 4, 2, 1] {
        for k in 0..half {
            let (a, b) = (values[k], values[k + half]);
            // Of two that do not displace each other, the earlier counts.
            let earlier = starts[k + half] < starts[k];
            let other =
                displaces::<T, GREATEST>(b, a) | (earlier & !displaces::<T, GREATEST>(a, b));
            values[k] = if other { b } else { a };
            starts[k] = if other { starts[k + half] } else { starts[k] };
        }
    }
    starts[0] as usize
}

/// Lets the elements of a group displace earlier ones.
#[inline(always)]
fn take<T: Copy + PartialOrd, const GREATEST: bool>(
    values: &mut [T; SIDE],
    starts: &mut [i32; SIDE],
    group: &[T; SIDE],
    start: i32,
) {
    for k in 0..SIDE {
        let better = displaces::<T, GREATEST>(group[k], values[k]);
        values[k] = if better { group[k] } else { values[k] };
        starts[k] = if better { start } else { starts[k] };
    }
}
