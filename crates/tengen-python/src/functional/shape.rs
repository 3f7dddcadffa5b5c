//! Changes of shape, joining and cutting.

use super::{Any, New, input, sequence, tuple};
use crate::convert::{axes, int, ints, number, shape};
use crate::error::IntoPy;
use crate::tensor::{wrap, wrap_on};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use tengen::ops::Padding;
use tengen::{Scalar, Shape, ops};

/// The same elements in row-major order under another shape, in which one extent may be -1: what the
/// others leave. Raises ShapeError if the numbers of elements differ.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.reshape(mge.tensor([1.0, 2.0, 3.0, 4.0]), (2, -1))
/// Tensor([[1. 2.]
///  [3. 4.]], device=xpux:0)
#[pyfunction]
fn reshape(py: Python<'_>, inp: Any, target_shape: Any) -> New {
    wrap(py, ops::reshape_infer(&input(inp)?, &ints(target_shape)?))
}

/// Axes start_axis to end_axis (inclusive) made one. Raises AxisError for axes that inp has not.
///
/// >>> import megengine.functional as F
/// >>> F.flatten(F.zeros((2, 3, 4)), 1).shape
/// (2, 12)
#[pyfunction]
#[pyo3(
    signature = (inp, start_axis=0, end_axis=-1),
    text_signature = "(inp, start_axis=0, end_axis=-1)"
)]
fn flatten(py: Python<'_>, inp: Any, start_axis: isize, end_axis: isize) -> New {
    wrap(py, ops::flatten(&input(inp)?, start_axis, end_axis))
}

/// Axes in another order: axis i of the result is axis pattern[i] of inp, and a new one where
/// pattern has "x". Raises AxisError unless pattern names each axis once.
///
/// >>> import megengine.functional as F
/// >>> F.transpose(F.zeros((2, 3)), (1, "x", 0)).shape
/// (3, 1, 2)
#[pyfunction]
fn transpose(py: Python<'_>, inp: Any, pattern: Any) -> New {
    let (mut order, mut new) = (vec![], vec![]);
    for (at, item) in pattern.try_iter()?.enumerate() {
        let item = item?;
        if item.cast::<PyString>().is_ok_and(|s| s == "x") {
            new.push(at as isize);
        } else {
            order.push(int(&item)?);
        }
    }
    let turned = ops::transpose(&input(inp)?, &order).py(py)?;
    wrap(py, if new.is_empty() { Ok(turned) } else { ops::expand_dims(&turned, &new) })
}

/// Two axes exchanged. Raises AxisError for an axis that inp has not.
///
/// >>> import megengine.functional as F
/// >>> F.swapaxes(F.zeros((2, 3, 4)), 0, 2).shape
/// (4, 3, 2)
#[pyfunction]
fn swapaxes(py: Python<'_>, inp: Any, axis1: isize, axis2: isize) -> New {
    wrap(py, ops::swapaxes(&input(inp)?, axis1, axis2))
}

/// inp repeated along new leading axes and axes of extent 1, up to shape, in which None keeps an
/// extent. Raises ShapeError where an extent differs and is not 1.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.broadcast_to(mge.tensor([1.0, 2.0]), (2, 2))
/// Tensor([[1. 2.]
///  [1. 2.]], device=xpux:0)
#[pyfunction]
#[pyo3(name = "broadcast_to")]
fn broadcast_to(py: Python<'_>, inp: Any, shape: Any) -> New {
    let x = input(inp)?;
    let mut dims = match shape.try_iter() {
        Ok(items) if shape.cast::<crate::held::PyTensor>().is_err() => items
            .map(|i| i.and_then(|i| if i.is_none() { Ok(None) } else { int(&i).map(Some) }))
            .collect::<PyResult<Vec<Option<isize>>>>()?,
        _ => ints(shape)?.into_iter().map(Some).collect(),
    };
    let lead = dims.len().saturating_sub(x.ndim());
    for (d, n) in dims.iter_mut().enumerate().filter(|(_, n)| n.is_none()) {
        *n = Some(if d < lead { 1 } else { x.shape().get(d - lead).map_or(1, |n| *n as isize) });
    }
    let extents = dims.into_iter().map(|n| {
        usize::try_from(n.unwrap_or(1))
            .map_err(|_| PyValueError::new_err(format!("broadcast_to: {n:?} is no extent")))
    });
    let to = Shape::new(&extents.collect::<PyResult<Vec<usize>>>()?).py(py)?;
    wrap(py, ops::broadcast_to(&x, &to))
}

