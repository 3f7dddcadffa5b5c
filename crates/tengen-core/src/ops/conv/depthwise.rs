//! Evaluation, and depthwise.

use super::op::{Conv, Pass};
use super::plan::{Way, way};
use crate::elementwise::Shared;
use crate::shape::Shape;
use crate::{Element, Result, Tensor};
use tengen_kernels::conv::{self as kernels, Geometry, Real};
use tengen_kernels::pool;

impl Conv {
    pub(super) fn run<T: Real + Element>(
        &self,
        x: &[&Tensor],
        g: Geometry,
        n: usize,
        shape: Shape,
    ) -> Result<Tensor> {
        let (a, b) = (x[0].contiguous()?, x[1].contiguous()?);
        let empty = shape.numel() == 0 || a.numel() == 0 || b.numel() == 0;
        let way = way(self.pass, &g, T::DTYPE);
        if empty {
            return Tensor::zeros(&shape, T::DTYPE);
        }
        match (way, self.pass) {
            (Way::Winograd, _) => self.winograd(&a, &b, g, n, shape),
            (Way::Direct, Pass::ToFilter(..)) => self.direct_to_filter::<T>(&a, &b, g, n, shape),
            (Way::Direct, _) => self.direct::<T>(&a, &b, g, n, shape),
            (Way::Depthwise, _) => {
                let y = Tensor::zeros(&shape, T::DTYPE)?;
                let (a, b) = (a.as_slice::<T>()?, b.as_slice::<T>()?);
                self.depthwise(a, b, Shared(y.ptr::<T>()), g, n);
                Ok(y)
            }
        }
    }

    /// One input channel per group: a plane, a filter and a result at a time. `y` starts at 0.
    fn depthwise<T: Real>(&self, a: &[T], b: &[T], y: Shared<T>, g: Geometry, n: usize) {
        let groups = self.params.groups;
        let (hw, area, pixels) = (g.image.0 * g.image.1, g.taps(), g.pixels());
        let one = Geometry { k: 1, ..g };
        let part = |at: usize, len: usize| {
            // SAFETY: each task's part of `y`, which is new and initialised, is its own.
            unsafe { std::slice::from_raw_parts_mut(y.at((at * len) as isize), len) }
        };
        match self.pass {
            Pass::Forward => pool::for_each(n * groups * g.k, |t| {
                let (plane, filter) = (t / g.k, t % (groups * g.k));
                let image = &a[plane * hw..(plane + 1) * hw];
                let filter = &b[filter * area..(filter + 1) * area];
                kernels::depthwise(one, image, filter, part(t, pixels));
            }),
            Pass::ToInput(..) => pool::for_each(n * groups, |plane| {
                for k in 0..g.k {
                    let (o, f) = (plane * g.k + k, plane % groups * g.k + k);
                    let out = &a[o * pixels..(o + 1) * pixels];
                    let filter = &b[f * area..(f + 1) * area];
                    kernels::depthwise_to_input(one, out, filter, part(plane, hw));
                }
            }),
            Pass::ToFilter(..) => pool::for_each(groups * g.k, |f| {
                for i in 0..n {
                    let (plane, o) = (i * groups + f / g.k, i * groups * g.k + f);
                    let image = &a[plane * hw..(plane + 1) * hw];
                    let out = &b[o * pixels..(o + 1) * pixels];
                    kernels::depthwise_to_filter(one, image, out, part(f, area));
                }
            }),
        }
    }
}
