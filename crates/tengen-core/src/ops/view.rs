//! Changes of shape that share memory with their input where possible.

use super::sum_to;
use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Entry, Grads, Meta, Metas, Op, Saves};
use crate::shape::{MAX_DIMS, Shape, normalize_axis};
use crate::{DType, Result, Tensor, apply1, bail, ensure};
use smallvec::{SmallVec, smallvec};

pub(super) const OPERATORS: &[&[Entry]] = &[&[
    Entry::of::<Reshape>(&["reshape"]),
    Entry::of::<Transpose>(&["transpose"]),
    Entry::of::<BroadcastTo>(&["broadcast_to"]),
    Entry::of::<Contiguous>(&["contiguous"]),
]];

/// The same elements under another shape.
#[derive(Attributes)]
pub(crate) struct Reshape {
    pub shape: Shape,
}

impl Op for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        ensure!(
            x[0].numel() == self.shape.numel(),
            Shape,
            "reshape: {} has {} elements, shape {} has {}",
            x[0],
            x[0].numel(),
            self.shape,
            self.shape.numel()
        );
        Ok(Meta::one(self.shape, x[0].dtype()))
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        g.each(|_| Ok(Some(reshape(&g.dy(0)?, &g.input_meta(0).shape)?)))
    }
}

/// The same elements in row-major order under another shape of as many elements.
///
/// # Errors
/// Shape: the numbers of elements differ. Memory: a copy of a view cannot be had.
pub fn reshape(x: &Tensor, shape: &[usize]) -> Result<Tensor> {
    if **x.shape() == *shape {
        return Ok(x.clone());
    }
    apply1(Reshape { shape: Shape::new(shape)? }, &[x])
}

/// [`reshape`] to a shape in which one extent may be −1: what the others leave.
///
/// # Errors
/// As [`reshape`]; Value: an extent below −1, or more than one −1.
pub fn reshape_infer(x: &Tensor, shape: &[isize]) -> Result<Tensor> {
    let mut dims: SmallVec<[usize; MAX_DIMS]> = smallvec![];
    let mut open = None;
    for (i, n) in shape.iter().enumerate() {
        match usize::try_from(*n) {
            Ok(n) => dims.push(n),
            Err(_) if *n == -1 && open.is_none() => {
                open = Some(i);
                dims.push(1);
            }
            Err(_) => bail!(Value, "reshape: {shape:?} must have no negative extent but one -1"),
        }
    }
    if let Some(i) = open {
        let known = Shape::new(&dims)?.numel();
        ensure!(
            known != 0 && x.numel().is_multiple_of(known),
            Shape,
            "reshape: the {} elements of {x} do not fill shape {shape:?}",
            x.numel()
        );
        dims[i] = x.numel() / known;
    }
    reshape(x, &dims)
}

/// Axis `i` of the result is axis `axes[i]`.
#[derive(Attributes)]
pub(crate) struct Transpose {
    pub axes: SmallVec<[usize; MAX_DIMS]>,
}

impl Op for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let mut seen = [false; MAX_DIMS];
        let valid = self.axes.len() == x[0].ndim()
            && self
                .axes
                .iter()
                .all(|a| *a < x[0].ndim() && !std::mem::replace(&mut seen[*a], true));
        ensure!(valid, Index, "transpose: {:?} is no order of the axes of {}", self.axes, x[0]);
        let dims: SmallVec<[usize; MAX_DIMS]> =
            self.axes.iter().map(|a| x[0].shape()[*a]).collect();
        Ok(Meta::one(Shape::new(&dims)?, x[0].dtype()))
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let mut axes: SmallVec<[usize; MAX_DIMS]> = smallvec![0; self.axes.len()];
        for (i, a) in self.axes.iter().enumerate() {
            axes[*a] = i;
        }
        g.each(|_| Ok(Some(apply1(Transpose { axes: axes.clone() }, &[&g.dy(0)?])?)))
    }
}

/// Axes in another order: axis `i` of the result is axis `axes[i]` of `x`. A view.
///
/// # Errors
/// Index: `axes` does not name each axis once.
pub fn transpose(x: &Tensor, axes: &[isize]) -> Result<Tensor> {
    let axes = axes.iter().map(|a| normalize_axis("transpose", *a, x.ndim()));
    apply1(Transpose { axes: axes.collect::<Result<_>>()? }, &[x])
}

/// Two axes exchanged. A view.
///
/// # Errors
/// Index: an axis is out of range.
pub fn swapaxes(x: &Tensor, a: isize, b: isize) -> Result<Tensor> {
    let mut axes: SmallVec<[usize; MAX_DIMS]> = (0..x.ndim()).collect();
    axes.swap(normalize_axis("swapaxes", a, x.ndim())?, normalize_axis("swapaxes", b, x.ndim())?);
    apply1(Transpose { axes }, &[x])
}

