//! Optimizer steps.

use crate::error::IntoPy;
use crate::held::Hold;
use crate::held::PyTensor;
use pyo3::prelude::*;
use tengen::Tensor;
use tengen::optimizer::{self, AdamParams};

type Ref<'a, 'py> = &'a Bound<'py, PyTensor>;

/// Changes `param` by a step of gradient descent along `grad`, and `velocity` if there is one.
#[pyfunction]
#[pyo3(signature = (param, grad, velocity, lr, momentum, nesterov, weight_decay, /))]
fn sgd_step(
    param: Ref,
    grad: Ref,
    velocity: Option<Ref>,
    lr: f64,
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
) -> PyResult<()> {
    let (py, grad) = (param.py(), grad.value().detach());
    let velocity = velocity.map(Hold::var);
    let (param, velocity) = (param.var(), velocity.as_ref());
    optimizer::sgd_step(&param, &grad, velocity, lr, momentum, nesterov, weight_decay).py(py)
}

/// Changes `param`, `exp_avg` and `exp_avg_sq` by step number `step` of Adam along `grad`.
#[pyfunction]
#[pyo3(signature = (param, grad, exp_avg, exp_avg_sq, step, lr, beta1, beta2, eps, weight_decay, decoupled, /))]
#[expect(clippy::too_many_arguments, reason = "the settings of the Python class, by position")]
fn adam_step(
    param: Ref,
    grad: Ref,
    exp_avg: Ref,
    exp_avg_sq: Ref,
    step: f64,
    lr: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    decoupled: bool,
) -> PyResult<()> {
    let (py, grad) = (param.py(), grad.value().detach());
    let settings = AdamParams { lr, betas: (beta1, beta2), eps, weight_decay, decoupled };
    let (m, v) = (exp_avg.var(), exp_avg_sq.var());
    let step = Tensor::scalar(step).py(py)?;
    optimizer::adam_step(&param.var(), &grad, &m, &v, &step, settings).py(py)
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(sgd_step, m)?)?;
    m.add_function(wrap_pyfunction!(adam_step, m)?)
}
