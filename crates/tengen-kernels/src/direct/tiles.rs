//! A tile of results: some positions × some registers of output channels.

use super::plan::Part;
use crate::epilogue::Epilogue;
use crate::lanes::{Arch, Float, Isa, Lane, prefetch};

/// Steps that are summed in registers before they are added to the rest: shorter sums round less.
pub(super) const STEPS: usize = 512;
/// Elements of the widest tile: 16 positions (14, and what makes a square of them) of two registers
/// of 16.
const SUMS: usize = 16 * 32;

pub(super) struct Tile<'a, T> {
    pub plan: &'a Part,
    pub band: *const T,
    /// The packed filters of the tile's output channels.
    pub filters: *const T,
    /// Registers of output channels.
    pub across: usize,
    /// Row and column of the first position in the block.
    pub at: (usize, usize),
    pub positions: usize,
    /// Whether registers hold neighbouring positions of one output channel.
    pub strips: bool,
    /// The image's results.
    pub out: *mut T,
    /// Row and column of the first position in the grid.
    pub place: (usize, usize),
    /// The first output channel.
    pub first: usize,
    pub epilogue: &'a Epilogue<'a, T>,
    /// What is brought near while the sums are made: an element for each input channel, at this
    /// distance. It is not read.
    pub ahead: (*const T, usize),
}

/// What tiles sum outside of registers, and what their rows are brought into order from. It serves
/// one tile after the other: clearing it takes longer than some of them.
#[repr(align(64))]
pub(super) struct Sums<T>([T; SUMS]);

impl<T: Float> Default for Sums<T> {
    fn default() -> Self {
        Sums([T::default(); SUMS])
    }
}

impl<T: Float> Tile<'_, T> {
    /// # Safety
    /// The band holds what the taps of these positions read, `filters` the packed filters of these
    /// channels, and the results of the channels that exist are writable.
    #[inline(always)]
    pub unsafe fn run<A: Arch>(self, sums: &mut Sums<T>) {
        let sums = sums.0.as_mut_ptr();
        if self.strips {
            // SAFETY: by the contract.
            return unsafe { self.strip::<A>(sums) };
        }
        macro_rules! sum {
            ($across:literal: $($positions:literal)*) => {
                match self.positions {
                    // SAFETY: by the contract.
                    $($positions => unsafe { self.sum::<T::Lane<A>, $positions, $across>(sums) },)*
                    _ => {}
                }
            };
        }
        match (A::ISA, self.across) {
            (Isa::Avx512, 1) => sum!(1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
            (Isa::Avx512, _) => sum!(2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
            (Isa::Avx2, 1) => sum!(1: 1 2 3 4 5 6),
            (Isa::Avx2, _) => sum!(2: 1 2 3 4 5 6),
            (Isa::Portable, 1) => sum!(1: 1 2 3 4),
            (Isa::Portable, _) => sum!(4: 1 2 3 4),
        }
        // SAFETY: by the contract.
        unsafe { self.store::<T::Lane<A>>(sums) }
    }

    /// Sums of `P` positions × `V` registers, position by position.
    #[inline(always)]
    unsafe fn sum<L: Lane<T = T>, const P: usize, const V: usize>(&self, sums: *mut T) {
        let (plan, layout) = (self.plan, &self.plan.layout);
        let zero = L::splat(T::default());
        let part = (STEPS / plan.taps.len().max(1)).max(1);
        let start = self.at.0 * layout.row + self.at.1;
        let mut channel = 0;
        // SAFETY: the band and the filters have every channel and tap, and `sums` has room.
        unsafe {
            while channel < plan.channels {
                let end = plan.channels.min(channel + part);
                let mut acc = [[zero; V]; P];
                for c in channel..end {
                    prefetch(self.ahead.0.wrapping_add(c * self.ahead.1));
                    let x = self.band.add(c * layout.plane + start);
                    let w = self.filters.add(c * plan.area * V * L::W);
                    for tap in &plan.taps {
                        let (x, w) = (x.add(tap.offset), w.add(tap.filter * V * L::W));
                        let mut y = [zero; V];
                        for (v, y) in y.iter_mut().enumerate() {
                            *y = L::load(w.add(v * L::W));
                        }
                        for (i, row) in acc.iter_mut().enumerate() {
                            let x = L::splat(*x.add(i));
                            for v in 0..V {
                                row[v] = Lane::fma(x, y[v], row[v]);
                            }
                        }
                    }
                }
                for (i, row) in acc.iter().enumerate() {
                    for (v, x) in row.iter().enumerate() {
                        let p = sums.add((i * V + v) * L::W);
                        let x = if channel > 0 { Lane::add(L::load(p), *x) } else { *x };
                        x.store(p);
                    }
                }
                channel = end;
            }
        }
    }

    /// Puts sums into their planes.
    #[inline(always)]
    unsafe fn store<L: Lane<T = T>>(&self, sums: *const T) {
        let (plan, across) = (self.plan, self.across);
        let place = plan.start + self.place.0 * plan.pitch.0 + self.place.1 * plan.pitch.1;
        for v in 0..across {
            let channel = self.first + v * L::W;
            let channels = plan.outs.saturating_sub(channel).min(L::W);
            for from in (0..self.positions).step_by(L::W) {
                let n = L::W.min(self.positions - from);
                let mut square = [L::splat(T::default()); 16];
                // Constant bounds keep the square in registers.
                for (i, row) in square.iter_mut().enumerate() {
                    if i < L::W {
                        // SAFETY: there is room for as many positions as a register has elements,
                        // with `across` registers of sums each.
                        *row = unsafe { L::load(sums.add(((from + i) * across + v) * L::W)) };
                    }
                }
                L::transpose(&mut square);
                let at = channel * plan.plane + place + from * plan.pitch.1;
                // SAFETY: the results of these channels at these positions exist.
                unsafe {
                    let to = self.out.add(at);
                    if channels == L::W && self.epilogue.is_none() {
                        for (i, row) in square.iter().enumerate() {
                            if i < L::W {
                                put(*row, to.add(i * plan.plane), plan.pitch.1, n);
                            }
                        }
                        continue;
                    }
                    for (i, row) in square[..channels].iter().enumerate() {
                        let (at, to) = (at + i * plan.plane, to.add(i * plan.plane));
                        let row = self.epilogue.apply(*row, channel + i, (at, plan.pitch.1), n);
                        put(row, to, plan.pitch.1, n);
                    }
                }
            }
        }
    }
}

/// Writes the first `n` elements of a register to every `pitch`-th place.
///
/// # Safety
/// These places are writable, and `n` is no more than the register has.
#[inline(always)]
pub(super) unsafe fn put<L: Lane>(row: L, to: *mut L::T, pitch: usize, n: usize) {
    // SAFETY: by the contract.
    unsafe {
        match pitch {
            1 => row.store_n(to, n),
            2 => row.store_apart(to, n),
            _ => {
                let values = row.to_array();
                values[..n].iter().enumerate().for_each(|(j, v)| *to.add(j * pitch) = *v);
            }
        }
    }
}
