//! Convolution: its geometry, the way in which it is computed, and what follows its sums.

mod cost;
mod depthwise;
mod direct;
mod gathered;
mod plan;
mod pointwise;
#[cfg(test)]
mod tests;
mod winograd;

use crate::cpu::cast_raw;
use crate::op::{Eval, Meta, Tensors};
use crate::ops::conv::{Conv, ConvEpilogue, Fused, Pass};
use crate::shape::Shape;
use crate::{DType, Element, Result, Tensor};
use gathered::Product;
use plan::{Way, way};
use smallvec::{SmallVec, smallvec};
use tengen_kernels::conv::Geometry;
use tengen_kernels::epilogue::{Epilogue, finish};

impl<'a> ConvEpilogue<'a> {
    /// For the kernels; operands are contiguous and of `T`.
    fn epilogue<T: Element>(&self) -> Result<Epilogue<'a, T>> {
        Ok(Epilogue {
            bias: self.bias.map(Tensor::as_slice::<T>).transpose()?,
            residual: self.residual.map(Tensor::as_slice::<T>).transpose()?,
            activation: self.activation.try_map(Tensor::as_slice::<T>)?,
        })
    }
}

impl Conv {
    /// The geometry of one group, and the number of images, of operands and a result that inference
    /// found to fit.
    fn geometry(&self, a: &Shape, b: &Shape, y: &Shape) -> (Geometry, usize) {
        let [image, filters, out] = match self.pass {
            Pass::Forward => [a, b, y],
            Pass::ToInput(..) => [y, b, a],
            Pass::ToFilter(..) => [a, y, b],
        };
        let p = &self.params;
        let geometry = Geometry::of_result(
            (image[1] / p.groups, out[1] / p.groups),
            (image[2], image[3]),
            (filters[2], filters[3]),
            (out[2], out[3]),
            (p.stride, p.padding, p.dilation),
        );
        (geometry, image[0])
    }

    fn run<T: Product>(
        &self,
        [a, b]: [&Tensor; 2],
        after: &ConvEpilogue<'_>,
        g: Geometry,
        n: usize,
        shape: Shape,
    ) -> Result<Tensor> {
        let way = way(self.pass, &g, n, T::DTYPE);
        let empty = shape.numel() == 0 || a.numel() == 0 || b.numel() == 0;
        let y = match (way, self.pass) {
            _ if empty => Tensor::zeros(&shape, T::DTYPE)?,
            (Way::Winograd, Pass::Forward) => return self.winograd(a, b, after, g, n, shape),
            (Way::Direct, Pass::Forward | Pass::ToInput(..)) => {
                return self.direct::<T>(a, b, after, g, n, shape);
            }
            (Way::Winograd, _) => self.winograd(a, b, &ConvEpilogue::default(), g, n, shape)?,
            (Way::Direct, _) => self.direct_to_filter::<T>(a, b, g, n, shape)?,
            (Way::Gathered, _) => self.gathered::<T>(a, b, g, n, shape)?,
            (Way::Pointwise, _) => self.pointwise::<T>(a, b, g, n, shape)?,
            (Way::Depthwise, Pass::ToFilter(..)) => {
                self.depthwise_to_filter::<T>(a, b, g, n, shape)?
            }
            (Way::Depthwise, _) => self.depthwise::<T>(a, b, g, n, shape)?,
        };
        // SAFETY: `y` is new, initialised and this long, and no one else has it.
        let sums = unsafe { std::slice::from_raw_parts_mut(y.ptr::<T>(), y.numel()) };
        finish(sums, shape[1], shape[2] * shape[3], &after.epilogue::<T>()?);
        Ok(y)
    }

    /// Evaluates for operands of which those after the first two follow the sums, as `after` says.
    fn eval_with(
        &self,
        x: &[&Tensor],
        out: &[Meta],
        after: impl for<'a> Fn(&[&'a Tensor]) -> Result<ConvEpilogue<'a>>,
    ) -> Result<Tensors> {
        let Meta { shape, dtype } = out[0];
        let (g, n) = self.geometry(x[0].shape(), x[1].shape(), &shape);
        let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let x = x.iter().map(|x| cast_raw(x, wide)?.contiguous());
        let x = x.collect::<Result<SmallVec<[Tensor; 5]>>>()?;
        let x: SmallVec<[&Tensor; 5]> = x.iter().collect();
        let (pair, after) = ([x[0], x[1]], after(&x)?);
        Ok(smallvec![match wide {
            DType::F64 => self.run::<f64>(pair, &after, g, n, shape)?,
            _ => cast_raw(&self.run::<f32>(pair, &after, g, n, shape)?, dtype)?,
        }])
    }
}

impl Eval for Conv {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        self.eval_with(x, out, |x| {
            Ok(ConvEpilogue { bias: x.get(2).copied(), ..ConvEpilogue::default() })
        })
    }
}

impl Eval for Fused {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        self.conv.eval_with(x, out, |x| self.after(x))
    }
}
