//! Conversion between Python values and tensors.

use crate::error::IntoPy;
use crate::held::{Hold, PyTensor};
use numpy::{
    PyArrayDescr, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyUntypedArray,
    PyUntypedArrayMethods,
};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyOverflowError, PyRuntimeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyTuple};
use smallvec::{SmallVec, smallvec};
use tengen::{DType, Element, MAX_DIMS, Scalar, Tensor, ops};

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

/// A tensor from an array-like value: arrays, sequences and numbers, converted to `dtype`. Without
/// one, float64 becomes float32 and int64 int32, which has to hold its numbers. Gradients flow on to
/// a tensor that is given.
pub fn from_python(obj: &Bound<'_, PyAny>, dtype: Option<DType>) -> PyResult<Tensor> {
    let py = obj.py();
    if let Ok(t) = obj.cast::<PyTensor>() {
        let t = t.value();
        return ops::cast(&t, dtype.unwrap_or(t.dtype())).py(py);
    }
    let default = |found: DType| match found {
        DType::F64 => DType::F32,
        DType::I64 => DType::I32,
        d => d,
    };
    if let Some(v) = plain(obj)? {
        let wanted = dtype.unwrap_or(match v {
            Scalar::Bool(_) => DType::Bool,
            Scalar::Float(_) if !obj.is_instance_of::<PyInt>() => DType::F32,
            _ => DType::I32,
        });
        if beyond(obj, v, wanted) || (dtype.is_none() && !fits(v, wanted)) {
            return Err(too_large(obj, wanted));
        }
        return Tensor::full(&[], v, wanted).py(py);
    }
    let t = from_array(obj, dtype)?;
    let wanted = dtype.unwrap_or(default(t.dtype()));
    if dtype.is_none()
        && let Some(v) = misfit(py, &t, wanted)?
    {
        return Err(PyOverflowError::new_err(format!(
            "{v} is out of bounds for {}, which {} becomes by default; give a dtype",
            wanted.name(),
            t.dtype().name()
        )));
    }
    ops::cast(&t, wanted).py(py)
}

/// The value of a Python number of no further class; an int beyond i64 is a float where that is
/// wanted.
fn plain(obj: &Bound<'_, PyAny>) -> PyResult<Option<Scalar>> {
    if let Ok(v) = obj.cast_exact::<PyFloat>() {
        return Ok(Some(Scalar::Float(v.value())));
    }
    if let Ok(v) = obj.cast::<PyBool>() {
        return Ok(Some(Scalar::Bool(v.is_true())));
    }
    match obj.cast_exact::<PyInt>() {
        Ok(v) => integer(v).map(Some),
        Err(_) => Ok(None),
    }
}

/// A Python int: as it is, or as the nearest float if it is beyond i64.
fn integer(v: &Bound<'_, PyAny>) -> PyResult<Scalar> {
    match v.extract::<i64>() {
        Ok(i) => Ok(Scalar::Int(i)),
        Err(_) => Ok(Scalar::Float(v.extract::<f64>()?)),
    }
}

/// A number: Python's, NumPy's or that of a tensor of one element.
pub fn number(obj: &Bound<'_, PyAny>) -> PyResult<Scalar> {
    if let Ok(t) = obj.cast::<PyTensor>() {
        return t.value().item_scalar().py(obj.py());
    }
    if let Some(v) = plain(obj)? {
        return Ok(v);
    }
    if let Ok(index) = obj.call_method0(intern!(obj.py(), "__index__")) {
        return integer(&index);
    }
    Ok(Scalar::Float(obj.extract()?))
}

/// Whether integers of `dtype` can be `v`, if `v` is an integer and these are.
fn fits(v: Scalar, dtype: DType) -> bool {
    match v {
        Scalar::Int(_) if dtype.is_int() => {
            tengen::dispatch!(dtype, T => v.exactly::<T>().is_some())
        }
        _ => true,
    }
}

fn too_large(v: impl std::fmt::Display, dtype: DType) -> PyErr {
    PyOverflowError::new_err(format!("{v} is out of bounds for {}", dtype.name()))
}

/// Whether a Python int has no low bits to be an integer of `dtype` by, for which it is too large.
fn beyond(obj: &Bound<'_, PyAny>, v: Scalar, dtype: DType) -> bool {
    dtype.is_int() && matches!(v, Scalar::Float(_)) && obj.is_instance_of::<PyInt>()
}

/// An integer among the elements that `dtype` has not.
fn misfit(py: Python<'_>, t: &Tensor, dtype: DType) -> PyResult<Option<i64>> {
    if !t.dtype().is_int() || t.dtype() == dtype {
        return Ok(None);
    }
    Ok(t.to_i64_vec().py(py)?.into_iter().find(|v| !fits(Scalar::Int(*v), dtype)))
}

