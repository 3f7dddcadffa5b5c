//! Copies between strided layouts.
//!
//! A [`CopyPlan`] describes the copy of an N-dimensional block whose elements lie at strided
//! offsets on either side. Planning drops and merges dimensions, puts the destination's smallest
//! stride innermost, and finds the pair of dimensions that a transposing copy has to tile, so that
//! both sides are touched in runs. Only the bytes move: use an unsigned integer of the element's
//! size for any dtype, and few copies of this code are compiled.

mod run;
#[cfg(test)]
mod tests;
mod tile;

use run::copy_run;
use std::ops::Range;
use tile::copy_tiled;

/// The most dimensions that a layout may have.
pub const MAX_DIMS: usize = 8;

/// Rows of more elements than this are copied in registers.
const LONG: usize = 512;
/// A copy of at least this many bytes goes past the caches: they would not hold it for whoever
/// reads it next.
pub const PAST: usize = 16 << 20;

/// Copies `src` to `dst`, of the same length, past the caches where the machine can: for parts of
/// something of [`PAST`] bytes and more.
///
/// # Panics
/// If the lengths differ.
pub fn copy_past<T: Copy>(src: &[T], dst: &mut [T]) {
    assert_eq!(src.len(), dst.len(), "copy_past: lengths");
    // SAFETY: as many elements as both have.
    unsafe { copy_run(src.as_ptr(), dst.as_mut_ptr(), src.len(), true) }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Dim {
    n: usize,
    src: isize,
    dst: isize,
}

/// How to copy a strided block to another strided block; see the [module](self).
///
/// The work is split into [`units`](CopyPlan::units), which any number of threads may share out.
/// When several elements have the same destination, the one that stays is the same on every run,
/// provided that one thread does all units in order.
#[derive(Clone, Debug)]
pub struct CopyPlan {
    dims: [Dim; MAX_DIMS],
    ndim: usize,
    /// Units count the indices of the dimensions up to and including this one.
    split: usize,
    /// The dimension to tile with the last one.
    tile: Option<usize>,
    units: usize,
    unit_len: usize,
    packed: bool,
    src_range: (isize, isize),
    dst_range: (isize, isize),
}

impl CopyPlan {
    /// A plan for `shape` with strides in elements, or `None` if there are more than [`MAX_DIMS`]
    /// dimensions, the lengths differ, or a count or an offset overflows.
    pub fn new(shape: &[usize], src: &[isize], dst: &[isize]) -> Option<CopyPlan> {
        if shape.len() > MAX_DIMS || src.len() != shape.len() || dst.len() != shape.len() {
            return None;
        }
        shape.iter().try_fold(1usize, |a, &n| a.checked_mul(n.max(1)))?;
        let empty = shape.contains(&0);
        let mut dims = [Dim::default(); MAX_DIMS];
        let mut ndim = 0;
        let (mut src_range, mut dst_range) = ((0isize, 0isize), (0isize, 0isize));
        for ((&n, &s), &d) in shape.iter().zip(src).zip(dst) {
            if n < 2 || empty {
                continue;
            }
            extend(&mut src_range, n, s)?;
            extend(&mut dst_range, n, d)?;
            // Insert by falling destination stride; equal ones keep their order.
            let mut at = ndim;
            while at > 0 && dims[at - 1].dst.unsigned_abs() < d.unsigned_abs() {
                dims[at] = dims[at - 1];
                at -= 1;
            }
            dims[at] = Dim { n, src: s, dst: d };
            ndim += 1;
        }
        ndim = merge(&mut dims, ndim);
        if ndim == 0 {
            dims[0] = Dim { n: usize::from(!empty), src: 1, dst: 1 };
            ndim = 1;
        }
        let inner = dims[ndim - 1];
        let tile = (0..ndim - 1)
            .filter(|&t| dims[t].src != 0 && dims[t].src.unsigned_abs() < inner.src.unsigned_abs())
            .min_by_key(|&t| dims[t].src.unsigned_abs());
        let split = tile.unwrap_or(ndim.saturating_sub(2));
        let count = |d: &[Dim]| d.iter().map(|d| d.n).product::<usize>();
        let (units, unit_len) = (count(&dims[..=split]), count(&dims[split + 1..ndim]));
        let mut next = 1;
        let packed = dims[..ndim].iter().rev().all(|d| {
            let fits = d.dst == next;
            next *= d.n as isize;
            fits
        });
        Some(CopyPlan { dims, ndim, split, tile, units, unit_len, packed, src_range, dst_range })
    }

    /// A plan whose destination is contiguous in C order.
    pub fn to_contiguous(shape: &[usize], src: &[isize]) -> Option<CopyPlan> {
        let mut dst = [0; MAX_DIMS];
        CopyPlan::new(shape, src, contiguous(shape, &mut dst)?)
    }

    /// A plan whose source is contiguous in C order.
    pub fn from_contiguous(shape: &[usize], dst: &[isize]) -> Option<CopyPlan> {
        let mut src = [0; MAX_DIMS];
        CopyPlan::new(shape, contiguous(shape, &mut src)?, dst)
    }

    /// How many pieces the work can be divided into; 0 if there is nothing to copy.
    pub fn units(&self) -> usize {
        self.units
    }

    /// How many elements one unit has.
    pub fn unit_len(&self) -> usize {
        self.unit_len
    }

    /// Copies the units of a range to `dst`, which holds exactly these units: with a contiguous
    /// destination, threads can each fill their own part of it.
    ///
    /// # Panics
    /// If the plan's destination is not contiguous, if `dst` does not have
    /// `units.len() * unit_len()` elements, or if the source does not lie within `src` when its
    /// first element is at `src_offset`.
    pub fn pack<T: Copy>(&self, src: &[T], src_offset: usize, dst: &mut [T], units: Range<usize>) {
        assert!(self.packed, "the destination of this copy is not contiguous");
        assert!(units.start <= units.end && units.end <= self.units, "no such units");
        assert_eq!(dst.len(), units.len() * self.unit_len, "destination length");
        if units.is_empty() {
            return;
        }
        check(self.src_range, src_offset, src.len());
        // SAFETY: the source range lies within `src` (checked above). A packed destination puts
        // unit u at u * unit_len, so shifted by the first unit all writes fall into `dst`, whose
        // length is that of the units. The two slices cannot overlap.
        unsafe {
            let base = dst.as_mut_ptr().wrapping_sub(units.start * self.unit_len);
            self.run(src.as_ptr().add(src_offset), base, units);
        }
    }

    /// Copies everything; the first elements are at `src_offset` and `dst_offset`.
    ///
    /// # Panics
    /// If source or destination does not lie within its slice.
    pub fn copy<T: Copy>(&self, src: &[T], src_offset: usize, dst: &mut [T], dst_offset: usize) {
        if self.units == 0 {
            return;
        }
        check(self.src_range, src_offset, src.len());
        check(self.dst_range, dst_offset, dst.len());
        // SAFETY: both ranges lie within their slices (checked above), which cannot overlap.
        unsafe {
            let (src, dst) = (src.as_ptr().add(src_offset), dst.as_mut_ptr().add(dst_offset));
            self.run(src, dst, 0..self.units);
        }
    }

    /// Copies the units of a range. `src` and `dst` point at the elements with all indices 0.
    ///
    /// # Safety
    /// Every element of these units must be valid to read at `src` and to write at `dst`, no
    /// source element may be a destination element, and no other thread may access the destination
    /// elements of these units meanwhile.
    pub unsafe fn run<T: Copy>(&self, src: *const T, dst: *mut T, units: Range<usize>) {
        let (lead, sub) = self.dims[..self.ndim].split_at(self.split);
        let mut block = [Dim::default(); MAX_DIMS];
        block[..sub.len()].copy_from_slice(sub);
        let block = &mut block[..sub.len()];
        let per = sub[0].n.max(1);
        let mut at = Odometer::at(lead, units.start / per);
        let mut unit = units.start;
        let past = self.units * self.unit_len * size_of::<T>() >= PAST;
        while unit < units.end {
            let from = unit % per;
            let take = (per - from).min(units.end - unit);
            block[0].n = take;
            let src = src.wrapping_offset(at.src + from as isize * sub[0].src);
            let dst = dst.wrapping_offset(at.dst + from as isize * sub[0].dst);
            // SAFETY: the block is the part of these units that has this leading index, which the
            // caller promises to be valid and not shared.
            unsafe {
                match (self.tile, &*block) {
                    (Some(_), block) => copy_tiled(block, src, dst),
                    (None, &[row]) if row.src == 1 && row.dst == 1 => {
                        copy_run(src, dst, row.n, past)
                    }
                    (None, &[row]) => copy_row(row, src, dst),
                    (None, &[rows, row]) if row.src == 1 && row.dst == 1 && row.n > LONG => {
                        for i in 0..rows.n as isize {
                            let (src, dst) = (src.offset(i * rows.src), dst.offset(i * rows.dst));
                            copy_run(src, dst, row.n, past);
                        }
                    }
                    (None, &[rows, row]) => copy_rows(rows, row, src, dst),
                    (None, _) => unreachable!("at most two dimensions follow the split"),
                }
            }
            unit += take;
            at.step(lead);
        }
    }
}

/// The C-order strides of a shape, or `None` on too many dimensions or overflow.
fn contiguous<'a>(shape: &[usize], strides: &'a mut [isize; MAX_DIMS]) -> Option<&'a [isize]> {
    let strides = strides.get_mut(..shape.len())?;
    let mut next = 1isize;
    for (stride, &n) in strides.iter_mut().zip(shape).rev() {
        *stride = next;
        next = next.checked_mul(isize::try_from(n.max(1)).ok()?)?;
    }
    Some(strides)
}

