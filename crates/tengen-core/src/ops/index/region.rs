//! Views by ranges of the axes, and assignment to such a view.

use crate::autograd::Gradient;
use crate::elementwise::{copy_both, copy_into, expand};
use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::shape::{MAX_DIMS, Shape};
use crate::{DType, Result, Tensor, apply1, bail, ensure};
use smallvec::{SmallVec, smallvec};

/// What stands in a view for an axis of its source.
#[derive(Clone, Copy, Debug, PartialEq)]
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

/// The view of `x`; the parts are checked.
fn view(parts: &Parts, x: &Tensor, shape: Shape) -> Tensor {
    let (mut strides, mut offset) = ([0isize; MAX_DIMS], x.offset() as isize);
    let (mut axis, mut out) = (0, 0);
    for part in parts {
        match *part {
            Part::New => {
                out += 1;
                continue;
            }
            Part::At(i) => offset += i as isize * x.strides()[axis],
            Part::Range { start, step, .. } => {
                offset += start as isize * x.strides()[axis];
                strides[out] = step.wrapping_mul(x.strides()[axis]);
                out += 1;
            }
        }
        axis += 1;
    }
    // A view without elements may begin at an element that `x`, without elements too, has not.
    let offset = if shape.numel() == 0 { x.offset() } else { offset as usize };
    // SAFETY: along each axis the view names elements that are within that axis of `x`.
    unsafe { x.view(shape, strides, offset) }
}

/// `x[parts]`, a view.
struct Region(Parts);

impl Op for Region {
    fn name(&self) -> &'static str {
        "getitem"
    }
    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        check(self.name(), &self.0, x[0].shape())?;
        Ok(Meta::one(shape_of(&self.0)?, x[0].dtype()))
    }
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        Ok(smallvec![view(&self.0, x[0], out[0].shape)])
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        g.each(|_| {
            let Meta { shape, dtype } = g.input_meta(0);
            Ok(Some(assign(&zeros_of(&shape, dtype)?, &self.0, &g.dy(0)?)?))
        })
    }
}

/// `x` with the elements of `x[parts]` replaced by `v`'s.
struct Assign(Parts);

impl Op for Assign {
    fn name(&self) -> &'static str {
        "setitem"
    }
    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        check(self.name(), &self.0, x[0].shape())?;
        let shape = shape_of(&self.0)?;
        if *x[1].shape() != shape || x[1].dtype() != x[0].dtype() {
            bail!(Shape, "setitem: {} does not fit {}{shape}", x[1], x[0].dtype());
        }
        Ok(Meta::one(*x[0].shape(), x[0].dtype()))
    }
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        let y = Tensor::empty(*x[0].shape(), x[0].dtype())?;
        let whole = |(part, n): &(&Part, &usize)| **part == Part::all(**n);
        let lead = self.0.iter().zip(x[0].shape().iter()).take_while(whole).count();
        let part = view(&self.0, &y, *x[1].shape());
        copy_both(lead, (x[0], &y), (x[1], &part));
        Ok(smallvec![y])
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let dy = g.dy(0)?;
        g.each(|k| {
            Ok(Some(match k {
                0 => assign(&dy, &self.0, &zeros_of(&g.input_meta(1).shape, dy.dtype())?)?,
                _ => region(&dy, &self.0)?,
            }))
        })
    }
}

/// The view of `x` that has the given parts of its axes.
pub(crate) fn region(x: &Tensor, parts: &Parts) -> Result<Tensor> {
    apply1(Region(parts.clone()), &[x])
}

/// `x` with the elements of `region(x, parts)` replaced by those of `v`, of the same shape and
/// dtype.
pub(crate) fn assign(x: &Tensor, parts: &Parts, v: &Tensor) -> Result<Tensor> {
    apply1(Assign(parts.clone()), &[x, v])
}

/// [`assign`] without a record, to `x` itself if this is its only handle.
pub(crate) fn assign_in_place(x: &mut Tensor, parts: &Parts, v: &Tensor) -> Result<()> {
    Assign(parts.clone()).infer(&[x, v])?;
    x.make_unique()?;
    copy_into(v, &view(parts, x, *v.shape()));
    Ok(())
}

/// Zeros of which only one is stored.
pub(crate) fn zeros_of(shape: &Shape, dtype: DType) -> Result<Tensor> {
    Ok(expand(&Tensor::zeros(&[], dtype)?, shape))
}
