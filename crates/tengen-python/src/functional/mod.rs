//! Functions on tensors, by MegEngine's names and arguments.

mod create;
mod elementwise;
mod index;
mod reduce;
mod shape;

use crate::convert::{from_python, operand};
use crate::error::IntoPy;
use crate::held::Hold;
use crate::held::PyTensor;
use crate::tensor::wrap;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyTuple};
use tengen::{DType, Tensor, ops};

type Any<'a, 'py> = &'a Bound<'py, PyAny>;
type New = PyResult<Py<PyTensor>>;

/// An input: a tensor, or something that becomes one.
#[inline]
pub fn input(obj: Any) -> PyResult<Tensor> {
    match obj.cast::<PyTensor>() {
        Ok(t) => Ok(t.value()),
        Err(_) => from_python(obj, None),
    }
}

/// Two inputs, of which one may be a number that takes on the other's dtype.
#[inline]
fn inputs(x: Any, y: Any) -> PyResult<(Tensor, Tensor)> {
    match (x.cast::<PyTensor>(), y.cast::<PyTensor>()) {
        (Ok(x), Ok(y)) => Ok((x.value(), y.value())),
        (Ok(x), Err(_)) => {
            let x = x.value();
            let y = operand(y, x.dtype())?;
            Ok((x, y))
        }
        (Err(_), Ok(y)) => {
            let y = y.value();
            Ok((operand(x, y.dtype())?, y))
        }
        _ => {
            let x = from_python(x, None)?;
            let y = operand(y, x.dtype())?;
            Ok((x, y))
        }
    }
}

/// Conversion of a tensor to another dtype, for code that has no Tensor method at hand.
#[pyfunction]
fn _astype(py: Python<'_>, x: Any, dtype: &str) -> New {
    let dtype = DType::from_name(dtype)
        .ok_or_else(|| pyo3::exceptions::PyTypeError::new_err(format!("no dtype {dtype:?}")))?;
    wrap(py, ops::cast(&input(x)?, dtype))
}

/// Several inputs.
fn sequence(obj: Any) -> PyResult<Vec<Tensor>> {
    obj.try_iter()?.map(|t| input(&t?)).collect()
}

/// A tuple of tensors.
fn tuple<'py>(
    py: Python<'py>,
    tensors: impl IntoIterator<Item = Tensor>,
) -> PyResult<Bound<'py, PyTuple>> {
    let tensors = tensors.into_iter().map(|t| Py::new(py, PyTensor::new(t)));
    PyTuple::new(py, tensors.collect::<PyResult<Vec<_>>>()?)
}

/// Two tensors.
fn pair(py: Python<'_>, tensors: tengen::Result<(Tensor, Tensor)>) -> PyResult<Bound<'_, PyTuple>> {
    let (a, b) = tensors.py(py)?;
    tuple(py, [a, b])
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_astype, m)?)?;
    for register in [
        elementwise::register,
        reduce::register,
        shape::register,
        index::register,
        create::register,
    ] {
        register(m)?;
    }
    // Functions say where users find them; pickles refer to them by that name.
    for (name, value) in m.dict() {
        let public = !name.extract::<&str>()?.starts_with('_');
        if public && value.is_instance_of::<PyCFunction>() {
            value.setattr("__module__", "megengine.functional")?;
        }
    }
    Ok(())
}
