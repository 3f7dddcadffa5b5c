//! The operators: what they infer, which evaluation they take, their gradients.

use super::gathered::Product;
use super::plan::{Way, way};
use super::{ConvEpilogue, ConvParams};
use crate::autograd::Gradient;
use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::ops::{cast::cast_raw, sum};
use crate::shape::Shape;
use crate::{DType, Element, Result, Tensor, apply1, bail, ensure, promote};
use smallvec::{SmallVec, smallvec};
use tengen_kernels::conv::Geometry;
use tengen_kernels::epilogue::{Epilogue, finish};

/// Which of the three a [`Conv`] computes, from which inputs. The first two take a third one, a bias
/// for each channel of what they compute.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Pass {
    /// image, filters → result
    Forward,
    /// result's gradient, filters → image's gradient, of the given height and width
    ToInput(usize, usize),
    /// image, result's gradient → filters' gradient, of the given height and width
    ToFilter(usize, usize),
}

/// Image `[n, c, h, w]`, filters `[k, c/groups, r, s]`, result `[n, k, oh, ow]`.
#[derive(Clone, Copy)]
pub(super) struct Conv {
    pub params: ConvParams,
    pub pass: Pass,
}

impl Conv {
    /// Geometry of one group, and the shapes of image, filters and result.
    pub(super) fn geometry(&self, x: &[&Tensor]) -> Result<(Geometry, usize, [Shape; 3])> {
        let p = &self.params;
        ensure!(
            p.groups > 0
                && p.stride.0 > 0
                && p.stride.1 > 0
                && p.dilation.0 > 0
                && p.dilation.1 > 0,
            Value,
            "{}: groups, stride and dilation must be positive ({p:?})",
            self.name()
        );
        let (a, b) = (x[0], x[1]);
        ensure!(
            a.ndim() == 4 && b.ndim() == 4,
            Shape,
            "{}: four dimensions are needed, not {a} and {b}",
            self.name()
        );
        let (sa, sb) = (a.shape(), b.shape());
        let name = self.name();
        let (n, c, image, k, filter) = match self.pass {
            Pass::Forward => (sa[0], sa[1], (sa[2], sa[3]), sb[0], (sb[2], sb[3])),
            Pass::ToInput(h, w) => (sa[0], sb[1] * p.groups, (h, w), sb[0], (sb[2], sb[3])),
            Pass::ToFilter(r, s) => (sa[0], sa[1], (sa[2], sa[3]), sb[1], (r, s)),
        };
        ensure!(
            c % p.groups == 0 && k % p.groups == 0,
            Shape,
            "{name}: {c} input and {k} output channels do not divide into {} groups",
            p.groups
        );
        let per_group = c / p.groups;
        let expected = match self.pass {
            Pass::Forward => (sb[1], "input channels", per_group),
            Pass::ToInput(..) => (sa[1], "channels", k),
            Pass::ToFilter(..) => (sb[0], "images", n),
        };
        ensure!(
            expected.0 == expected.2,
            Shape,
            "{name}: {} {} where {} are needed (inp: {a}, weight: {b}, groups: {})",
            expected.0,
            expected.1,
            expected.2,
            p.groups
        );
        let channels = (per_group, k / p.groups);
        let g = Geometry::new(channels, image, filter, p.stride, p.padding, p.dilation);
        let out = match self.pass {
            Pass::Forward => g.map(|g| g.out),
            Pass::ToInput(..) => Some((sa[2], sa[3])),
            Pass::ToFilter(..) => Some((sb[2], sb[3])),
        };
        let Some((g, out)) = g.zip(out).filter(|(g, out)| g.out == *out) else {
            match self.pass {
                Pass::Forward => bail!(
                    Shape,
                    "{name}: the filter does not fit into the padded image (inp: {a}, weight: {b}, {p:?})"
                ),
                Pass::ToInput(..) | Pass::ToFilter(..) => bail!(
                    Shape,
                    "{name}: no image of {image:?} gives {out:?} under a filter of {filter:?} ({p:?})"
                ),
            }
        };
        let shapes = [
            Shape::new(&[n, c, image.0, image.1])?,
            Shape::new(&[k, per_group, filter.0, filter.1])?,
            Shape::new(&[n, k, out.0, out.1])?,
        ];
        Ok((g, n, shapes))
    }
}

impl<'a> ConvEpilogue<'a> {
    /// For the kernels; operands are contiguous and of `T`.
    pub(super) fn epilogue<T: Element>(&self) -> Result<Epilogue<'a, T>> {
        Ok(Epilogue {
            bias: self.bias.map(Tensor::as_slice::<T>).transpose()?,
            residual: self.residual.map(Tensor::as_slice::<T>).transpose()?,
            activation: self.activation.try_map(Tensor::as_slice::<T>)?,
        })
    }
}

impl Conv {
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
    pub(super) fn eval_with(
        &self,
        x: &[&Tensor],
        out: &[Meta],
        after: impl for<'a> Fn(&[&'a Tensor]) -> Result<ConvEpilogue<'a>>,
    ) -> Result<Tensors> {
        let (g, n, _) = self.geometry(x)?;
        let Meta { shape, dtype } = out[0];
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

impl Op for Conv {
    fn name(&self) -> &'static str {
        match self.pass {
            Pass::Forward => "conv2d",
            Pass::ToInput(..) => "conv_transpose2d",
            Pass::ToFilter(..) => "conv2d_weight_gradient",
        }
    }

    fn promote(&self, x: &[&Tensor]) -> Result<Option<DType>> {
        let dtype = promote(x.iter().map(|x| x.dtype()));
        Ok(Some(if dtype.is_float() { dtype } else { DType::F32 }))
    }

    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        let (_, _, [image, filters, out]) = self.geometry(x)?;
        let shape = match self.pass {
            Pass::Forward => out,
            Pass::ToInput(..) => image,
            Pass::ToFilter(..) => filters,
        };
        if let Some(bias) = x.get(2) {
            ensure!(
                bias.numel() == shape[1],
                Shape,
                "{}: bias has {} elements but there are {} output channels",
                self.name(),
                bias.numel(),
                shape[1]
            );
        }
        Ok(Meta::one(shape, x[0].dtype()))
    }

    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        self.eval_with(x, out, |x| {
            Ok(ConvEpilogue { bias: x.get(2).copied(), ..ConvEpilogue::default() })
        })
    }

    fn saves(&self, _: DType) -> Saves {
        Saves { inputs: 0b11, outputs: false }
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let (a, b, dy) = (g.input(0)?, g.input(1)?, g.dy(0)?);
        let params = self.params;
        let to = |pass, x: &[&Tensor]| apply1(Conv { params, pass }, x).map(Some);
        let (sa, sb) = (g.input_meta(0).shape, g.input_meta(1).shape);
        g.each(|k| match (self.pass, k) {
            (_, 2) => sum(&dy, Some(&[0, 2, 3]), false).map(Some),
            (Pass::Forward, 0) => to(Pass::ToInput(sa[2], sa[3]), &[&dy, b]),
            (Pass::Forward, _) => to(Pass::ToFilter(sb[2], sb[3]), &[a, &dy]),
            (Pass::ToInput(..), 0) => to(Pass::Forward, &[&dy, b]),
            (Pass::ToInput(..), _) => to(Pass::ToFilter(sb[2], sb[3]), &[&dy, a]),
            (Pass::ToFilter(..), 0) => to(Pass::ToInput(sa[2], sa[3]), &[b, &dy]),
            (Pass::ToFilter(..), _) => to(Pass::Forward, &[a, &dy]),
        })
    }
}
