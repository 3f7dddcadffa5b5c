//! Direct convolution: sums over taps and channels, in registers, of a padded part of the image.
//!
//! A worker copies the part of an image that a block of results needs, with zeros around it, into
//! its second-level cache. There every tap reads neighbouring places for neighbouring results,
//! whatever the step of the window, because columns and rows are kept apart by their remainder to
//! the step. A tile of results in registers, some positions × two registers of output channels,
//! then takes one broadcast value per position and tap, and no operand is ever gathered. Where output
//! channels are too few for that, registers hold neighbouring positions (`strips`). The gradient to the
//! input is a sum of the same kind for each remainder of the image's places to the step
//! ([`Direct::to_input`]).

mod band;
mod gradient;
mod plan;
mod strips;
#[cfg(test)]
mod tests;
mod tiles;

pub use gradient::{Gradients, ToFilter};

use crate::conv::Geometry;
use crate::epilogue::Epilogue;
use crate::gemm::Strided;
use crate::lanes::{Arch, Float, Kernel, dispatch, isa};
use crate::pool::{self, Shared};
use plan::{Block, Part, tile};
use std::ops::Range;
use tiles::{Sums, Tile};

/// Tasks that a call is divided into at least, if the results allow.
const TASKS: usize = 8;

/// The images of a call and their results. The channels of a group count as an image.
#[derive(Clone, Copy)]
pub struct Images<T> {
    /// How many.
    pub n: usize,
    /// How many sets of filters there are: image `i` has the filters of group `i % groups`.
    pub groups: usize,
    /// The first image.
    pub image: *const T,
    /// Elements from one image to the next.
    pub image_step: usize,
    /// The first image's results.
    pub out: *mut T,
    /// Elements from one image's results to the next.
    pub out_step: usize,
}

/// A convolution, or its gradient to the input: sums over taps and channels for every position of a
/// grid, or of several that share the results' places.
#[derive(Clone, Debug)]
pub struct Direct(Vec<Part>);

impl Direct {
    /// The convolution; `None` if there is no memory for the plan.
    pub fn forward<T>(g: &Geometry) -> Option<Direct> {
        let mut parts = Vec::new();
        parts.try_reserve(1).ok()?;
        parts.push(Part::forward::<T>(g)?);
        Some(Direct(parts))
    }

    /// The gradient to the input: a part for each remainder of the image's places to the stride.
    /// `None` if there is no memory for the plans.
    pub fn to_input<T>(g: &Geometry) -> Option<Direct> {
        Part::to_input::<T>(g).map(Direct)
    }

    /// Elements of one group's packed filters.
    pub fn packed_len<T: Float>(&self) -> usize {
        self.0.first().map_or(0, Part::packed_len::<T>)
    }

    /// Elements of workspace for `workers` workers.
    pub fn workspace_len(&self, workers: usize) -> usize {
        workers * self.band_len()
    }

    fn band_len(&self) -> usize {
        self.0.iter().map(Part::band_len).max().unwrap_or(0)
    }

    /// Packs the filters of all groups, for all parts: for each block of output channels, input
    /// channel and place of a filter, the factors of the block's channels.
    ///
    /// # Safety
    /// `filters` has the filters that the plan was made for, group after group; `packed` is writable
    /// for [`packed_len`](Self::packed_len) elements of each group.
    pub unsafe fn pack<T: Float>(&self, groups: usize, filters: *const T, packed: *mut T) {
        let Some(&Part { outs, channels, filter, area, .. }) = self.0.first() else { return };
        let (across, width, _) = tile::<T>(outs);
        let columns = across * width;
        let (packed, filters) = (Shared(packed), Shared(filters.cast_mut()));
        let blocks = outs.div_ceil(columns);
        let group_len = (outs * filter.0).max(channels * filter.1);
        pool::for_each(groups * blocks, |i| {
            let (group, block) = (i / blocks, i % blocks);
            let n = columns.min(outs - block * columns);
            let out = packed.at(i * columns * channels * area);
            let pack = |channel: usize, channels: usize| {
                let start = group * group_len + block * columns * filter.0 + channel * filter.1;
                let outer = filter.0 as isize;
                let source = Strided { ptr: filters.at(start).cast_const(), outer, inner: 1 };
                // SAFETY: the filters exist by the contract; each block has a part of `packed` of
                // its own, with `columns` places for every channel and place of a filter.
                unsafe {
                    let dst = out.add(channel * area * columns);
                    source.pack(0, n, 0..channels * area, dst, columns);
                }
            };
            if n < columns {
                // SAFETY: the block's part of `packed`.
                unsafe { out.write_bytes(0, columns * channels * area) };
            }
            if filter.1 == area {
                return pack(0, channels);
            }
            (0..channels).for_each(|channel| pack(channel, 1));
        });
    }

