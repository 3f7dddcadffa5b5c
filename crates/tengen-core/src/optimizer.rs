//! The arithmetic of optimizers: steps that change variables in place.

use crate::autograd::NodeRef;
use crate::ops::cast::cast_raw;
use crate::{DType, Element, Result, Tensor, Var, ensure};
use bytemuck::Pod;
use tengen_kernels::lanes::Float;
use tengen_kernels::optim::{self, Step};

/// Locks the variables one after the other, and calls `f` with their values.
fn with_values<R>(
    vars: &[&Var],
    values: &mut Vec<Tensor>,
    f: &mut dyn FnMut(&mut Vec<Tensor>) -> Result<R>,
) -> Result<R> {
    let Some((first, rest)) = vars.split_first() else { return f(values) };
    first.update(|value| {
        let place = values.len();
        // The variable's own handle moves into the list, so that it can be the only one.
        values.push(std::mem::replace(value, Tensor::empty(Default::default(), DType::Bool)?));
        let result = with_values(rest, values, f);
        values.truncate(place + 1);
        if let Some(v) = values.pop() {
            *value = v;
        }
        result
    })
}

/// Takes one step of `formula` on `param`, by `grad`.
fn run<F: Step<S>, const S: usize>(
    name: &str,
    formula: F,
    param: &Var,
    grad: &Tensor,
    state: [&Var; S],
) -> Result<()> {
    let mut vars = vec![param];
    vars.extend(state);
    for (i, v) in vars.iter().enumerate() {
        ensure!(
            vars[..i].iter().all(|w| !w.is(v)),
            Value,
            "{name}: parameter and state must be different variables"
        );
    }
    with_values(&vars, &mut Vec::with_capacity(S + 1), &mut |values| {
        for v in values.iter() {
            ensure!(
                v.shape() == grad.shape() && v.dtype().is_float() && grad.dtype().is_float(),
                Shape,
                "{name}: parameter {}, gradient {grad} and state {v} must be floats of one shape",
                values[0]
            );
        }
        match values[0].dtype() {
            DType::F64 => step::<f64, F, S>(formula, values, grad),
            _ => step::<f32, F, S>(formula, values, grad),
        }
    })
}

/// The step in `T`; values of other dtypes are converted to it and back.
fn step<T: Float + Element + Pod, F: Step<S>, const S: usize>(
    formula: F,
    values: &mut [Tensor],
    grad: &Tensor,
) -> Result<()> {
    let grad = cast_raw(grad, T::DTYPE)?.contiguous()?;
    let dtypes: Vec<DType> = values.iter().map(Tensor::dtype).collect();
    for v in values.iter_mut() {
        v.node = NodeRef::NONE;
        if v.dtype() != T::DTYPE {
            *v = cast_raw(v, T::DTYPE)?;
        }
        v.make_unique()?;
    }
    if let [param, state @ ..] = values {
        let mut slices = Vec::with_capacity(S);
        for s in state.iter_mut() {
            slices.push(s.as_mut_slice::<T>()?);
        }
        let param = param.as_mut_slice::<T>()?;
        if let Ok(state) = <[&mut [T]; S]>::try_from(slices) {
            optim::step(formula, param, grad.as_slice::<T>()?, state);
        }
    }
    for (v, dtype) in values.iter_mut().zip(dtypes) {
        if v.dtype() != dtype {
            *v = cast_raw(v, dtype)?;
        }
    }
    Ok(())
}

/// A step of gradient descent: with g′ = g + λp, p ← p − lr·g′; with momentum μ and velocity v,
/// v ← μv + g′ and p ← p − lr·v, or p ← p − lr·(g′ + μv) in Nesterov's form.
///
/// All are floats of one shape. Variables are written in place where nothing else holds their
/// value; the arithmetic is in f32 (f64 if `param` is).
///
/// Source: Sutskever et al., "On the importance of initialization and momentum in deep learning"
/// (2013).
///
/// # Errors
/// Shape: the shapes differ, or there are no floats. Value: `velocity` is `param`. Memory: a copy
/// cannot be had.
///
/// ```
/// use tengen_core::{Tensor, Var, optimizer::sgd_step};
/// let p = Var::new(Tensor::from_slice(&[1.0f32, 2.0], &[2])?);
/// let g = Tensor::from_slice(&[10.0f32, -10.0], &[2])?;
/// sgd_step(&p, &g, None, 0.1, 0.0, false, 0.0)?;
/// assert_eq!(p.get().to_vec::<f32>()?, [0.0, 3.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn sgd_step(
    param: &Var,
    grad: &Tensor,
    velocity: Option<&Var>,
    lr: f64,
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
) -> Result<()> {
    match velocity {
        Some(v) => {
            let formula = optim::Momentum { lr, momentum, nesterov, weight_decay };
            run("sgd_step", formula, param, grad, [v])
        }
        None => run("sgd_step", optim::Descent { lr, weight_decay }, param, grad, []),
    }
}

/// The settings of [`adam_step`].
///
/// ```
/// use tengen_core::optimizer::AdamParams;
/// assert_eq!(AdamParams::default().betas, (0.9, 0.999));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamParams {
    /// Learning rate.
    pub lr: f64,
    /// Decay rates β₁ and β₂ of the moments, at least 0 and below 1.
    pub betas: (f64, f64),
    /// ε
    pub eps: f64,
    /// λ
    pub weight_decay: f64,
    /// Whether weight decay bypasses the moments.
    pub decoupled: bool,
}

impl Default for AdamParams {
    fn default() -> Self {
        AdamParams { lr: 1e-3, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0, decoupled: false }
    }
}

/// Step number `step` (from 1) of Adam: m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g²,
/// p ← p − lr·(m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε). Weight decay λp is added to g, or, if
/// decoupled, to the quotient.
///
/// All tensors are floats of one shape; see [`sgd_step`].
///
/// Sources: Kingma and Ba, "Adam: a method for stochastic optimization" (2014); Loshchilov and
/// Hutter, "Decoupled weight decay regularization" (2017).
///
/// # Errors
/// Shape: the shapes differ, or there are no floats. Value: two of the variables are the same.
/// Memory: a copy cannot be had.
///
/// ```
/// use tengen_core::{Tensor, Var, optimizer::{AdamParams, adam_step}};
/// let new = |v: f32| Tensor::from_slice(&[v], &[1]).map(Var::new);
/// let (p, m, v) = (new(2.0)?, new(0.0)?, new(0.0)?);
/// let g = Tensor::from_slice(&[4.0f32], &[1])?;
/// adam_step(&p, &g, &m, &v, 1.0, AdamParams { lr: 0.5, ..Default::default() })?;
/// assert!((p.get().item()? - 1.5).abs() < 1e-6);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn adam_step(
    param: &Var,
    grad: &Tensor,
    exp_avg: &Var,
    exp_avg_sq: &Var,
    step: f64,
    params: AdamParams,
) -> Result<()> {
    let AdamParams { lr, betas, eps, weight_decay, decoupled } = params;
    let corrections = (1.0 / (1.0 - betas.0.powf(step)), 1.0 / (1.0 - betas.1.powf(step)));
    let formula = optim::Adam { lr, betas, corrections, eps, weight_decay, decoupled };
    run("adam_step", formula, param, grad, [exp_avg, exp_avg_sq])
}
