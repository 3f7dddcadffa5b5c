//! The gradient to the filters: for every tap, products of results' gradients and of what the tap
//! covers, summed over positions.

use super::band;
use super::plan::{Block, NEAR, Part, tile};
use super::tiles::STEPS;
use crate::conv::Geometry;
use crate::gemm::Strided;
use crate::lanes::{Arch, Float, Isa, Kernel, Lane, dispatch};
use crate::pool::{self, Shared};
use std::ops::Range;

/// The most partial sums.
const PARTS: usize = 8;
/// The fewest positions of a partial sum: adding it up costs about as much as one in 20 of them.
const POSITIONS: usize = 512;
/// Tiles of sums per task.
const TILES: usize = 8;
/// Columns of the filters per task in which partial sums are added.
const COLUMNS: usize = 256;

/// How to compute the gradient to the filters. For each block of positions, results' gradients are
/// brought into registers of output channels, and every tap reads its values where they lie in the
/// band. Some blocks each are summed apart and added up in the end, so that workers need not wait for
/// one another. How many does not depend on the number of workers.
pub struct ToFilter {
    plan: Part,
    /// Positions of the largest block.
    positions: usize,
}

/// The images of a call and the gradients to their results. The channels of a group count as an
/// image.
#[derive(Clone, Copy)]
pub struct Gradients<T> {
    /// How many.
    pub n: usize,
    /// How many sets of filters there are: image `i` belongs to group `i % groups`, and every group
    /// has as many.
    pub groups: usize,
    /// The first image.
    pub image: *const T,
    /// Elements from one image to the next.
    pub image_step: usize,
    /// The gradient to the first image's results.
    pub out: *const T,
    /// Elements from one image's gradient to the next.
    pub out_step: usize,
}

impl ToFilter {
    /// `None` if there is no memory for the plan.
    pub fn new<T>(g: &Geometry) -> Option<ToFilter> {
        let plan = Part::to_filter::<T>(g)?;
        let blocks = (0..plan.blocks()).map(|i| plan.block(i));
        let positions = blocks.map(|b| b.rows.len() * b.columns.len()).max().unwrap_or(0);
        Some(ToFilter { plan, positions })
    }

    /// Elements of a filter: one for each input channel and tap.
    fn columns(&self) -> usize {
        self.plan.channels * self.plan.taps.len()
    }

    /// Elements of whole registers of output channels.
    fn rows<T: Float>(&self) -> usize {
        let (across, width, _) = tile::<T>(self.plan.outs);
        self.plan.outs.next_multiple_of(across * width)
    }

    /// Partial sums of each group for `n` images of `groups` groups. There is one where sums are far
    /// away: workers share its tiles, block by block, and have some of them each.
    fn parts<T: Float>(&self, n: usize, groups: usize) -> usize {
        if self.rows::<T>() * self.columns() * size_of::<T>() > NEAR {
            return 1;
        }
        let positions = self.plan.grid.0 * self.plan.grid.1;
        (n / groups * self.plan.blocks())
            .min(n / groups * positions / POSITIONS)
            .min(PARTS.div_ceil(groups))
            .max(1)
    }

    /// Elements of a block's packed gradients.
    fn packed_len<T: Float>(&self) -> usize {
        (self.rows::<T>() * self.positions).next_multiple_of(64)
    }

    /// Elements of workspace for `n` images of `groups` groups, and `workers` workers.
    pub fn workspace_len<T: Float>(&self, n: usize, groups: usize, workers: usize) -> usize {
        let sums = self.rows::<T>() * self.columns();
        self.parts::<T>(n, groups) * groups * sums
            + workers * (self.plan.band_len() + self.packed_len::<T>())
    }