/// The elements of an array or a sequence in the dtype that NumPy gives it, or, where tensors have
/// none like it, one that holds them; uint64 is made the float that is wanted, if one is.
fn from_array(obj: &Bound<'_, PyAny>, wanted: Option<DType>) -> PyResult<Tensor> {
    let py = obj.py();
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
    let descr = array.dtype();
    let wide = |dtype: &str| from_array(&array.call_method1("astype", (dtype,))?, wanted);
    match (descr.kind(), descr.itemsize()) {
        (b'u', 2) => return wide("int32"),
        (b'u', 4) => return wide("int64"),
        (b'u', 8) => {
            return match wanted {
                Some(DType::F32) => wide("float32"),
                Some(DType::F16) => wide("float16"),
                Some(d) if d.is_float() => wide("float64"),
                _ if array.len() > 0 => {
                    let most = array.call_method0("max")?;
                    if most.extract::<i64>().is_err() {
                        return Err(too_large(most, DType::I64));
                    }
                    wide("int64")
                }
                _ => wide("int64"),
            };
        }
        _ => {}
    }
    let shape = array.shape().to_vec();
    let from = descr_dtype(&descr)?;
    tengen::dispatch!(from, [Bool, U8, I8, I16, I32, I64, F32, F64], T => {
        let a = array.cast::<PyArrayDyn<T>>()?.readonly();
        Tensor::from_slice(a.as_slice().map_err(|e| PyTypeError::new_err(e.to_string()))?, &shape)
    }, else {
        let a = array.cast::<PyArrayDyn<half::f16>>()?.readonly();
        Tensor::from_slice(a.as_slice().map_err(|e| PyTypeError::new_err(e.to_string()))?, &shape)
    })
    .py(py)
}

/// An operand of an operator whose other operand is of dtype `with`: a tensor, or a value that
/// takes on the tensor's dtype if it is a number of the same kind. An int that is none of that
/// dtype stays what it is, as int32 or int64.
#[inline]
pub fn operand(obj: &Bound<'_, PyAny>, with: DType) -> PyResult<Tensor> {
    if let Ok(t) = obj.cast::<PyTensor>() {
        return Ok(t.value());
    }
    value(obj, with)
}

fn value(obj: &Bound<'_, PyAny>, with: DType) -> PyResult<Tensor> {
    let py = obj.py();
    let number = if let Ok(v) = obj.cast::<PyFloat>() {
        Some(Scalar::Float(v.value()))
    } else if let Ok(v) = obj.cast::<PyBool>() {
        // A bool counts as an int where the other operand is not bool.
        Some(Scalar::Bool(v.is_true()))
    } else if obj.is_instance_of::<PyInt>() {
        Some(integer(obj)?)
    } else {
        None
    };
    if let Some(v) = number {
        let dtype = match v {
            _ if with.is_float() => with,
            _ if beyond(obj, v, DType::I64) => return Err(too_large(obj, DType::I64)),
            Scalar::Float(_) => DType::F32,
            Scalar::Int(_) if with != DType::Bool && fits(v, with) => with,
            Scalar::Int(_) if fits(v, DType::I32) => DType::I32,
            Scalar::Int(_) => DType::I64,
            Scalar::Bool(_) => with,
        };
        return Tensor::full(&[], v, dtype).py(py);
    }
    if obj.is_none() {
        return Err(PyTypeError::new_err("the operand is None and is not supported."));
    }
    // Lists take on the tensor's dtype; NumPy values keep their own, 64 bits where the tensor has
    // them too.
    let np = obj.cast::<PyUntypedArray>().is_ok() || obj.hasattr(intern!(py, "dtype"))?;
    let t = from_array(obj, Some(with))?;
    let own = match t.dtype() {
        DType::F64 if with != DType::F64 => DType::F32,
        DType::I64 if with != DType::I64 => DType::I32,
        d => d,
    };
    let keep = np
        && !(with.is_float() && t.dtype().is_int())
        && !(own == DType::F32 && with.is_float() && t.ndim() == 0);
    let dtype = if !keep && (with.is_float() || t.dtype().is_int()) { with } else { own };
    for dtype in [dtype, DType::I32] {
        if misfit(py, &t, dtype)?.is_none() {
            return ops::cast(&t, dtype).py(py);
        }
    }
    Ok(t)
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
    Ok(match t.item_scalar().py(py)? {
        Scalar::Bool(v) => PyBool::new(py, v).to_owned().into_any(),
        Scalar::Int(v) => v.into_bound_py_any(py)?,
        Scalar::Float(v) => PyFloat::new(py, v).into_any(),
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
        return Ok(v.to_i64_vec().py(obj.py())?.into_iter().map(|v| v as isize).collect());
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
        return Ok(t.value().item_as::<i64>().py(obj.py())? as isize);
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
