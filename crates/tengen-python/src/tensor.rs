//! The Tensor class.

use crate::convert::{
    Ints, axes, from_python, ints, numpy_dtype, operand, parse_dtype, to_number, to_numpy,
};
use crate::error::IntoPy;
use crate::held::{Hold, PyTensor};
use crate::indexing::{self, PyTensorIterator};
use pyo3::IntoPyObjectExt;
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyAttributeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyComplex, PyFloat, PyTuple, PyType};
use std::sync::Mutex;
use tengen::{DType, Device, Scalar, Tensor, ops};

/// A Python Tensor.
#[inline]
pub fn wrap(py: Python<'_>, t: tengen::Result<Tensor>) -> PyResult<Py<PyTensor>> {
    Py::new(py, PyTensor::new(t.py(py)?))
}

/// A Python Tensor on the given device, if any.
pub fn wrap_on(
    py: Python<'_>,
    t: tengen::Result<Tensor>,
    device: Option<&Bound<'_, PyAny>>,
) -> PyResult<Py<PyTensor>> {
    let t = t.py(py)?;
    let t = match device {
        Some(d) if !d.is_none() => t.to(parse_device(d)?).py(py)?,
        _ => t,
    };
    Py::new(py, PyTensor::new(t))
}

/// The device that an argument names, which may be a string or a device object.
fn parse_device(obj: &Bound<'_, PyAny>) -> PyResult<Device> {
    Device::parse(obj.str()?.to_str()?).py(obj.py())
}

/// The name of a tensor's device, with its stream.
fn device_name(t: &Tensor) -> String {
    let name = t.device().to_string();
    if name.contains(':') { name } else { name + ":0" }
}

macro_rules! binary {
    ($slf:ident, $other:ident, $f:path) => {{
        let py = $slf.py();
        let a = $slf.value();
        let b = operand($other, a.dtype())?;
        wrap(py, $f(&a, &b))
    }};
}
macro_rules! reflected {
    ($slf:ident, $other:ident, $f:path) => {{
        let py = $slf.py();
        let a = $slf.value();
        let b = operand($other, a.dtype())?;
        wrap(py, $f(&b, &a))
    }};
}
/// In-place operators keep the object and replace its value.
macro_rules! in_place {
    ($slf:ident, $other:ident, $f:path) => {{
        let a = $slf.value();
        let b = operand($other, a.dtype())?;
        $slf.replace($f(&a, &b).py($slf.py())?);
        Ok(())
    }};
}

type Ref<'a, 'py> = &'a Bound<'py, PyTensor>;
type Any<'a, 'py> = &'a Bound<'py, PyAny>;
type New = PyResult<Py<PyTensor>>;

fn power(a: &Tensor, b: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    if let Ok(e) = b.extract::<f64>()
        && b.cast::<PyTensor>().is_err()
    {
        return ops::pow_scalar(a, e).py(b.py());
    }
    ops::pow(a, &operand(b, a.dtype())?).py(b.py())
}

#[pymethods]
impl PyTensor {
    #[new]
    #[pyo3(signature = (data, dtype=None, device=None, is_const=false, no_cache=false, name=None, format="default"))]
    fn py_new(
        data: Any,
        dtype: Option<Any>,
        device: Option<Any>,
        is_const: bool,
        no_cache: bool,
        name: Option<String>,
        format: &str,
    ) -> PyResult<Self> {
        let _ = (is_const, no_cache, format);
        let dtype = dtype.map(parse_dtype).transpose()?;
        let mut tensor = from_python(data, dtype)?;
        if let Some(d) = device.filter(|d| !d.is_none()) {
            tensor = tensor.to(parse_device(d)?).py(data.py())?;
        }
        Ok(PyTensor { held: tensor.into(), name: Mutex::new(name) })
    }

