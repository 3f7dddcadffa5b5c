//! Depthwise convolution and its gradients: one plane and one filter at a time.
//!
//! A worker keeps a copy of the plane with zeros around it, in which the columns that lie one
//! horizontal stride apart are neighbours: every tap is then a row of neighbours at a fixed offset.
//! Results are summed in registers, a few rows at once. The gradient to the input is such a sum
//! over the gradient to the result, with one list of taps for each place in the stride; the
//! gradient to the filter keeps the sums of several taps in registers.

mod plane;
#[cfg(test)]
mod tests;

use crate::conv::{Geometry, Real};
use crate::lanes::{Arch, Kernel, Lane, dispatch};
use plane::Plane;

/// Rows of results that are summed at once.
const ROWS: usize = 4;
/// Taps of which a gradient is summed at once.
const TAPS: usize = 9;
/// As many elements as the widest register has.
const SLACK: usize = 16;
/// Elements that are taken apart or put between each other at once.
const BLOCK: usize = 16;

/// A tap's place in the filter, and its offset in the padded plane.
#[derive(Clone, Copy)]
struct Tap {
    filter: usize,
    offset: usize,
}

/// The results, or the gradients to the input, of planes of one geometry.
///
/// A worker has a workspace, which starts as zeros and is used with one plan only.
pub struct Sums {
    plane: Plane,
    /// The taps of each place in the stride, row after row of places.
    taps: Vec<Vec<Tap>>,
    /// From a row of results of one place to the next, in rows of the plane.
    step: usize,
    /// Places in the stride.
    places: (usize, usize),
    out: (usize, usize),
}

impl Sums {
    /// The convolution of an image with one channel; `None` without memory for the plan.
    pub fn forward(g: &Geometry) -> Option<Sums> {
        let plane = Plane::of_image(g)?;
        let mut taps = Vec::new();
        taps.try_reserve_exact(1).ok()?;
        taps.push(image_taps(g, &plane)?);
        Some(Sums { plane, taps, step: g.stride.0, places: (1, 1), out: g.out })
    }

    /// The gradient to the image, summed over the gradient to the result.
    pub fn to_input(g: &Geometry) -> Option<Sums> {
        // Element i·stride + place of the image gets tap k of position
        // i + (place + padding − k·dilation) / stride, where that is a whole number.
        let shift = |place: usize, k: usize, axis: fn((usize, usize)) -> usize| {
            let (stride, padding) = (axis(g.stride) as isize, axis(g.padding) as isize);
            let from = place as isize + padding - (k * axis(g.dilation)) as isize;
            (from.rem_euclid(stride) == 0).then(|| from.div_euclid(stride))
        };
        // An image smaller than the stride has fewer places.
        let places = (g.stride.0.min(g.image.0), g.stride.1.min(g.image.1));
        let (vertical, horizontal) = (|p: (usize, usize)| p.0, |p: (usize, usize)| p.1);
        let reach = |taps: usize, axis: fn((usize, usize)) -> usize| {
            let all = (0..axis(places))
                .flat_map(|place| (0..taps).filter_map(move |k| shift(place, k, axis)));
            all.fold((0, 0), |(low, high), s| (s.min(low), s.max(high)))
        };
        let ((top, bottom), (left, right)) =
            (reach(g.filter.0, vertical), reach(g.filter.1, horizontal));
        let rows = g.image.0.div_ceil(g.stride.0).checked_add_signed(bottom - top)?;
        let columns = g.image.1.div_ceil(g.stride.1).checked_add_signed(right - left)?;
        let plane = Plane { source: g.out, rows, width: columns, phases: 1, before: (-top, -left) };
        plane.len()?;
        let mut taps = Vec::new();
        taps.try_reserve_exact(places.0.checked_mul(places.1)?).ok()?;
        for place in 0..places.0 * places.1 {
            let mut list = Vec::new();
            for ky in 0..g.filter.0 {
                let Some(y) = shift(place / places.1, ky, vertical) else { continue };
                for kx in 0..g.filter.1 {
                    let Some(x) = shift(place % places.1, kx, horizontal) else { continue };
                    list.try_reserve(1).ok()?;
                    let offset = (y - top) as usize * columns + (x - left) as usize;
                    list.push(Tap { filter: ky * g.filter.1 + kx, offset });
                }
            }
            taps.push(list);
        }
        Some(Sums { plane, taps, step: 1, places, out: g.image })
    }

    /// Elements of a worker's workspace; `None` if there are too many.
    pub fn workspace_len(&self) -> Option<usize> {
        self.plane.len()?.checked_add(self.lines_len()?)
    }

    /// Elements of one line of results of one horizontal place, in whole registers.
    fn line(&self) -> usize {
        self.out.1.div_ceil(self.places.1).next_multiple_of(SLACK)
    }

