//! Reductions of integers.

use super::{Cut, Fold, Int};
use crate::lanes::{Arch, Kernel, dispatch};
use crate::rows::Parts;
use std::ops::Range;

/// Elements that are folded side by side; loops of this constant length become vector code.
const SIDE: usize = 64;

/// `y[o, i]` = the fold of `x[o, ·, i]`, modulo the type's range; 0 or 1 for the sum or product of
/// nothing.
///
/// # Panics
/// If the slices do not have outer·n·inner and outer·inner elements.
pub fn reduce_ints<I: Int, F: Fold>(fold: F, x: &[I], n: usize, inner: usize, y: &mut [I]) {
    if y.is_empty() {
        return;
    }
    let outer = y.len() / inner;
    assert_eq!(x.len(), outer * n * inner, "input length");
    if n == 0 {
        return y.fill(F::no_ints());
    }
    let cut = Cut::new(outer, n, inner);
    let size = y.len();
    let mut partial = vec![I::ZERO; if cut.blocks > 1 { cut.blocks * size } else { 0 }];
    {
        let out = Parts::new(if cut.blocks > 1 { &mut partial } else { &mut *y });
        cut.share(|from, to| dispatch(FoldInts { x, cut, tasks: from..to, out: &out, fold }));
    }
    for (b, block) in partial.chunks(size).enumerate() {
        for (y, v) in y.iter_mut().zip(block) {
            *y = if b == 0 { *v } else { F::ints(*y, *v) };
        }
    }
}

struct FoldInts<'a, I, F> {
    x: &'a [I],
    cut: Cut,
    tasks: Range<usize>,
    /// The results of every block.
    out: &'a Parts<I>,
    fold: F,
}

impl<I: Int, F: Fold> Kernel for FoldInts<'_, I, F> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, cut, tasks, out, fold } = self;
        let _ = fold;
        for task in tasks {
            let part = cut.part(task);
            let first = cut.block(&part) * cut.outer * cut.inner;
            let results = cut.results(&part);
            // SAFETY: every task has results of its own.
            let y = unsafe { out.part(first + results.start, first + results.end) };
            if cut.inner == 1 {
                let start = part.outer * cut.n;
                y[0] = fold_row::<I, F>(&x[start + part.rows.start..start + part.rows.end]);
                continue;
            }
            y.fill(F::no_ints());
            for row in part.rows {
                let at = (part.outer * cut.n + row) * cut.inner;
                let x = &x[at + part.columns.start..at + part.columns.end];
                for (y, v) in y.iter_mut().zip(x) {
                    *y = F::ints(*y, *v);
                }
            }
        }
    }
}

#[inline(always)]
fn fold_row<I: Int, F: Fold>(x: &[I]) -> I {
    let mut acc = [F::no_ints::<I>(); SIDE];
    let (groups, rest) = x.as_chunks::<SIDE>();
    for group in groups {
        for k in 0..SIDE {
            acc[k] = F::ints(acc[k], group[k]);
        }
    }
    for (a, v) in acc.iter_mut().zip(rest) {
        *a = F::ints(*a, *v);
    }
    let mut total = F::no_ints();
    for a in acc {
        total = F::ints(total, a);
    }
    total
}
