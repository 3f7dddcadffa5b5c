//! Reductions of rows of neighbouring elements.

use super::{Cut, Fold};
use crate::lanes::{Arch, Float, Kernel, Lane, prefetch};
use crate::rows::{Parts, load, span};
use std::ops::Range;

/// Registers that are folded side by side.
const SIDE: usize = 8;
/// Bytes between what is read and what is asked for: the machine itself asks for neighbours, but no
/// further than the end of a page. Rows follow one another, so what lies beyond one is the next.
const AHEAD: usize = 16 << 10;

/// The tasks of a reduction whose elements are neighbours.
pub(super) struct FoldRows<'a, T, F> {
    pub x: &'a [T],
    pub cut: Cut,
    pub tasks: Range<usize>,
    /// The results, if the axis is not cut.
    pub y: &'a Parts<T>,
    /// The results of blocks, if it is.
    pub cells: &'a Parts<f64>,
    pub fold: F,
}

impl<T: Float, F: Fold> Kernel for FoldRows<'_, T, F> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let _ = self.fold;
        for task in self.tasks {
            let part = self.cut.part(task);
            let start = part.outer * self.cut.n;
            let x = &self.x[start + part.rows.start..start + part.rows.end];
            let v = fold_row::<T::Lane<A>, F>(x);
            // SAFETY: every task has a result of its own.
            unsafe {
                if self.cut.blocks == 1 {
                    self.y.part(part.outer, part.outer + 1)[0] = T::from_f64(v);
                } else {
                    let at = self.cut.block(&part) * self.cut.outer + part.outer;
                    self.cells.part(at, at + 1)[0] = v;
                }
            }
        }
    }
}

#[inline(always)]
fn fold_row<L: Lane, F: Fold>(x: &[L::T]) -> f64 {
    let (w, n) = (L::W, x.len());
    let empty = L::splat(L::T::from_f64(F::EMPTY));
    let mut total = F::EMPTY;
    let mut i = 0;
    while i < n {
        let end = if F::EXACT { n } else { n.min(i + span::<L>(SIDE)) };
        let mut acc = [empty; SIDE];
        while i + SIDE * w <= end {
            for k in 0..SIDE {
                prefetch(x.as_ptr().wrapping_add(i + k * w).wrapping_byte_add(AHEAD));
                acc[k] = F::lanes(acc[k], load(x, i + k * w, w));
            }
            i += SIDE * w;
        }
        // What is left goes side by side too.
        for acc in &mut acc {
            if i + w <= end {
                *acc = F::lanes(*acc, load(x, i, w));
                i += w;
            }
        }
        if i < end {
            acc[1] = F::lanes(acc[1], load::<L>(x, i, end - i).keep(end - i, empty));
            i = end;
        }
        for half in [4, 2, 1] {
            for k in 0..half {
                acc[k] = F::lanes(acc[k], acc[k + half]);
            }
        }
        let v = acc[0].fold(|a, b| L::T::from_f64(F::numbers(a.to_f64(), b.to_f64())));
        total = F::numbers(total, v.to_f64());
    }
    total
}
