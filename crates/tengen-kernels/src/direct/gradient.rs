//! The gradient to the filters: products of results' gradients and of what the window covers,
//! summed over positions.

use super::band;
use super::plan::{Block, Direct};
use crate::conv::Geometry;
use crate::gemm::{self, Input, Source, Strided};
use crate::lanes::{Arch, Float, Kernel, Lane, dispatch};
use crate::pool::{self, Shared};
use std::ops::{Add, Range};

/// The most partial sums.
const PARTS: usize = 8;
/// Elements that all partial sums together may have.
const PARTIAL: usize = 1 << 22;

/// How to compute the gradient to the filters. A worker multiplies block by block, with the
/// window's values packed from a band; where the result is small, some blocks each are summed apart
/// and added up in the end, so that workers need not wait for one another. How many does not depend
/// on the number of workers.
pub struct ToFilter {
    plan: Direct,
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
        let plan = Direct::to_filter::<T>(g)?;
        let blocks = (0..plan.blocks()).map(|i| plan.block(i));
        let positions = blocks.map(|b| b.rows.len() * b.columns.len()).max().unwrap_or(0);
        Some(ToFilter { plan, positions })
    }

    /// Rows and columns of the result.
    fn shape(&self) -> (usize, usize) {
        (self.plan.outs, self.plan.channels * self.plan.taps.len())
    }

    /// Partial sums of each group for `n` images of `groups` groups.
    fn parts(&self, n: usize, groups: usize) -> usize {
        let (rows, columns) = self.shape();
        (n / groups * self.plan.blocks())
            .min(PARTS.div_ceil(groups))
            .min(PARTIAL / (groups * rows * columns).max(1))
            .max(1)
    }

    /// Elements of packed gradients and of the multiplication's workspace.
    fn lens<T: Float>(&self) -> (usize, usize) {
        let (rows, columns) = self.shape();
        let line = |n: usize| n.next_multiple_of(64);
        (
            line(gemm::packed_len::<T>(rows, self.positions)),
            line(gemm::workspace_len::<T>(columns, self.positions)),
        )
    }

    /// Elements of workspace for `n` images of `groups` groups, and `workers` workers.
    pub fn workspace_len<T: Float>(&self, n: usize, groups: usize, workers: usize) -> usize {
        let (rows, columns) = self.shape();
        let (packed, work) = self.lens::<T>();
        self.parts(n, groups) * groups * rows * columns
            + workers * (self.plan.band_len() + packed + work)
    }

    /// The gradient of `n` images, group after group.
    ///
    /// # Safety
    /// `g` has the images and gradients that the plan was made for; `filters` is writable for the
    /// filters, `work` for [`workspace_len`](Self::workspace_len) elements.
    pub unsafe fn run<T: Float + Input<T> + Add<Output = T>>(
        &self,
        g: Gradients<T>,
        filters: *mut T,
        workers: usize,
        work: *mut T,
    ) {
        let (rows, columns) = self.shape();
        let (units, parts) = (g.n / g.groups * self.plan.blocks(), self.parts(g.n, g.groups));
        let len = rows * columns;
        let (packed, space) = self.lens::<T>();
        let each = self.plan.band_len() + packed + space;
        let (image, out) = (Shared(g.image.cast_mut()), Shared(g.out.cast_mut()));
        let (filters, work) = (Shared(filters), Shared(work));
        let spaces = if parts > 1 { work.at(g.groups * parts * len) } else { work.at(0) };
        let spaces = Shared(spaces);
        let part = |worker: usize, task: usize| {
            let (group, part) = (task / parts, task % parts);
            let sums = if parts > 1 { work.at(task * len) } else { filters.at(group * len) };
            let band = spaces.at(worker * each);
            let packed_at = band.wrapping_add(self.plan.band_len());
            let range = part * units / parts..(part + 1) * units / parts;
            for unit in range.clone() {
                let (i, block) = (unit / self.plan.blocks(), unit % self.plan.blocks());
                let (i, block) = (i * g.groups + group, self.plan.block(block));
                let image = image.at(i * g.image_step).cast_const();
                let (plane, row) = (self.plan.plane, self.plan.grid.1);
                let first = block.rows.start * row + block.columns.start;
                let dy = Strided {
                    ptr: out.at(i * g.out_step + first).cast_const(),
                    outer: plane as isize,
                    inner: 1,
                };
                let positions = block.rows.len() * block.columns.len();
                // SAFETY: images and gradients exist by the contract; the workspace has room for
                // this worker's band, packed operands and this part's sums, which no one else
                // uses.
                unsafe {
                    self.fill(&block, image, band);
                    gemm::pack_a(rows, positions, &dy, packed_at);
                    let taps = Taps { plan: &self.plan, width: block.columns.len(), band };
                    let dims = (rows, columns, positions);
                    let accumulate = unit > range.start;
                    let space = packed_at.add(packed);
                    gemm::multiply(dims, packed_at, &taps, sums, columns, accumulate, space);
                }
            }
        };
        if g.groups * parts == 1 {
            // The product itself is then shared out.
            return part(0, 0);
        }
        pool::share(workers, g.groups * parts, part);
        if parts == 1 {
            return;
        }
        pool::for_ranges(g.groups * len, 1 << 14, |from, to| {
            for i in from..to {
                let first = i / len * parts * len + i % len;
                // SAFETY: every part wrote its sums, and ranges are disjoint.
                unsafe {
                    let mut sum = *work.at(first);
                    for p in 1..parts {
                        sum = sum + *work.at(first + p * len);
                    }
                    *filters.at(i) = sum;
                }
            }
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
}

struct Fill<'a, T> {
    plan: &'a Direct,
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

/// What taps cover in a block: element (tap of a channel, position).
struct Taps<'a, T> {
    plan: &'a Direct,
    /// Columns of the block.
    width: usize,
    band: *const T,
}

// SAFETY: a Taps only reads, from a band that its maker leaves alone meanwhile.
unsafe impl<T> Sync for Taps<'_, T> {}

impl<T: Float> Source<T> for Taps<'_, T> {
    unsafe fn pack(&self, outer: usize, n: usize, ks: Range<usize>, dst: *mut T, width: usize) {
        dispatch(PackTaps { taps: self, outer, n, ks, dst, width });
    }
}

