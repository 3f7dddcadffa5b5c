//! What an index means for a tensor: NumPy's rules.

use super::mask::positions;
use super::region::{Part, Parts, is_whole, shape_of};
use super::{expect_index, out_of_range};
use crate::op::{Attributes, Described, Meta, Metas, Op, describe};
use crate::shape::{MAX_DIMS, Shape, broadcast};
use crate::{DType, Result, Tensor, apply1, bail, ensure};
use smallvec::SmallVec;

/// One item of an index, as NumPy has them.
#[derive(Clone, Debug)]
pub enum Index {
    /// One element of an axis, which is dropped; a negative one counts from the end.
    Int(isize),
    /// `start:stop:step`; negative bounds count from the end, and a negative step goes backwards.
    Slice {
        /// The first element; by default the first in the direction of the step.
        start: Option<isize>,
        /// Where to stop, exclusive; by default past the last in the direction of the step.
        stop: Option<isize>,
        /// Not 0.
        step: isize,
    },
    /// A new axis of extent 1.
    NewAxis,
    /// As many whole axes as are left over.
    Ellipsis,
    /// Integers: the elements of one axis to take; or bools over as many axes as the mask has: the
    /// elements where it is true. Several of these are broadcast together.
    Tensor(Tensor),
}

impl Index {
    /// The whole axis, `:`.
    pub const ALL: Index = Index::Slice { start: None, stop: None, step: 1 };
}

/// An index array for `count` axes of a view from `axis` on, seen as one axis.
pub(super) struct Array {
    pub axis: usize,
    pub count: usize,
    pub index: Tensor,
}

/// An index for a tensor: first a view, then arrays for some of its axes.
pub(super) struct Plan {
    pub parts: Parts,
    pub arrays: SmallVec<[Array; 2]>,
    /// Where the axes of the arrays stand in the result.
    pub place: usize,
    /// The shape that the arrays are broadcast to.
    pub picks: Shape,
    /// The shape of the result.
    pub shape: Shape,
    /// Whether the view is the tensor itself.
    pub whole: bool,
}

/// The part of an axis of extent `n` that a slice names.
fn slice(
    op: &str,
    start: Option<isize>,
    stop: Option<isize>,
    step: isize,
    n: usize,
) -> Result<Part> {
    ensure!(step != 0, Value, "{op}: a slice's step must not be 0");
    let n = n as isize;
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let bound = |v: isize| (if v < 0 { v.saturating_add(n) } else { v }).clamp(low, high);
    let (first, last) = if step > 0 { (low, high) } else { (high, low) };
    let (from, to) = (start.map_or(first, bound), stop.map_or(last, bound));
    let span = if step > 0 { to - from } else { from - to };
    if span <= 0 {
        return Ok(Part::Range { start: 0, step: 1, len: 0 });
    }
    let len = (span as usize).div_ceil(step.unsigned_abs());
    // One element has no step, and so a view of it is contiguous.
    let step = if len == 1 { 1 } else { step };
    Ok(Part::Range { start: from as usize, step, len })
}

/// Which of the items, in their order, index with arrays.
#[derive(PartialEq)]
enum Run {
    None,
    Now,
    Over,
    Apart,
}

impl Plan {
    pub(super) fn new(op: &str, x: &Tensor, index: &[Index]) -> Result<Plan> {
        let axes_of = |i: &Index| match i {
            Index::Int(_) | Index::Slice { .. } => 1,
            Index::NewAxis | Index::Ellipsis => 0,
            Index::Tensor(t) if t.dtype() == DType::Bool => t.ndim(),
            Index::Tensor(_) => 1,
        };
        let used: usize = index.iter().map(axes_of).sum();
        let ellipses = index.iter().filter(|i| matches!(i, Index::Ellipsis)).count();
        ensure!(ellipses <= 1, Index, "{op}: an index can have only one ellipsis");
        ensure!(used <= x.ndim(), Index, "{op}: {used} axes are indexed, but x is {x}");
        let has_arrays = index.iter().any(is_array);
        let mut plan = Plan {
            parts: Parts::new(),
            arrays: SmallVec::new(),
            place: 0,
            picks: Shape::default(),
            shape: Shape::default(),
            whole: false,
        };
        // The axis of `x`, and that of the view.
        let (mut axis, mut out, mut run) = (0, 0, Run::None);
        let rest = [Index::Ellipsis];
        let items = index.iter().chain(if ellipses == 0 { &rest[..] } else { &[] });
        for item in items {
            let array = is_array(item) || (has_arrays && is_int(item));
            run = match (run, array) {
                (Run::None, true) => {
                    plan.place = out;
                    Run::Now
                }
                (Run::Now, false) => Run::Over,
                (Run::Over, true) => Run::Apart,
                (run, _) => run,
            };
            match item {
                Index::Int(i) => {
                    plan.parts.push(at(op, *i as i64, axis, x)?);
                    axis += 1;
                }
                Index::Tensor(t) if is_int(item) => {
                    expect_index(op, describe(&[t])[0])?;
                    plan.parts.push(at(op, t.item_as::<i64>()?, axis, x)?);
                    axis += 1;
                }
                Index::Slice { start, stop, step } => {
                    plan.parts.push(slice(op, *start, *stop, *step, x.shape()[axis])?);
                    (axis, out) = (axis + 1, out + 1);
                }
                Index::NewAxis => {
                    plan.parts.push(Part::New);
                    out += 1;
                }
                Index::Ellipsis => {
                    for _ in 0..x.ndim() - used {
                        plan.parts.push(Part::all(x.shape()[axis]));
                        (axis, out) = (axis + 1, out + 1);
                    }
                }
                Index::Tensor(t) => {
                    let (index, count) = array_of(op, t, axis, x)?;
                    let taken = if t.ndim() == 0 { 0 } else { count };
                    plan.arrays.push(Array { axis: out, count, index });
                    if taken == 0 {
                        plan.parts.push(Part::New);
                    }
                    plan.parts.extend(x.shape()[axis..axis + taken].iter().map(|n| Part::all(*n)));
                    (axis, out) = (axis + taken, out + count);
                }
            }
        }
        if run == Run::Apart {
            plan.place = 0;
        }
        plan.finish(op, x)
    }

