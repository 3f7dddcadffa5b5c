//! Reductions, and functions that have one at their core.

use super::{Any, New, input, pair};
use crate::convert::{Ints, axes, ints};
use crate::tensor::wrap;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use tengen::{Tensor, ops};

/// Reductions over axes, each with the value of its example over `[[1, 2], [3, 4]]` along axis 1.
macro_rules! reductions {
    ($($(#[$doc:meta])* $py:literal $name:ident as $rust:ident => $shown:literal;)*) => {
        $(
            $(#[$doc])*
            ///
            /// axis is an int, a sequence of ints, or None for all axes; with keepdims, reduced
            /// axes stay with extent 1. Raises AxisError (an IndexError) for an axis that inp has
            /// not.
            ///
            /// >>> import megengine as mge, megengine.functional as F
            #[doc = concat!(">>> F.", $py, "(mge.tensor([[1.0, 2.0], [3.0, 4.0]]), axis=1)")]
            #[doc = $shown]
            #[pyfunction]
            #[pyo3(name = $py, signature = (inp, axis=None, keepdims=false))]
            fn $rust(py: Python<'_>, inp: Any, axis: Option<Any>, keepdims: bool) -> New {
                wrap(py, ops::$name(&input(inp)?, axes(axis)?.as_deref(), keepdims))
            }
        )*
        fn register_reductions(m: &Bound<'_, PyModule>) -> PyResult<()> {
            $(m.add_function(wrap_pyfunction!($rust, m)?)?;)*
            Ok(())
        }
    };
}

reductions! {
    /// Sum of the elements. Integers keep their dtype and wrap; bools count as int32.
    "sum" sum as reduce_sum => "Tensor([3. 7.], device=xpux:0)";
    /// Product of the elements. Integers keep their dtype and wrap; bools count as int32.
    "prod" prod as reduce_prod => "Tensor([ 2. 12.], device=xpux:0)";
    /// Mean of the elements, in float32.
    "mean" mean as reduce_mean => "Tensor([1.5 3.5], device=xpux:0)";
    /// Greatest element; NaN if there is one.
    "max" max as reduce_max => "Tensor([2. 4.], device=xpux:0)";
    /// Least element; NaN if there is one.
    "min" min as reduce_min => "Tensor([1. 3.], device=xpux:0)";
    /// Population variance of the elements, in float32.
    "var" var as reduce_var => "Tensor([0.25 0.25], device=xpux:0)";
    /// Population standard deviation of the elements, in float32.
    "std" std as reduce_std => "Tensor([0.5 0.5], device=xpux:0)";
}

/// log(sum(exp(inp))) over axis (an int, a sequence, or None for all), without overflow.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.logsumexp(mge.tensor([[0.0, 0.0], [1000.0, -1000.0]]), axis=1)
/// Tensor([6.9315e-01 1.0000e+03], device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inp, axis, keepdims=false))]
fn logsumexp(py: Python<'_>, inp: Any, axis: Option<Any>, keepdims: bool) -> New {
    wrap(py, ops::logsumexp(&input(inp)?, axes(axis)?.as_deref(), keepdims))
}

/// An extremum's index along one axis, along several seen as one in their order, or along all.
fn arg(
    inp: Any,
    axis: Option<Any>,
    keepdims: bool,
    f: fn(&Tensor, Option<isize>, bool) -> tengen::Result<Tensor>,
) -> New {
    let py = inp.py();
    let x = input(inp)?;
    let Some(axes) = axes(axis)? else { return wrap(py, f(&x, None, keepdims)) };
    if let [axis] = axes[..] {
        return wrap(py, f(&x, Some(axis), keepdims));
    }
    let merge = || -> tengen::Result<Tensor> {
        let kept: Vec<isize> = (0..x.ndim() as isize)
            .filter(|d| !axes.iter().any(|a| a.rem_euclid(x.ndim() as isize) == *d))
            .collect();
        let order: Vec<isize> = kept.iter().chain(&axes).copied().collect();
        let moved = ops::transpose(&x, &order)?;
        if axes.is_empty() {
            return f(&ops::expand_dims(&moved, &[-1])?, Some(-1), false);
        }
        let y = f(&ops::flatten(&moved, kept.len() as isize, -1)?, Some(-1), false)?;
        if keepdims { ops::expand_dims(&y, &axes) } else { Ok(y) }
    };
    wrap(py, merge())
}

/// Index of the first greatest element along axis, or in the flattened tensor if that is None;
/// int32. Several axes count as one. NaN counts as greatest. Raises ShapeError for an empty axis.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.argmax(mge.tensor([[1.0, 3.0], [4.0, 2.0]]), axis=1)
/// Tensor([1 0], dtype=int32, device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inp, axis=None, keepdims=false))]
fn argmax(inp: Any, axis: Option<Any>, keepdims: bool) -> New {
    arg(inp, axis, keepdims, ops::argmax)
}

/// Index of the first least element, as argmax; NaN counts as least.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.argmin(mge.tensor([[1.0, 3.0], [4.0, 2.0]]))
/// Tensor(0, dtype=int32, device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inp, axis=None, keepdims=false))]
fn argmin(inp: Any, axis: Option<Any>, keepdims: bool) -> New {
    arg(inp, axis, keepdims, ops::argmin)
}

/// The axes of a norm, which only a vector's may leave out.
fn norm_axes(x: &Tensor, axis: Option<Any>) -> PyResult<Option<Ints>> {
    let axes = axes(axis)?;
    if axes.is_none() && x.ndim() != 1 {
        return Err(PyTypeError::new_err("axis is required unless input is a vector"));
    }
    Ok(axes)
}

/// p-norm sum(|inp| ** ord) ** (1 / ord) over axis; ord (by default 2) may be inf, -inf, or 0 for
/// the number of elements that are not 0 (int32).
///
/// axis is an int or a sequence; only a vector may do without (TypeError).
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.norm(mge.tensor([3.0, 4.0]))
/// Tensor(5.0, device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inp, ord=None, axis=None, keepdims=false))]
fn norm(py: Python<'_>, inp: Any, ord: Option<f64>, axis: Option<Any>, keepdims: bool) -> New {
    let x = input(inp)?;
    let axes = norm_axes(&x, axis)?;
    wrap(py, ops::norm(&x, ord.unwrap_or(2.0), axes.as_deref(), keepdims))
}

/// inp / max(norm(inp, ord, axis), eps): scaled to norm 1 along axis.
///
/// axis is an int or a sequence; only a vector may do without (TypeError).
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.normalize(mge.tensor([[3.0, 4.0], [0.0, 0.0]]), axis=1)
/// Tensor([[0.6 0.8]
///  [0.  0. ]], device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inp, ord=None, axis=None, eps=1e-12))]
fn normalize(py: Python<'_>, inp: Any, ord: Option<f64>, axis: Option<Any>, eps: f64) -> New {
    let x = input(inp)?;
    let axes = norm_axes(&x, axis)?;
    wrap(py, ops::normalize(&x, ord.unwrap_or(2.0), axes.as_deref(), eps))
}

/// exp(inp) / sum(exp(inp)) along axis, without overflow. By default axis is 0 for 0, 1 and 3
/// dimensions and else 1.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.softmax(mge.tensor([1000.0, 1000.0]))
/// Tensor([0.5 0.5], device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inp, axis=None))]
fn softmax(py: Python<'_>, inp: Any, axis: Option<isize>) -> New {
    let x = input(inp)?;
    let default = if matches!(x.ndim(), 0 | 1 | 3) { 0 } else { 1 };
    wrap(py, ops::softmax(&x, axis.unwrap_or(default)))
}

/// log(softmax(inp)) along axis (an int or several), accurate for small probabilities.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.logsoftmax(mge.tensor([[1000.0, 0.0]]), axis=1)
/// Tensor([[    0. -1000.]], device=xpux:0)
#[pyfunction]
fn logsoftmax(py: Python<'_>, inp: Any, axis: Any) -> New {
    wrap(py, ops::logsoftmax(&input(inp)?, &ints(axis)?))
}

/// Running sums along axis. Integers keep their dtype and wrap; bools count as int32.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.cumsum(mge.tensor([1.0, 2.0, 3.0]), axis=0)
/// Tensor([1. 3. 6.], device=xpux:0)
#[pyfunction]
fn cumsum(py: Python<'_>, inp: Any, axis: isize) -> New {
    wrap(py, ops::cumsum(&input(inp)?, axis))
}

/// Running products along axis, as cumsum; the gradient is right where elements are 0.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.cumprod(mge.tensor([1.0, 2.0, 3.0]), axis=0)
/// Tensor([1. 2. 6.], device=xpux:0)
#[pyfunction]
fn cumprod(py: Python<'_>, inp: Any, axis: isize) -> New {
    wrap(py, ops::cumprod(&input(inp)?, axis))
}

/// Running maxima along axis, and where along it they stand (int32): of equal elements the last.
/// From a NaN on all are NaN. The gradient goes to the elements at these positions.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> values, indices = F.cummax(mge.tensor([1.0, 3.0, 2.0]), axis=0)
/// >>> values, indices
/// (Tensor([1. 3. 3.], device=xpux:0), Tensor([0 1 1], dtype=int32, device=xpux:0))
#[pyfunction]
fn cummax<'py>(inp: Any<'_, 'py>, axis: isize) -> PyResult<Bound<'py, PyTuple>> {
    pair(inp.py(), ops::cummax(&input(inp)?, axis))
}

/// Running minima along axis and their positions, as cummax.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> values, indices = F.cummin(mge.tensor([3.0, 1.0, 2.0]), axis=0)
/// >>> values, indices
/// (Tensor([3. 1. 1.], device=xpux:0), Tensor([0 1 1], dtype=int32, device=xpux:0))
#[pyfunction]
fn cummin<'py>(inp: Any<'_, 'py>, axis: isize) -> PyResult<Bound<'py, PyTuple>> {
    pair(inp.py(), ops::cummin(&input(inp)?, axis))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    register_reductions(m)?;
    m.add_function(wrap_pyfunction!(logsumexp, m)?)?;
    m.add_function(wrap_pyfunction!(argmax, m)?)?;
    m.add_function(wrap_pyfunction!(argmin, m)?)?;
    m.add_function(wrap_pyfunction!(norm, m)?)?;
    m.add_function(wrap_pyfunction!(normalize, m)?)?;
    m.add_function(wrap_pyfunction!(softmax, m)?)?;
    m.add_function(wrap_pyfunction!(logsoftmax, m)?)?;
    m.add_function(wrap_pyfunction!(cumsum, m)?)?;
    m.add_function(wrap_pyfunction!(cumprod, m)?)?;
    m.add_function(wrap_pyfunction!(cummax, m)?)?;
    m.add_function(wrap_pyfunction!(cummin, m)?)
}
