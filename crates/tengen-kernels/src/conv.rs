//! Two-dimensional convolution and its gradients, on images in NCHW order.
//!
//! The general case multiplies matrices whose operand is an image seen through the kernel's window
//! ([`Window`]); the window's values are gathered while they are packed, so no such matrix ever
//! exists. Depthwise convolution, which has no sum over channels, has loops of its own.

use crate::gemm::{Input, Source};
use crate::lanes::{Arch, Float, Kernel, dispatch};
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

impl<T: Float> Window<'_, T> {
    /// Gathers `n` window positions from `first` on for one tap: `put(i, value)`.
    #[inline(always)]
    fn gather(&self, tap: usize, first: usize, n: usize, mut put: impl FnMut(usize, T)) {
        let g = &self.geometry;
        let (c, ky, kx) = g.tap(tap);
        let (h, w) = g.image;
        let plane = &self.image[c * h * w..(c + 1) * h * w];
        let dy = (ky * g.dilation.0) as isize - g.padding.0 as isize;
        let dx = (kx * g.dilation.1) as isize - g.padding.1 as isize;
        let valid = Geometry::inside(dx, g.stride.1, w, g.out.1);
        let (mut oy, mut ox, mut i) = (first / g.out.1, first % g.out.1, 0);
        while i < n {
            let run = (g.out.1 - ox).min(n - i);
            let y = (oy * g.stride.0) as isize + dy;
            let (from, to) = if (0..h as isize).contains(&y) {
                (valid.start.clamp(ox, ox + run), valid.end.clamp(ox, ox + run))
            } else {
                (ox, ox)
            };
            for k in ox..from {
                put(i + k - ox, T::default());
            }
            if from < to {
                let start = y as usize * w;
                let x0 = (from * g.stride.1) as isize + dx;
                let row = &plane[start + x0 as usize..start + w];
                for (j, k) in (from..to).enumerate() {
                    put(i + k - ox, row[j * g.stride.1]);
                }
            }
            for k in from.max(to)..ox + run {
                put(i + k - ox, T::default());
            }
            i += run;
            ox = 0;
            oy += 1;
        }
    }
}

impl<T: Float> Source<T> for Window<'_, T> {
    unsafe fn pack(&self, outer: usize, n: usize, ks: Range<usize>, dst: *mut T, width: usize) {
        for (row, tap) in ks.enumerate() {
            // SAFETY: `gather` puts `n` ≤ `width` values, and `dst` has a row of `width` per tap.
            self.gather(tap, outer, n, |i, v| unsafe { *dst.add(row * width + i) = v });
        }
    }
}

/// A [`Window`] with the roles exchanged: element (tap, pixel).
pub struct Taps<'a, T>(pub Window<'a, T>);

impl<T: Float> Source<T> for Taps<'_, T> {
    unsafe fn pack(&self, outer: usize, n: usize, ks: Range<usize>, dst: *mut T, width: usize) {
        for i in 0..n {
            // SAFETY: `gather` puts one value per step, and `dst` has `width` > `i` places a step.
            self.0.gather(outer + i, ks.start, ks.len(), |k, v| unsafe {
                *dst.add(k * width + i) = v
            });
        }
    }
}

/// Results seen from the image: element (image pixel, (filter, tap position)) is the result whose
/// window had this pixel under that tap, or 0. Multiplying the filters with it spreads results
/// back over the image: the gradient to the input, and transposed convolution.
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
        let w = g.image.1;
        let (r, s) = g.filter;
        for (row, t) in ks.enumerate() {
            let (filter, ky, kx) = (t / (r * s), t / s % r, t % s);
            let plane = &self.out[filter * oh * ow..(filter + 1) * oh * ow];
            // Pixel (y, x) was under the tap when the window was at ((y + dy) / stride, …).
            let dy = g.padding.0 as isize - (ky * g.dilation.0) as isize;
            let dx = g.padding.1 as isize - (kx * g.dilation.1) as isize;
            let (mut y, mut x, mut i) = (outer / w, outer % w, 0);
            let place = |v: isize, stride: usize, out: usize| {
                (v >= 0 && v as usize % stride == 0)
                    .then(|| v as usize / stride)
                    .filter(|o| *o < out)
            };
            while i < n {
                let run = (w - x).min(n - i);
                // SAFETY: i + run ≤ n ≤ width, and `dst` has a row of `width` per tap.
                let row = unsafe { std::slice::from_raw_parts_mut(dst.add(row * width + i), run) };
                match place(y as isize + dy, g.stride.0, oh) {
                    None => row.fill(T::default()),
                    Some(oy) => {
                        let line = &plane[oy * ow..(oy + 1) * ow];
                        let first = x as isize + dx;
                        if g.stride.1 == 1 {
                            let low = (-first).clamp(0, run as isize) as usize;
                            let high =
                                (ow as isize - first).clamp(low as isize, run as isize) as usize;
                            row[..low].fill(T::default());
                            row[high..].fill(T::default());
                            if low < high {
                                let from = (first + low as isize) as usize;
                                row[low..high].copy_from_slice(&line[from..from + high - low]);
                            }
                        } else {
                            for (j, v) in row.iter_mut().enumerate() {
                                *v = place(first + j as isize, g.stride.1, ow)
                                    .map_or(T::default(), |o| line[o]);
                            }
                        }
                    }
                }
                i += run;
                x = 0;
                y += 1;
            }
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
fn add_scaled<T: Real>(y: &mut [T], f: T, x: &[T], step: usize) {
    if step == 1 {
        y.iter_mut().zip(x).for_each(|(y, x)| *y = *y + f * *x);
    } else {
        y.iter_mut().zip(x.iter().step_by(step)).for_each(|(y, x)| *y = *y + f * *x);
    }
}

struct Forward<'a, T>(Geometry, &'a [T], &'a [T], &'a mut [T]);
impl<T: Real> Kernel for Forward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self(g, image, filter, out) = self;
        rows(&g, |tap, o, n, i| {
            add_scaled(&mut out[o..o + n], filter[tap], &image[i..], g.stride.1)
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
                add_scaled(&mut image[i..i + n], filter[tap], &out[o..], 1);
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
