//! Two-dimensional convolution and its gradients, on images in NCHW order.
//!
//! The general case multiplies matrices whose operand is an image seen through the kernel's window
//! ([`Window`]); the window's values are gathered while they are packed, so no such matrix ever
//! exists. Depthwise convolution, which has no sum over channels, has loops of its own.

use crate::gemm::{Input, Source};
use crate::lanes::{Arch, Float, Kernel, Lane, dispatch};
use std::ops::Range;

/// The geometry of a convolution of one group: an image of `c` planes of `h` × `w`, `k` filters of
/// `c` × `r` × `s`, and results of `k` planes of `oh` × `ow`. Pairs are (vertical, horizontal).
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// Input channels.
    pub c: usize,
    /// Input height and width.
    pub image: (usize, usize),
    /// Output channels.
    pub k: usize,
    /// Filter height and width.
    pub filter: (usize, usize),
    /// Output height and width.
    pub out: (usize, usize),
    /// Step of the window.
    pub stride: (usize, usize),
    /// Zeros around the image, on each side.
    pub padding: (usize, usize),
    /// Distance between the filter's taps.
    pub dilation: (usize, usize),
}

impl Geometry {
    /// Elements of one image.
    pub fn image_len(&self) -> usize {
        self.c * self.image.0 * self.image.1
    }
    /// Elements of one result.
    pub fn out_len(&self) -> usize {
        self.k * self.pixels()
    }
    /// Positions of the window.
    pub fn pixels(&self) -> usize {
        self.out.0 * self.out.1
    }
    /// Taps of one filter, over all channels.
    pub fn taps(&self) -> usize {
        self.c * self.filter.0 * self.filter.1
    }

    /// Channel and offsets of a tap.
    #[inline(always)]
    fn tap(&self, t: usize) -> (usize, usize, usize) {
        let (r, s) = self.filter;
        (t / (r * s), t / s % r, t % s)
    }

    /// Window positions along one axis at which a tap at `offset` lies inside the image.
    #[inline(always)]
    fn inside(offset: isize, stride: usize, extent: usize, out: usize) -> Range<usize> {
        // 0 ≤ o·stride + offset < extent
        let low = if offset >= 0 { 0 } else { (-offset) as usize }.div_ceil(stride);
        let high = (extent as isize - offset).max(0) as usize;
        let high = high.div_ceil(stride).min(out);
        low.min(high)..high
    }
}

/// An image seen through the window: element (pixel, tap) is what the tap covers at that position.
pub struct Window<'a, T> {
    /// The image, of `c` planes.
    pub image: &'a [T],
    /// How the window moves.
    pub geometry: Geometry,
}

/// Window positions in one row of the result: `n` of them from column `x` of row `y` on, at places
/// from `at` on.
#[derive(Clone, Copy)]
struct Run {
    at: usize,
    y: usize,
    x: usize,
    n: usize,
}

/// Cuts `n` positions from `first` on, of rows of `width`, into runs.
#[inline(always)]
fn runs(first: usize, n: usize, width: usize, mut f: impl FnMut(Run)) {
    let (mut y, mut x, mut at) = (first / width, first % width, 0);
    while at < n {
        let len = (width - x).min(n - at);
        f(Run { at, y, x, n: len });
        at += len;
        (x, y) = (0, y + 1);
    }
}

/// The most positions that are cut into runs at once: the widest panel.
const PANEL: usize = 64;

impl<T: Float> Window<'_, T> {
    /// What a tap covers at the positions of a run: `zeros(from, to)` and
    /// `values(from, first value, distance between values, number)` for places of the run.
    #[inline(always)]
    fn cover(
        &self,
        tap: usize,
        run: Run,
        mut zeros: impl FnMut(usize, usize),
        values: impl FnOnce(usize, &[T], usize),
    ) {
        let g = &self.geometry;
        let (c, ky, kx) = g.tap(tap);
        let (h, w) = g.image;
        let y = (run.y * g.stride.0 + ky * g.dilation.0) as isize - g.padding.0 as isize;
        if !(0..h as isize).contains(&y) {
            return zeros(0, run.n);
        }
        let dx = (kx * g.dilation.1) as isize - g.padding.1 as isize;
        let valid = Geometry::inside(dx, g.stride.1, w, g.out.1);
        let from = valid.start.clamp(run.x, run.x + run.n) - run.x;
        let to = valid.end.clamp(run.x + from, run.x + run.n) - run.x;
        zeros(0, from);
        if from < to {
            let x = (((run.x + from) * g.stride.1) as isize + dx) as usize;
            let start = (c * h + y as usize) * w + x;
            let span = (to - from - 1) * g.stride.1 + 1;
            values(from, &self.image[start..start + span], g.stride.1);
        }
        zeros(to, run.n);
    }
}

