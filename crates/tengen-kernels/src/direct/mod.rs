//! Direct convolution: sums over taps and channels, in registers, of a padded part of the image.
//!
//! A worker copies the part of an image that a block of results needs, with zeros around it, into
//! its second-level cache. There every tap reads neighbouring places for neighbouring results,
//! whatever the step of the window, because columns and rows are kept apart by their remainder to
//! the step. A tile of results in registers, some positions × two registers of output channels,
//! then takes one broadcast value per position and tap, and no operand is ever gathered. Where output
//! channels are too few for that, registers hold neighbouring positions (`strips`). The gradient to the input is a sum of the same kind for each remainder of the image's places to the
//! step ([`Direct::to_input`]).

mod band;
mod gradient;
mod plan;
mod strips;
#[cfg(test)]
mod tests;
mod tiles;

pub use gradient::{Gradients, ToFilter};
pub use plan::Direct;

use crate::gemm::Strided;
use crate::lanes::{Arch, Float, Kernel, dispatch, isa};
use crate::pool::{self, Shared};
use crate::winograd::Epilogue;
use plan::{Block, tile};
use std::ops::Range;
use tiles::Tile;

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

impl Direct {
    /// Elements of one group's packed filters.
    pub fn packed_len<T: Float>(&self) -> usize {
        let (across, width, _) = tile::<T>(self.outs);
        self.outs.next_multiple_of(across * width) * self.channels * self.taps.len()
    }

    /// Elements of workspace for `workers` workers.
    pub fn workspace_len(&self, workers: usize) -> usize {
        workers * self.band_len()
    }

    /// Packs the filters of all groups: for each block of output channels, input channel and tap, the
    /// factors of the block's channels.
    ///
    /// # Safety
    /// `filters` has the filters that the plan was made for, group after group; `packed` is writable
    /// for [`packed_len`](Self::packed_len) elements of each group.
    pub unsafe fn pack<T: Float>(&self, groups: usize, filters: *const T, packed: *mut T) {
        let (across, width, _) = tile::<T>(self.outs);
        let (columns, taps) = (across * width, self.taps.len());
        let (packed, filters) = (Shared(packed), Shared(filters.cast_mut()));
        // Taps that lie one after the other are packed together, channels too where they follow.
        let whole = self.contiguous() && self.filter.1 == taps;
        let blocks = self.outs.div_ceil(columns);
        let group_len = (self.outs * self.filter.0).max(self.channels * self.filter.1);
        pool::for_each(groups * blocks, |i| {
            let (group, block) = (i / blocks, i % blocks);
            let n = columns.min(self.outs - block * columns);
            let out = packed.at(i * columns * self.channels * taps);
            let pack = |at: usize, steps: usize, channel: usize, tap: usize| {
                let start = group * group_len + block * columns * self.filter.0 + at;
                let outer = self.filter.0 as isize;
                let source = Strided { ptr: filters.at(start).cast_const(), outer, inner: 1 };
                // SAFETY: the filters exist by the contract; each block has a part of `packed` of
                // its own, with `columns` places for every channel and tap.
                unsafe {
                    let dst = out.add((channel * taps + tap) * columns);
                    source.pack(0, n, 0..steps, dst, columns);
                }
            };
            if n < columns {
                // SAFETY: the block's part of `packed`.
                unsafe { out.write_bytes(0, columns * self.channels * taps) };
            }
            if whole {
                return pack(0, self.channels * taps, 0, 0);
            }
            for channel in 0..self.channels {
                let start = channel * self.filter.1;
                if self.contiguous() {
                    pack(start, taps, channel, 0);
                } else {
                    for (i, tap) in self.taps.iter().enumerate() {
                        pack(start + tap.filter, 1, channel, i);
                    }
                }
            }
        });
    }

    /// The sums for all images, through the epilogue.
    ///
    /// # Safety
    /// `packed` holds filters packed by [`pack`](Self::pack) for as many groups and on this
    /// instruction set, `work` is writable for [`workspace_len`](Self::workspace_len) elements, and `images` has the images
    /// and, for writing, the results that the plan was made for.
    pub unsafe fn run<'a, T: Float>(
        &self,
        images: Images<T>,
        packed: *const T,
        workers: usize,
        work: *mut T,
        epilogue: Epilogue<'a, T>,
    ) {
        let (across, width, _) = tile::<T>(self.outs);
        let columns = self.outs.div_ceil(across * width);
        let blocks = self.blocks();
        let units = images.n * blocks;
        if units == 0 {
            return;
        }
        // Few blocks: output channels are shared out too.
        let parts = TASKS.div_ceil(units).min(columns).max(1);
        let (band, filters) = (self.band_len(), self.packed_len::<T>());
        let (image, out) = (Shared(images.image.cast_mut()), Shared(images.out));
        let (packed, work) = (Shared(packed.cast_mut()), Shared(work));
        let isa = isa();
        pool::share(workers, units * parts, |worker, task| {
            let (unit, part) = (task / parts, task % parts);
            let (i, block) = (unit / blocks, self.block(unit % blocks));
            // The block that this worker probably has next.
            let next = unit + workers.div_ceil(parts);
            let (k, next) = (next / blocks, self.block(next % blocks));
            let group = i % images.groups;
            let channels = |values: Option<&'a [T]>| values.map(|v| &v[group * self.outs..]);
            debug_assert!(crate::lanes::isa() == isa);
            dispatch(Task {
                plan: self,
                block,
                image: image.at(i * images.image_step).cast_const(),
                next: image.at(k * images.image_step + self.first(&next)).cast_const(),
                out: out.at(i * images.out_step),
                packed: packed.at(group * filters).cast_const(),
                band: work.at(worker * band),
                columns: part * columns / parts..(part + 1) * columns / parts,
                epilogue: Epilogue {
                    bias: channels(epilogue.bias),
                    slope: channels(epilogue.slope),
                    residual: epilogue.residual.map(|r| &r[i * images.out_step..]),
                },
            });
        });
    }
}

/// One block of results of one image, for some blocks of output channels.
struct Task<'a, T> {
    plan: &'a Direct,
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
        let panel = self.plan.channels * self.plan.taps.len() * across * width;
        // The next block's part of the image is fetched while this one's sums are made: of every
        // channel, a cache line for each tile.
        let plane = self.plan.image.0 * self.plan.image.1;
        let ahead = 64 / size_of::<T>();
        let lines = self.plan.span().div_ceil(ahead);
        let mut line = 0;
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
                    unsafe { tile.run::<A>() };
                }
            }
        }
    }
}