    /// The sums for all images, through the epilogue.
    ///
    /// # Safety
    /// `packed` holds filters packed by [`pack`](Self::pack) for as many groups and on this
    /// instruction set, `work` is writable for [`workspace_len`](Self::workspace_len) elements, and
    /// `images` has the images and, for writing, the results that the plan was made for.
    pub unsafe fn run<'a, T: Float>(
        &self,
        images: Images<T>,
        packed: *const T,
        workers: usize,
        work: *mut T,
        epilogue: Epilogue<'a, T>,
    ) {
        let (band, filters) = (self.band_len(), self.packed_len::<T>());
        let (image, out) = (Shared(images.image.cast_mut()), Shared(images.out));
        let (packed, work) = (Shared(packed.cast_mut()), Shared(work));
        let isa = isa();
        let cuts: Vec<Cut<'_>> = self.0.iter().map(|part| Cut::new::<T>(part, images.n)).collect();
        let tasks = cuts.iter().map(|cut| cut.tasks()).sum();
        pool::share(workers, tasks, |worker, mut task| {
            let Some(cut) = cuts.iter().find(|cut| {
                let here = task < cut.tasks();
                task -= if here { 0 } else { cut.tasks() };
                here
            }) else {
                return;
            };
            let Cut { part, blocks, columns, shares, .. } = *cut;
            let (unit, share) = (task / shares, task % shares);
            let (i, block) = (unit / blocks, part.block(unit % blocks));
            // The block that this worker probably has next.
            let next = unit + workers.div_ceil(shares);
            let (k, next) = (next / blocks, part.block(next % blocks));
            let group = i % images.groups;
            debug_assert!(crate::lanes::isa() == isa);
            dispatch(Task {
                plan: part,
                block,
                image: image.at(i * images.image_step).cast_const(),
                next: image.at(k * images.image_step + part.first(&next)).cast_const(),
                out: out.at(i * images.out_step),
                packed: packed.at(group * filters).cast_const(),
                band: work.at(worker * band),
                columns: share * columns / shares..(share + 1) * columns / shares,
                epilogue: epilogue.part(group * part.outs, i * images.out_step),
            });
        });
    }
}

/// How a part's results are shared out.
struct Cut<'a> {
    part: &'a Part,
    /// Blocks of an image.
    blocks: usize,
    /// Blocks of all images.
    units: usize,
    /// Blocks of output channels.
    columns: usize,
    /// Tasks that a block is divided into.
    shares: usize,
}

impl Cut<'_> {
    fn new<T: Float>(part: &Part, images: usize) -> Cut<'_> {
        let (across, width, _) = tile::<T>(part.outs);
        let (blocks, columns) = (part.blocks(), part.outs.div_ceil(across * width));
        let units = images * blocks;
        // Few blocks: output channels are shared out too.
        let shares = TASKS.div_ceil(units.max(1)).min(columns).max(1);
        Cut { part, blocks, units, columns, shares }
    }

    fn tasks(&self) -> usize {
        self.units * self.shares
    }
}

/// One block of results of one image, for some blocks of output channels.
struct Task<'a, T> {
    plan: &'a Part,
    block: Block,
    image: *const T,
    /// The first pixel that the block which follows needs, if there is one.
    next: *const T,
    out: *mut T,
    packed: *const T,
    band: *mut T,
    columns: Range<usize>,
    epilogue: Epilogue<'a, T>,
}

impl<T: Float> Kernel for Task<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        // SAFETY: `run`'s contract: the image is readable, and the band has room for every block.
        unsafe {
            band::fill::<A, T>(self.plan, 0..self.plan.channels, &self.block, self.image, self.band)
        };
        let (across, width, positions) = tile::<T>(self.plan.outs);
        let strips = self.plan.has_strips::<T>();
        // Positions that stay together, and the most of those in a tile.
        let (unit, most) = if strips { (width, strips::REGISTERS) } else { (1, positions) };
        let panel = self.plan.channels * self.plan.area * across * width;
        // The next block's part of the image is fetched while this one's sums are made: of every
        // channel, a cache line for each tile.
        let plane = self.plan.image.0 * self.plan.image.1;
        let ahead = 64 / size_of::<T>();
        let lines = self.plan.span().div_ceil(ahead);
        let mut line = 0;
        let mut sums = Sums::default();
        for column in self.columns.clone() {
            // SAFETY: filters were packed for every block of output channels.
            let filters = unsafe { self.packed.add(column * panel) };
            for row in self.block.rows.clone() {
                let n = self.block.columns.len();
                let units = n.div_ceil(unit);
                let tiles = units.div_ceil(most);
                for t in 0..tiles {
                    // Tiles of nearly the same length.
                    let from = t * units / tiles * unit;
                    let to = n.min((t + 1) * units / tiles * unit);
                    let tile = Tile {
                        plan: self.plan,
                        band: self.band,
                        filters,
                        across,
                        at: (row - self.block.rows.start, from),
                        positions: to - from,
                        strips,
                        out: self.out,
                        place: (row, self.block.columns.start + from),
                        first: column * across * width,
                        epilogue: &self.epilogue,
                        ahead: if line <= lines {
                            (self.next.wrapping_add(line * ahead), plane)
                        } else {
                            (self.next, 0)
                        },
                    };
                    line += 1;
                    // SAFETY: the band holds what the block's taps read, and the results exist.
                    unsafe { tile.run::<A>(&mut sums) };
                }
            }
        }
    }
}
