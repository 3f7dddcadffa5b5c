//! Views by ranges of the axes, and assignment to such a view.

use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Grads, Meta, Metas, Op, Saves};
use crate::ops::broadcast_to;
use crate::shape::{MAX_DIMS, Shape};
use crate::{DType, Result, Tensor, apply_in_place, apply1, bail, ensure};
use smallvec::SmallVec;

/// What stands in a view for an axis of its source.
#[derive(Clone, Copy, Debug, PartialEq, Attributes)]
pub(crate) enum Part {
    /// `len` elements from `start` on, in steps of `step`.
    Range { start: usize, step: isize, len: usize },
    /// One element, which leaves no axis.
    At(usize),
    /// No axis of the source: a new one of extent 1.
    New,
}

impl Part {
    /// A whole axis.
    pub(crate) fn all(len: usize) -> Part {
        Part::Range { start: 0, step: 1, len }
    }
}

/// One part per axis of the source, new axes between them.
pub(crate) type Parts = SmallVec<[Part; MAX_DIMS]>;

/// Whether the view is all of `x`, as it is.
pub(crate) fn is_whole(parts: &Parts, x: &Tensor) -> bool {
    parts.iter().copied().eq(x.shape().iter().map(|n| Part::all(*n)))
}

/// The shape of the view.
pub(crate) fn shape_of(parts: &Parts) -> Result<Shape> {
    let dims: SmallVec<[usize; MAX_DIMS]> = parts
        .iter()
        .filter_map(|p| match p {
            Part::Range { len, .. } => Some(*len),
            Part::At(_) => None,
            Part::New => Some(1),
        })
        .collect();
    Shape::new(&dims)
}

/// Checks that every part lies within its axis of a tensor of this shape.
fn check(op: &str, parts: &Parts, shape: &Shape) -> Result<()> {
    let axes = parts.iter().filter(|p| **p != Part::New);
    let fits = |(part, n): (&Part, &usize)| match *part {
        Part::Range { len: 0, start, .. } => start == 0,
        Part::Range { start, step, len } => {
            let last = isize::try_from(len - 1)
                .ok()
                .and_then(|l| l.checked_mul(step))
                .and_then(|reach| start.checked_add_signed(reach));
            start < *n && last.is_some_and(|l| l < *n)
        }
        Part::At(i) => i < *n,
        Part::New => false,
    };
    ensure!(
        axes.clone().count() == shape.len() && axes.zip(shape.iter()).all(fits),
        Index,
        "{op}: the region {parts:?} does not lie in shape {shape}"
    );
    Ok(())
}

/// `x[parts]`, a view.
#[derive(Attributes)]
pub(crate) struct Region {
    pub parts: Parts,
}

impl Op for Region {
    fn name(&self) -> &'static str {
        "getitem"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        check(self.name(), &self.parts, x[0].shape())?;
        Ok(Meta::one(shape_of(&self.parts)?, x[0].dtype()))
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        g.each(|_| {
            let Meta { shape, dtype } = g.input_meta(0);
            Ok(Some(assign(&zeros_of(&shape, dtype)?, &self.parts, &g.dy(0)?)?))
        })
    }
}

/// `x` with the elements of `x[parts]` replaced by `v`'s.
#[derive(Attributes)]
pub(crate) struct Assign {
    pub parts: Parts,
}

impl Op for Assign {
    fn name(&self) -> &'static str {
        "setitem"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 2
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        check(self.name(), &self.parts, x[0].shape())?;
        let shape = shape_of(&self.parts)?;
        if *x[1].shape() != shape || x[1].dtype() != x[0].dtype() {
            bail!(Shape, "setitem: {} does not fit {}{shape}", x[1], x[0].dtype());
        }
        Ok(Meta::one(*x[0].shape(), x[0].dtype()))
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let dy = g.dy(0)?;
        g.each(|k| {
            Ok(Some(match k {
                0 => assign(&dy, &self.parts, &zeros_of(&g.input_meta(1).shape, dy.dtype())?)?,
                _ => region(&dy, &self.parts)?,
            }))
        })
    }
}

/// The view of `x` that has the given parts of its axes.
pub(crate) fn region(x: &Tensor, parts: &Parts) -> Result<Tensor> {
    apply1(Region { parts: parts.clone() }, &[x])
}

/// `x` with the elements of `region(x, parts)` replaced by those of `v`, of the same shape and
/// dtype.
pub(crate) fn assign(x: &Tensor, parts: &Parts, v: &Tensor) -> Result<Tensor> {
    apply1(Assign { parts: parts.clone() }, &[x, v])
}

/// [`assign`] to `x` itself.
pub(crate) fn assign_in_place(x: &mut Tensor, parts: &Parts, v: &Tensor) -> Result<()> {
    apply_in_place(Assign { parts: parts.clone() }, x, &[v])
}

/// Zeros of which only one is stored.
pub(crate) fn zeros_of(shape: &Shape, dtype: DType) -> Result<Tensor> {
    broadcast_to(&Tensor::zeros(&[], dtype)?, shape)
}
