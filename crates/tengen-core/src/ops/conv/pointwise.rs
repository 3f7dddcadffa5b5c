//! Filters of one tap: products of the filters, or of the gradients to the results, with the pixels.

use super::op::{Conv, Pass};
use crate::op::Op;
use crate::shape::Shape;
use crate::{Element, Result, Tensor, bail};
use std::ops::Range;
use tengen_kernels::conv::{Geometry, Real};
use tengen_kernels::gemm::{self, Source, Strided};
use tengen_kernels::pool;
use tengen_kernels::pool::Shared;

/// Elements of pixels in a block: they stay in the second-level cache beside the packed filters.
const BLOCK: usize = 1 << 14;
/// The pixels of a block are a multiple of this, which all tiles divide.
const TILES: usize = 64;
/// Elements of packed gradients at a time.
const PACKED: usize = 1 << 20;

impl Conv {
    /// The result, or the gradient to the input, of filters of one tap at every pixel. Group after
    /// group; `a` and `b` are contiguous.
    pub(super) fn pointwise<T: Real + Element>(
        &self,
        a: &Tensor,
        b: &Tensor,
        g: Geometry,
        n: usize,
        shape: Shape,
    ) -> Result<Tensor> {
        let y = Tensor::empty(shape, T::DTYPE)?;
        let c = g.c as isize;
        // Rows of the result, summed channels, and how the filters are read as such a matrix.
        let (rows, sums, outer, inner) = match self.pass {
            Pass::Forward => (g.k, g.c, c, 1),
            _ => (g.c, g.k, 1, c),
        };
        let pixels = g.pixels();
        let width = (BLOCK / sums).next_multiple_of(TILES).max(TILES);
        let blocks = pixels.div_ceil(width);
        let workers = pool::threads().min(n * blocks);
        let packed = gemm::packed_len::<T>(rows, sums).next_multiple_of(TILES);
        let each = gemm::workspace_len::<T>(width, sums).next_multiple_of(TILES);
        let Some(len) = each.checked_mul(workers).and_then(|work| work.checked_add(packed)) else {
            bail!(Memory, "{}: the workspace cannot be had", self.name())
        };
        let space = Tensor::empty(Shape::new(&[len])?, T::DTYPE)?;
        let filters = space.ptr::<T>();
        let (work, out) = (Shared(filters.wrapping_add(packed)), Shared(y.ptr::<T>()));
        let (a, b, groups) = (a.as_slice::<T>()?, b.as_slice::<T>()?, self.params.groups);
        for group in 0..groups {
            let matrix = Strided { ptr: b[group * g.k * g.c..].as_ptr(), outer, inner };
            // SAFETY: `geometry` checked that the filters exist; the space is new and long enough.
            unsafe { gemm::pack_a(rows, sums, &matrix, filters) };
            let filters = Shared(filters);
            pool::share(workers, n * blocks, |worker, task| {
                let (image, from) = (task / blocks * groups + group, task % blocks * width);
                let to = pixels.min(from + width);
                let pixel = &a[image * sums * pixels + from..];
                let from_a = Strided { ptr: pixel.as_ptr(), outer: 1, inner: pixels as isize };
                let to_y = out.at(image * rows * pixels + from);
                let work = work.at(worker * each);
                // SAFETY: the image has these pixels of all its channels; `y` is new and has them
                // of all its rows, for this task alone; each worker has a workspace of its own.
                unsafe {
                    let filters = filters.at(0).cast_const();
                    let extents = (rows, to - from, sums);
                    gemm::multiply(extents, filters, &from_a, to_y, pixels, false, work);
                }
            });
        }
        Ok(y)
    }

    /// The gradient to filters of one tap at every pixel: a product over the pixels of all images.
    /// Group after group; `a` and `b` are contiguous.
    pub(super) fn pointwise_to_filter<T: Real + Element>(
        &self,
        a: &Tensor,
        b: &Tensor,
        g: Geometry,
        n: usize,
        shape: Shape,
    ) -> Result<Tensor> {
        let y = Tensor::empty(shape, T::DTYPE)?;
        let (groups, pixels) = (self.params.groups, g.pixels());
        // Some images at a time: their packed gradients stay in the last-level cache.
        let images = (PACKED / (g.k * pixels)).clamp(1, n);
        let packed = gemm::packed_len::<T>(g.k, images * pixels).next_multiple_of(TILES);
        let work = gemm::workspace_len::<T>(g.c, images * pixels);
        let space = Tensor::empty(Shape::new(&[packed + work])?, T::DTYPE)?;
        let (packed, work) = (space.ptr::<T>(), space.ptr::<T>().wrapping_add(packed));
        let (a, b) = (a.as_slice::<T>()?, b.as_slice::<T>()?);
        let planes = |x: &[T], channels: usize, image: usize, group: usize| Planes {
            first: x[(image * groups + group) * channels * pixels..].as_ptr(),
            pixels,
            image: groups * channels * pixels,
        };
        for group in 0..groups {
            let to = y.ptr::<T>().wrapping_add(group * g.k * g.c);
            for first in (0..n).step_by(images) {
                let sums = images.min(n - first) * pixels;
                let (dy, x) = (planes(b, g.k, first, group), planes(a, g.c, first, group));
                // SAFETY: `geometry` checked that images and gradients exist; `y` and the space are
                // new and long enough.
                unsafe {
                    gemm::pack_a(g.k, sums, &dy, packed);
                    gemm::multiply((g.k, g.c, sums), packed, &x, to, g.c, first > 0, work);
                }
            }
        }
        Ok(y)
    }
}

/// Planes of some images as rows of one matrix.
struct Planes<T> {
    /// The first plane of the first image.
    first: *const T,
    pixels: usize,
    /// Elements from one image to the next.
    image: usize,
}

// SAFETY: a Planes only reads, from memory that `pack`'s caller vouches for.
unsafe impl<T> Sync for Planes<T> {}

impl<T: Real> Source<T> for Planes<T> {
    unsafe fn pack(&self, outer: usize, n: usize, ks: Range<usize>, dst: *mut T, width: usize) {
        let (pixels, mut k) = (self.pixels, ks.start);
        while k < ks.end {
            let (image, at) = (k / pixels, k % pixels);
            let some = (pixels - at).min(ks.end - k);
            let ptr = self.first.wrapping_add(image * self.image + at);
            let plane = Strided { ptr, outer: pixels as isize, inner: 1 };
            // SAFETY: by the contract, for these pixels of one image.
            unsafe { plane.pack(outer, n, 0..some, dst.add((k - ks.start) * width), width) };
            k += some;
        }
    }
}