/// Repeated along new leading axes and axes of extent 1.
#[derive(Attributes)]
pub(crate) struct BroadcastTo {
    pub shape: Shape,
}

impl Op for BroadcastTo {
    fn name(&self) -> &'static str {
        "broadcast_to"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let (from, to) = (x[0].shape(), &self.shape);
        let fits = from.len() <= to.len()
            && from.iter().rev().zip(to.iter().rev()).all(|(a, b)| a == b || *a == 1);
        ensure!(fits, Shape, "broadcast_to: {} cannot be broadcast to {to}", x[0]);
        Ok(Meta::one(*to, x[0].dtype()))
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        g.each(|_| Ok(Some(sum_to(&g.dy(0)?, &g.input_meta(0).shape)?)))
    }
}

/// A copy in row-major order.
#[derive(Attributes)]
pub(crate) struct Contiguous {}

impl Op for Contiguous {
    fn name(&self) -> &'static str {
        "contiguous"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        Ok(Meta::one(*x[0].shape(), x[0].dtype()))
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        g.each(|_| g.dy(0).map(Some))
    }
}

/// The elements in row-major order, where they are: what [`Tensor::contiguous`] is on other devices.
pub(crate) fn contiguous(x: &Tensor) -> Result<Tensor> {
    apply1(Contiguous {}, &[x])
}

/// `x` repeated along new leading axes and axes of extent 1, up to `shape`. A view.
///
/// # Errors
/// Shape: an extent differs and is not 1.
pub fn broadcast_to(x: &Tensor, shape: &Shape) -> Result<Tensor> {
    if x.shape() == shape {
        return Ok(x.clone());
    }
    apply1(BroadcastTo { shape: *shape }, &[x])
}

/// New axes of extent 1 at the given places of the result. A view.
///
/// # Errors
/// Index: an axis is out of range or named twice.
pub fn expand_dims(x: &Tensor, axes: &[isize]) -> Result<Tensor> {
    let ndim = x.ndim() + axes.len();
    ensure!(
        ndim <= MAX_DIMS,
        Shape,
        "expand_dims: {x} with {axes:?} has over {MAX_DIMS} dimensions"
    );
    let mut new = [false; MAX_DIMS];
    for a in axes {
        let a = normalize_axis("expand_dims", *a, ndim)?;
        ensure!(!new[a], Index, "expand_dims: axis {a} is named twice in {axes:?}");
        new[a] = true;
    }
    let mut old = x.shape().iter();
    let shape: SmallVec<[usize; MAX_DIMS]> =
        new[..ndim].iter().map(|n| if *n { 1 } else { old.next().copied().unwrap_or(1) }).collect();
    reshape(x, &shape)
}

/// The given axes (all of extent 1, if `None`) dropped. A view.
///
/// # Errors
/// Index: an axis is out of range. Shape: its extent is not 1.
pub fn squeeze(x: &Tensor, axes: Option<&[isize]>) -> Result<Tensor> {
    let mut drop = [false; MAX_DIMS];
    match axes {
        None => x.shape().iter().zip(&mut drop).for_each(|(n, d)| *d = *n == 1),
        Some(axes) => {
            for a in axes {
                let a = normalize_axis("squeeze", *a, x.ndim())?;
                ensure!(x.shape()[a] == 1, Shape, "squeeze: axis {a} of {x} has not extent 1");
                drop[a] = true;
            }
        }
    }
    let kept = x.shape().iter().zip(drop).filter(|(_, d)| !d).map(|(n, _)| *n);
    reshape(x, &kept.collect::<SmallVec<[usize; MAX_DIMS]>>())
}

/// Axes `start..=end` made one.
///
/// # Errors
/// Index: an axis is out of range, or `end` lies before `start`.
pub fn flatten(x: &Tensor, start: isize, end: isize) -> Result<Tensor> {
    if x.ndim() == 0 {
        return reshape(x, &[1]);
    }
    let (s, e) =
        (normalize_axis("flatten", start, x.ndim())?, normalize_axis("flatten", end, x.ndim())?);
    ensure!(s <= e, Index, "flatten: axis {end} lies before axis {start}");
    let mut shape: SmallVec<[usize; MAX_DIMS]> = x.shape()[..s].into();
    shape.push(x.shape()[s..=e].iter().product());
    shape.extend_from_slice(&x.shape()[e + 1..]);
    reshape(x, &shape)
}
