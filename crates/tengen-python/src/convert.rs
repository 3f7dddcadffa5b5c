//! Conversion between Python values and tensors.

use crate::error::IntoPy;
use crate::held::Hold;
use crate::tensor::PyTensor;
use numpy::{
    PyArrayDescr, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyUntypedArray,
    PyUntypedArrayMethods,
};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyTuple};
use smallvec::{SmallVec, smallvec};
use tengen::{DType, Element, MAX_DIMS, Tensor, ops};

/// A NumPy dtype.
pub fn numpy_dtype<'py>(py: Python<'py>, dtype: DType) -> PyResult<Bound<'py, PyAny>> {
    // NumPy has no bfloat16: such tensors call themselves by name.
    if dtype == DType::BF16 {
        return Ok(intern!(py, "bfloat16").clone().into_any());
    }
    Ok(PyArrayDescr::new(py, dtype.name())?.into_any())
}

/// The dtype that a Python value names: a NumPy dtype or scalar class, a Python number class or a
/// string.
pub fn parse_dtype(obj: &Bound<'_, PyAny>) -> PyResult<DType> {
    if let Ok(name) = obj.extract::<&str>()
        && let Some(d) = DType::from_name(name)
    {
        return Ok(d);
    }
    if let Ok(descr) = obj.cast::<PyArrayDescr>() {
        return descr_dtype(descr);
    }
    descr_dtype(&PyArrayDescr::new(obj.py(), obj)?)
}

fn descr_dtype(descr: &Bound<'_, PyArrayDescr>) -> PyResult<DType> {
    let known = match (descr.kind(), descr.itemsize()) {
        (b'b', 1) => Some(DType::Bool),
        (b'u', 1) => Some(DType::U8),
        (b'i', 1) => Some(DType::I8),
        (b'i', 2) => Some(DType::I16),
        (b'i', 4) => Some(DType::I32),
        (b'i', 8) => Some(DType::I64),
        (b'f', 2) => Some(DType::F16),
        (b'f', 4) => Some(DType::F32),
        (b'f', 8) => Some(DType::F64),
        _ => None,
    };
    known.ok_or_else(|| PyRuntimeError::new_err(format!("unsupported numpy dtype {descr}")))
}

fn import_numpy(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "numpy"))
}

/// A tensor from an array-like value: arrays, sequences and numbers. Without a `dtype`, float64
/// becomes float32 and int64 int32. Gradients flow on to a tensor that is given.
pub fn from_python(obj: &Bound<'_, PyAny>, dtype: Option<DType>) -> PyResult<Tensor> {
    let py = obj.py();
    if let Ok(t) = obj.cast::<PyTensor>() {
        let t = t.value();
        return ops::cast(&t, dtype.unwrap_or(t.dtype())).py(py);
    }
    if let Some(t) = scalar(obj)? {
        return ops::cast(&t, dtype.unwrap_or(t.dtype())).py(py);
    }
    let np = import_numpy(py)?;
    let array = match obj.cast::<PyUntypedArray>() {
        Ok(a) if a.is_c_contiguous() && a.dtype().byteorder() != b'>' => a.clone(),
        _ => {
            let a = np.call_method1(intern!(py, "ascontiguousarray"), (obj,))?;
            let native = a.getattr("dtype")?.call_method1("newbyteorder", ("=",))?;
            let a = a.call_method1("astype", (native,))?;
            // ascontiguousarray gives a number one dimension.
            let ndim = np.call_method1("ndim", (obj,))?.extract::<usize>()?;
            let a = if ndim == 0 { a.call_method1("reshape", ((),))? } else { a };
            a.cast_into::<PyUntypedArray>()?
        }
    };
    let shape = array.shape().to_vec();
    let descr = array.dtype();
    let (kind, size) = (descr.kind(), descr.itemsize());
    let t = match (kind, size) {
        // Unsigned 16-bit numbers fit in int32.
        (b'u', 2) => {
            let wide = array.call_method1("astype", ("int32",))?;
            return from_python(&wide, dtype);
        }
        _ => {
            let from = descr_dtype(&descr)?;
            tengen::dispatch!(from, [Bool, U8, I8, I16, I32, I64, F32, F64], T => {
                let a = array.cast::<PyArrayDyn<T>>()?.readonly();
                Tensor::from_slice(a.as_slice().map_err(|e| PyTypeError::new_err(e.to_string()))?, &shape)
            }, else {
                let a = array.cast::<PyArrayDyn<half::f16>>()?.readonly();
                Tensor::from_slice(a.as_slice().map_err(|e| PyTypeError::new_err(e.to_string()))?, &shape)
            })
        }
    }
    .py(py)?;
    let wanted = dtype.unwrap_or(match t.dtype() {
        DType::F64 => DType::F32,
        DType::I64 => DType::I32,
        d => d,
    });
    ops::cast(&t, wanted).py(py)
}

