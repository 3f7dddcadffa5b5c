//! Errors as Python exceptions, of classes that a MegEngine program would already catch: each is a
//! `RuntimeError`, and the built-in class of its kind.

use pyo3::exceptions::*;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};
use std::error::Error as _;
use tengen::{Error, ErrorKind};

/// Name, documentation and built-in class of each kind's exception.
fn class_of(kind: ErrorKind) -> (&'static str, &'static str) {
    match kind {
        ErrorKind::Shape => ("ShapeError", "Shapes do not fit together."),
        ErrorKind::DType => ("DTypeError", "A dtype that the operator does not take."),
        ErrorKind::Device => ("DeviceError", "A device that there is not."),
        ErrorKind::Index => ("AxisError", "An axis or an index out of range."),
        ErrorKind::File => ("FileError", "A file that cannot be read, written or understood."),
        ErrorKind::Unsupported => ("UnsupportedError", "Something that this version does not do."),
        ErrorKind::Memory => ("OutOfMemoryError", "Memory that could not be had."),
        _ => ("ArgumentError", "An argument out of its domain."),
    }
}

const KINDS: [ErrorKind; 8] = [
    ErrorKind::Shape,
    ErrorKind::DType,
    ErrorKind::Device,
    ErrorKind::Index,
    ErrorKind::Value,
    ErrorKind::File,
    ErrorKind::Unsupported,
    ErrorKind::Memory,
];

static CLASSES: PyOnceLock<Vec<Py<PyType>>> = PyOnceLock::new();

fn classes(py: Python<'_>) -> PyResult<&Vec<Py<PyType>>> {
    CLASSES.get_or_try_init(py, || {
        KINDS
            .iter()
            .map(|kind| {
                let builtin = match kind {
                    ErrorKind::Shape | ErrorKind::Device => py.get_type::<PyValueError>(),
                    ErrorKind::DType => py.get_type::<PyTypeError>(),
                    ErrorKind::Index => py.get_type::<PyIndexError>(),
                    ErrorKind::File => py.get_type::<PyOSError>(),
                    ErrorKind::Unsupported => py.get_type::<PyNotImplementedError>(),
                    ErrorKind::Memory => py.get_type::<PyMemoryError>(),
                    _ => py.get_type::<PyValueError>(),
                };
                let runtime = py.get_type::<PyRuntimeError>();
                let bases = if builtin.is_subclass(&runtime)? {
                    PyTuple::new(py, [builtin])?
                } else {
                    PyTuple::new(py, [builtin, runtime])?
                };
                let (name, doc) = class_of(*kind);
                let namespace = PyDict::new(py);
                namespace.set_item("__doc__", doc)?;
                namespace.set_item("__module__", "megengine.errors")?;
                let class = py.get_type::<PyType>().call1((name, bases, namespace))?;
                Ok(class.cast_into::<PyType>()?.unbind())
            })
            .collect()
    })
}

/// Adds the exception classes to the extension module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    for (kind, class) in KINDS.iter().zip(classes(m.py())?) {
        m.add(class_of(*kind).0, class.clone_ref(m.py()))?;
    }
    Ok(())
}

/// The exception for an error; what Python code raised within the engine is that exception itself.
#[cold]
pub fn to_py(py: Python<'_>, e: Error) -> PyErr {
    if let Some(raised) = e.source().and_then(|s| s.downcast_ref::<PyErr>()) {
        return raised.clone_ref(py);
    }
    let at = KINDS.iter().position(|k| *k == e.kind()).unwrap_or(4);
    match classes(py) {
        Ok(classes) => PyErr::from_type(classes[at].bind(py).clone(), e.to_string()),
        Err(e) => e,
    }
}

/// Turns results into Python's.
pub trait IntoPy<T> {
    /// The value, or the exception for the error.
    fn py(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> IntoPy<T> for tengen::Result<T> {
    #[inline]
    fn py(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|e| to_py(py, e))
    }
}