    /// Elements of the lines that wait to be put between each other.
    fn lines_len(&self) -> Option<usize> {
        if self.places.1 == 1 { Some(0) } else { self.line().checked_mul(self.places.1 * ROWS) }
    }

    /// Copies a plane into the workspace.
    pub fn load<T: Real>(&self, source: &[T], work: &mut [T]) {
        self.plane.load(source, work);
    }

    /// The sums of the loaded plane's elements, weighted by `filter`: put into `out`, or added.
    ///
    /// # Panics
    /// If a slice is shorter than the geometry or the workspace's length says.
    pub fn run<T: Real>(&self, filter: &[T], out: &mut [T], add: bool, work: &mut [T]) {
        assert!(out.len() >= self.out.0 * self.out.1, "depthwise: result");
        assert!(Some(work.len()) >= self.workspace_len(), "depthwise: workspace");
        dispatch(Run { sums: self, filter, out, add, work });
    }
}

/// Every tap's offset in the padded plane of the image.
fn image_taps(g: &Geometry, plane: &Plane) -> Option<Vec<Tap>> {
    let mut taps = Vec::new();
    taps.try_reserve_exact(g.filter.0.checked_mul(g.filter.1)?).ok()?;
    for ky in 0..g.filter.0 {
        for kx in 0..g.filter.1 {
            let x = kx * g.dilation.1;
            let column = x % g.stride.1 * plane.width + x / g.stride.1;
            let offset = ky * g.dilation.0 * plane.row() + column;
            taps.push(Tap { filter: ky * g.filter.1 + kx, offset });
        }
    }
    Some(taps)
}

struct Run<'a, T> {
    sums: &'a Sums,
    filter: &'a [T],
    out: &'a mut [T],
    add: bool,
    work: &'a mut [T],
}

impl<T: Real> Kernel for Run<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Run { sums, filter, out, add, work } = self;
        let (down, across) = sums.places;
        let (row, line, width) = (sums.plane.row(), sums.line(), sums.out.1);
        let (plane, lines) = work.split_at_mut(work.len() - sums.lines_len().unwrap_or(0));
        for place in 0..down {
            // Rows place, place + down, … of the result.
            let rows = sums.out.0.saturating_sub(place).div_ceil(down);
            for first in (0..rows).step_by(ROWS) {
                // The last group repeats its last row.
                let at: [usize; ROWS] = std::array::from_fn(|i| (first + i).min(rows - 1));
                let from = at.map(|j| j * sums.step * row);
                for side in 0..across {
                    let columns = width.saturating_sub(side).div_ceil(across);
                    let taps = &sums.taps[place * across + side];
                    let w = <T::Lane<A> as Lane>::W;
                    for x in (0..columns).step_by(w) {
                        // Masked stores are slow: the last register of a row overlaps the one
                        // before it, and a row narrower than one runs on into the next row, which
                        // comes later.
                        let x = if add || columns < w { x } else { x.min(columns - w) };
                        let n = (columns - x).min(w);
                        let mut to = [(std::ptr::null_mut(), n); ROWS];
                        for i in 0..ROWS {
                            if across == 1 {
                                let start = (at[i] * down + place) * width + x;
                                let runs_on = !add && down == 1 && start + w <= out.len();
                                let n = if runs_on { w } else { n };
                                to[i] = (out[start..start + n].as_mut_ptr(), n);
                            } else {
                                let start = (i * across + side) * line + x;
                                to[i] = (lines[start..start + w].as_mut_ptr(), w);
                            };
                        }
                        // SAFETY: `to` are checked above; a tap of a result lies in the plane, and
                        // a register's worth further is still in the slack.
                        unsafe {
                            let from = from.map(|from| plane.as_ptr().add(from + x));
                            let sums = sum_rows::<T::Lane<A>>(taps, filter, from);
                            for i in 0..ROWS {
                                let (to, n) = to[i];
                                if n == w && !(add && across == 1) {
                                    sums[i].store(to);
                                } else if !(add && across == 1) {
                                    sums[i].store_n(to, n);
                                } else if first + i < rows {
                                    // Repeated rows must not be added twice.
                                    Lane::add(<T::Lane<A>>::load_n(to, n), sums[i]).store_n(to, n);
                                }
                            }
                        }
                    }
                }
                if across > 1 {
                    for i in 0..ROWS.min(rows - first) {
                        let start = (at[i] * down + place) * width;
                        let to = &mut out[start..start + width];
                        between(&lines[i * across * line..], line, across, to, add);
                    }
                }
            }
        }
    }
}

/// The sums of a register of results in each of some rows.
///
/// # Safety
/// A register can be read at every tap's offset from each of `from`.
#[inline(always)]
unsafe fn sum_rows<L: Lane>(taps: &[Tap], filter: &[L::T], from: [*const L::T; ROWS]) -> [L; ROWS] {
    let mut sums = [L::splat(L::T::default()); ROWS];
    for tap in taps {
        let weight = L::splat(filter[tap.filter]);
        for i in 0..ROWS {
            // SAFETY: as the caller promises.
            sums[i] = weight.fma(unsafe { L::load(from[i].add(tap.offset)) }, sums[i]);
        }
    }
    sums
}