impl<T: Float> Source<T> for Window<'_, T> {
    unsafe fn pack(&self, outer: usize, n: usize, ks: Range<usize>, dst: *mut T, width: usize) {
        // The same runs serve every tap.
        let mut all = [Run { at: 0, y: 0, x: 0, n: 0 }; PANEL];
        let mut start = 0;
        while start < n {
            let (mut len, part) = (0, PANEL.min(n - start));
            runs(outer + start, part, self.geometry.out.1, |run| {
                all[len] = Run { at: run.at + start, ..run };
                len += 1;
            });
            for (row, tap) in ks.clone().enumerate() {
                for run in &all[..len] {
                    // SAFETY: places of a run lie below `n` ≤ `width`, and `dst` has a row of
                    // `width` per tap.
                    unsafe {
                        let p = dst.add(row * width + run.at);
                        self.cover(
                            tap,
                            *run,
                            |from, to| p.add(from).write_bytes(0, to - from),
                            |from, v, step| {
                                let p = p.add(from);
                                if step == 1 {
                                    p.copy_from_nonoverlapping(v.as_ptr(), v.len());
                                } else {
                                    for (i, v) in v.iter().step_by(step).enumerate() {
                                        *p.add(i) = *v;
                                    }
                                }
                            },
                        );
                    }
                }
            }
            start += part;
        }
    }
}

/// A [`Window`] with the roles exchanged: element (tap, pixel).
pub struct Taps<'a, T>(pub Window<'a, T>);

impl<T: Float> Source<T> for Taps<'_, T> {
    unsafe fn pack(&self, outer: usize, n: usize, ks: Range<usize>, dst: *mut T, width: usize) {
        runs(ks.start, ks.len(), self.0.geometry.out.1, |run| {
            for i in 0..n {
                // SAFETY: positions of a run lie below `ks.len()`, and `dst` has `width` > `i`
                // places a position.
                unsafe {
                    let p = dst.add(run.at * width + i);
                    self.0.cover(
                        outer + i,
                        run,
                        |from, to| (from..to).for_each(|k| *p.add(k * width) = T::default()),
                        |from, v, step| {
                            let p = p.add(from * width);
                            if step == 1 {
                                v.iter().enumerate().for_each(|(k, v)| *p.add(k * width) = *v);
                            } else {
                                let v = v.iter().step_by(step).enumerate();
                                v.for_each(|(k, v)| *p.add(k * width) = *v);
                            }
                        },
                    );
                }
            }
        });
    }
}

/// Results of a convolution of stride 1, seen from the image: element (image pixel, (filter, tap
/// position)) is the result whose window had this pixel under that tap, or 0. Multiplying the
/// filters with it spreads results back over the image: the gradient to the input.
pub struct Spread<'a, T> {
    /// The results, of `k` planes.
    pub out: &'a [T],
    /// The convolution that they are results of.
    pub geometry: Geometry,
}

impl<T: Float> Source<T> for Spread<'_, T> {
    unsafe fn pack(&self, outer: usize, n: usize, ks: Range<usize>, dst: *mut T, width: usize) {
        let g = &self.geometry;
        let (oh, ow) = g.out;
        let (r, s) = g.filter;
        for (row, t) in ks.enumerate() {
            let (filter, ky, kx) = (t / (r * s), t / s % r, t % s);
            let plane = &self.out[filter * oh * ow..(filter + 1) * oh * ow];
            // Pixel (y, x) was under the tap when the window was at (y + dy, x + dx).
            let dy = g.padding.0 as isize - (ky * g.dilation.0) as isize;
            let dx = g.padding.1 as isize - (kx * g.dilation.1) as isize;
            runs(outer, n, g.image.1, |run| {
                // SAFETY: places of a run lie below `n` ≤ `width`, and `dst` has a row of `width`
                // per tap.
                let row =
                    unsafe { std::slice::from_raw_parts_mut(dst.add(row * width + run.at), run.n) };
                let (y, x) = (run.y as isize + dy, run.x as isize + dx);
                if !(0..oh as isize).contains(&y) {
                    return row.fill(T::default());
                }
                let low = (-x).clamp(0, run.n as isize);
                let high = (ow as isize - x).clamp(low, run.n as isize);
                let (low, high, y) = (low as usize, high as usize, y as usize);
                row[..low].fill(T::default());
                row[high..].fill(T::default());
                if low < high {
                    let from = (x + low as isize) as usize;
                    row[low..high].copy_from_slice(&plane[y * ow + from..][..high - low]);
                }
            });
        }
    }
}

