//! `x[index]` and `x[index] = value`.

use super::plan::{Index, Plan};
use super::region::{assign, assign_in_place, region};
use super::rows::{Put, put};
use super::take;
use crate::ops::{broadcast_to, cast, reshape, transpose};
use crate::shape::{MAX_DIMS, Shape};
use crate::{Result, Tensor, apply_in_place, ensure};
use smallvec::SmallVec;

type Axes = SmallVec<[isize; MAX_DIMS]>;

/// How the axes of a view that have index arrays become one axis.
struct Merge {
    /// The view's axes in another order, if those with arrays are not neighbours.
    order: Option<Axes>,
    /// The view's shape in that order.
    ordered: Shape,
    /// That shape with one axis in place of those with arrays.
    merged: Shape,
    /// The place of that axis.
    axis: usize,
}

impl Merge {
    fn new(plan: &Plan, view: &Shape) -> Result<Merge> {
        let arrays: Axes =
            plan.arrays.iter().flat_map(|a| a.axis..a.axis + a.count).map(|d| d as isize).collect();
        let first = arrays.first().map_or(0, |d| *d as usize);
        let neighbours = arrays.iter().enumerate().all(|(i, d)| *d == (first + i) as isize);
        let (order, axis) = if neighbours {
            (None, first)
        } else {
            let others = (0..view.len() as isize).filter(|d| !arrays.contains(d));
            (Some(arrays.iter().copied().chain(others).collect::<Axes>()), 0)
        };
        let ordered = match &order {
            None => *view,
            Some(o) => {
                Shape::new(&o.iter().map(|d| view[*d as usize]).collect::<SmallVec<[_; 8]>>())?
            }
        };
        let end = axis + arrays.len();
        let mut dims: SmallVec<[usize; MAX_DIMS]> = ordered[..axis].into();
        dims.push(ordered[axis..end].iter().product());
        dims.extend_from_slice(&ordered[end..]);
        Ok(Merge { order, ordered, merged: Shape::new(&dims)?, axis })
    }

    /// The view with its axes merged.
    fn forward(&self, view: &Tensor) -> Result<Tensor> {
        let ordered = match &self.order {
            None => view.clone(),
            Some(order) => transpose(view, order)?,
        };
        reshape(&ordered, &self.merged)
    }

    /// The view of a merged tensor.
    fn back(&self, merged: &Tensor) -> Result<Tensor> {
        let ordered = reshape(merged, &self.ordered)?;
        match &self.order {
            None => Ok(ordered),
            Some(order) => {
                let mut back: Axes = order.clone();
                order.iter().enumerate().for_each(|(i, d)| back[*d as usize] = i as isize);
                transpose(&ordered, &back)
            }
        }
    }
}

/// `x` with `count` axes from `from` on moved to start at `to`.
fn move_axes(x: &Tensor, from: usize, count: usize, to: usize) -> Result<Tensor> {
    if from == to || count == 0 {
        return Ok(x.clone());
    }
    let mut order: Axes = (0..x.ndim() as isize).collect();
    let moved: Axes = order.drain(from..from + count).collect();
    order.insert_many(to, moved);
    transpose(x, &order)
}

/// `x[index]`, by NumPy's rules. Integers, slices, new axes and ellipses give a view; index arrays
/// and masks copy. The gradient goes to the elements that were taken, and adds up where one was
/// taken twice.
///
/// ```
/// use tengen_core::{Tensor, ops, ops::Index};
/// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])?;
/// let back = Index::Slice { start: None, stop: None, step: -1 };
/// let y = ops::getitem(&x, &[Index::Int(1), back])?;
/// assert_eq!(y.to_vec::<f32>()?, [6.0, 5.0, 4.0]);
/// let columns = Index::Tensor(Tensor::from_slice(&[2, 0], &[2])?);
/// let y = ops::getitem(&x, &[Index::Ellipsis, columns])?;
/// assert_eq!(y.to_vec::<f32>()?, [3.0, 1.0, 6.0, 4.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
///
/// # Errors
/// Index: an index is out of range, there are too many, or a mask has another shape than its axes.
/// Shape: index arrays cannot be broadcast together. DType: an index array is neither of integers
/// nor of bools. Value: a slice's step is 0. Memory: the result cannot be had.
pub fn getitem(x: &Tensor, index: &[Index]) -> Result<Tensor> {
    let plan = Plan::new("getitem", x, index)?;
    let view = if plan.whole { x.clone() } else { region(x, &plan.parts)? };
    if plan.arrays.is_empty() {
        return Ok(view);
    }
    let merge = Merge::new(&plan, view.shape())?;
    let linear = plan.linear(view.shape())?;
    let y = take(&merge.forward(&view)?, merge.axis as isize, &linear)?;
    move_axes(&y, merge.axis, plan.picks.len(), plan.place)
}

