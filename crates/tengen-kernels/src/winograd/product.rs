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

/// Some of the 36 products of transformed images with transformed gradients of the results, summed
/// over tiles: for some registers of input channels and `across` registers of output channels.
pub(super) struct TileSums {
    /// Transformed images, at the first of the input channels: `[product][register][tile][width]`.
    pub images: *const f32,
    pub image_point: usize,
    pub image_register: usize,
    /// Transformed gradients, `[product][tile][across · width]`.
    pub gradients: *const f32,
    pub gradient_point: usize,
    /// Which products.
    pub points: Range<usize>,
    /// Registers of input channels.
    pub inputs: usize,
    /// Tiles.
    pub n: usize,
    /// The sums, `[product][input channel][across · width]`.
    pub sums: *mut f32,
    pub sums_point: usize,
    /// Whether the products are added to the sums, else they are the sums.
    pub accumulate: bool,
}

impl Kernel for TileSums {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        // SAFETY: the caller gave operands and sums for these products and channels.
        unsafe {
            match A::ISA {
                Isa::Avx512 => self.each::<A::F32, 8, 2>(),
                Isa::Avx2 => self.each::<A::F32, 4, 2>(),
                Isa::Portable => self.each::<A::F32, 1, 4>(),
            }
        }
    }
}

impl TileSums {
    /// `R` input channels at a time, which divide a register's width.
    #[inline(always)]
    unsafe fn each<L: Lane<T = f32>, const R: usize, const V: usize>(self) {
        for point in self.points.clone() {
            for register in 0..self.inputs {
                for first in (0..L::W).step_by(R) {
                    let mut acc = [[L::splat(0.0); V]; R];
                    // SAFETY: as for `run`.
                    unsafe {
                        let mut x = self
                            .images
                            .add(point * self.image_point + register * self.image_register + first);
                        let mut y = self.gradients.add(point * self.gradient_point);
                        for _ in 0..self.n {
                            let mut g = [L::splat(0.0); V];
                            for (v, g) in g.iter_mut().enumerate() {
                                *g = L::load(y.add(v * L::W));
                            }
                            for (i, row) in acc.iter_mut().enumerate() {
                                let x = L::splat(*x.add(i));
                                for v in 0..V {
                                    row[v] = x.fma(g[v], row[v]);
                                }
                            }
                            x = x.add(L::W);
                            y = y.add(V * L::W);
                        }
                        let channel = register * L::W + first;
                        let sums = self.sums.add(point * self.sums_point + channel * V * L::W);
                        if self.accumulate {
                            for (i, row) in acc.iter_mut().enumerate() {
                                for (v, sum) in row.iter_mut().enumerate() {
                                    *sum = sum.add(L::load(sums.add((i * V + v) * L::W)));
                                }
                            }
                        }
                        for (i, row) in acc.iter().enumerate() {
                            for (v, sum) in row.iter().enumerate() {
                                sum.store(sums.add((i * V + v) * L::W));
                            }
                        }
                    }
                }
            }
        }
    }
}
