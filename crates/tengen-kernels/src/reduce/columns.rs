//! Reductions of columns: rows of neighbouring columns are folded into registers of results.

use super::{COLUMNS, Cut, Fold};
use crate::lanes::{Arch, Float, Kernel, Lane};
use crate::rows::{Parts, load, store};
use std::ops::Range;

/// Rows that meet in the element type before f64 takes over.
const SPAN: usize = 32;

/// The tasks of a reduction along an axis that is not the last.
pub(super) struct FoldColumns<'a, T, F> {
    pub x: &'a [T],
    pub cut: Cut,
    pub tasks: Range<usize>,
    /// The results, if the axis is not cut.
    pub y: &'a Parts<T>,
    /// The results of blocks, if it is.
    pub cells: &'a Parts<f64>,
    pub fold: F,
}

impl<T: Float, F: Fold> Kernel for FoldColumns<'_, T, F> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { x, cut, tasks, y, cells, fold } = self;
        let _ = fold;
        let mut total = [0.0f64; COLUMNS];
        let mut acc = [T::default(); COLUMNS];
        for task in tasks {
            let part = cut.part(task);
            let results = cut.results(&part);
            let columns = part.columns.len();
            // Rows of few columns are taken several at a time, as one row.
            let fold = (COLUMNS / 4 / cut.inner).clamp(1, part.rows.len());
            let width = columns * fold;
            let all = part.outer * cut.n + part.rows.start;
            let at = all * cut.inner + part.columns.start;
            let len = (part.rows.len() - 1) * cut.inner + columns;
            let x = &x[at..at + len];
            let stride = cut.inner * fold;
            let (total, acc) = (&mut total[..width], &mut acc[..width]);
            fold_rows::<T::Lane<A>, F>(x, stride, acc, total);
            for k in 1..fold {
                for i in 0..columns {
                    total[i] = F::numbers(total[i], total[k * columns + i]);
                }
            }
            // SAFETY: every task has results of its own.
            unsafe {
                if cut.blocks == 1 {
                    let y = y.part(results.start, results.end);
                    for (y, v) in y.iter_mut().zip(&*total) {
                        *y = T::from_f64(*v);
                    }
                } else {
                    let first = cut.block(&part) * cut.outer * cut.inner;
                    let cells = cells.part(first + results.start, first + results.end);
                    cells.copy_from_slice(&total[..columns]);
                }
            }
        }
    }
}

/// `total` = the fold of the rows of `x`, which start `stride` apart and of which the last may be
/// shorter.
#[inline(always)]
fn fold_rows<L: Lane, F: Fold>(x: &[L::T], stride: usize, acc: &mut [L::T], total: &mut [f64]) {
    let width = acc.len();
    let rows = x.len().div_ceil(stride);
    // The last row may be shorter than the others.
    let whole = if (rows - 1) * stride + width <= x.len() { rows } else { rows - 1 };
    total.fill(F::EMPTY);
    let span = if F::EXACT { rows } else { SPAN };
    let mut row = 0;
    while row < rows {
        acc.fill(L::T::from_f64(F::EMPTY));
        let end = rows.min(row + span);
        while row < end {
            let x = &x[row * stride..];
            if row + 4 <= end.min(whole) {
                let mut i = 0;
                while i < width {
                    let r = L::W.min(width - i);
                    // A constant width makes for plain loads.
                    let v = if r == L::W {
                        four::<L>(x, i, stride, L::W)
                    } else {
                        four::<L>(x, i, stride, r)
                    };
                    let v = F::lanes(F::lanes(v[0], v[1]), F::lanes(v[2], v[3]));
                    store(F::lanes(load::<L>(acc, i, r), v), acc, i, r);
                    i += r;
                }
                row += 4;
            } else {
                let n = width.min(x.len());
                let mut i = 0;
                while i < n {
                    let r = L::W.min(n - i);
                    let v = F::lanes(load::<L>(acc, i, r), load(x, i, r));
                    store(v, acc, i, r);
                    i += r;
                }
                row += 1;
            }
        }
        for (t, a) in total.iter_mut().zip(&*acc) {
            *t = F::numbers(*t, a.to_f64());
        }
    }
}

/// `r` elements from `i` of each of four rows.
#[inline(always)]
fn four<L: Lane>(x: &[L::T], i: usize, stride: usize, r: usize) -> [L; 4] {
    [load(x, i, r), load(x, stride + i, r), load(x, 2 * stride + i, r), load(x, 3 * stride + i, r)]
}