/// Walks one plane: `f(tap, start in the result, length, start in the image)` for every row of
/// positions at which a tap lies inside the image.
#[inline(always)]
fn rows(g: &Geometry, mut f: impl FnMut(usize, usize, usize, usize)) {
    let ((h, w), (oh, ow)) = (g.image, g.out);
    for ky in 0..g.filter.0 {
        for kx in 0..g.filter.1 {
            let dy = (ky * g.dilation.0) as isize - g.padding.0 as isize;
            let dx = (kx * g.dilation.1) as isize - g.padding.1 as isize;
            let cols = Geometry::inside(dx, g.stride.1, w, ow);
            if cols.is_empty() {
                continue;
            }
            let x = ((cols.start * g.stride.1) as isize + dx) as usize;
            for oy in Geometry::inside(dy, g.stride.0, h, oh) {
                let y = ((oy * g.stride.0) as isize + dy) as usize;
                f(ky * g.filter.1 + kx, oy * ow + cols.start, cols.len(), y * w + x);
            }
        }
    }
}

/// Numbers with the arithmetic of the depthwise loops.
pub trait Real:
    Float + Input<Self> + std::ops::Mul<Output = Self> + std::ops::Add<Output = Self>
{
}
impl<T: Float + Input<T> + std::ops::Mul<Output = T> + std::ops::Add<Output = T>> Real for T {}

/// `y[j] += f·x[j·step]`
#[inline(always)]
fn add_scaled<A: Arch, T: Real>(y: &mut [T], f: T, x: &[T], step: usize) {
    if step != 1 {
        y.iter_mut().zip(x.iter().step_by(step)).for_each(|(y, x)| *y = *y + f * *x);
        return;
    }
    let (f, w) = (<T::Lane<A>>::splat(f), <T::Lane<A> as Lane>::W);
    let (p, q, n) = (y.as_mut_ptr(), x.as_ptr(), y.len().min(x.len()));
    let mut i = 0;
    while i < n {
        let r = (n - i).min(w);
        // SAFETY: `r` elements from `i` lie below the shorter length.
        unsafe {
            let v = <T::Lane<A>>::load_n(p.add(i), r);
            Lane::fma(f, <T::Lane<A>>::load_n(q.add(i), r), v).store_n(p.add(i), r);
        }
        i += w;
    }
}

/// Adds the convolution of one plane, of horizontal stride 1, to `out`: over a copy of the plane
/// with its padding, so that every result is summed in a register. Says whether there was memory
/// for the copy.
#[inline(always)]
fn padded<A: Arch, T: Real>(g: &Geometry, image: &[T], filter: &[T], out: &mut [T]) -> bool {
    let ((h, w), (oh, ow), (r, s)) = (g.image, g.out, g.filter);
    let width = w + 2 * g.padding.1;
    let mut plane = Vec::new();
    let len = (h + 2 * g.padding.0) * width;
    if plane.try_reserve_exact(len).is_err() {
        return false;
    }
    plane.resize(len, T::default());
    let image = &image[..h * w];
    for (row, line) in image.chunks(w).zip(plane[g.padding.0 * width..].chunks_mut(width)) {
        line[g.padding.1..g.padding.1 + w].copy_from_slice(row);
    }
    let lanes = <T::Lane<A> as Lane>::W;
    for (y, line) in out.chunks_mut(ow).take(oh).enumerate() {
        let start = y * g.stride.0 * width;
        for x in (0..ow).step_by(lanes) {
            let n = (ow - x).min(lanes);
            let (line, plane) = (&mut line[x..x + n], &plane[start + x..]);
            // SAFETY: `line` has `n` elements; the last tap's `n` elements end where the result's
            // window ends, inside the padded plane, which the slice below checks.
            unsafe {
                let mut sum = <T::Lane<A>>::load_n(line.as_ptr(), n);
                for ky in 0..r {
                    for kx in 0..s {
                        let at = ky * g.dilation.0 * width + kx * g.dilation.1;
                        let v = <T::Lane<A>>::load_n(plane[at..at + n].as_ptr(), n);
                        sum = Lane::fma(<T::Lane<A>>::splat(filter[ky * s + kx]), v, sum);
                    }
                }
                sum.store_n(line.as_mut_ptr(), n);
            }
        }
    }
    true
}

