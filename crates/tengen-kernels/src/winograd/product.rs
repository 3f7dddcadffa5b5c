//! Products of transformed tiles and filters, summed over input channels.

use super::tiles::{Layout, POINTS};
use crate::lanes::{Arch, Isa, Kernel, Lane};
use std::ops::Range;

/// All 36 products of some tiles with the filters of `across` registers of output channels, summed
/// over some registers of input channels.
pub(super) struct Products {
    /// Transformed tiles, at the first of the input channels.
    pub tiles: *const f32,
    pub layout: Layout,
    /// Which of the layout's tiles.
    pub range: Range<usize>,
    /// Transformed filters, `[product][input channel][across · width]`.
    pub filters: *const f32,
    /// Elements from one product to the next.
    pub filter_point: usize,
    /// Registers of input channels.
    pub inputs: usize,
    /// The sums, `[register][tile][product][width]`, of as many tiles as the layout has.
    pub sums: *mut f32,
    /// Whether the products are added to the sums, else they are the sums.
    pub accumulate: bool,
}

impl Kernel for Products {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let n = self.range.len();
        let rows = match A::ISA {
            Isa::Avx512 => 14,
            Isa::Avx2 => 6,
            Isa::Portable => 4,
        };
        let parts = n.div_ceil(rows);
        for point in 0..POINTS {
            for part in 0..parts {
                // Parts of nearly the same length, of at most `rows`.
                let (from, to) = (part * n / parts, (part + 1) * n / parts);
                macro_rules! rows {
                    ($across:literal: $($rows:literal)*) => {
                        match to - from {
                            // SAFETY: the caller gave operands and sums for these tiles.
                            $($rows => unsafe { self.product::<A::F32, $rows, $across>(point, from) },)*
                            _ => {}
                        }
                    };
                }
                match A::ISA {
                    Isa::Avx512 => rows!(2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
                    Isa::Avx2 => rows!(2: 1 2 3 4 5 6),
                    Isa::Portable => rows!(4: 1 2 3 4),
                }
            }
        }
    }
}

impl Products {
    /// One product of `R` tiles from `from` on.
    #[inline(always)]
    unsafe fn product<L: Lane<T = f32>, const R: usize, const V: usize>(
        &self,
        point: usize,
        from: usize,
    ) {
        let Layout { tiles, point: step, .. } = self.layout;
        let mut acc = [[L::splat(0.0); V]; R];
        // SAFETY: the operands have these tiles and channels, the sums these tiles.
        unsafe {
            let mut x = self.tiles.add(point * step + (self.range.start + from) * L::W);
            let mut w = self.filters.add(point * self.filter_point);
            for _ in 0..self.inputs {
                for k in 0..L::W {
                    let mut y = [L::splat(0.0); V];
                    for (v, y) in y.iter_mut().enumerate() {
                        *y = L::load(w.add(v * L::W));
                    }
                    w = w.add(V * L::W);
                    for (i, row) in acc.iter_mut().enumerate() {
                        let x = L::splat(*x.add(i * L::W + k));
                        for v in 0..V {
                            row[v] = x.fma(y[v], row[v]);
                        }
                    }
                }
                x = x.add(tiles * L::W);
            }
            let first = self.range.start + from;
            let sums = self.sums.add((first * POINTS + point) * L::W);
            let across = tiles * POINTS * L::W;
            if self.accumulate {
                for (i, row) in acc.iter_mut().enumerate() {
                    for (v, sum) in row.iter_mut().enumerate() {
                        *sum = sum.add(L::load(sums.add(v * across + i * POINTS * L::W)));
                    }
                }
            }
            for (i, row) in acc.iter().enumerate() {
                for (v, sum) in row.iter().enumerate() {
                    sum.store(sums.add(v * across + i * POINTS * L::W));
                }
            }
        }
    }
}
