//! Evaluation by direct sums.

use crate::op::Op;
use crate::ops::conv::{Conv, ConvEpilogue, Pass};
use crate::shape::Shape;
use crate::tensor::Form;
use crate::{Element, Result, Tensor, bail};
use tengen_kernels::conv::{Geometry, Real};
use tengen_kernels::direct::{Direct, Gradients, Images, ToFilter};
use tengen_kernels::lanes::isa;
use tengen_kernels::pool;

/// Pixels of all images up to which it shows how long filters take to pack: those that are used again
/// are kept packed.
const FEW: usize = 1024;

/// The workers that so many images are worth.
fn workers(g: &Geometry, images: usize) -> usize {
    pool::workers((g.k * g.taps()).saturating_mul(g.pixels()).saturating_mul(images))
}

impl Conv {
    /// The result, or the gradient to the input; operands are contiguous.
    pub(super) fn direct<T: Real + Element>(
        &self,
        a: &Tensor,
        b: &Tensor,
        after: &ConvEpilogue<'_>,
        g: Geometry,
        n: usize,
        shape: Shape,
    ) -> Result<Tensor> {
        let y = Tensor::empty(shape, T::DTYPE)?;
        let (plan, name) = match self.pass {
            Pass::Forward => (Direct::forward::<T>(&g), "direct"),
            _ => (Direct::to_input::<T>(&g), "direct to input"),
        };
        let Some(plan) = plan else { bail!(Memory, "{}: no memory for a plan", self.name()) };
        let groups = self.params.groups;
        let workers = workers(&g, n * groups);
        let Some(packed) = plan.packed_len::<T>().checked_mul(groups) else {
            bail!(Memory, "{}: packed filters cannot be had", self.name())
        };
        let new = |len: usize| Tensor::empty(Shape::new(&[len])?, T::DTYPE);
        let work = new(plan.workspace_len(workers))?;
        let (from, to) = match self.pass {
            Pass::Forward => (g.image_len(), g.out_len()),
            _ => (g.out_len(), g.image_len()),
        };
        let (a, filters) = (a.as_slice::<T>()?, b.as_slice::<T>()?);
        let pack = || {
            let packed = new(packed)?;
            // SAFETY: `geometry` checked that these filters exist; `packed` is new and long enough.
            unsafe { plan.pack(groups, filters.as_ptr(), packed.ptr::<T>()) };
            Ok(packed)
        };
        let epilogue = after.epilogue::<T>()?;
        let images = Images {
            n: n * groups,
            groups,
            image: a.as_ptr(),
            image_step: from,
            out: y.ptr::<T>(),
            out_step: to,
        };
        let kept = if n.saturating_mul(g.pixels()) <= FEW {
            // The order of packed filters depends on nothing else but their shape.
            let form = Form { name, key: [isa() as usize, groups] };
            b.prepared().get(form, pack)?
        } else {
            None
        };
        let packed = kept.map_or_else(pack, Ok)?;
        // SAFETY: `geometry` checked that these images exist; `y` is new and has the results; the
        // workspace, new too, is long enough.
        unsafe { plan.run(images, packed.ptr::<T>(), workers, work.ptr::<T>(), epilogue) };
        Ok(y)
    }

    /// The gradient to the filters; `a` and `b` are contiguous.
    pub(super) fn direct_to_filter<T: Real + Element>(
        &self,
        a: &Tensor,
        b: &Tensor,
        g: Geometry,
        n: usize,
        shape: Shape,
    ) -> Result<Tensor> {
        let y = Tensor::empty(shape, T::DTYPE)?;
        let Some(plan) = ToFilter::new::<T>(&g) else {
            bail!(Memory, "{}: no memory for a plan", self.name())
        };
        let groups = self.params.groups;
        let workers = workers(&g, n * groups);
        let space = plan.workspace_len::<T>(n * groups, groups, workers);
        let space = Tensor::empty(Shape::new(&[space])?, T::DTYPE)?;
        let (a, b) = (a.as_slice::<T>()?, b.as_slice::<T>()?);
        let gradients = Gradients {
            n: n * groups,
            groups,
            image: a.as_ptr(),
            image_step: g.image_len(),
            out: b.as_ptr(),
            out_step: g.out_len(),
        };
        // SAFETY: `geometry` checked that images and gradients exist; `y` and the space are new and
        // long enough.
        unsafe { plan.run(gradients, y.ptr::<T>(), workers, space.ptr::<T>()) };
        Ok(y)
    }
}
