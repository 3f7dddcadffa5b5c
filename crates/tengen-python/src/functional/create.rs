//! New tensors.

use super::{Any, New, input, tuple};
use crate::convert::{from_python, int, number, parse_dtype, shape};
use crate::error::IntoPy;
use crate::held::Hold;
use crate::held::PyTensor;
use crate::tensor::{wrap, wrap_on};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use tengen::ops::Indexing;
use tengen::{DType, Scalar, Shape, Tensor, ops};

fn dtype_or(obj: Option<Any>, default: DType) -> PyResult<DType> {
    obj.map_or(Ok(default), parse_dtype)
}

fn count(what: &str, obj: Any) -> PyResult<usize> {
    let n = int(obj)?;
    usize::try_from(n).map_err(|_| PyValueError::new_err(format!("{what} must not be {n}")))
}

/// start, start + step, ... up to and without stop; from 0 up to start if stop is None. Nothing if
/// stop lies the other way. Integer dtypes truncate.
///
/// Raises ValueError unless the bounds are finite and the step is not 0.
///
/// >>> import megengine.functional as F
/// >>> F.arange(1, 6, 2)
/// Tensor([1. 3. 5.], device=xpux:0)
/// >>> F.arange(3, dtype="int32")
/// Tensor([0 1 2], dtype=int32, device=xpux:0)
#[pyfunction]
#[pyo3(
    signature = (start=None, stop=None, step=None, *, dtype=None, device=None),
    text_signature = "(start=0, stop=None, step=1, *, dtype='float32', device=None)"
)]
fn arange(
    py: Python<'_>,
    start: Option<Any>,
    stop: Option<Any>,
    step: Option<Any>,
    dtype: Option<Any>,
    device: Option<Any>,
) -> New {
    let start = start.map_or(Ok(Scalar::Int(0)), number)?;
    let step = step.map_or(Ok(Scalar::Int(1)), number)?;
    let (start, stop) = match stop {
        Some(stop) => (start, number(stop)?),
        None => (Scalar::Int(0), start),
    };
    wrap_on(py, ops::arange(start, stop, step, dtype_or(dtype, DType::F32)?), device)
}

/// num evenly spaced numbers from start to stop, both included. Integer dtypes truncate.
///
/// >>> import megengine.functional as F
/// >>> F.linspace(0, 1, 5)
/// Tensor([0.   0.25 0.5  0.75 1.  ], device=xpux:0)
#[pyfunction]
#[pyo3(
    signature = (start, stop, num, *, dtype=None, device=None),
    text_signature = "(start, stop, num, *, dtype='float32', device=None)"
)]
fn linspace(
    py: Python<'_>,
    start: Any,
    stop: Any,
    num: Any,
    dtype: Option<Any>,
    device: Option<Any>,
) -> New {
    let (start, stop, n) =
        (number(start)?.to_f64(), number(stop)?.to_f64(), count("linspace: num", num)?);
    wrap_on(py, ops::linspace(start, stop, n, dtype_or(dtype, DType::F32)?), device)
}

/// An N x M matrix (N x N without M; N may be the pair) with ones on the diagonal and zeros
/// elsewhere.
///
/// >>> import megengine.functional as F
/// >>> F.eye(2, 3)
/// Tensor([[1. 0. 0.]
///  [0. 1. 0.]], device=xpux:0)
#[pyfunction]
#[pyo3(
    signature = (N, M=None, *, dtype=None, device=None),
    text_signature = "(N, M=None, *, dtype='float32', device=None)"
)]
#[allow(non_snake_case, reason = "names of keyword arguments")]
fn eye(py: Python<'_>, N: Any, M: Option<Any>, dtype: Option<Any>, device: Option<Any>) -> New {
    let (rows, columns) = match (&shape(N)?[..], M) {
        (&[rows, columns], None) => (rows, columns),
        (&[rows], Some(M)) => (rows, count("eye: M", M)?),
        (&[rows], None) => (rows, rows),
        _ => return Err(PyValueError::new_err("eye: N and M are the numbers of rows and columns")),
    };
    wrap_on(py, ops::eye(rows, columns, 0, dtype_or(dtype, DType::F32)?), device)
}

/// A tensor of the given shape (an int or a sequence) whose elements are all value. Without dtype,
/// a float gives float32, an int int32 and a bool bool.
///
/// >>> import megengine.functional as F
/// >>> F.full((2, 2), 7)
/// Tensor([[7 7]
///  [7 7]], dtype=int32, device=xpux:0)
#[pyfunction]
#[pyo3(signature = (shape, value, *, dtype=None, device=None))]
fn full(py: Python<'_>, shape: Any, value: Any, dtype: Option<Any>, device: Option<Any>) -> New {
    let dtype = dtype.map(parse_dtype).transpose()?;
    let value = match value.cast::<PyTensor>() {
        Ok(t) => t.value(),
        Err(_) => from_python(value, dtype)?,
    };
    let value = ops::cast(&value, dtype.unwrap_or(value.dtype())).py(py)?;
    let shape = Shape::new(&crate::convert::shape(shape)?).py(py)?;
    let all = ops::broadcast_to(&value, &shape).and_then(|t| t.contiguous());
    wrap_on(py, all, device)
}

