//! Random tensors.

use crate::convert::shape;
use crate::held::PyTensor;
use crate::tensor::wrap;
use pyo3::prelude::*;
use tengen::random::{self, Generator};
use tengen::{DType, Tensor, ops};

type Any<'a, 'py> = &'a Bound<'py, PyAny>;
type New = PyResult<Py<PyTensor>>;

/// A source of random numbers of its own, which follow from its seed; the class that
/// `megengine.random.RNG` wraps.
#[pyclass(name = "Generator", module = "megengine._tengen", frozen)]
pub struct PyGenerator(Generator);

fn extents(size: Option<Any>) -> PyResult<Vec<usize>> {
    size.map_or(Ok(vec![1]), shape)
}

/// The parameters of a distribution, and the size in front of them: 1 if all are numbers.
fn parameters<const N: usize>(
    values: [Any; N],
    size: Option<Any>,
) -> PyResult<([Tensor; N], Vec<usize>)> {
    let mut tensors = Vec::with_capacity(N);
    for v in values {
        tensors.push(crate::functional::input(v)?);
    }
    let scalar = tensors.iter().all(|t| t.ndim() == 0);
    let size = match size {
        Some(s) => shape(s)?,
        None => {
            if scalar {
                vec![1]
            } else {
                vec![]
            }
        }
    };
    let tensors = <[Tensor; N]>::try_from(tensors)
        .map_err(|_| pyo3::exceptions::PyTypeError::new_err("as many tensors as values"))?;
    Ok((tensors, size))
}

#[pymethods]
impl PyGenerator {
    #[new]
    fn new(seed: u64) -> Self {
        PyGenerator(Generator::new(seed))
    }

    fn uniform(&self, py: Python<'_>, low: f64, high: f64, size: Option<Any>) -> New {
        wrap(py, self.0.uniform(low, high, &extents(size)?, DType::F32))
    }

    fn normal(&self, py: Python<'_>, mean: f64, std: f64, size: Option<Any>) -> New {
        wrap(py, self.0.normal(mean, std, &extents(size)?, DType::F32))
    }

    fn gamma(&self, shape: Any, scale: Any, size: Option<Any>) -> New {
        let ([a, b], size) = parameters([shape, scale], size)?;
        wrap(shape.py(), self.0.gamma(&a, &b, &size))
    }

    fn beta(&self, alpha: Any, beta: Any, size: Option<Any>) -> New {
        let ([a, b], size) = parameters([alpha, beta], size)?;
        wrap(alpha.py(), self.0.beta(&a, &b, &size))
    }

    fn poisson(&self, lam: Any, size: Option<Any>) -> New {
        let ([a], size) = parameters([lam], size)?;
        wrap(lam.py(), self.0.poisson(&a, &size))
    }

    fn permutation(&self, py: Python<'_>, n: usize) -> New {
        wrap(py, self.0.permutation(n))
    }
}

#[pyfunction]
fn _seed(seed: u64) {
    random::seed(seed);
}

#[pyfunction]
fn _uniform(py: Python<'_>, low: f64, high: f64, size: Option<Any>) -> New {
    wrap(py, random::uniform(low, high, &extents(size)?, DType::F32))
}

#[pyfunction]
fn _normal(py: Python<'_>, mean: f64, std: f64, size: Option<Any>) -> New {
    wrap(py, random::normal(mean, std, &extents(size)?, DType::F32))
}

#[pyfunction]
fn _gamma(shape: Any, scale: Any, size: Option<Any>) -> New {
    let ([a, b], size) = parameters([shape, scale], size)?;
    wrap(shape.py(), random::gamma(&a, &b, &size))
}

#[pyfunction]
fn _beta(alpha: Any, beta: Any, size: Option<Any>) -> New {
    let ([a, b], size) = parameters([alpha, beta], size)?;
    wrap(alpha.py(), random::beta(&a, &b, &size))
}

#[pyfunction]
fn _poisson(lam: Any, size: Option<Any>) -> New {
    let ([a], size) = parameters([lam], size)?;
    wrap(lam.py(), random::poisson(&a, &size))
}

#[pyfunction]
fn _permutation(py: Python<'_>, n: usize) -> New {
    wrap(py, random::permutation(n))
}

/// Zeroes elements of inp with probability drop_prob and scales the others by 1 / (1 - drop_prob),
/// so that the mean stays; without training, gives inp itself.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.dropout(mge.tensor([1.0, 2.0]), 0.0)
/// Tensor([1. 2.], device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inp, drop_prob, training=true))]
fn dropout(py: Python<'_>, inp: Any, drop_prob: f64, training: bool) -> New {
    let x = crate::functional::input(inp)?;
    wrap(py, ops::dropout(&x, drop_prob, training))
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyGenerator>()?;
    m.add_function(wrap_pyfunction!(_seed, m)?)?;
    m.add_function(wrap_pyfunction!(_uniform, m)?)?;
    m.add_function(wrap_pyfunction!(_normal, m)?)?;
    m.add_function(wrap_pyfunction!(_gamma, m)?)?;
    m.add_function(wrap_pyfunction!(_beta, m)?)?;
    m.add_function(wrap_pyfunction!(_poisson, m)?)?;
    m.add_function(wrap_pyfunction!(_permutation, m)?)?;
    m.add_function(wrap_pyfunction!(dropout, m)?)
}
