//! Filters of one tap: for every image a product of the filters with its pixels.

use crate::op::Op;
use crate::ops::conv::{Conv, Pass};
use crate::shape::Shape;
use crate::{Element, Result, Tensor, bail};
use tengen_kernels::conv::{Geometry, Real};
use tengen_kernels::gemm::{self, Strided};
use tengen_kernels::pool;
use tengen_kernels::pool::Shared;

/// Elements of pixels in a block: they stay in the second-level cache beside the packed filters.
const BLOCK: usize = 1 << 14;
/// The pixels of a block are a multiple of this, which all tiles divide.
const TILES: usize = 64;

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
        let work = (rows * sums).saturating_mul(pixels).saturating_mul(n);
        let workers = pool::workers(work).min(n * blocks);
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
}
