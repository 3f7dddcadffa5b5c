//! Normalisation by mean and variance.

mod batch;
mod fused;

pub use batch::{batch_norm_eval, batch_norm_train};

use super::transpose;
use crate::op::Entry;
use crate::op::Tensors;
use crate::shape::{MAX_DIMS, normalize_axis};
use crate::{Result, Tensor, ensure};
use fused::normalize;
pub(crate) use fused::{Norm, NormGradient, Over};

pub(super) const OPERATORS: &[&[Entry]] = &[
    &[
        Entry::of::<Norm>(&["batch_norm", "group_norm", "layer_norm"]),
        Entry::of::<NormGradient>(&[
            "batch_norm_gradient",
            "group_norm_gradient",
            "layer_norm_gradient",
        ]),
    ],
    batch::OPERATORS,
];

/// Layer normalisation: y = (x − m)/√(v + ε)·weight + bias with mean and population variance over
/// the last axes, whose extents are `normalized_shape`; `weight` and `bias` have that shape.
///
/// Source: Ba, Kiros and Hinton, "Layer normalization" (2016).
///
/// # Errors
/// Shape: `x` does not end in `normalized_shape`, or weights have not as many elements. Memory: the
/// result cannot be had.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let x = Tensor::from_slice(&[1.0f32, 3.0, 10.0, 30.0], &[2, 2])?;
/// let y = ops::layer_norm(&x, &[2], None, None, 0.0)?;
/// assert_eq!(y.to_vec::<f32>()?, [-1.0, 1.0, -1.0, 1.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn layer_norm(
    x: &Tensor,
    normalized_shape: &[usize],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    ensure!(
        x.shape().ends_with(normalized_shape),
        Shape,
        "layer_norm: {x} does not end in normalized_shape {normalized_shape:?}"
    );
    first(normalize(Over::Last(normalized_shape.len()), x, weight, bias, eps)?)
}

fn first(mut results: Tensors) -> Result<Tensor> {
    ensure!(!results.is_empty(), Unsupported, "an operator gave no result");
    Ok(results.swap_remove(0))
}

/// Group normalisation: for each image and each of `groups` groups of neighbouring channels,
/// y = (x − m)/√(v + ε)·weight + bias with the group's mean and population variance, and weight and
/// bias for each channel.
///
/// `x` is `[n, c, …]`; `weight` and `bias` have c elements in any shape.
///
/// Source: Wu and He, "Group normalization" (2018).
///
/// # Errors
/// Shape: channels do not divide into groups, or there are not c weights. Memory: the result cannot
/// be had.
pub fn group_norm(
    x: &Tensor,
    groups: usize,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    first(normalize(Over::Groups(groups), x, weight, bias, eps)?)
}

/// Instance normalisation: [`group_norm`] with each channel a group of its own.
///
/// Source: Ulyanov, Vedaldi and Lempitsky, "Instance normalization" (2016).
///
/// # Errors
/// As [`group_norm`].
pub fn instance_norm(
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    ensure!(x.ndim() >= 2, Shape, "instance_norm: inp must be [n, c, …], not {x}");
    if x.shape()[1] == 0 {
        return Ok(x.clone());
    }
    group_norm(x, x.shape()[1], weight, bias, eps)
}

/// [`layer_norm`] over any axes: mean and variance are taken over `axes`, and `weight` and `bias`
/// have their extents, in ascending order of the axes.
///
/// # Errors
/// As [`layer_norm`]; Index: an axis is out of range or named twice.
pub fn general_norm(
    x: &Tensor,
    axes: &[isize],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    let mut named = [false; MAX_DIMS];
    for a in axes {
        let at = normalize_axis("general_norm", *a, x.ndim())?;
        ensure!(!named[at], Index, "general_norm: axis {a} is named twice in {axes:?}");
        named[at] = true;
    }
    let (last, lead): (Vec<usize>, Vec<usize>) = (0..x.ndim()).partition(|d| named[*d]);
    let order: Vec<isize> = lead.iter().chain(&last).map(|d| *d as isize).collect();
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(i, d)| back[*d as usize] = i as isize);
    let extents: Vec<usize> = last.iter().map(|d| x.shape()[*d]).collect();
    transpose(&layer_norm(&transpose(x, &order)?, &extents, weight, bias, eps)?, &back)
}
