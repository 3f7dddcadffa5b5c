//! Stochastic gradient descent.

use super::optimizer::{ParamState, Rule, not_negative, state_of};
use tengen_core::optimizer::sgd_step;
use tengen_core::{Result, Tensor, Var, ensure};

/// Stochastic gradient descent: θ ← θ − lr·g, where g is the gradient plus `weight_decay`·θ.
///
/// With momentum, v ← momentum·v + g and θ ← θ − lr·v, or with Nesterov's
/// θ ← θ − lr·(g + momentum·v). The state of a parameter is v, under `momentum_buffer`.
///
/// Source: Sutskever et al., "On the importance of initialization and momentum in deep learning"
/// (2013).
///
/// ```
/// use tengen::nn::Parameter;
/// use tengen::optim::{Optimizer, SGD};
/// use tengen::{Tensor, Var};
/// let w = Parameter::new(Tensor::from_slice(&[2.0f32], &[1])?);
/// let mut optimizer = Optimizer::new([&w], SGD { momentum: 0.9, ..SGD::new(0.5) })?;
/// w.set_grad(Some(Var::new(Tensor::from_slice(&[1.0f32], &[1])?)));
/// optimizer.step()?;
/// assert_eq!(w.get().item()?, 1.5);
/// # Ok::<(), tengen::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SGD {
    /// The learning rate.
    pub lr: f64,
    /// The momentum; 0 for none.
    pub momentum: f64,
    /// Whether the momentum is Nesterov's. State dicts do not hold this.
    pub nesterov: bool,
    /// How much of the parameter is added to its gradient.
    pub weight_decay: f64,
}

impl SGD {
    /// Descent with this learning rate, without momentum and weight decay.
    pub fn new(lr: f64) -> SGD {
        SGD { lr, momentum: 0.0, nesterov: false, weight_decay: 0.0 }
    }
}

impl Rule for SGD {
    fn name(&self) -> &'static str {
        "SGD"
    }

    fn settings(&mut self) -> Vec<(&'static str, Vec<&mut f64>)> {
        vec![
            ("lr", vec![&mut self.lr]),
            ("momentum", vec![&mut self.momentum]),
            ("weight_decay", vec![&mut self.weight_decay]),
        ]
    }

    fn check(&self) -> Result<()> {
        not_negative("SGD", "lr", self.lr)?;
        not_negative("SGD", "momentum", self.momentum)?;
        not_negative("SGD", "weight_decay", self.weight_decay)?;
        ensure!(!self.nesterov || self.momentum > 0.0, Value, "SGD: nesterov needs a momentum");
        Ok(())
    }

    fn state(&self) -> &'static [&'static str] {
        if self.momentum == 0.0 { &[] } else { &["momentum_buffer"] }
    }

    fn update(&self, param: &Var, grad: &Tensor, state: &ParamState) -> Result<()> {
        let velocity = match self.momentum {
            0.0 => None,
            _ => Some(state_of("SGD", state, "momentum_buffer")?),
        };
        let SGD { lr, momentum, nesterov, weight_decay } = *self;
        sgd_step(param, grad, velocity, lr, momentum, nesterov, weight_decay)
    }
}