struct Forward<'a, T>(Geometry, &'a [T], &'a [T], &'a mut [T]);
impl<T: Real> Kernel for Forward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self(g, image, filter, out) = self;
        if g.stride.1 == 1 && padded::<A, T>(&g, image, filter, out) {
            return;
        }
        rows(&g, |tap, o, n, i| {
            add_scaled::<A, T>(&mut out[o..o + n], filter[tap], &image[i..], g.stride.1)
        });
    }
}

struct ToInput<'a, T>(Geometry, &'a [T], &'a [T], &'a mut [T]);
impl<T: Real> Kernel for ToInput<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self(g, out, filter, image) = self;
        rows(&g, |tap, o, n, i| {
            let step = g.stride.1;
            if step == 1 {
                add_scaled::<A, T>(&mut image[i..i + n], filter[tap], &out[o..], 1);
            } else {
                for (j, v) in out[o..o + n].iter().enumerate() {
                    image[i + j * step] = image[i + j * step] + filter[tap] * *v;
                }
            }
        });
    }
}

struct ToFilter<'a, T>(Geometry, &'a [T], &'a [T], &'a mut [T]);
impl<T: Real> Kernel for ToFilter<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self(g, image, out, filter) = self;
        rows(&g, |tap, o, n, i| {
            // Sixteen partial sums, so that the loop can be vectorised.
            let mut part = [T::default(); 16];
            let (x, y) = (&image[i..], &out[o..o + n]);
            if g.stride.1 == 1 {
                for (y, x) in y.chunks(16).zip(x.chunks(16)) {
                    part.iter_mut().zip(y.iter().zip(x)).for_each(|(p, (y, x))| *p = *p + *y * *x);
                }
            } else {
                for (j, y) in y.iter().enumerate() {
                    part[j % 16] = part[j % 16] + *y * x[j * g.stride.1];
                }
            }
            filter[tap] = part.into_iter().fold(filter[tap], |a, p| a + p);
        });
    }
}

/// Adds the convolution of one plane with one filter to `out`; `g` has one channel.
pub fn depthwise<T: Real>(g: Geometry, image: &[T], filter: &[T], out: &mut [T]) {
    dispatch(Forward(g, image, filter, out));
}

/// Adds the gradient to the plane, given the gradient `out` to the result, to `image`.
pub fn depthwise_to_input<T: Real>(g: Geometry, out: &[T], filter: &[T], image: &mut [T]) {
    dispatch(ToInput(g, out, filter, image));
}

/// Adds the gradient to the filter, given the gradient `out` to the result, to `filter`.
pub fn depthwise_to_filter<T: Real>(g: Geometry, image: &[T], out: &[T], filter: &mut [T]) {
    dispatch(ToFilter(g, image, out, filter));
}

/// Filters with the roles of input and output channels exchanged: element (input channel,
/// (filter, tap position)).
pub struct Exchanged<'a, T> {
    /// `k` filters of `c` × `r` × `s`.
    pub filters: &'a [T],
    /// The convolution that they belong to.
    pub geometry: Geometry,
}

impl<T: Float> Source<T> for Exchanged<'_, T> {
    unsafe fn pack(&self, outer: usize, n: usize, ks: Range<usize>, dst: *mut T, width: usize) {
        let area = self.geometry.filter.0 * self.geometry.filter.1;
        for (row, t) in ks.enumerate() {
            let start = t / area * self.geometry.taps() + t % area;
            for i in 0..n {
                // SAFETY: `i` < `n` ≤ `width`, and `dst` has a row of `width` per step.
                unsafe { *dst.add(row * width + i) = self.filters[start + (outer + i) * area] };
            }
        }
    }
}

/// Adds columns to the image that they come from: row `t` of `columns`, of one value per window
/// position, is what tap `t` of channel `channel` contributes. `image` is that channel's plane.
pub fn add_columns<T: Real>(g: Geometry, channel: usize, columns: &[T], image: &mut [T]) {
    dispatch(AddColumns(g, channel, columns, image));
}

struct AddColumns<'a, T>(Geometry, usize, &'a [T], &'a mut [T]);
impl<T: Real> Kernel for AddColumns<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self(g, channel, columns, image) = self;
        let area = g.filter.0 * g.filter.1;
        rows(&g, |tap, o, n, i| {
            let row = &columns[(channel * area + tap) * g.pixels() + o..][..n];
            if g.stride.1 == 1 {
                add_scaled::<A, T>(&mut image[i..i + n], T::from_f64(1.0), row, 1);
            } else {
                for (v, x) in row.iter().zip(image[i..].iter_mut().step_by(g.stride.1)) {
                    *x = *x + *v;
                }
            }
        });
    }
}