/// Zeros of the given shape: an int or a sequence of extents.
///
/// >>> import megengine.functional as F
/// >>> F.zeros((2, 3))
/// Tensor([[0. 0. 0.]
///  [0. 0. 0.]], device=xpux:0)
#[pyfunction]
#[pyo3(
    signature = (shape, *, dtype=None, device=None),
    text_signature = "(shape, *, dtype='float32', device=None)"
)]
fn zeros(py: Python<'_>, shape: Any, dtype: Option<Any>, device: Option<Any>) -> New {
    let dtype = dtype_or(dtype, DType::F32)?;
    wrap_on(py, Tensor::zeros(&crate::convert::shape(shape)?, dtype), device)
}

/// Ones of the given shape: an int or a sequence of extents.
///
/// >>> import megengine.functional as F
/// >>> F.ones(3, dtype="int32")
/// Tensor([1 1 1], dtype=int32, device=xpux:0)
#[pyfunction]
#[pyo3(
    signature = (shape, *, dtype=None, device=None),
    text_signature = "(shape, *, dtype='float32', device=None)"
)]
fn ones(py: Python<'_>, shape: Any, dtype: Option<Any>, device: Option<Any>) -> New {
    let dtype = dtype_or(dtype, DType::F32)?;
    wrap_on(py, Tensor::ones(&crate::convert::shape(shape)?, dtype), device)
}

/// Zeros of the shape and dtype of inp.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.zeros_like(mge.tensor([1, 2]))
/// Tensor([0 0], dtype=int32, device=xpux:0)
#[pyfunction]
fn zeros_like(py: Python<'_>, inp: Any) -> New {
    wrap(py, ops::zeros_like(&input(inp)?))
}

/// Ones of the shape and dtype of inp.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.ones_like(mge.tensor([1, 2]))
/// Tensor([1 1], dtype=int32, device=xpux:0)
#[pyfunction]
fn ones_like(py: Python<'_>, inp: Any) -> New {
    wrap(py, ops::ones_like(&input(inp)?))
}

/// value in the shape of inp, converted to its dtype.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.full_like(mge.tensor([1.0, 2.0]), 3)
/// Tensor([3. 3.], device=xpux:0)
#[pyfunction]
fn full_like(py: Python<'_>, inp: Any, value: Any) -> New {
    let x = input(inp)?;
    let value = match value.cast::<PyTensor>() {
        Ok(t) => t.value(),
        Err(_) => from_python(value, Some(x.dtype()))?,
    };
    wrap(py, value.item_scalar().and_then(|v| ops::full_like(&x, v)))
}

/// The same value as a new tensor, on the given device if any.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.copy(mge.tensor([1.0, 2.0]), "cpu0")
/// Tensor([1. 2.], device=cpu0:0)
#[pyfunction]
#[pyo3(signature = (inp, device=None))]
fn copy(py: Python<'_>, inp: Any, device: Option<Any>) -> New {
    wrap_on(py, Ok(input(inp)?), device)
}

/// Diagonal k of a matrix; of a vector, the matrix with it on that diagonal and zeros elsewhere.
/// Positive k are above the main diagonal. Raises ShapeError for other numbers of dimensions.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.diag(mge.tensor([[1.0, 2.0], [3.0, 4.0]]))
/// Tensor([1. 4.], device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inp, k=0))]
fn diag(py: Python<'_>, inp: Any, k: isize) -> New {
    wrap(py, ops::diag(&input(inp)?, k))
}

/// The coordinates of a grid: for each one-dimensional input (else ShapeError) a tensor in which it
/// runs along its axis. With indexing "xy" the first runs along axis 1 and the second along axis 0,
/// with "ij" each along its own. A tuple of tensors.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> x, y = F.meshgrid(mge.tensor([1.0, 2.0]), mge.tensor([3.0, 4.0, 5.0]))
/// >>> x.shape
/// (3, 2)
#[pyfunction]
#[pyo3(signature = (*inputs, indexing="xy"))]
fn meshgrid<'py>(inputs: &Bound<'py, PyTuple>, indexing: &str) -> PyResult<Bound<'py, PyTuple>> {
    let indexing = match indexing {
        "xy" => Indexing::Xy,
        "ij" => Indexing::Ij,
        _ => return Err(PyValueError::new_err("meshgrid: indexing must be \"xy\" or \"ij\"")),
    };
    let xs = super::sequence(inputs)?;
    let py = inputs.py();
    tuple(py, ops::meshgrid(&xs.iter().collect::<Vec<_>>(), indexing).py(py)?)
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(arange, m)?)?;
    m.add_function(wrap_pyfunction!(linspace, m)?)?;
    m.add_function(wrap_pyfunction!(eye, m)?)?;
    m.add_function(wrap_pyfunction!(full, m)?)?;
    m.add_function(wrap_pyfunction!(zeros, m)?)?;
    m.add_function(wrap_pyfunction!(ones, m)?)?;
    m.add_function(wrap_pyfunction!(zeros_like, m)?)?;
    m.add_function(wrap_pyfunction!(ones_like, m)?)?;
    m.add_function(wrap_pyfunction!(full_like, m)?)?;
    m.add_function(wrap_pyfunction!(copy, m)?)?;
    m.add_function(wrap_pyfunction!(diag, m)?)?;
    m.add_function(wrap_pyfunction!(meshgrid, m)?)
}
