//! How the outputs of one row reach the columns of the input.

use super::{Float, Pool2d};
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
                2 => {
                    let (pairs, end) = to.as_chunks_mut::<2>();
                    pairs.iter_mut().zip(values).for_each(|(to, &v)| *to = [v, fill]);
                    end[0] = values[last];
                }
                s => to.iter_mut().step_by(s).zip(values).for_each(|(to, &v)| *to = v),
            }
            return;
        }
        // Only the first and the last window may reach beyond the columns.
        let (from, to) = (c.at.start, c.at.end);
        let edge = |ox: usize| {
            let w = p.window(ox);
            w.start.max(from) - from..w.end.min(to) - from
        };
        self.0[edge(c.outputs.start)].fill(values[0]);
        self.0[edge(c.outputs.start + last)].fill(values[last]);
        if last < 2 {
            return;
        }
        let at = first + stride - padding - from;
        let (inner, values) = (&mut self.0[at..at + (last - 1) * stride], &values[1..last]);
        match (kernel, stride) {
            (1, 1) => inner.copy_from_slice(values),
            (2, 2) => {
                let pairs = inner.as_chunks_mut::<2>().0;
                pairs.iter_mut().zip(values).for_each(|(to, &v)| *to = [v; 2]);
            }
            _ => inner
                .chunks_exact_mut(stride)
                .zip(values)
                .for_each(|(to, &v)| to[..kernel].iter_mut().for_each(|t| *t = v)),
        }
    }
}
