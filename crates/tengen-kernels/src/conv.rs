//! Two-dimensional convolution and its gradients, on images in NCHW order.
//!
//! Here are the geometry and the loops of depthwise convolution, which has no sum over channels;
//! sums over channels are in `direct` and `winograd`.

use crate::gemm::Input;
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