/// Widens the range of offsets by a dimension.
fn extend(range: &mut (isize, isize), n: usize, stride: isize) -> Option<()> {
    let reach = stride.checked_mul(isize::try_from(n - 1).ok()?)?;
    let end = if reach < 0 { &mut range.0 } else { &mut range.1 };
    *end = end.checked_add(reach)?;
    Some(())
}

fn check(range: (isize, isize), offset: usize, len: usize) {
    let fits = offset
        .checked_add_signed(range.0)
        .and(offset.checked_add_signed(range.1))
        .is_some_and(|last| last < len);
    assert!(fits, "a layout reaches outside its slice of {len} elements");
}

/// Merges neighbouring dimensions that both sides step through evenly; returns how many remain.
fn merge(dims: &mut [Dim; MAX_DIMS], ndim: usize) -> usize {
    let mut kept = 0;
    for i in 0..ndim {
        let d = dims[i];
        if kept > 0 {
            let outer = &mut dims[kept - 1];
            let even = |o: isize, i: isize| i.checked_mul(d.n as isize) == Some(o);
            if even(outer.src, d.src) && even(outer.dst, d.dst) {
                *outer = Dim { n: outer.n * d.n, ..d };
                continue;
            }
        }
        dims[kept] = d;
        kept += 1;
    }
    kept
}

