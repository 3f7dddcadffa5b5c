//! How the outputs of one row reach the columns of the input.

use super::{Float, Pool2d};
use crate::lanes::Lane;
use std::ops::Range;

/// The most columns that are done at once.
const COLUMNS: usize = 512;
/// The widest windows that overlap and are done with a buffer.
const TAPS: usize = 16;
/// Space for the columns, for the taps of the last one, and for a register that starts at it.
const ROOM: usize = COLUMNS + TAPS + 16;

/// Outputs of one row, at the columns of the input that their windows cover.
#[derive(Clone)]
pub(super) struct Spread<T>(pub [T; ROOM]);

/// Some columns of the input, and the outputs whose windows reach them.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    pub at: Range<usize>,
    pub outputs: Range<usize>,
}

impl Pool2d {
    /// How many places of a [`Spread`], from its own on, a column reads; `None` if windows are too
    /// wide for that.
    pub(super) fn taps(&self) -> Option<usize> {
        let (kernel, stride) = (self.kernel.1, self.stride.1);
        if kernel <= stride { Some(1) } else { Some(kernel).filter(|k| *k <= TAPS) }
    }

    /// The columns of the input, in parts that a [`Spread`] has room for.
    pub(super) fn columns(&self) -> impl Iterator<Item = Columns> + use<> {
        let (kernel, stride, padding) = (self.kernel.1, self.stride.1, self.padding.1);
        let (width, outputs) = (self.input.1, self.output.1);
        (0..width).step_by(COLUMNS).map(move |from| {
            let to = (from + COLUMNS).min(width);
            let first = (from + padding + 1).saturating_sub(kernel).div_ceil(stride);
            let end = ((to - 1 + padding) / stride + 1).min(outputs);
            Columns { at: from..to, outputs: first.min(end)..end }
        })
    }

    /// Whether all columns are done at once.
    pub(super) fn is_narrow(&self) -> bool {
        self.input.1 <= COLUMNS
    }

    /// The columns that the windows of an output column cover.
    pub(super) fn window(&self, ox: usize) -> Range<usize> {
        let end = ox * self.stride.1 + self.kernel.1 - self.padding.1;
        end.saturating_sub(self.kernel.1)..end.min(self.input.1)
    }
}

impl<T: Float> Spread<T> {
    /// No outputs: `fill` everywhere.
    pub(super) fn new(fill: T) -> Self {
        Spread([fill; ROOM])
    }

    /// A register of places; outputs that the last column reads are followed by enough others.
    #[inline(always)]
    pub(super) fn register<L: Lane<T = T>>(&self, i: usize) -> L {
        let places = &self.0[i..i + L::W];
        // SAFETY: as many elements as a register has.
        unsafe { L::load(places.as_ptr()) }
    }

    /// Replaces a register of places.
    #[inline(always)]
    pub(super) fn set<L: Lane<T = T>>(&mut self, i: usize, v: L) {
        let places = &mut self.0[i..i + L::W];
        // SAFETY: as many elements as a register has.
        unsafe { v.store(places.as_mut_ptr()) }
    }

    /// Puts the outputs that reach `c` in their places; always the same ones for the same columns,
    /// so what lies between them stays. `values` are those of `c.outputs`.
    #[inline(always)]
    pub(super) fn put(&mut self, p: &Pool2d, c: &Columns, values: &[T], fill: T) {
        let (kernel, stride, padding) = (p.kernel.1, p.stride.1, p.padding.1);
        let Some(last) = values.len().checked_sub(1) else { return };
        let first = c.outputs.start * stride;
        if kernel > stride {
            // A column reads the output in whose window it is the first, then earlier ones.
            let at = first + kernel - 1 - (c.at.start + padding);
            let to = &mut self.0[at..=at + last * stride];
            match stride {
                1 => to.copy_from_slice(values),
                2 => pairs::<T, false>(values, &mut self.0[at..at + 2 * values.len()], fill),
                s => to.iter_mut().step_by(s).zip(values).for_each(|(to, &v)| *to = v),
            }
            return;
        }
        // Only the first and the last window may reach beyond the columns.
        let start = (first as isize) - (padding + c.at.start) as isize;
        let end = start + (last * stride + kernel) as isize;
        let (cut_first, cut_last) = (start < 0, end > c.at.len() as isize);
        let clipped = |i: isize| {
            let at = start + i * stride as isize;
            let to = (at + kernel as isize).min(c.at.len() as isize);
            at.max(0) as usize..to.max(0) as usize
        };
        let mut beyond = 0;
        if cut_first {
            let at = clipped(0);
            beyond = at.end;
            self.0[at].fill(values[0]);
        }
        let (from, to) = (usize::from(cut_first), values.len() - usize::from(cut_last));
        if from < to {
            let at = (start + (from * stride) as isize) as usize;
            let values = &values[from..to];
            beyond = at + (values.len() - 1) * stride + kernel;
            let inner = &mut self.0[at..beyond + BLOCK];
            match (kernel, stride) {
                (1, 1) => inner[..values.len()].copy_from_slice(values),
                (2, 2) => pairs::<T, true>(values, &mut inner[..2 * values.len()], fill),
                // What a block has beyond its window is the next windows'.
                _ if kernel == stride && kernel <= BLOCK => {
                    for (i, v) in values.iter().enumerate() {
                        inner[i * stride..][..BLOCK].copy_from_slice(&[*v; BLOCK]);
                    }
                }
                _ => inner.chunks_mut(stride).zip(values).for_each(|(to, &v)| to[..kernel].fill(v)),
            }
        }
        if cut_last {
            let at = clipped(last as isize);
            beyond = at.end;
            self.0[at].fill(values[last]);
        }
        self.0[beyond..beyond + BLOCK].copy_from_slice(&[fill; BLOCK]);
    }
}

/// Elements that are put in place at once.
const BLOCK: usize = 16;

/// Puts each value before a `fill`, or, if `SAME`, before itself once more. Blocks of a constant
/// length are moved in registers; the last one may overlap the one before it.
#[inline(always)]
fn pairs<T: Float, const SAME: bool>(values: &[T], to: &mut [T], fill: T) {
    const HALF: usize = BLOCK / 2;
    let second = |v: T| if SAME { v } else { fill };
    if values.len() < HALF {
        let pairs = to.as_chunks_mut::<2>().0.iter_mut();
        return pairs.zip(values).for_each(|(to, &v)| *to = [v, second(v)]);
    }
    for i in (0..values.len()).step_by(HALF) {
        let at = i.min(values.len() - HALF);
        let mut block = [fill; BLOCK];
        for (pair, &v) in block.as_chunks_mut::<2>().0.iter_mut().zip(&values[at..at + HALF]) {
            *pair = [v, second(v)];
        }
        to[2 * at..2 * at + BLOCK].copy_from_slice(&block);
    }
}
