//! The Python face: conversion, classes and functions. No mathematics, and no validation that the
//! core already does.

mod autodiff;
mod convert;
mod error;
mod functional;
mod tensor;

use pyo3::prelude::*;

#[pymodule]
fn _tengen(m: &Bound<'_, PyModule>) -> PyResult<()> {
    error::register(m)?;
    m.add_class::<tensor::PyTensor>()?;
    m.add_class::<autodiff::PyGradManager>()?;
    m.add_function(wrap_pyfunction!(autodiff::_tensor_id, m)?)?;
    m.add_function(wrap_pyfunction!(autodiff::_apply_function, m)?)?;
    m.add_function(wrap_pyfunction!(autodiff::_without_recording, m)?)?;
    functional::register(m)
}