/// A tensor without dimensions from a Python number: float32, int32 or bool.
fn scalar(obj: &Bound<'_, PyAny>) -> PyResult<Option<Tensor>> {
    let py = obj.py();
    if let Ok(v) = obj.cast_exact::<PyFloat>() {
        return Ok(Some(Tensor::scalar(v.extract::<f64>()? as f32).py(py)?));
    }
    if let Ok(v) = obj.cast::<PyBool>() {
        return Ok(Some(Tensor::scalar(v.is_true()).py(py)?));
    }
    if let Ok(v) = obj.cast_exact::<PyInt>() {
        let v = v.extract::<i64>()?;
        return Ok(Some(Tensor::scalar(v as i32).py(py)?));
    }
    Ok(None)
}

/// An operand of an operator whose other operand is of dtype `with`: a tensor, or a value that
/// takes on the tensor's dtype if it is a number of the same kind.
#[inline]
pub fn operand(obj: &Bound<'_, PyAny>, with: DType) -> PyResult<Tensor> {
    if let Ok(t) = obj.cast::<PyTensor>() {
        return Ok(t.value());
    }
    number(obj, with)
}

fn number(obj: &Bound<'_, PyAny>, with: DType) -> PyResult<Tensor> {
    let py = obj.py();
    let as_float = |v: f64, with: DType| {
        Tensor::full(&[], v, if with.is_float() { with } else { DType::F32 }).py(py)
    };
    if let Ok(v) = obj.cast::<PyFloat>() {
        return as_float(v.extract::<f64>()?, with);
    }
    if obj.is_instance_of::<PyBool>() || obj.is_instance_of::<PyInt>() {
        let v = obj.extract::<i64>()?;
        if with.is_float() {
            return as_float(v as f64, with);
        }
        if with == DType::Bool && obj.is_instance_of::<PyBool>() {
            return Tensor::scalar(v != 0).py(py);
        }
        let dtype = if with == DType::Bool { DType::I32 } else { with };
        let t = Tensor::scalar(v).py(py)?;
        return ops::cast(&t, dtype).py(py);
    }
    if obj.is_none() {
        return Err(PyTypeError::new_err("the operand is None and is not supported."));
    }
    // Lists take on the tensor's dtype; NumPy values keep their own.
    let np = obj.cast::<PyUntypedArray>().is_ok() || obj.hasattr(intern!(py, "dtype"))?;
    let t = from_python(obj, None)?;
    let keep = np
        && !(with.is_float() && t.dtype().is_int())
        && !(t.dtype() == DType::F32 && with.is_float() && t.ndim() == 0);
    if keep {
        Ok(t)
    } else {
        ops::cast(&t, if with.is_float() || t.dtype().is_int() { with } else { t.dtype() }).py(py)
    }
}

