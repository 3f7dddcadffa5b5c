//! The operators: what they infer, which evaluation they take, their gradients.

use super::ConvParams;
use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Grads, Meta, Metas, Op, Saves};
use crate::ops::sum;
use crate::shape::Shape;
use crate::{DType, Result, Tensor, apply1, bail, ensure, promote};
use tengen_kernels::conv::Geometry;

/// Which of the three a [`Conv`] computes, from which inputs. The first two take a third one, a bias
/// for each channel of what they compute.
#[derive(Clone, Copy, PartialEq, Attributes)]
pub(crate) enum Pass {
    /// image, filters → result
    Forward,
    /// result's gradient, filters → image's gradient, of the given height and width
    ToInput(usize, usize),
    /// image, result's gradient → filters' gradient, of the given height and width
    ToFilter(usize, usize),
}

/// Image `[n, c, h, w]`, filters `[k, c/groups, r, s]`, result `[n, k, oh, ow]`.
#[derive(Clone, Copy, Attributes)]
pub(crate) struct Conv {
    pub params: ConvParams,
    pub pass: Pass,
}

impl Conv {
    /// The shapes of image, filters and result.
    fn shapes(&self, x: &[&Described]) -> Result<[Shape; 3]> {
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
            Pass::ToInput(h, w) => {
                (sa[0], sb[1].saturating_mul(p.groups), (h, w), sb[0], (sb[2], sb[3]))
            }
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
        let Some((_, out)) = g.zip(out).filter(|(g, out)| g.out == *out) else {
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
        Ok([
            Shape::new(&[n, c, image.0, image.1])?,
            Shape::new(&[k, per_group, filter.0, filter.1])?,
            Shape::new(&[n, k, out.0, out.1])?,
        ])
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
    fn takes(&self, inputs: usize) -> bool {
        inputs == 2 || (inputs == 3 && !matches!(self.pass, Pass::ToFilter(..)))
    }

    fn promote(&self, x: &[&Described]) -> Result<Option<DType>> {
        let dtype = promote(x.iter().map(|x| x.dtype()));
        Ok(Some(if dtype.is_float() { dtype } else { DType::F32 }))
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let [image, filters, out] = self.shapes(x)?;
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

    fn saves(&self, _: DType) -> Saves {
        Saves { inputs: 0b11, outputs: 0 }
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
