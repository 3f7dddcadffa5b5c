//! The part of an image that a block of results needs, with zeros around the image.

use super::plan::{Axis, Block, Part};
use crate::lanes::{Arch, Float, Lane, prefetch};
use std::ops::Range;

/// Elements that are taken from twice as many at once, in registers.
const BLOCK: usize = 16;

/// Channels between the one that is copied and the one that is fetched: their rows lie too far apart
/// to be fetched unasked.
const AHEAD: usize = 4;

/// Places `k` < `n` for which `start + k·step` lies in `0..extent`.
#[inline(always)]
fn inside(start: isize, step: usize, extent: usize, n: usize) -> (usize, usize) {
    let low = if start >= 0 { 0 } else { start.unsigned_abs().div_ceil(step) };
    let high = (extent as isize - start).max(0) as usize;
    let high = high.div_ceil(step).min(n);
    (low.min(high), high)
}

/// The place that a slot's first place of a block has along an axis.
#[inline(always)]
fn first(axis: &Axis, slot: usize, window: usize) -> isize {
    axis.starts[slot] + (window * axis.step) as isize
}

/// Copies what the windows of `block` see of some channels of an image to `band`.
///
/// # Safety
/// The image has the planes that the plan names; `band` is writable for `channels` planes of the
/// plan's layout.
#[inline(always)]
pub(super) unsafe fn fill<A: Arch, T: Float>(
    plan: &Part,
    channels: Range<usize>,
    block: &Block,
    image: *const T,
    band: *mut T,
) {
    let ((h, w), layout) = (plan.image, &plan.layout);
    let slots = (0..plan.rows.starts.len())
        .flat_map(|row| (0..plan.columns.starts.len()).map(move |column| (row, column)));
    for (row_slot, column_slot) in slots {
        let top = first(&plan.rows, row_slot, block.rows.start);
        let (low, high) = inside(top, plan.rows.step, h, layout.rows);
        let left = first(&plan.columns, column_slot, block.columns.start);
        let (from, end) = inside(left, plan.columns.step, w, layout.columns);
        let x = left + (from * plan.columns.step) as isize;
        for (c, r) in channels.clone().flat_map(|c| (0..layout.rows).map(move |r| (c, r))) {
            let line = c * layout.plane + (row_slot * layout.rows + r) * layout.row;
            let y = top + (r * plan.rows.step) as isize;
            // SAFETY: rows of the layout lie in the band, and `low..high` are rows of the image;
            // columns likewise.
            unsafe {
                let to = band.add(line + column_slot * layout.columns);
                if r < low || r >= high {
                    clear::<A, T>(to, layout.columns);
                    continue;
                }
                clear::<A, T>(to, from);
                clear::<A, T>(to.add(end), layout.columns - end);
                let row = image.add((c * h + y as usize) * w).wrapping_offset(x);
                if column_slot == 0 {
                    let ahead = row.wrapping_add(AHEAD * h * w);
                    let row = (end - from) * plan.columns.step;
                    for x in (0..row).step_by(64 / size_of::<T>()) {
                        prefetch(ahead.wrapping_add(x));
                    }
                }
                copy::<A, T>(row, plan.columns.step, to.add(from), end - from);
            }
        }
    }
}

/// Writes `n` zeros; a few of them mostly, for which a call takes longer.
///
/// # Safety
/// `to` is writable for `n` elements.
#[inline(always)]
unsafe fn clear<A: Arch, T: Float>(to: *mut T, n: usize) {
    let zero = <T::Lane<A>>::splat(T::default());
    for i in (0..n).step_by(<T::Lane<A>>::W) {
        // SAFETY: by the contract.
        unsafe { zero.store_n(to.add(i), <T::Lane<A>>::W.min(n - i)) };
    }
}

/// Copies `n` elements at distance `step`.
///
/// # Safety
/// The elements are readable, and `to` is writable for `n`.
#[inline(always)]
unsafe fn copy<A: Arch, T: Float>(from: *const T, step: usize, to: *mut T, n: usize) {
    let w = <T::Lane<A> as Lane>::W;
    // SAFETY: no element from `n` on is touched.
    unsafe {
        match step {
            1 => {
                let mut i = 0;
                while i + w <= n {
                    <T::Lane<A>>::load(from.add(i)).store(to.add(i));
                    i += w;
                }
                if i < n {
                    <T::Lane<A>>::load_n(from.add(i), n - i).store_n(to.add(i), n - i);
                }
            }
            2 if n >= BLOCK => {
                for i in (0..n).step_by(BLOCK) {
                    // The last block may overlap the one before it; what lies beyond its last
                    // element is not read.
                    let at = i.min(n - BLOCK);
                    let from = from.add(2 * at);
                    let pairs = from.cast::<[[T; 2]; BLOCK - 1]>().read_unaligned();
                    let mut block = [*from.add(2 * BLOCK - 2); BLOCK];
                    for (to, pair) in block.iter_mut().zip(&pairs) {
                        *to = pair[0];
                    }
                    to.add(at).cast::<[T; BLOCK]>().write_unaligned(block);
                }
            }
            _ => (0..n).for_each(|i| *to.add(i) = *from.add(step * i)),
        }
    }
}