/// A NumPy array with a copy of the elements.
pub fn to_numpy<'py>(py: Python<'py>, t: &Tensor) -> PyResult<Bound<'py, PyAny>> {
    fn copy<'py, T: Element + numpy::Element>(
        py: Python<'py>,
        t: &Tensor,
    ) -> PyResult<Bound<'py, PyAny>> {
        let array = PyArrayDyn::<T>::zeros(py, &t.shape()[..], false);
        let t = t.contiguous().py(py)?;
        array
            .readwrite()
            .as_slice_mut()
            .map_err(|e| PyRuntimeError::new_err(e.to_string()))?
            .copy_from_slice(t.as_slice::<T>().py(py)?);
        Ok(array.into_any())
    }
    match t.dtype() {
        DType::Bool => copy::<bool>(py, t),
        DType::U8 => copy::<u8>(py, t),
        DType::I8 => copy::<i8>(py, t),
        DType::I16 => copy::<i16>(py, t),
        DType::I32 => copy::<i32>(py, t),
        DType::I64 => copy::<i64>(py, t),
        DType::F16 => copy::<half::f16>(py, t),
        DType::BF16 => copy::<f32>(py, &ops::cast(&t.detach(), DType::F32).py(py)?),
        DType::F32 => copy::<f32>(py, t),
        DType::F64 => copy::<f64>(py, t),
    }
}

/// The only element of a tensor as a Python number: a float, an int or a bool.
pub fn to_number<'py>(py: Python<'py>, t: &Tensor) -> PyResult<Bound<'py, PyAny>> {
    Ok(match t.dtype() {
        DType::Bool => PyBool::new(py, t.item().py(py)? != 0.0).to_owned().into_any(),
        // f64 would not hold every i64.
        DType::I64 => t.to_vec::<i64>().py(py)?[0].into_bound_py_any(py)?,
        d if d.is_int() => (t.item().py(py)? as i64).into_bound_py_any(py)?,
        _ => PyFloat::new(py, t.item().py(py)?).into_any(),
    })
}

/// A few integers: axes, extents, kernel sizes.
pub type Ints = SmallVec<[isize; MAX_DIMS]>;

/// Integers given as one, as a sequence or as a tensor.
pub fn ints(obj: &Bound<'_, PyAny>) -> PyResult<Ints> {
    // What callers mostly give, without an exception made and dropped on the way.
    if let Ok(items) = obj.cast_exact::<PyTuple>() {
        return items.iter_borrowed().map(|i| int(&i)).collect();
    }
    if let Ok(items) = obj.cast_exact::<PyList>() {
        return items.iter().map(|i| int(&i)).collect();
    }
    if let Ok(t) = obj.cast::<PyTensor>() {
        let v = t.value();
        return Ok(v.to_f64_vec().py(obj.py())?.into_iter().map(|v| v as isize).collect());
    }
    if let Ok(v) = obj.extract::<isize>() {
        return Ok(smallvec![v]);
    }
    let mut out = Ints::new();
    for item in obj.try_iter()? {
        out.push(int(&item?)?);
    }
    Ok(out)
}

/// One integer, or a tensor of one.
pub fn int(obj: &Bound<'_, PyAny>) -> PyResult<isize> {
    if obj.is_exact_instance_of::<PyInt>() {
        return obj.extract();
    }
    if let Ok(t) = obj.cast::<PyTensor>() {
        return Ok(t.value().item().py(obj.py())? as isize);
    }
    obj.extract()
}

/// Extents of a shape.
pub fn shape(obj: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
    ints(obj)?
        .into_iter()
        .map(|n| {
            usize::try_from(n).map_err(|_| {
                crate::error::to_py(
                    obj.py(),
                    tengen::Error::new(tengen::ErrorKind::Shape, format!("extent {n} is negative")),
                )
            })
        })
        .collect()
}

/// The axes argument of reductions: none, one or several.
pub fn axes(obj: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Ints>> {
    match obj {
        None => Ok(None),
        Some(o) => Ok(Some(ints(o)?)),
    }
}
