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
    /// The result, or the gradient to the input. Group after group; `a` and `b` are contiguous.
    pub(super) fn direct<T: Real + Element>(
        &self,
        a: &Tensor,
        b: &Tensor,
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
        let Some(len) = packed.checked_add(work) else {
            bail!(Memory, "{}: the workspace cannot be had", self.name())
        };
        let space = Tensor::empty(Shape::new(&[len])?, T::DTYPE)?;
        let scratch = space.ptr::<T>();
        let groups = self.params.groups;
        let (from, to) = match self.pass {
            Pass::Forward => (g.image_len(), g.out_len()),
            _ => (g.out_len(), g.image_len()),
        };
        let (a, b) = (a.as_slice::<T>()?, b.as_slice::<T>()?);
        for group in 0..groups {
            let images = Images {
                n,
                image: a[group * from..].as_ptr(),
                image_step: groups * from,
                out: y.ptr::<T>().wrapping_add(group * to),
                out_step: groups * to,
            };
            let filters = b[group * g.k * g.taps()..].as_ptr();
            for plan in &plans {
                // SAFETY: `geometry` checked that these images and filters exist; `y` is new and
                // has the results; the scratch space, new too, is long enough for both parts.
                unsafe {
                    plan.pack(filters, scratch);
                    let work = scratch.add(packed);
                    plan.run(images, scratch, workers, work, Epilogue::default());
                }
            }
        }
        Ok(y)
    }

    /// The gradient to the filters. Group after group; `a` and `b` are contiguous.
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
        let space = plan.workspace_len::<T>(n, workers);
        let space = Tensor::empty(Shape::new(&[space])?, T::DTYPE)?;
        let (a, b, groups) = (a.as_slice::<T>()?, b.as_slice::<T>()?, self.params.groups);
        for group in 0..groups {
            let gradients = Gradients {
                n,
                image: a[group * g.image_len()..].as_ptr(),
                image_step: groups * g.image_len(),
                out: b[group * g.out_len()..].as_ptr(),
                out_step: groups * g.out_len(),
            };
            let filters = y.ptr::<T>().wrapping_add(group * g.k * g.taps());
            // SAFETY: `geometry` checked that images and gradients exist; `y` and the space are
            // new and long enough.
            unsafe { plan.run(gradients, filters, workers, space.ptr::<T>()) };
        }
        Ok(y)
    }
}