    /// The gradient of `n` images, group after group.
    ///
    /// # Safety
    /// `g` has the images and gradients that the plan was made for; `filters` is writable for the
    /// filters, `work` for [`workspace_len`](Self::workspace_len) elements.
    pub unsafe fn run<T: Float>(
        &self,
        g: Gradients<T>,
        filters: *mut T,
        workers: usize,
        work: *mut T,
    ) {
        let (rows, columns) = (self.rows::<T>(), self.columns());
        let (units, parts) = (g.n / g.groups * self.plan.blocks(), self.parts::<T>(g.n, g.groups));
        if units == 0 {
            // SAFETY: by the contract.
            return unsafe { filters.write_bytes(0, g.groups * self.plan.outs * columns) };
        }
        let tasks = g.groups * parts;
        let each = self.plan.band_len() + self.packed_len::<T>();
        let (image, out) = (Shared(g.image.cast_mut()), Shared(g.out.cast_mut()));
        let (sums, filters) = (Shared(work), Shared(filters));
        let spaces = Shared(sums.at(tasks * rows * columns));
        let part = |worker: usize, task: usize| {
            let (group, part) = (task / parts, task % parts);
            let band = spaces.at(worker * each);
            let packed = band.wrapping_add(self.plan.band_len());
            let range = part * units / parts..(part + 1) * units / parts;
            for unit in range.clone() {
                let (i, block) = (unit / self.plan.blocks(), unit % self.plan.blocks());
                let (i, block) = (i * g.groups + group, self.plan.block(block));
                let first = block.rows.start * self.plan.grid.1 + block.columns.start;
                let dy = Strided {
                    ptr: out.at(i * g.out_step + first).cast_const(),
                    outer: self.plan.plane as isize,
                    inner: 1,
                };
                let sums = Sums {
                    plan: &self.plan,
                    positions: (block.rows.len() * block.columns.len(), block.columns.len()),
                    band,
                    dy: packed,
                    to: sums.at(task * rows * columns),
                    add: unit > range.start,
                };
                // SAFETY: images and gradients exist by the contract; the workspace has room for
                // this worker's band and packed gradients and for this part's sums, which no one
                // else uses.
                unsafe {
                    self.fill(&block, image.at(i * g.image_step).cast_const(), band);
                    self.pack(&dy, sums.positions.0, packed);
                    sums.run();
                }
            }
        };
        match tasks {
            // What a block takes is then shared out.
            1 => part(0, 0),
            _ => pool::share(workers, tasks, part),
        }
        let strips = columns.div_ceil(COLUMNS);
        pool::for_each(g.groups * strips, |i| {
            let (group, strip) = (i / strips, i % strips);
            dispatch(Total {
                outs: self.plan.outs,
                all: columns,
                columns: strip * COLUMNS..columns.min((strip + 1) * COLUMNS),
                parts: (parts, rows * columns),
                sums: sums.at(group * parts * rows * columns).cast_const(),
                filters: filters.at(group * self.plan.outs * columns),
            });
        });
    }

    /// Fills the band, channels side by side.
    ///
    /// # Safety
    /// As [`band::fill`].
    unsafe fn fill<T: Float>(&self, block: &Block, image: *const T, band: *mut T) {
        let (image, band) = (Shared(image.cast_mut()), Shared(band));
        pool::for_ranges(self.plan.channels, 16, |from, to| {
            dispatch(Fill {
                plan: &self.plan,
                channels: from..to,
                block,
                image: image.at(0).cast_const(),
                band: band.at(0),
            });
        });
    }

    /// Packs a block's gradients: `[tile of output channels][position][channel]`.
    ///
    /// # Safety
    /// `dy` has all output channels at `positions`, and `packed` is writable for
    /// [`packed_len`](Self::packed_len) elements.
    unsafe fn pack<T: Float>(&self, dy: &Strided<T>, positions: usize, packed: *mut T) {
        let (across, width, _) = tile::<T>(self.plan.outs);
        let (outs, wide, packed) = (self.plan.outs, across * width, Shared(packed));
        pool::for_each(outs.div_ceil(wide), |i| {
            let (n, to) = (wide.min(outs - i * wide), packed.at(i * wide * positions));
            // SAFETY: by the contract; each tile has a part of its own.
            unsafe {
                if n < wide {
                    to.write_bytes(0, wide * positions);
                }
                dy.pack(i * wide, n, 0..positions, to, wide);
            }
        });
    }
}

struct Fill<'a, T> {
    plan: &'a Part,
    channels: Range<usize>,
    block: &'a Block,
    image: *const T,
    band: *mut T,
}

impl<T: Float> Kernel for Fill<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        // SAFETY: `ToFilter::fill`'s contract; channels' parts of the band are disjoint.
        unsafe { band::fill::<A, T>(self.plan, self.channels, self.block, self.image, self.band) };
    }
}

/// A block's sums: `[tile of output channels][column][channel]`.
#[derive(Clone, Copy)]
struct Sums<'a, T> {
    plan: &'a Part,
    /// Positions of the block, and of a row of it.
    positions: (usize, usize),
    band: *const T,
    /// The packed gradients.
    dy: *const T,
    to: *mut T,
    /// Whether they are added to what is there.
    add: bool,
}

// SAFETY: tasks read the band and the gradients, and each writes sums of its own.
unsafe impl<T> Sync for Sums<'_, T> {}

impl<T: Float> Sums<'_, T> {
    /// # Safety
    /// The band is filled and the gradients are packed for the block, and `to` is readable and
    /// writable for all sums.
    unsafe fn run(&self) {
        let (across, width, most) = tile::<T>(self.plan.outs);
        let wide = across * width;
        let columns = self.plan.channels * self.plan.taps.len();
        let tiles = columns.div_ceil(most);
        let down = tiles.div_ceil(TILES);
        pool::for_each(self.plan.outs.div_ceil(wide) * down, |i| {
            let (row, part) = (i / down, i % down);
            let part = part * tiles / down..(part + 1) * tiles / down;
            dispatch(Tiles {
                sums: Sums {
                    dy: self.dy.wrapping_add(row * wide * self.positions.0),
                    to: self.to.wrapping_add(row * wide * columns),
                    ..*self
                },
                // Tiles of nearly the same length.
                tiles: part.map(|t| t * columns / tiles..(t + 1) * columns / tiles),
            });
        });
    }
}