/// New axes of extent 1 at the given places (an int or several) of the result.
///
/// >>> import megengine.functional as F
/// >>> F.expand_dims(F.zeros((2, 3)), [0, -1]).shape
/// (1, 2, 3, 1)
#[pyfunction]
fn expand_dims(py: Python<'_>, inp: Any, axis: Any) -> New {
    wrap(py, ops::expand_dims(&input(inp)?, &ints(axis)?))
}

/// The given axes, or all of extent 1, dropped. Raises ShapeError for an axis of another extent.
///
/// >>> import megengine.functional as F
/// >>> F.squeeze(F.zeros((1, 3, 1))).shape
/// (3,)
#[pyfunction]
#[pyo3(signature = (inp, axis=None))]
fn squeeze(py: Python<'_>, inp: Any, axis: Option<Any>) -> New {
    wrap(py, ops::squeeze(&input(inp)?, axes(axis)?.as_deref()))
}

/// Tensors one after the other along axis. They agree in all other extents (else ShapeError) and
/// meet in one dtype; numbers count as vectors.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.concat([mge.tensor([1.0, 2.0]), mge.tensor([3.0])])
/// Tensor([1. 2. 3.], device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inps, axis=0, device=None))]
fn concat(py: Python<'_>, inps: Any, axis: isize, device: Option<Any>) -> New {
    let mut xs = sequence(inps)?;
    for x in xs.iter_mut().filter(|x| x.ndim() == 0) {
        *x = ops::reshape(x, &[1]).py(py)?;
    }
    wrap_on(py, ops::concat(&xs.iter().collect::<Vec<_>>(), axis), device)
}

/// Tensors of one shape (else ShapeError) along a new axis of the result. They meet in one dtype.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.stack([mge.tensor([1.0, 2.0]), mge.tensor([3.0, 4.0])], axis=1)
/// Tensor([[1. 3.]
///  [2. 4.]], device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inps, axis=0, device=None))]
fn stack(py: Python<'_>, inps: Any, axis: isize, device: Option<Any>) -> New {
    let xs = sequence(inps)?;
    wrap_on(py, ops::stack(&xs.iter().collect::<Vec<_>>(), axis), device)
}

/// inp cut along axis: into so many parts, of which the first are longer by one if it does not come
/// out even, or before each of the given rising positions. A tuple of tensors.
///
/// Raises ValueError for no parts, or for positions that do not rise or exceed the axis.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.split(mge.tensor([1, 2, 3]), 2)
/// (Tensor([1 2], dtype=int32, device=xpux:0), Tensor([3], dtype=int32, device=xpux:0))
/// >>> [part.shape for part in F.split(F.zeros((2, 6)), [1, 3], axis=1)]
/// [(2, 1), (2, 2), (2, 3)]
#[pyfunction]
#[pyo3(signature = (inp, nsplits_or_sections, axis=0))]
fn split<'py>(
    inp: Any<'_, 'py>,
    nsplits_or_sections: Any<'_, 'py>,
    axis: isize,
) -> PyResult<Bound<'py, PyTuple>> {
    let (py, x) = (inp.py(), input(inp)?);
    let parts = match nsplits_or_sections.extract::<isize>() {
        Ok(n) => ops::split(&x, usize::try_from(n).unwrap_or(0), axis),
        Err(_) => ops::split_at(&x, &shape(nsplits_or_sections)?, axis),
    };
    tuple(py, parts.py(py)?)
}

