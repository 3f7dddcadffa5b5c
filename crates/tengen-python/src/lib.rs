//! The Python face: conversion, classes and functions. No mathematics, and no validation that the
//! core already does.

mod autodiff;
mod convert;
mod error;
mod functional;
mod held;
mod indexing;
mod nn;
mod optimizer;
mod product;
mod random;
mod recurrent;
mod tensor;
mod threads;

use pyo3::prelude::*;

#[pymodule]
fn _tengen(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_function(wrap_pyfunction!(_check_device, m)?)?;
    error::register(m)?;
    m.add_class::<held::PyTensor>()?;
    m.add_class::<indexing::PyTensorIterator>()?;
    m.add_class::<autodiff::PyGradManager>()?;
    m.add_function(wrap_pyfunction!(autodiff::_tensor_id, m)?)?;
    m.add_function(wrap_pyfunction!(autodiff::_apply_function, m)?)?;
    m.add_function(wrap_pyfunction!(autodiff::_without_recording, m)?)?;
    optimizer::register(m)?;
    nn::register(m)?;
    product::register(m)?;
    random::register(m)?;
    recurrent::register(m)?;
    functional::register(m)?;
    // After the functions of `megengine.functional`, which are named by what is there.
    threads::register(m)
}

/// Raises unless there is a device of this name.
#[pyfunction]
fn _check_device(py: Python<'_>, name: &str) -> PyResult<()> {
    error::IntoPy::py(tengen::Device::parse(name).map(drop), py)
}