struct PackTaps<'a, T> {
    taps: &'a Taps<'a, T>,
    outer: usize,
    n: usize,
    ks: Range<usize>,
    dst: *mut T,
    width: usize,
}

impl<T: Float> Kernel for PackTaps<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { taps: &Taps { plan, width: across, band }, outer, n, ks, dst, width } = self;
        let (w, layout, area) = (<T::Lane<A> as Lane>::W, &plan.layout, plan.taps.len());
        for i in (0..n).step_by(w) {
            let rows = w.min(n - i);
            // Places without a tap repeat one: their values are not stored.
            let starts: [*const T; 16] = std::array::from_fn(|j| {
                let tap = outer + i + if j < rows { j } else { 0 };
                band.wrapping_add(tap / area * layout.plane + plan.taps[tap % area].offset)
            });
            let mut k = ks.start;
            while k < ks.end {
                let (y, x) = (k / across, k % across);
                let columns = w.min(across - x).min(ks.end - k);
                let at = y * layout.row + x;
                let mut square = [<T::Lane<A>>::splat(T::default()); 16];
                // SAFETY: the band has what these taps cover at these positions, and `dst` has
                // `width` ≥ n places for each position.
                unsafe {
                    for j in 0..16 {
                        if j < w {
                            square[j] = <T::Lane<A>>::load_n(starts[j].wrapping_add(at), columns);
                        }
                    }
                    Lane::transpose(&mut square);
                    let to = dst.add((k - ks.start) * width + i);
                    for (j, column) in square.iter().enumerate() {
                        if j < columns {
                            column.store_n(to.add(j * width), rows);
                        }
                    }
                }
                k += columns;
            }
        }
    }
}