/// Tiles of columns, for one tile of output channels.
struct Tiles<'a, T, I> {
    sums: Sums<'a, T>,
    tiles: I,
}

impl<T: Float, I: Iterator<Item = Range<usize>>> Kernel for Tiles<'_, T, I> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let (across, ..) = tile::<T>(self.sums.plan.outs);
        for columns in self.tiles {
            macro_rules! sum {
                ($across:literal: $($columns:literal)*) => {
                    match columns.len() {
                        // SAFETY: by the contract of `Sums::run`.
                        $($columns => unsafe {
                            self.sums.tile::<T::Lane<A>, $columns, $across>(columns.start)
                        },)*
                        _ => {}
                    }
                };
            }
            match (A::ISA, across) {
                (Isa::Avx512, 1) => sum!(1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
                (Isa::Avx512, _) => sum!(2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
                (Isa::Avx2, 1) => sum!(1: 1 2 3 4 5 6),
                (Isa::Avx2, _) => sum!(2: 1 2 3 4 5 6),
                (Isa::Portable, 1) => sum!(1: 1 2 3 4),
                (Isa::Portable, _) => sum!(4: 1 2 3 4),
            }
        }
    }
}

impl<T: Float> Sums<'_, T> {
    /// Sums of `P` columns × `V` registers.
    ///
    /// # Safety
    /// As [`Sums::run`]; the columns from `first` on exist.
    #[inline(always)]
    unsafe fn tile<L: Lane<T = T>, const P: usize, const V: usize>(&self, first: usize) {
        let Sums { plan, positions: (all, width), band, .. } = *self;
        let (area, zero) = (plan.taps.len(), L::splat(T::default()));
        let starts: [*const T; P] = std::array::from_fn(|j| {
            let (channel, tap) = ((first + j) / area, (first + j) % area);
            band.wrapping_add(channel * plan.layout.plane + plan.taps[tap].offset)
        });
        let mut dy = self.dy;
        let mut position = 0;
        // SAFETY: the band has what these taps cover at all positions, `dy` has `V` registers for
        // each position, and `to` for each column.
        unsafe {
            while position < all {
                let end = all.min(position + STEPS);
                let mut acc = [[zero; V]; P];
                let mut k = position;
                while k < end {
                    let (row, column) = (k / width, k % width);
                    let n = (width - column).min(end - k);
                    let at = row * plan.layout.row + column;
                    for i in at..at + n {
                        let mut y = [zero; V];
                        for (v, y) in y.iter_mut().enumerate() {
                            *y = L::load(dy.add(v * L::W));
                        }
                        dy = dy.add(V * L::W);
                        for (start, row) in starts.iter().zip(&mut acc) {
                            let x = L::splat(*start.add(i));
                            for v in 0..V {
                                row[v] = Lane::fma(x, y[v], row[v]);
                            }
                        }
                    }
                    k += n;
                }
                for (j, row) in acc.iter().enumerate() {
                    for (v, x) in row.iter().enumerate() {
                        let p = self.to.add(((first + j) * V + v) * L::W);
                        let x =
                            if self.add || position > 0 { Lane::add(L::load(p), *x) } else { *x };
                        x.store(p);
                    }
                }
                position = end;
            }
        }
    }
}

/// Some columns of the filters, from partial sums.
struct Total<T> {
    /// Output channels.
    outs: usize,
    /// Elements of a filter.
    all: usize,
    columns: Range<usize>,
    /// How many partial sums there are, and elements from one to the next.
    parts: (usize, usize),
    sums: *const T,
    filters: *mut T,
}

impl<T: Float> Kernel for Total<T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Total { outs, all, columns, parts: (parts, step), sums, filters } = self;
        let (across, width, _) = tile::<T>(outs);
        let wide = across * width;
        for out in (0..outs).step_by(width) {
            let tile = out / wide * wide * all + out % wide;
            let rows = width.min(outs - out);
            for column in columns.clone().step_by(width) {
                let n = width.min(columns.end - column);
                let mut square = [<T::Lane<A>>::splat(T::default()); 16];
                // SAFETY: the partial sums have registers of output channels for every column, and
                // these elements of the filters are this task's own.
                unsafe {
                    for (j, sum) in square[..n].iter_mut().enumerate() {
                        let p = sums.add(tile + (column + j) * wide);
                        *sum = Lane::load(p);
                        for part in 1..parts {
                            *sum = Lane::add(*sum, Lane::load(p.add(part * step)));
                        }
                    }
                    Lane::transpose(&mut square);
                    for (i, row) in square[..rows].iter().enumerate() {
                        row.store_n(filters.add((out + i) * all + column), n);
                    }
                }
            }
        }
    }
}
