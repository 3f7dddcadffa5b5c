//! The arithmetic of optimizers: steps that change variables in place.

use crate::autograd::NodeRef;
use crate::op::Op;
use crate::ops::step::{AdamStep, SgdStep};
use crate::{Result, Tensor, Var, apply_all_in_place, ensure};

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
        values.push(std::mem::replace(value, Tensor::nothing()));
        let result = with_values(rest, values, f);
        values.truncate(place + 1);
        if let Some(v) = values.pop() {
            *value = v;
        }
        result
    })
}

/// Runs `op` on the values of `vars`, the gradient after the first, and `more`; its results are the
/// variables' values from then on.
fn run<O: Op + Copy>(op: O, vars: &[&Var], grad: &Tensor, more: &[&Tensor]) -> Result<()> {
    let name = op.name();
    for (i, v) in vars.iter().enumerate() {
        let twice = vars[..i].iter().any(|w| w.is(v));
        ensure!(!twice, Value, "{name}: parameter and state must be different variables");
    }
    with_values(vars, &mut Vec::with_capacity(vars.len() + 2), &mut |values| {
        let count = values.len();
        values.insert(1, grad.detach());
        values.extend(more.iter().map(|t| t.detach()));
        for v in values.iter_mut() {
            v.node = NodeRef::NONE;
        }
        let results = apply_all_in_place(op, values);
        values.remove(1);
        values.truncate(count);
        for (v, result) in values.iter_mut().zip(results?) {
            *v = result;
        }
        Ok(())
    })
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
    let momentum = velocity.map(|_| momentum);
    let op = SgdStep { lr, momentum, nesterov, weight_decay };
    match velocity {
        Some(v) => run(op, &[param, v], grad, &[]),
        None => run(op, &[param], grad, &[]),
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

/// Step number `step` (one float, from 1) of Adam: m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g²,
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
/// adam_step(&p, &g, &m, &v, &Tensor::scalar(1.0f32)?, AdamParams { lr: 0.5, ..Default::default() })?;
/// assert!((p.get().item()? - 1.5).abs() < 1e-6);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn adam_step(
    param: &Var,
    grad: &Tensor,
    exp_avg: &Var,
    exp_avg_sq: &Var,
    step: &Tensor,
    params: AdamParams,
) -> Result<()> {
    let AdamParams { lr, betas, eps, weight_decay, decoupled } = params;
    let op = AdamStep { lr, betas, eps, weight_decay, decoupled };
    run(op, &[param, exp_avg, exp_avg_sq], grad, &[step])
}
