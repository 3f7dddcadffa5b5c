//! Products of all other elements: the gradient of a product, right where elements are 0.

use super::axes::Axes;
use super::{cast, concat, mul, reshape, split_at, transpose};
use crate::shape::MAX_DIMS;
use crate::{DType, Result, Tensor};
use smallvec::SmallVec;

/// For each element the product of the others along `axes`, written with operators that have
/// gradients and without a division. Half precision is computed in f32.
pub(super) fn others(x: &Tensor, axes: Axes) -> Result<Tensor> {
    let half = matches!(x.dtype(), DType::F16 | DType::BF16);
    let wide = cast(x, if half { DType::F32 } else { x.dtype() })?;
    let shape = *x.shape();
    let y = match axes.run(&shape) {
        Some(run) => {
            let (outer, inner) = (&shape[..run.start], &shape[run.end..]);
            let n = shape[run.clone()].iter().product();
            let rows = [outer.iter().product(), n, inner.iter().product()];
            reshape(&others_along_1(&reshape(&wide, &rows)?)?, &shape)?
        }
        None => {
            // The axes are brought to the end, and back.
            type Order = SmallVec<[isize; MAX_DIMS]>;
            let (reduced, kept): (Vec<usize>, _) = (0..shape.len()).partition(|d| axes.has(*d));
            let order: Order = kept.iter().chain(&reduced).map(|d| *d as isize).collect();
            let mut back: Order = SmallVec::from_elem(0, order.len());
            order.iter().enumerate().for_each(|(k, d)| back[*d as usize] = k as isize);
            let turned = transpose(&wide, &order)?;
            let n = reduced.iter().map(|d| shape[*d]).product();
            let rows = [kept.iter().map(|d: &usize| shape[*d]).product(), n, 1];
            let y = others_along_1(&reshape(&turned, &rows)?)?;
            transpose(&reshape(&y, turned.shape())?, &back)?
        }
    };
    cast(&y, x.dtype())
}

/// Along axis 1 of three: the first half is paired with the second, and each element's product is
/// its partner's value times the products of all other pairs. Each level halves the work.
fn others_along_1(x: &Tensor) -> Result<Tensor> {
    let n = x.shape()[1];
    if n < 2 {
        return Tensor::ones(x.shape(), x.dtype());
    }
    let half = n / 2;
    let parts = split_at(x, &[half, 2 * half], 1)?;
    let (first, second, rest) = (&parts[0], &parts[1], &parts[2]);
    if n == 2 {
        return concat(&[second, first], 1);
    }
    let pairs = mul(first, second)?;
    let others = match n % 2 {
        0 => others_along_1(&pairs)?,
        _ => others_along_1(&concat(&[&pairs, rest], 1)?)?,
    };
    let parts = split_at(&others, &[half], 1)?;
    let (paired, alone) = (&parts[0], &parts[1]);
    concat(&[&mul(paired, second)?, &mul(paired, first)?, alone], 1)
}
