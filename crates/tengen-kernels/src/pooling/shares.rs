//! What the elements of the input get from one row of outputs.

use super::forward::{CountMode, divide};
use super::spread::{Columns, Spread};
use super::{Float, Pool2d};
use crate::lanes::{Lane, prefetch};

/// What each column gets from the outputs of one row.
pub(super) trait Shares<L: Lane> {
    /// What elements of a column have in common.
    type Column: Copy;
    /// The columns of a register from `i` on.
    fn columns(&self, i: usize) -> Self::Column;
    /// Whether columns are as soon read again as kept.
    fn is_cheap(&self) -> bool;
    /// The shares of the elements in these columns of a row, `r` of them from `at` on.
    ///
    /// # Safety
    /// The input has these elements.
    unsafe fn of(&self, columns: Self::Column, at: usize, r: usize) -> L;
}

/// Sums of the shares of the outputs whose windows cover a column.
#[derive(Clone)]
pub(super) struct Sums<T> {
    /// Those of one row of outputs.
    pub row: Spread<T>,
    pub shares: Spread<T>,
    pub taps: usize,
}

impl<T: Float> Sums<T> {
    #[inline(always)]
    pub(super) fn put<L: Lane<T = T>>(
        &mut self,
        p: &Pool2d,
        mode: CountMode,
        c: &Columns,
        oy: usize,
        dy: &[T],
    ) {
        if let Some(taps) = p.taps() {
            self.row.0[..dy.len()].copy_from_slice(dy);
            if p.counts_alike(mode) {
                let count = L::splat(p.count());
                for i in (0..dy.len()).step_by(L::W) {
                    self.row.set(i, Lane::div(self.row.register::<L>(i), count));
                }
            } else {
                divide(p, mode, oy, c.outputs.start, &mut self.row.0[..dy.len()]);
            }
            self.shares.put(p, c, &self.row.0[..dy.len()], T::ZERO);
            self.taps = taps;
            return;
        }
        // Windows too wide for taps are added up here.
        self.shares.0.fill(T::ZERO);
        for (ox, dy) in c.outputs.clone().zip(dy) {
            let mut share = [*dy];
            divide(p, mode, oy, ox, &mut share);
            let w = p.window(ox);
            let w = w.start.max(c.at.start)..w.end.min(c.at.end);
            let to = &mut self.shares.0[w.start - c.at.start..w.end - c.at.start];
            to.iter_mut().for_each(|t| *t = *t + share[0]);
        }
    }
}

impl<L: Lane<T: Float>> Shares<L> for Sums<L::T> {
    type Column = L;
    #[inline(always)]
    fn is_cheap(&self) -> bool {
        self.taps == 1
    }
    #[inline(always)]
    fn columns(&self, i: usize) -> L {
        let mut sum = self.shares.register::<L>(i);
        for k in 1..self.taps {
            sum = Lane::add(sum, self.shares.register(i + k));
        }
        sum
    }
    #[inline(always)]
    unsafe fn of(&self, columns: L, _: usize, _: usize) -> L {
        columns
    }
}

/// The shares of the outputs that equal an element; `TAPS` is `taps`, or 0 for any number.
#[derive(Clone)]
pub(super) struct Ties<'a, T, const TAPS: usize> {
    pub src: &'a [T],
    pub maxima: Spread<T>,
    pub shares: Spread<T>,
    pub taps: usize,
    /// Elements of a plane: the next one arrives while this one is read.
    pub plane: usize,
}

impl<L: Lane<T: Float>, const TAPS: usize> Shares<L> for Ties<'_, L::T, TAPS> {
    type Column = (usize, [[L; 2]; TAPS]);
    #[inline(always)]
    fn is_cheap(&self) -> bool {
        TAPS == 1
    }
    #[inline(always)]
    fn columns(&self, i: usize) -> Self::Column {
        let mut taps = [[L::splat(L::T::ZERO); 2]; TAPS];
        for k in 0..TAPS {
            taps[k] = [self.maxima.register(i + k), self.shares.register(i + k)];
        }
        (i, taps)
    }
    #[inline(always)]
    unsafe fn of(&self, (i, taps): Self::Column, at: usize, r: usize) -> L {
        let zero = L::splat(L::T::ZERO);
        // SAFETY: by the contract.
        let x = unsafe {
            let x = self.src.as_ptr().add(at);
            prefetch(x.wrapping_add(self.plane));
            if r == L::W { L::load(x) } else { L::load_n(x, r) }
        };
        let mut sum = zero;
        for k in 0..TAPS {
            let [y, g] = taps[k];
            let share = L::sel(x.eq(y), g, zero);
            sum = if k == 0 { share } else { Lane::add(sum, share) };
        }
        if TAPS == 0 {
            for k in i..i + self.taps {
                let share = L::sel(x.eq(self.maxima.register(k)), self.shares.register(k), zero);
                sum = Lane::add(sum, share);
            }
        }
        sum
    }
}