/// Counts through the indices of some dimensions and keeps the offsets of both sides.
struct Odometer {
    index: [usize; MAX_DIMS],
    src: isize,
    dst: isize,
}

impl Odometer {
    fn at(dims: &[Dim], mut position: usize) -> Odometer {
        let mut o = Odometer { index: [0; MAX_DIMS], src: 0, dst: 0 };
        for (i, d) in dims.iter().enumerate().rev() {
            o.index[i] = position % d.n;
            position /= d.n;
            o.src += o.index[i] as isize * d.src;
            o.dst += o.index[i] as isize * d.dst;
        }
        o
    }

    /// Moves to the next index; after the last comes the first.
    fn step(&mut self, dims: &[Dim]) {
        for (i, d) in dims.iter().enumerate().rev() {
            self.index[i] += 1;
            self.src += d.src;
            self.dst += d.dst;
            if self.index[i] < d.n {
                return;
            }
            self.index[i] = 0;
            self.src -= d.n as isize * d.src;
            self.dst -= d.n as isize * d.dst;
        }
    }
}

/// # Safety
/// As for [`CopyPlan::run`], for the elements of `row`.
#[inline(always)]
unsafe fn copy_row<T: Copy>(row: Dim, src: *const T, dst: *mut T) {
    // SAFETY: every offset is that of an element of the row.
    unsafe {
        match (row.src, row.dst) {
            // A call costs more than a few moves.
            (1, 1) if row.n > 16 => src.copy_to_nonoverlapping(dst, row.n),
            (1, 1) => (0..row.n).for_each(|i| *dst.add(i) = *src.add(i)),
            (0, 1) => std::slice::from_raw_parts_mut(dst.cast(), row.n)
                .fill(std::mem::MaybeUninit::new(*src)),
            (s, 1) => (0..row.n).for_each(|i| *dst.add(i) = *src.offset(i as isize * s)),
            (s, d) => (0..row.n as isize).for_each(|i| *dst.offset(i * d) = *src.offset(i * s)),
        }
    }
}

/// # Safety
/// As for [`CopyPlan::run`], for the elements of `rows` of `row`.
unsafe fn copy_rows<T: Copy>(rows: Dim, row: Dim, src: *const T, dst: *mut T) {
    for i in 0..rows.n as isize {
        // SAFETY: row i starts at these offsets.
        unsafe { copy_row(row, src.offset(i * rows.src), dst.offset(i * rows.dst)) }
    }
}
