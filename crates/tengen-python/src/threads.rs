//! The number of threads.

use crate::error::{IntoPy, to_py};
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use tengen::{Error, ErrorKind};

/// Sets how many threads functions may use, that of the caller included. Results do not depend on
/// it. No more threads work at a time than the system lets this process run at once, by its cores,
/// its CPU affinity and the limits of its control group, so a greater number does no harm.
///
/// Without a call, the environment variable TENGEN_NUM_THREADS or else the system decides.
///
/// >>> import megengine as mge
/// >>> before = mge.get_num_threads()
/// >>> mge.set_num_threads(1)
/// >>> mge.get_num_threads()
/// 1
/// >>> mge.set_num_threads(before)
#[pyfunction]
fn set_num_threads(py: Python<'_>, n: &Bound<'_, PyAny>) -> PyResult<()> {
    let n = n.extract::<usize>().map_err(|e| {
        if e.is_instance_of::<PyOverflowError>(py) {
            let message = format!("set_num_threads: {n} is no number of threads");
            to_py(py, Error::new(ErrorKind::Value, message))
        } else {
            e
        }
    })?;
    tengen::set_num_threads(n).py(py)
}

/// How many threads functions may use: what set_num_threads said, else the environment variable
/// TENGEN_NUM_THREADS, else what the system lets this process run at once.
///
/// >>> import megengine as mge
/// >>> mge.get_num_threads() >= 1
/// True
#[pyfunction]
fn get_num_threads() -> usize {
    tengen::num_threads()
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    for function in [wrap_pyfunction!(set_num_threads, m)?, wrap_pyfunction!(get_num_threads, m)?] {
        function.setattr("__module__", "megengine")?;
        m.add_function(function)?;
    }
    Ok(())
}