/// inp repeated reps[d] times along each axis as a whole; with fewer reps than axes along the last
/// ones, with more along new leading axes.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.tile(mge.tensor([1.0, 2.0]), (2,))
/// Tensor([1. 2. 1. 2.], device=xpux:0)
#[pyfunction]
fn tile(py: Python<'_>, inp: Any, reps: Any) -> New {
    wrap(py, ops::tile(&input(inp)?, &shape(reps)?))
}

/// Every slice along axis repeated in place; every element of the flattened tensor, if axis is None.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.repeat(mge.tensor([1.0, 2.0]), 2)
/// Tensor([1. 1. 2. 2.], device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inp, repeats, axis=None))]
fn repeat(py: Python<'_>, inp: Any, repeats: Any, axis: Option<isize>) -> New {
    let n = usize::try_from(int(repeats)?)
        .map_err(|_| PyValueError::new_err("repeat: repeats must not be negative"))?;
    wrap(py, ops::repeat(&input(inp)?, n, axis))
}

/// The elements moved by shift places along axis (or several by several); what leaves at the end
/// comes back at the beginning. Without axis, the flattened tensor is rolled.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.roll(mge.tensor([1.0, 2.0, 3.0]), 1)
/// Tensor([3. 1. 2.], device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inp, shift, axis=None))]
fn roll(py: Python<'_>, inp: Any, shift: Any, axis: Option<Any>) -> New {
    wrap(py, ops::roll(&input(inp)?, &ints(shift)?, axes(axis)?.as_deref()))
}

/// src with pad_width[d] = (before, after) elements added along each axis; mode is "constant" (with
/// constant_value), "reflect" (mirrored at the edge, which is not repeated) or "replicate"
/// (or "edge": the edge itself).
///
/// Raises ValueError for another mode or more widths than axes, ShapeError for a reflection that is
/// not narrower than its axis.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.pad(mge.tensor([1.0, 2.0, 3.0]), ((1, 2),), mode="reflect")
/// Tensor([2. 1. 2. 3. 2. 1.], device=xpux:0)
#[pyfunction]
#[pyo3(
    signature = (src, pad_width, mode="constant", constant_value=None),
    text_signature = "(src, pad_width, mode='constant', constant_value=0.0)"
)]
fn pad(py: Python<'_>, src: Any, pad_width: Any, mode: &str, constant_value: Option<Any>) -> New {
    let mut widths = vec![];
    for item in pad_width.try_iter()? {
        match shape(&item?)?[..] {
            [before, after] => widths.push((before, after)),
            _ => return Err(PyValueError::new_err("pad: a width is a pair (before, after)")),
        }
    }
    let padding = match mode.to_ascii_lowercase().as_str() {
        "constant" => Padding::Constant(constant_value.map_or(Ok(Scalar::Float(0.0)), number)?),
        "reflect" => Padding::Reflect,
        "replicate" | "edge" => Padding::Replicate,
        _ => {
            return Err(PyValueError::new_err(format!(
                "pad: mode {mode:?} is none of \"constant\", \"reflect\", \"replicate\" and \"edge\""
            )));
        }
    };
    wrap(py, ops::pad(&input(src)?, &widths, padding))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(reshape, m)?)?;
    m.add_function(wrap_pyfunction!(flatten, m)?)?;
    m.add_function(wrap_pyfunction!(transpose, m)?)?;
    m.add_function(wrap_pyfunction!(swapaxes, m)?)?;
    m.add_function(wrap_pyfunction!(broadcast_to, m)?)?;
    m.add_function(wrap_pyfunction!(expand_dims, m)?)?;
    m.add_function(wrap_pyfunction!(squeeze, m)?)?;
    m.add_function(wrap_pyfunction!(concat, m)?)?;
    m.add_function(wrap_pyfunction!(stack, m)?)?;
    m.add_function(wrap_pyfunction!(split, m)?)?;
    m.add_function(wrap_pyfunction!(tile, m)?)?;
    m.add_function(wrap_pyfunction!(repeat, m)?)?;
    m.add_function(wrap_pyfunction!(roll, m)?)?;
    m.add_function(wrap_pyfunction!(pad, m)?)
}
