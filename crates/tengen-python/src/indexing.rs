//! Python's index expressions.

use crate::convert::from_python;
use crate::error::IntoPy;
use crate::held::{Hold, PyTensor};
use pyo3::exceptions::{PyIndexError, PyOverflowError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyInt, PyList, PySlice, PyTuple};
use tengen::ops::Index;
use tengen::{DType, Tensor, ops};

type Any<'a, 'py> = &'a Bound<'py, PyAny>;

/// The items of what stands between square brackets.
pub fn parse(key: Any) -> PyResult<Vec<Index>> {
    match key.cast::<PyTuple>() {
        Ok(items) => items.iter().map(|i| item(&i)).collect(),
        Err(_) => Ok(vec![item(key)?]),
    }
}

fn item(obj: Any) -> PyResult<Index> {
    let py = obj.py();
    if let Ok(i) = obj.cast_exact::<PyInt>() {
        return Ok(Index::Int(i.extract()?));
    }
    if let Ok(s) = obj.cast::<PySlice>() {
        let bound = |name| bound(&s.getattr(name)?);
        let step = bound(intern!(py, "step"))?.unwrap_or(1);
        let (start, stop) = (bound(intern!(py, "start"))?, bound(intern!(py, "stop"))?);
        return Ok(Index::Slice { start, stop, step });
    }
    if obj.is_none() {
        return Ok(Index::NewAxis);
    }
    if obj.is_instance_of::<PyEllipsis>() {
        return Ok(Index::Ellipsis);
    }
    if let Ok(t) = obj.cast::<PyTensor>() {
        return Ok(Index::Tensor(t.value().detach()));
    }
    if let Ok(b) = obj.cast::<PyBool>() {
        return Ok(Index::Tensor(Tensor::scalar(b.is_true()).py(py)?));
    }
    array(obj)
}

/// An end of a slice; one beyond all extents counts as the farthest.
fn bound(obj: Any) -> PyResult<Option<isize>> {
    if obj.is_none() {
        return Ok(None);
    }
    match obj.extract::<isize>() {
        Ok(i) => Ok(Some(i)),
        Err(e) if e.is_instance_of::<PyOverflowError>(obj.py()) => {
            Ok(Some(if obj.lt(0)? { isize::MIN } else { isize::MAX }))
        }
        Err(e) => Err(e),
    }
}

/// An index array: of integers, or a mask of bools.
fn array(obj: Any) -> PyResult<Index> {
    let py = obj.py();
    let array = py.import(intern!(py, "numpy"))?.call_method1(intern!(py, "asarray"), (obj,))?;
    let kind = array.getattr("dtype")?.getattr("kind")?;
    let empty = obj.is_instance_of::<PyList>() && array.getattr("size")?.extract::<usize>()? == 0;
    match kind.extract::<&str>()? {
        "b" => Ok(Index::Tensor(from_python(&array, Some(DType::Bool))?)),
        "i" | "u" => Ok(Index::Tensor(from_python(&array, Some(DType::I64))?)),
        // An empty list has no numbers that would say that they are integers.
        "f" if empty => Ok(Index::Tensor(from_python(&array, Some(DType::I64))?)),
        _ => Err(PyIndexError::new_err(format!(
            "an index is made of integers, slices, None, ... and arrays of integers or bools, not {}",
            obj.get_type().name()?
        ))),
    }
}

/// The slices of a tensor along its first axis, one by one.
#[pyclass(name = "TensorIterator", module = "megengine._tengen")]
pub struct PyTensorIterator(std::vec::IntoIter<Tensor>);

impl PyTensorIterator {
    /// Of a tensor that has dimensions.
    pub fn new(py: Python<'_>, t: &Tensor) -> PyResult<Self> {
        let n = t.shape().first().copied().unwrap_or(0);
        // One cut, so that the gradient is one too.
        let parts = if n == 0 { vec![] } else { ops::split(t, n, 0).py(py)?.into_vec() };
        Ok(PyTensorIterator(parts.into_iter()))
    }
}

#[pymethods]
impl PyTensorIterator {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&mut self, py: Python<'_>) -> PyResult<Option<PyTensor>> {
        match self.0.next() {
            Some(part) => Ok(Some(PyTensor::new(ops::squeeze(&part, Some(&[0])).py(py)?))),
            None => Ok(None),
        }
    }

    fn __length_hint__(&self) -> usize {
        self.0.len()
    }
}
