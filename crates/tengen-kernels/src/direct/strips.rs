//! A strip of results: registers of neighbouring positions × a few output channels. Where output
//! channels would leave most of a register empty, this fills it.

use super::plan::{Part, tile};
use super::tiles::{STEPS, Tile, put};
use crate::lanes::{Arch, Float, Lane, prefetch};

/// The most registers of positions in a strip.
pub(super) const REGISTERS: usize = 3;

impl Part {
    /// Whether registers of positions are fuller than registers of output channels.
    pub(super) fn has_strips<T: Float>(&self) -> bool {
        let (_, width, _) = tile::<T>(self.outs);
        let columns = self.grid.1 / self.layout.cut.1.max(1);
        self.outs <= width / 2 && self.outs * columns.next_multiple_of(width) < columns * width
    }
}

impl<T: Float> Tile<'_, T> {
    /// # Safety
    /// As [`Tile::run`]; there are at most [`REGISTERS`] registers of positions, and half a register
    /// of output channels, no more than 8. `sums` is writable for all of them.
    #[inline(always)]
    pub(super) unsafe fn strip<A: Arch>(&self, sums: *mut T) {
        // SAFETY: by the contract.
        unsafe {
            match (self.plan.outs <= 4, self.positions.div_ceil(<T::Lane<A>>::W)) {
                (true, 1) => self.strip_of::<T::Lane<A>, 4, 1>(sums),
                (true, 2) => self.strip_of::<T::Lane<A>, 4, 2>(sums),
                (true, _) => self.strip_of::<T::Lane<A>, 4, 3>(sums),
                (false, 1) => self.strip_of::<T::Lane<A>, 8, 1>(sums),
                (false, 2) => self.strip_of::<T::Lane<A>, 8, 2>(sums),
                (false, _) => self.strip_of::<T::Lane<A>, 8, 3>(sums),
            }
        }
    }

    /// Sums of `K` channels × `V` registers, channel by channel, and where they belong.
    #[inline(always)]
    unsafe fn strip_of<L: Lane<T = T>, const K: usize, const V: usize>(&self, sums: *mut T) {
        let (plan, layout) = (self.plan, &self.plan.layout);
        let zero = L::splat(T::default());
        let part = (STEPS / plan.taps.len().max(1)).max(1);
        let start = self.at.0 * layout.row + self.at.1;
        let mut channel = 0;
        // SAFETY: the filters have a register for every channel and tap; the band has every channel
        // and tap, and a register beyond the last position; `sums` has room.
        unsafe {
            while channel < plan.channels {
                let end = plan.channels.min(channel + part);
                let mut acc = [[zero; V]; K];
                for c in channel..end {
                    prefetch(self.ahead.0.wrapping_add(c * self.ahead.1));
                    let x = self.band.add(c * layout.plane + start);
                    let w = self.filters.add(c * plan.area * L::W);
                    for tap in &plan.taps {
                        let (x, w) = (x.add(tap.offset), w.add(tap.filter * L::W));
                        let mut y = [zero; V];
                        for (v, y) in y.iter_mut().enumerate() {
                            *y = L::load(x.add(v * L::W));
                        }
                        for (k, row) in acc.iter_mut().enumerate() {
                            let w = L::splat(*w.add(k));
                            for v in 0..V {
                                row[v] = Lane::fma(w, y[v], row[v]);
                            }
                        }
                    }
                }
                for (k, row) in acc.iter().enumerate() {
                    for (v, x) in row.iter().enumerate() {
                        let p = sums.add((k * V + v) * L::W);
                        let x = if channel > 0 { Lane::add(L::load(p), *x) } else { *x };
                        x.store(p);
                    }
                }
                channel = end;
            }
            let place = plan.start + self.place.0 * plan.pitch.0 + self.place.1 * plan.pitch.1;
            for (k, v) in (0..plan.outs).flat_map(|k| (0..V).map(move |v| (k, v))) {
                let row = L::load(sums.add((k * V + v) * L::W));
                let n = L::W.min(self.positions.saturating_sub(v * L::W));
                let at = k * plan.plane + place + v * L::W * plan.pitch.1;
                let to = self.out.add(at);
                let row = self.epilogue.apply(row, self.first + k, (at, plan.pitch.1), n);
                put(row, to, plan.pitch.1, n);
            }
        }
    }
}