    fn finish(mut self, op: &str, x: &Tensor) -> Result<Plan> {
        for (k, a) in self.arrays.iter().enumerate() {
            self.picks = match k {
                0 => *a.index.shape(),
                _ => broadcast(&format!("{op}: index arrays"), &self.picks, a.index.shape())?,
            };
        }
        self.whole = is_whole(&self.parts, x);
        let view = shape_of(&self.parts)?;
        if self.arrays.is_empty() {
            self.shape = view;
            return Ok(self);
        }
        let taken = |d: &usize| self.arrays.iter().any(|a| (a.axis..a.axis + a.count).contains(d));
        let mut dims: SmallVec<[usize; MAX_DIMS]> =
            (0..view.len()).filter(|d| !taken(d)).map(|d| view[d]).collect();
        dims.insert_from_slice(self.place.min(dims.len()), &self.picks);
        self.shape = Shape::new(&dims)?;
        Ok(self)
    }

    /// The arrays as one index into the axis that their axes make together, of the shape
    /// `picks`; `view` is the shape of the view.
    pub(super) fn linear(&self, view: &Shape) -> Result<Tensor> {
        if let [only] = &self.arrays[..] {
            return Ok(only.index.clone());
        }
        let extent = |a: &Array| view[a.axis..a.axis + a.count].iter().product();
        let extents: SmallVec<[usize; MAX_DIMS]> = self.arrays.iter().map(extent).collect();
        let arrays: SmallVec<[&Tensor; 4]> = self.arrays.iter().map(|a| &a.index).collect();
        apply1(RavelIndex { extents: Shape::new(&extents)? }, &arrays)
    }
}

/// Indices into axes of these extents, broadcast together → indices into all of them seen as one;
/// i64. An index may count from the end of its axis.
#[derive(Attributes)]
pub(crate) struct RavelIndex {
    pub extents: Shape,
}

impl Op for RavelIndex {
    fn name(&self) -> &'static str {
        "ravel_index"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == self.extents.len()
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let (count, given) = (self.extents.len(), x.len());
        ensure!(count == given, Value, "getitem: {given} index arrays for {count} axes");
        let mut shape = Shape::default();
        for index in x {
            expect_index("getitem", index)?;
            shape = broadcast("getitem: index arrays", &shape, index.shape())?;
        }
        Ok(Meta::one(shape, DType::I64))
    }
}

/// Whether this is an array of indices; integers without dimensions are not.
fn is_array(index: &Index) -> bool {
    matches!(index, Index::Tensor(t) if t.ndim() > 0 || t.dtype() == DType::Bool)
}

fn is_int(index: &Index) -> bool {
    match index {
        Index::Int(_) => true,
        Index::Tensor(t) => t.ndim() == 0 && t.dtype() != DType::Bool,
        _ => false,
    }
}

fn at(op: &str, i: i64, axis: usize, x: &Tensor) -> Result<Part> {
    let n = x.shape()[axis] as i64;
    if !(-n..n).contains(&i) {
        return Err(out_of_range(op, i, axis, x.shape(), x));
    }
    Ok(Part::At(i.rem_euclid(n) as usize))
}

/// An index tensor as integers, and for how many axes of the view it stands.
fn array_of(op: &str, t: &Tensor, axis: usize, x: &Tensor) -> Result<(Tensor, usize)> {
    if t.dtype() != DType::Bool {
        expect_index(op, describe(&[t])[0])?;
        return Ok((t.detach(), 1));
    }
    let covered = &x.shape()[axis..axis + t.ndim()];
    if t.shape() != covered {
        bail!(Index, "{op}: the mask {t} does not fit axes of extents {covered:?} of {x}");
    }
    // A mask without dimensions makes a new axis and keeps its element or not.
    Ok((positions(op, t)?, t.ndim().max(1)))
}