    /// Shape as a tuple of ints.
    #[getter]
    fn shape<'py>(slf: Ref<'_, 'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(slf.py(), slf.value().shape().iter())
    }

    /// Number of elements.
    #[getter]
    fn size(slf: Ref) -> usize {
        slf.value().numel()
    }

    /// Number of dimensions.
    #[getter]
    fn ndim(slf: Ref) -> usize {
        slf.value().ndim()
    }

    /// NumPy dtype of the elements ("bfloat16" for that type, which NumPy lacks).
    #[getter]
    fn dtype<'py>(slf: Ref<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        numpy_dtype(slf.py(), slf.value().dtype())
    }

    /// The device, as an object that prints as its name and compares to names.
    #[getter]
    fn device<'py>(slf: Ref<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let class = slf.py().import("megengine.device")?.getattr("CompNode")?;
        class.call1((device_name(&slf.value()),))
    }

    /// Layout of image tensors; always "default".
    #[getter]
    fn format(&self) -> &'static str {
        "default"
    }

    /// Name given at construction, or "".
    #[getter]
    fn get_name(&self) -> String {
        self.name.lock().unwrap_or_else(|e| e.into_inner()).clone().unwrap_or_default()
    }
    #[setter]
    fn set_name(&self, name: Option<String>) {
        *self.name.lock().unwrap_or_else(|e| e.into_inner()) = name;
    }

    /// The gradient that backward passes have added up, or None.
    #[getter]
    fn get_grad(slf: Ref) -> Option<PyTensor> {
        slf.shared()?.grad().map(PyTensor::new)
    }
    #[setter]
    fn set_grad(slf: Ref, grad: Option<Ref>) {
        slf.var().set_grad(grad.map(Hold::var));
    }
    #[deleter]
    fn delete_grad(slf: Ref) {
        slf.var().set_grad(None);
    }

    #[getter]
    fn requires_grad(&self) -> PyResult<bool> {
        Err(PyAttributeError::new_err("requires_grad is reserved for future use"))
    }

    /// The tensor with its axes in reverse order.
    #[getter(T)]
    fn reversed_axes(slf: Ref) -> New {
        let t = slf.value();
        let order: Vec<isize> = (0..t.ndim() as isize).rev().collect();
        wrap(slf.py(), ops::transpose(&t, &order))
    }

    /// A NumPy array with a copy of the elements (bfloat16 as float32).
    fn numpy<'py>(slf: Ref<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        to_numpy(slf.py(), &slf.value())
    }

    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        slf: Ref<'_, 'py>,
        dtype: Option<Any<'_, 'py>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = copy;
        let array = to_numpy(slf.py(), &slf.value())?;
        match dtype {
            Some(d) => array.call_method1("astype", (d,)),
            None => Ok(array),
        }
    }

    #[classattr]
    fn __array_priority__() -> f64 {
        100.0
    }

    /// The element of a tensor of one, or of a place given by ints, as a Python number.
    #[pyo3(signature = (*args))]
    fn item<'py>(slf: Ref<'_, 'py>, args: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let t = slf.value();
        if args.is_empty() {
            if t.numel() == 1 {
                return to_number(slf.py(), &t);
            }
            return Err(PyValueError::new_err(format!(
                "item: a tensor of one element is needed, not {t}"
            )));
        }
        to_numpy(slf.py(), &t)?.call_method1("item", args)
    }

    /// The elements as nested lists of Python numbers.
    fn tolist<'py>(slf: Ref<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        to_numpy(slf.py(), &slf.value())?.call_method0("tolist")
    }

    /// The elements converted to another dtype.
    fn astype(slf: Ref, dtype: Any) -> New {
        wrap(slf.py(), ops::cast(&slf.value(), parse_dtype(dtype)?))
    }

    /// The same value, through which no gradient flows.
    fn detach(slf: Ref) -> New {
        wrap(slf.py(), Ok(slf.value().detach()))
    }

    /// The tensor on another device.
    #[pyo3(signature = (device, *, _borrow=false))]
    fn to(slf: Ref, device: Any, _borrow: bool) -> New {
        wrap(slf.py(), Ok(slf.value().to(parse_device(device)?).py(slf.py())?))
    }

    /// The same elements under another shape, in which one extent may be -1.
    #[pyo3(signature = (*args))]
    fn reshape(slf: Ref, args: &Bound<'_, PyTuple>) -> New {
        let shape = variadic(args)?;
        wrap(slf.py(), ops::reshape_infer(&slf.value(), &shape))
    }

    /// Axes in another order; reversed without arguments.
    #[pyo3(signature = (*args))]
    fn transpose(slf: Ref, args: &Bound<'_, PyTuple>) -> New {
        if args.is_empty() {
            return PyTensor::reversed_axes(slf);
        }
        wrap(slf.py(), ops::transpose(&slf.value(), &variadic(args)?))
    }

    /// Axes start_axis..end_axis (inclusive) made one.
    #[pyo3(signature = (start_axis=0, end_axis=-1))]
    fn flatten(slf: Ref, start_axis: isize, end_axis: isize) -> New {
        wrap(slf.py(), ops::flatten(&slf.value(), start_axis, end_axis))
    }

    /// Sum over axes; see functional.sum.
    #[pyo3(signature = (axis=None, keepdims=false))]
    fn sum(slf: Ref, axis: Option<Any>, keepdims: bool) -> New {
        wrap(slf.py(), ops::sum(&slf.value(), axes(axis)?.as_deref(), keepdims))
    }
    /// Product over axes; see functional.prod.
    #[pyo3(signature = (axis=None, keepdims=false))]
    fn prod(slf: Ref, axis: Option<Any>, keepdims: bool) -> New {
        wrap(slf.py(), ops::prod(&slf.value(), axes(axis)?.as_deref(), keepdims))
    }
    /// Mean over axes; see functional.mean.
    #[pyo3(signature = (axis=None, keepdims=false))]
    fn mean(slf: Ref, axis: Option<Any>, keepdims: bool) -> New {
        wrap(slf.py(), ops::mean(&slf.value(), axes(axis)?.as_deref(), keepdims))
    }
    /// Greatest element over axes; see functional.max.
    #[pyo3(signature = (axis=None, keepdims=false))]
    fn max(slf: Ref, axis: Option<Any>, keepdims: bool) -> New {
        wrap(slf.py(), ops::max(&slf.value(), axes(axis)?.as_deref(), keepdims))
    }
    /// Least element over axes; see functional.min.
    #[pyo3(signature = (axis=None, keepdims=false))]
    fn min(slf: Ref, axis: Option<Any>, keepdims: bool) -> New {
        wrap(slf.py(), ops::min(&slf.value(), axes(axis)?.as_deref(), keepdims))
    }

    /// Replaces the value in place: shape and dtype become those of `value`, and so does the device
    /// where that is a tensor.
    fn _reset(slf: Ref, value: Any) -> PyResult<()> {
        let new = operand(value, DType::F32)?.detach();
        let placed = value.is_instance_of::<PyTensor>();
        let device = if placed { new.device() } else { slf.value().device() };
        slf.replace(new.to(device).py(slf.py())?);
        Ok(())
    }
    /// Replaces the value in place: shape and dtype become those of `value`.
    fn set_value(slf: Ref, value: Any) -> PyResult<()> {
        PyTensor::_reset(slf, value)
    }
    /// Makes all elements 0 in place.
    fn reset_zero(slf: Ref) -> PyResult<()> {
        let t = slf.value();
        slf.replace(ops::zeros_like(&t).py(slf.py())?);
        Ok(())
    }

    fn __add__(slf: Ref, o: Any) -> New {
        binary!(slf, o, ops::add)
    }
    fn __radd__(slf: Ref, o: Any) -> New {
        reflected!(slf, o, ops::add)
    }
    fn __iadd__(slf: Ref, o: Any) -> PyResult<()> {
        in_place!(slf, o, ops::add)
    }
    fn __sub__(slf: Ref, o: Any) -> New {
        binary!(slf, o, ops::sub)
    }
    fn __rsub__(slf: Ref, o: Any) -> New {
        reflected!(slf, o, ops::sub)
    }
    fn __isub__(slf: Ref, o: Any) -> PyResult<()> {
        in_place!(slf, o, ops::sub)
    }
    fn __mul__(slf: Ref, o: Any) -> New {
        binary!(slf, o, ops::mul)
    }
    fn __rmul__(slf: Ref, o: Any) -> New {
        reflected!(slf, o, ops::mul)
    }
    fn __imul__(slf: Ref, o: Any) -> PyResult<()> {
        in_place!(slf, o, ops::mul)
    }
    fn __truediv__(slf: Ref, o: Any) -> New {
        binary!(slf, o, ops::div)
    }
    fn __rtruediv__(slf: Ref, o: Any) -> New {
        reflected!(slf, o, ops::div)
    }
    fn __itruediv__(slf: Ref, o: Any) -> PyResult<()> {
        in_place!(slf, o, ops::div)
    }
    fn __floordiv__(slf: Ref, o: Any) -> New {
        binary!(slf, o, ops::floor_div)
    }
    fn __rfloordiv__(slf: Ref, o: Any) -> New {
        reflected!(slf, o, ops::floor_div)
    }
    fn __ifloordiv__(slf: Ref, o: Any) -> PyResult<()> {
        in_place!(slf, o, ops::floor_div)
    }
    fn __mod__(slf: Ref, o: Any) -> New {
        binary!(slf, o, ops::modulo)
    }
    fn __rmod__(slf: Ref, o: Any) -> New {
        reflected!(slf, o, ops::modulo)
    }
    fn __imod__(slf: Ref, o: Any) -> PyResult<()> {
        in_place!(slf, o, ops::modulo)
    }
    fn __pow__(slf: Ref, o: Any, modulo: Option<Any>) -> New {
        let _ = modulo;
        Py::new(slf.py(), PyTensor::new(power(&slf.value(), o)?))
    }
    fn __rpow__(slf: Ref, o: Any, modulo: Option<Any>) -> New {
        let _ = modulo;
        reflected!(slf, o, ops::pow)
    }
    fn __ipow__(slf: Ref, o: Any, modulo: Option<Any>) -> PyResult<()> {
        let _ = modulo;
        slf.replace(power(&slf.value(), o)?);
        Ok(())
    }
    fn __neg__(slf: Ref) -> New {
        wrap(slf.py(), ops::neg(&slf.value()))
    }
    fn __pos__(slf: Ref) -> Py<PyTensor> {
        slf.clone().unbind()
    }
    fn __abs__(slf: Ref) -> New {
        wrap(slf.py(), ops::abs(&slf.value()))
    }
    fn __round__(slf: Ref) -> New {
        wrap(slf.py(), ops::round(&slf.value()))
    }
    fn __floor__(slf: Ref) -> New {
        wrap(slf.py(), ops::floor(&slf.value()))
    }
    fn __ceil__(slf: Ref) -> New {
        wrap(slf.py(), ops::ceil(&slf.value()))
    }
    fn __invert__(slf: Ref) -> New {
        wrap(slf.py(), ops::logical_not(&slf.value()))
    }
    fn __and__(slf: Ref, o: Any) -> New {
        binary!(slf, o, ops::logical_and)
    }
    fn __rand__(slf: Ref, o: Any) -> New {
        reflected!(slf, o, ops::logical_and)
    }
    fn __or__(slf: Ref, o: Any) -> New {
        binary!(slf, o, ops::logical_or)
    }
    fn __ror__(slf: Ref, o: Any) -> New {
        reflected!(slf, o, ops::logical_or)
    }
    fn __xor__(slf: Ref, o: Any) -> New {
        binary!(slf, o, ops::logical_xor)
    }
    fn __rxor__(slf: Ref, o: Any) -> New {
        reflected!(slf, o, ops::logical_xor)
    }
    fn __lshift__(slf: Ref, o: Any) -> New {
        binary!(slf, o, ops::left_shift)
    }
    fn __rlshift__(slf: Ref, o: Any) -> New {
        reflected!(slf, o, ops::left_shift)
    }
    fn __rshift__(slf: Ref, o: Any) -> New {
        binary!(slf, o, ops::right_shift)
    }
    fn __rrshift__(slf: Ref, o: Any) -> New {
        reflected!(slf, o, ops::right_shift)
    }

    fn __richcmp__(slf: Ref, o: Any, op: CompareOp) -> New {
        match op {
            CompareOp::Eq => binary!(slf, o, ops::equal),
            CompareOp::Ne => binary!(slf, o, ops::not_equal),
            CompareOp::Lt => binary!(slf, o, ops::less),
            CompareOp::Le => binary!(slf, o, ops::less_equal),
            CompareOp::Gt => binary!(slf, o, ops::greater),
            CompareOp::Ge => binary!(slf, o, ops::greater_equal),
        }
    }

    /// Tensors hash by identity.
    fn __hash__(slf: Ref) -> isize {
        slf.as_ptr() as isize >> 4
    }

    fn __len__(slf: Ref) -> PyResult<usize> {
        slf.value().shape().first().copied().ok_or_else(|| PyTypeError::new_err("ndim is 0"))
    }

    fn __getitem__(slf: Ref, key: Any) -> New {
        wrap(slf.py(), ops::getitem(&slf.value(), &indexing::parse(key)?))
    }

    /// Replaces elements in place: the object stays, other tensors never change.
    fn __setitem__(slf: Ref, key: Any, value: Any) -> PyResult<()> {
        let (py, cell) = (slf.py(), slf.var());
        let index = indexing::parse(key)?;
        let value = operand(value, cell.with(|t| t.dtype()))?;
        cell.update(|t| ops::setitem_in_place(t, &index, &value)).py(py)
    }

    fn __iter__(slf: Ref) -> PyResult<PyTensorIterator> {
        PyTensor::__len__(slf)?;
        PyTensorIterator::new(slf.py(), &slf.value())
    }

    /// Whether any element equals the value.
    fn __contains__(slf: Ref, value: Any) -> PyResult<bool> {
        let t = slf.value().detach();
        let value = operand(value, t.dtype())?.detach();
        let equal = ops::equal(&t, &value).and_then(|e| ops::sum(&e, None, false)?.item());
        Ok(equal.py(slf.py())? != 0.0)
    }

    fn __bool__(slf: Ref) -> PyResult<bool> {
        Ok(one(slf, "bool")?.to())
    }
    fn __float__(slf: Ref) -> PyResult<f64> {
        Ok(one(slf, "float")?.to_f64())
    }
    /// As Python's: a float truncates, and NaN and infinities are errors.
    fn __int__<'py>(slf: Ref<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        match one(slf, "int")? {
            Scalar::Float(v) => PyFloat::new(py, v).call_method0(intern!(py, "__int__")),
            v => v.to::<i64>().into_bound_py_any(py),
        }
    }
    fn __index__(slf: Ref) -> PyResult<i64> {
        match one(slf, "index")? {
            Scalar::Float(_) => Err(PyTypeError::new_err("a tensor of floats is no index")),
            v => Ok(v.to()),
        }
    }
    fn __complex__<'py>(slf: Ref<'_, 'py>) -> PyResult<Bound<'py, PyComplex>> {
        Ok(PyComplex::from_doubles(slf.py(), one(slf, "complex")?.to_f64(), 0.0))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let t = slf.value();
        let array = to_numpy(py, &t)?;
        // Numbers are written out, arrays with four digits.
        let text = if t.ndim() == 0 {
            array.str()?.to_string()
        } else {
            let options = [("precision", 4)].into_py_dict(py)?;
            let np = py.import(intern!(py, "numpy"))?;
            np.call_method(intern!(py, "array2string"), (array,), Some(&options))?.extract()?
        };
        let class = slf.get_type().name()?.to_string();
        let dtype = match t.dtype() {
            DType::F32 => String::new(),
            d => format!(", dtype={}", d.name()),
        };
        let device = device_name(&t);
        Ok(format!("{class}({text}{dtype}, device={device})"))
    }

    /// A pickle in MegEngine's layout: the class, and its arguments `(array, dtype, device)`.
    fn __reduce_ex__<'py>(slf: Ref<'_, 'py>, protocol: Any) -> PyResult<Bound<'py, PyAny>> {
        let _ = protocol;
        let py = slf.py();
        let new = py.import("copyreg")?.getattr("__newobj__")?;
        let t = slf.value();
        let array = to_numpy(py, &t)?;
        let dtype = numpy_dtype(py, t.dtype())?;
        let device = device_name(&t);
        (new, (slf.get_type(), array, dtype, device), slf.getattr("__dict__")?)
            .into_pyobject(py)
            .map(Bound::into_any)
    }

    /// A copy is a value of its own: no gradient flows from it.
    fn __copy__<'py>(slf: Ref<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        slf.get_type().call1((PyTensor::detach(slf)?,))
    }
    fn __deepcopy__<'py>(slf: Ref<'_, 'py>, memo: Any) -> PyResult<Bound<'py, PyAny>> {
        let _ = memo;
        let new = PyTensor::__copy__(slf)?;
        new.getattr("__dict__")?.call_method1("update", (slf.getattr("__dict__")?,))?;
        Ok(new)
    }

    #[classmethod]
    fn __class_getitem__(cls: &Bound<'_, PyType>, _item: Any) -> Py<PyType> {
        cls.clone().unbind()
    }
}

/// The element of a tensor of one, for a conversion to a Python number.
fn one(slf: Ref, what: &str) -> PyResult<Scalar> {
    slf.value().item_scalar().map_err(|_| {
        PyValueError::new_err(format!("{what}() of a tensor needs exactly one element"))
    })
}

/// Arguments given one by one or as one sequence.
fn variadic(args: &Bound<'_, PyTuple>) -> PyResult<Ints> {
    if args.len() == 1 { ints(&args.get_item(0)?) } else { ints(args) }
}
