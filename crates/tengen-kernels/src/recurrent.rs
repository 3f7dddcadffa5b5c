//! Recurrent layers over a whole sequence.
//!
//! A step multiplies the batch's state with the hidden-to-hidden weights, which are packed once for
//! the sequence, and applies the cell's formula to the products while they are in the cache. Each
//! task of a step has hidden units of its own, so a core's share of the weights stays in its
//! second-level cache from step to step, and no sum depends on the number of threads.
//!
//! States lie in one array with a row of `batch · hidden` elements for each step and one more for
//! the initial state: before the others, or after them if the layer runs backwards in time.

mod lstm;
mod product;
mod simple;

pub use lstm::{lstm, lstm_backward};
pub use product::{pack, pack_transposed, packed_len, packed_transposed_len};
pub use simple::{Activation, simple, simple_backward};

use crate::pool;

/// Extents of a layer, and its direction.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Steps of the sequence.
    pub steps: usize,
    /// Sequences side by side.
    pub batch: usize,
    /// Hidden units.
    pub hidden: usize,
    /// Whether the last step comes first.
    pub reverse: bool,
}

/// Multiply-adds of a step below which the caller does it alone.
const PARALLEL: usize = 1 << 16;

impl Sizes {
    /// Elements of one state.
    fn row(self) -> usize {
        self.batch * self.hidden
    }

    /// The steps in the order of computation.
    fn order(self) -> impl DoubleEndedIterator<Item = usize> {
        (0..self.steps).map(move |s| if self.reverse { self.steps - 1 - s } else { s })
    }

    /// The state before and after step `t`.
    fn states<T>(self, all: &mut [T], t: usize) -> (&[T], &mut [T]) {
        let n = self.row();
        let (low, high) = all[t * n..(t + 2) * n].split_at_mut(n);
        if self.reverse { (high, low) } else { (low, high) }
    }

    /// [`Sizes::states`] to read.
    fn states_of<T>(self, all: &[T], t: usize) -> (&[T], &[T]) {
        let n = self.row();
        let (low, high) = all[t * n..(t + 2) * n].split_at(n);
        if self.reverse { (high, low) } else { (low, high) }
    }

    /// Calls `task` with ranges of `blocks` that together are all of them, on several threads if
    /// the step is worth it.
    fn share(self, gates: usize, blocks: usize, task: impl Fn(usize, usize) + Sync) {
        let large = self.row() * self.hidden * gates >= PARALLEL;
        let tasks = if large { pool::threads().min(blocks) } else { 1 };
        pool::for_each(tasks, |i| task(i * blocks / tasks, (i + 1) * blocks / tasks));
    }

    fn check<T>(self, gates: usize, lengths: &[(&[T], usize)]) {
        assert!(self.hidden > 0 && gates > 0, "recurrent: no units");
        for (x, len) in lengths {
            assert!(x.len() == *len, "recurrent: a length is {}, not {len}", x.len());
        }
    }
}

#[cfg(test)]
mod tests;