/// Puts the elements of `n` lines in turn into a row, or adds them.
#[inline(always)]
fn between<T: Real>(lines: &[T], line: usize, n: usize, to: &mut [T], add: bool) {
    if n == 2 && !add {
        let (a, b) = (&lines[..line], &lines[line..2 * line]);
        let (blocks, rest) = to.as_chunks_mut::<BLOCK>();
        let done = blocks.len() * (BLOCK / 2);
        for (to, (a, b)) in blocks
            .iter_mut()
            .zip(a.as_chunks::<{ BLOCK / 2 }>().0.iter().zip(b.as_chunks::<{ BLOCK / 2 }>().0))
        {
            for i in 0..BLOCK / 2 {
                (to[2 * i], to[2 * i + 1]) = (a[i], b[i]);
            }
        }
        for (i, to) in rest.iter_mut().enumerate() {
            *to = if i % 2 == 0 { a[done + i / 2] } else { b[done + i / 2] };
        }
        return;
    }
    for (side, line) in lines.chunks(line).take(n).enumerate() {
        let to = to.iter_mut().skip(side).step_by(n);
        to.zip(line).for_each(|(to, v)| *to = if add { *to + *v } else { *v });
    }
}

/// The gradient to the filters of planes of one geometry; with a workspace as [`Sums`] has.
pub struct ToFilter {
    plane: Plane,
    taps: Vec<Tap>,
    step: usize,
    out: (usize, usize),
}

impl ToFilter {
    /// For images with one channel; `None` without memory for the plan.
    pub fn new(g: &Geometry) -> Option<ToFilter> {
        let plane = Plane::of_image(g)?;
        let taps = image_taps(g, &plane)?;
        Some(ToFilter { plane, taps, step: g.stride.0, out: g.out })
    }

    /// Elements of a worker's workspace; `None` if there are too many.
    pub fn workspace_len(&self) -> Option<usize> {
        self.plane.len()
    }

    /// Copies a plane of an image into the workspace.
    pub fn load<T: Real>(&self, image: &[T], work: &mut [T]) {
        self.plane.load(image, work);
    }

    /// Adds the gradient to the filter, given the gradient `out` to the result of the loaded
    /// plane, to `filter`.
    ///
    /// # Panics
    /// If a slice is shorter than the geometry or the workspace's length says.
    pub fn run<T: Real>(&self, out: &[T], filter: &mut [T], work: &[T]) {
        assert!(out.len() >= self.out.0 * self.out.1, "depthwise: gradient");
        assert!(Some(work.len()) >= self.workspace_len(), "depthwise: workspace");
        dispatch(RunToFilter { plan: self, out, filter, plane: work });
    }
}

struct RunToFilter<'a, T> {
    plan: &'a ToFilter,
    out: &'a [T],
    filter: &'a mut [T],
    plane: &'a [T],
}

impl<T: Real> Kernel for RunToFilter<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let RunToFilter { plan, out, filter, plane } = self;
        let ((oh, ow), w) = (plan.out, <T::Lane<A> as Lane>::W);
        let whole = ow - ow % w;
        for taps in plan.taps.chunks(TAPS) {
            // The last group repeats its last tap.
            let offsets: [usize; TAPS] =
                std::array::from_fn(|i| taps[i.min(taps.len() - 1)].offset);
            let mut sums = [<T::Lane<A>>::splat(T::default()); TAPS];
            for y in 0..oh {
                // SAFETY: row y of `out` and a register's worth at each tap of its elements lie in
                // the slices, whose lengths were checked; only its own elements count at the end.
                unsafe {
                    let from = out.as_ptr().add(y * ow);
                    let row = plane.as_ptr().add(y * plan.step * plan.plane.row());
                    for x in (0..whole).step_by(w) {
                        let v = <T::Lane<A>>::load(from.add(x));
                        for i in 0..TAPS {
                            let u = <T::Lane<A>>::load(row.add(x + offsets[i]));
                            sums[i] = Lane::fma(v, u, sums[i]);
                        }
                    }
                    if whole < ow {
                        let n = ow - whole;
                        let v = <T::Lane<A>>::load_n(from.add(whole), n);
                        for i in 0..TAPS {
                            let u = <T::Lane<A>>::load_n(row.add(whole + offsets[i]), n);
                            sums[i] = Lane::fma(v, u, sums[i]);
                        }
                    }
                }
            }
            for (tap, sum) in taps.iter().zip(sums) {
                filter[tap.filter] = filter[tap.filter] + sum.sum();
            }
        }
    }
}
