//! Evaluation of filters of one input channel.

use crate::op::Op;
use crate::ops::conv::{Conv, Pass};
use crate::shape::Shape;
use crate::{Element, Result, Tensor, bail};
use std::ops::Range;
use tengen_kernels::conv::{Geometry, Real};
use tengen_kernels::depthwise::{Sums, ToFilter};
use tengen_kernels::pool;
use tengen_kernels::pool::Shared;

impl Conv {
    /// One input channel per group: a plane and a filter at a time; `a` and `b` are contiguous.
    pub(super) fn depthwise<T: Real + Element>(
        &self,
        a: &Tensor,
        b: &Tensor,
        g: Geometry,
        n: usize,
        shape: Shape,
    ) -> Result<Tensor> {
        let y = Tensor::empty(shape, T::DTYPE)?;
        let groups = self.params.groups;
        let (hw, area, pixels) = (g.image.0 * g.image.1, g.taps(), g.pixels());
        let forward = self.pass == Pass::Forward;
        let plan = if forward { Sums::forward(&g) } else { Sums::to_input(&g) };
        let spaces = plan.as_ref().and_then(|p| Spaces::new::<T>(p.workspace_len()?));
        let (Some(plan), Some(spaces)) = (plan, spaces) else {
            bail!(Memory, "{}: the workspace cannot be had", self.name())
        };
        let (a, b, out) = (a.as_slice::<T>()?, b.as_slice::<T>()?, Shared(y.ptr::<T>()));
        let part = |at: usize, len: usize| {
            // SAFETY: each plane's part of `y`, which is new, is written by one task.
            unsafe { std::slice::from_raw_parts_mut(out.at(at * len), len) }
        };
        spaces.share(n * groups, TASK.div_ceil(hw.max(pixels)), |planes, work: &mut [T]| {
            for plane in planes {
                if forward {
                    plan.load(&a[plane * hw..(plane + 1) * hw], work);
                }
                for k in 0..g.k {
                    let (o, f) = (plane * g.k + k, plane % groups * g.k + k);
                    let filter = &b[f * area..(f + 1) * area];
                    if forward {
                        plan.run(filter, part(o, pixels), false, work);
                    } else {
                        plan.load(&a[o * pixels..(o + 1) * pixels], work);
                        plan.run(filter, part(plane, hw), k > 0, work);
                    }
                }
            }
        });
        Ok(y)
    }

    /// The gradient to the filters: the sum over the images, in their order.
    pub(super) fn depthwise_to_filter<T: Real + Element>(
        &self,
        a: &Tensor,
        b: &Tensor,
        g: Geometry,
        n: usize,
        shape: Shape,
    ) -> Result<Tensor> {
        let y = Tensor::zeros(&shape, T::DTYPE)?;
        let groups = self.params.groups;
        let (hw, area, pixels) = (g.image.0 * g.image.1, g.taps(), g.pixels());
        let plan = ToFilter::new(&g);
        let spaces = plan.as_ref().and_then(|p| Spaces::new::<T>(p.workspace_len()?));
        let (Some(plan), Some(spaces)) = (plan, spaces) else {
            bail!(Memory, "{}: the workspace cannot be had", self.name())
        };
        let (a, b, out) = (a.as_slice::<T>()?, b.as_slice::<T>()?, Shared(y.ptr::<T>()));
        let each = (TASK / 2).div_ceil(hw.max(pixels));
        spaces.share(groups, each, |range, work: &mut [T]| {
            for (i, group) in (0..n).flat_map(|i| range.clone().map(move |group| (i, group))) {
                let plane = i * groups + group;
                plan.load(&a[plane * hw..(plane + 1) * hw], work);
                for k in 0..g.k {
                    let (f, o) = (group * g.k + k, plane * g.k + k);
                    // SAFETY: each group's filters in `y`, which is initialised, are its own.
                    let filter = unsafe { std::slice::from_raw_parts_mut(out.at(f * area), area) };
                    plan.run(&b[o * pixels..(o + 1) * pixels], filter, work);
                }
            }
        });
        Ok(y)
    }
}

/// Elements of the planes that are worth a task.
const TASK: usize = 16 * 1024;

/// Workers' workspaces, which start as zeros.
struct Spaces {
    tensor: Tensor,
    len: usize,
    workers: usize,
}

impl Spaces {
    /// One of `len` elements for each worker, if there is memory.
    fn new<T: Element>(len: usize) -> Option<Spaces> {
        let workers = pool::threads();
        let shape = Shape::new(&[len.checked_mul(workers)?]).ok()?;
        Some(Spaces { tensor: Tensor::zeros(&shape, T::DTYPE).ok()?, len, workers })
    }

    /// Calls `f(items, workspace)` for ranges of `each` items, on several threads.
    fn share<T: Element>(self, n: usize, each: usize, f: impl Fn(Range<usize>, &mut [T]) + Sync) {
        let spaces = Shared(self.tensor.ptr::<T>());
        pool::share(self.workers, n.div_ceil(each), |worker, task| {
            // SAFETY: a worker's workspace in the new tensor is its own; it has one task at a time.
            let work =
                unsafe { std::slice::from_raw_parts_mut(spaces.at(worker * self.len), self.len) };
            f(task * each..n.min((task + 1) * each), work);
        });
    }
}
