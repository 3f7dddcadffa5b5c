//! Gradient managers and user-defined operators.

use crate::error::IntoPy;
use crate::held::Hold;
use crate::held::PyTensor;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use std::sync::Mutex;
use tengen::{GradManager, Tensor, Var};

/// What records operators on attached tensors and computes their gradients; the class that
/// `megengine.autodiff.GradManager` extends.
#[pyclass(name = "GradManager", module = "megengine._tengen", subclass, weakref, frozen)]
pub struct PyGradManager(Mutex<GradManager>);

impl PyGradManager {
    /// `f` must run no code of the user's, which may come back here: it drops nothing that was
    /// recorded, and runs no backward pass.
    fn with<R>(&self, f: impl FnOnce(&mut GradManager) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(|e| e.into_inner()))
    }
}

/// An exception on its way through the engine.
fn passing(e: PyErr) -> tengen::Error {
    tengen::Error::from_source(tengen::ErrorKind::Value, e)
}

#[pymethods]
impl PyGradManager {
    #[new]
    fn new() -> Self {
        PyGradManager(Mutex::new(GradManager::new()))
    }

    fn _attach(&self, py: Python<'_>, tensor: &Bound<'_, PyTensor>) -> PyResult<()> {
        self.with(|gm| gm.attach(&tensor.var()).map(drop)).py(py)
    }

    /// Starts recording; operators on attached tensors are remembered from here on.
    fn record(&self, py: Python<'_>) -> PyResult<()> {
        // Drops what managers of this thread that ended elsewhere have recorded.
        tengen::is_recording();
        self.with(|gm| gm.record()).py(py)
    }

    /// Stops recording and forgets what was recorded.
    fn release(&self) {
        let recorded =
            self.with(|gm| if gm.is_recording() { gm.begin_backward().ok() } else { None });
        drop(recorded);
    }

    fn _backward(
        &self,
        py: Python<'_>,
        ys: Vec<Bound<'_, PyTensor>>,
        dys: Option<Vec<Bound<'_, PyTensor>>>,
        callback: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let ys: Vec<Tensor> = ys.iter().map(|y| y.value()).collect();
        let dys: Option<Vec<Tensor>> = dys.map(|d| d.iter().map(|d| d.value()).collect());
        let pass = self.with(GradManager::begin_backward).py(py)?;
        let run = |var: &Var, grad: Tensor| {
            let Some(callback) = &callback else { return Ok(Some(grad)) };
            Py::new(py, PyTensor::new(grad))
                .and_then(|g| callback.call1(py, (var.id(), g)))
                .and_then(|r| r.extract::<Option<Py<PyTensor>>>(py).map_err(Into::into))
                .map(|t| t.map(|t| t.bind(py).value()))
                .map_err(passing)
        };
        pass.run(&ys, dys.as_deref(), run).py(py)
    }
}

/// The identity by which callbacks know a tensor.
#[pyfunction]
pub fn _tensor_id(tensor: &Bound<'_, PyTensor>) -> u64 {
    tensor.var().id()
}

/// The operator of an `autodiff.Function`: results are given, gradients come from Python.
struct Custom {
    backward: Py<PyAny>,
    outputs: Vec<Tensor>,
}

/// What it does is a program's own, so it has nothing that a file could hold.
impl tengen::op::Attributes for Custom {
    fn attributes(&self) -> Vec<(&'static str, tengen::op::Value)> {
        Vec::new()
    }
}

impl tengen::Eval for Custom {
    fn eval(&self, _: &[&Tensor], _: &[tengen::Meta]) -> tengen::Result<tengen::Tensors> {
        Ok(self.outputs.iter().map(Tensor::detach).collect())
    }
}

impl tengen::Op for Custom {
    fn name(&self) -> &'static str {
        "Function"
    }
    fn takes(&self, _: usize) -> bool {
        true
    }
    fn infer(&self, _: &[&tengen::op::Described]) -> tengen::Result<tengen::Metas> {
        Ok(self
            .outputs
            .iter()
            .map(|t| tengen::Meta { shape: *t.shape(), dtype: t.dtype() })
            .collect())
    }
    fn saves(&self, _: tengen::DType) -> tengen::Saves {
        tengen::Saves::NOTHING
    }
    fn grad(&self, g: &tengen::Gradient) -> tengen::Result<tengen::Grads> {
        Python::attach(|py| {
            let run = || -> PyResult<tengen::Grads> {
                let dys = (0..self.outputs.len())
                    .map(|k| match g.dy_if_any(k) {
                        Some(dy) => Ok(Some(Py::new(py, PyTensor::new(dy))?)),
                        None => Ok(None),
                    })
                    .collect::<PyResult<Vec<_>>>()?;
                let grads = self.backward.call1(py, pyo3::types::PyTuple::new(py, dys)?)?;
                let grads: Vec<Option<Py<PyTensor>>> = match grads.extract(py) {
                    Ok(one) => vec![Some(one)],
                    Err(_) if grads.is_none(py) => vec![None],
                    Err(_) => grads.extract(py)?,
                };
                let mut all: tengen::Grads =
                    grads.into_iter().map(|g| g.map(|g| g.bind(py).value())).collect();
                if all.len() > g.inputs() {
                    return Err(PyTypeError::new_err(format!(
                        "Function.backward gave {} gradients for {} inputs",
                        all.len(),
                        g.inputs()
                    )));
                }
                all.resize(g.inputs(), None);
                for (k, grad) in all.iter().enumerate() {
                    if let Some(grad) = grad
                        && *grad.shape() != g.input_meta(k).shape
                    {
                        return Err(PyTypeError::new_err(format!(
                            "Function.backward gave a gradient {grad} for input {k} of shape {}",
                            g.input_meta(k).shape
                        )));
                    }
                }
                Ok(all)
            };
            run().map_err(passing)
        })
    }
}

/// Runs a Function's results through the tape: `outputs` computed without recording from `inputs`,
/// `backward` a callable from gradients to gradients.
#[pyfunction]
pub fn _apply_function(
    py: Python<'_>,
    inputs: Vec<Bound<'_, PyTensor>>,
    outputs: Vec<Bound<'_, PyTensor>>,
    backward: Py<PyAny>,
) -> PyResult<Vec<Py<PyTensor>>> {
    let inputs: Vec<Tensor> = inputs.iter().map(|t| t.value()).collect();
    let outputs = outputs.iter().map(|t| t.value().detach()).collect();
    let op = Custom { backward, outputs };
    let results = tengen::apply(op, &inputs.iter().collect::<Vec<_>>()).py(py)?;
    results.into_iter().map(|t| Py::new(py, PyTensor::new(t))).collect()
}

/// Runs a callable without recording.
#[pyfunction]
pub fn _without_recording<'py>(f: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    tengen::without_recording(|| f.call0())
}