/// The value as one of `x`'s dtype and of the shape that the plan assigns to.
fn fit(plan: &Plan, x: &Tensor, value: &Tensor) -> Result<Tensor> {
    let extra = value.ndim().saturating_sub(plan.shape.len());
    ensure!(
        value.shape()[..extra].iter().all(|n| *n == 1),
        Shape,
        "setitem: the value {value} cannot be broadcast to {}, the part of {x} that is assigned to",
        plan.shape
    );
    let value = reshape(&cast(value, x.dtype())?, &value.shape()[extra..])?;
    broadcast_to(&value, &plan.shape).map_err(|e| e.context("setitem"))
}

/// `x` after `x[index] = value`, by NumPy's rules: `value` is broadcast to the part of `x` that
/// [`getitem`] would give, and converted to `x`'s dtype; where an element is named twice, the last
/// value stays. The gradient goes to the values that stayed and to the untouched part of `x`.
///
/// ```
/// use tengen_core::{Tensor, ops, ops::Index};
/// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3])?;
/// let y = ops::setitem(&x, &[Index::Int(-1)], &Tensor::scalar(9.0f32)?)?;
/// assert_eq!(y.to_vec::<f32>()?, [1.0, 2.0, 9.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
///
/// # Errors
/// As [`getitem`]; Shape: `value` cannot be broadcast.
pub fn setitem(x: &Tensor, index: &[Index], value: &Tensor) -> Result<Tensor> {
    Ok(replaced(x, index, value)?.named(x.device()))
}

fn replaced(x: &Tensor, index: &[Index], value: &Tensor) -> Result<Tensor> {
    let plan = Plan::new("setitem", x, index)?;
    let value = fit(&plan, x, value)?;
    if plan.arrays.is_empty() {
        return assign(x, &plan.parts, &value);
    }
    let view = if plan.whole { x.clone() } else { region(x, &plan.parts)? };
    let merge = Merge::new(&plan, view.shape())?;
    let linear = plan.linear(view.shape())?;
    let source = move_axes(&value, plan.place, plan.picks.len(), merge.axis)?;
    let y = merge.back(&put(&merge.forward(&view)?, merge.axis, 1, &linear, &source)?)?;
    if plan.whole { Ok(y) } else { assign(x, &plan.parts, &y) }
}

/// [`setitem`] to `x` itself: without a copy where this is its only handle.
///
/// # Errors
/// As [`setitem`]; `x` is left as it was.
pub fn setitem_in_place(x: &mut Tensor, index: &[Index], value: &Tensor) -> Result<()> {
    let plan = Plan::new("setitem", x, index)?;
    let value = fit(&plan, x, value)?;
    if plan.arrays.is_empty() {
        return assign_in_place(x, &plan.parts, &value);
    }
    let merge = if plan.whole { Some(Merge::new(&plan, x.shape())?) } else { None };
    let Some(merge) = merge.filter(|m| m.order.is_none()) else {
        *x = setitem(x, index, &value)?;
        return Ok(());
    };
    let linear = plan.linear(x.shape())?;
    let source = move_axes(&value, plan.place, plan.picks.len(), merge.axis)?;
    let count = x.ndim() + 1 - merge.merged.len();
    apply_in_place(Put { axis: merge.axis, count }, x, &[&linear, &source])
}
