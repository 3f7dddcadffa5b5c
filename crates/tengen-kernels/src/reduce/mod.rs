//! Reductions over the middle axis of `[outer, n, inner]`.
//!
//! The work is cut into tasks by the shape alone; a task folds registers of neighbouring elements
//! (of a row, or of whole columns), and what several tasks make of one result is combined in order.
//! Sums and products are taken in the element type over short spans and in f64 beyond. So results
//! are accurate and do not depend on the number of threads.

mod arg;
mod columns;
mod extremum;
mod fold;
mod ints;
mod rows;
#[cfg(test)]
mod tests;

pub use arg::arg_reduce;
pub use extremum::extremum_backward;
pub use fold::{Fold, Int, Max, Min, Prod, Sum};
pub use ints::reduce_ints;

use crate::lanes::{Float, dispatch};
use crate::pool;
use crate::rows::Parts;

/// Elements per task.
const TASK: usize = 64 * 1024;
/// Below this many elements one thread is faster.
const PARALLEL: usize = 32 * 1024;
/// Columns that a task folds side by side.
const COLUMNS: usize = 1024;
/// So many tasks are enough: the axis itself is not cut then.
const ENOUGH: usize = 64;

/// How a reduction is cut: into `strips` of columns, and the axis into `blocks` of `block` places.
#[derive(Clone, Copy)]
struct Cut {
    n: usize,
    inner: usize,
    outer: usize,
    width: usize,
    strips: usize,
    block: usize,
    blocks: usize,
}

/// One task's part: its rows of one outer index, and its columns.
struct Part {
    outer: usize,
    rows: std::ops::Range<usize>,
    columns: std::ops::Range<usize>,
}

impl Cut {
    fn new(outer: usize, n: usize, inner: usize) -> Cut {
        let width = inner.min(COLUMNS);
        let strips = inner.div_ceil(width);
        let wanted = ENOUGH.div_ceil(outer * strips);
        let block = n.div_ceil(wanted).max(TASK / 4 / width).clamp(1, n);
        Cut { n, inner, outer, width, strips, block, blocks: n.div_ceil(block) }
    }

    fn tasks(&self) -> usize {
        self.outer * self.strips * self.blocks
    }

    fn part(&self, task: usize) -> Part {
        let (rest, b) = (task / self.blocks, task % self.blocks);
        let (outer, s) = (rest / self.strips, rest % self.strips);
        Part {
            outer,
            rows: b * self.block..self.n.min((b + 1) * self.block),
            columns: s * self.width..self.inner.min((s + 1) * self.width),
        }
    }

    /// Calls `f` for ranges of tasks, on several threads if there is enough to do.
    fn share(&self, f: impl Fn(usize, usize) + Sync) {
        let tasks = self.tasks();
        if self.outer * self.n * self.inner < PARALLEL {
            return f(0, tasks);
        }
        pool::for_ranges(tasks, (TASK / (self.block * self.width)).max(1), f);
    }

    /// Where a part's results go among those of its block.
    fn results(&self, part: &Part) -> std::ops::Range<usize> {
        let start = part.outer * self.inner;
        start + part.columns.start..start + part.columns.end
    }

    /// Which block a part belongs to.
    fn block(&self, part: &Part) -> usize {
        part.rows.start / self.block
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
    let cut = Cut::new(outer, n, inner);
    let size = y.len();
    let mut partial = vec![0.0f64; if cut.blocks > 1 { cut.blocks * size } else { 0 }];
    {
        let (y, cells) = (Parts::new(y), Parts::new(&mut partial));
        cut.share(|from, to| {
            if inner == 1 {
                dispatch(rows::FoldRows { x, cut, tasks: from..to, y: &y, cells: &cells, fold });
            } else {
                dispatch(columns::FoldColumns {
                    x,
                    cut,
                    tasks: from..to,
                    y: &y,
                    cells: &cells,
                    fold,
                });
            }
        });
    }
    if cut.blocks > 1 {
        let (total, rest) = partial.split_at_mut(size);
        for block in rest.chunks(size) {
            for (t, v) in total.iter_mut().zip(block) {
                *t = F::numbers(*t, *v);
            }
        }
        for (y, t) in y.iter_mut().zip(total) {
            *y = T::from_f64(*t);
        }
    }
}
