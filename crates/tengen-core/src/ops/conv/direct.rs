//! Evaluation by direct sums.

use super::op::{Conv, Pass};
use crate::op::Op;
use crate::shape::Shape;
use crate::{Element, Result, Tensor, bail};
use tengen_kernels::conv::{Geometry, Real};
use tengen_kernels::direct::{Direct, Gradients, Images, ToFilter};
use tengen_kernels::pool;
use tengen_kernels::winograd::Epilogue;

impl Conv {
    /// The result, or the gradient to the input; operands are contiguous.
    pub(super) fn direct<T: Real + Element>(
        &self,
        a: &Tensor,
        b: &Tensor,
        bias: Option<&Tensor>,
        g: Geometry,
        n: usize,
        shape: Shape,
    ) -> Result<Tensor> {
        let y = Tensor::empty(shape, T::DTYPE)?;
        let plans = match self.pass {
            Pass::Forward => Direct::forward::<T>(&g).map(|plan| vec![plan]),
            _ => Direct::to_input::<T>(&g),
        };
        let Some(plans) = plans else { bail!(Memory, "{}: no memory for a plan", self.name()) };
        let workers = pool::threads();
        let packed = plans.iter().map(|p| p.packed_len::<T>()).max().unwrap_or(0);
        let work = plans.iter().map(|p| p.workspace_len(workers)).max().unwrap_or(0);
        let groups = self.params.groups;
        let packed = packed.checked_mul(groups);
        let Some((packed, len)) = packed.and_then(|p| Some((p, p.checked_add(work)?))) else {
            bail!(Memory, "{}: the workspace cannot be had", self.name())
        };
        let space = Tensor::empty(Shape::new(&[len])?, T::DTYPE)?;
        let scratch = space.ptr::<T>();
        let (from, to) = match self.pass {
            Pass::Forward => (g.image_len(), g.out_len()),
            _ => (g.out_len(), g.image_len()),
        };
        let (a, b) = (a.as_slice::<T>()?, b.as_slice::<T>()?);
        let bias = bias.map(Tensor::as_slice::<T>).transpose()?;
        let epilogue = Epilogue { bias, ..Epilogue::default() };
        let images = Images {
            n: n * groups,
            groups,
            image: a.as_ptr(),
            image_step: from,
            out: y.ptr::<T>(),
            out_step: to,
        };
        for plan in &plans {
            // SAFETY: `geometry` checked that these images and filters exist; `y` is new and has the
            // results; the scratch space, new too, is long enough for both parts.
            unsafe {
                plan.pack(groups, b.as_ptr(), scratch);
                plan.run(images, scratch, workers, scratch.add(packed), epilogue);
            }
        }
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
        let workers = pool::threads();
        let groups = self.params.groups;
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
