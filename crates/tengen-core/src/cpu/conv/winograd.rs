//! Evaluation by Winograd's minimal filtering.

use crate::ops::conv::{Conv, ConvEpilogue, Pass};
use crate::shape::Shape;
use crate::{DType, Result, Tensor};
use tengen_kernels::conv::Geometry;
use tengen_kernels::winograd::{self as kernels, Batch};

impl Conv {
    /// Group after group; operands are contiguous and in f32. Only the forward pass has what follows.
    pub(super) fn winograd(
        &self,
        a: &Tensor,
        b: &Tensor,
        after: &ConvEpilogue<'_>,
        geometry: Geometry,
        n: usize,
        shape: Shape,
    ) -> Result<Tensor> {
        let y = Tensor::empty(shape, DType::F32)?;
        let groups = self.params.groups;
        let (image, out) = (geometry.image_len(), geometry.out_len());
        let filters = geometry.k * geometry.taps();
        let (image_step, out_step) = (groups * image, groups * out);
        let batch = Batch { geometry, n, image_step, out_step };
        let len = match self.pass {
            Pass::Forward => kernels::forward_len(&batch),
            Pass::ToInput(..) => kernels::to_input_len(&batch),
            Pass::ToFilter(..) => kernels::to_filter_len(&batch),
        };
        let scratch = Tensor::empty(Shape::new(&[len])?, DType::F32)?;
        let (a, b) = (a.as_slice::<f32>()?, b.as_slice::<f32>()?);
        let epilogue = after.epilogue::<f32>()?;
        // SAFETY: both are new, initialised and this long, and no one else has them.
        let (y_all, work) = unsafe {
            (
                std::slice::from_raw_parts_mut(y.ptr::<f32>(), y.numel()),
                std::slice::from_raw_parts_mut(scratch.ptr::<f32>(), len),
            )
        };
        for group in 0..groups {
            let (i, f, o) = (group * image, group * filters, group * out);
            match self.pass {
                Pass::Forward => {
                    let e = epilogue.part(group * geometry.k, o);
                    kernels::forward(&batch, &a[i..], &b[f..], &mut y_all[o..], &e, work);
                }
                Pass::ToInput(..) => {
                    kernels::to_input(&batch, &a[o..], &b[f..], &mut y_all[i..], work)
                }
                Pass::ToFilter(..) => {
                    kernels::to_filter(&batch, &a[i..], &b[o..], &mut y_all[f..], work)
                }
            }
        }
        Ok(y)
    }
}
