//! Gradient managers: what they record, where, and what code of a user's own may do meanwhile.

// Code from the derive macro names the crate that users depend on.
extern crate tengen_core as tengen;

mod attach;
mod errors;
mod nested;
mod threads;

use tengen_core::{GradManager, Result, Tensor, Var, ops};

/// A variable of one element.
fn var(v: f64) -> Var {
    Var::new(Tensor::from_slice(&[v], &[1]).unwrap())
}

/// A manager with these variables attached.
fn manager<'a>(vars: impl IntoIterator<Item = &'a Var>) -> GradManager {
    let mut gm = GradManager::new();
    gm.attach_all(vars).unwrap();
    gm
}

fn cube(x: &Tensor) -> Result<Tensor> {
    ops::mul(&ops::square(x)?, x)
}

/// The gradient of a variable of one element.
fn grad(v: &Var) -> Option<f64> {
    v.grad().map(|g| g.get().item().unwrap())
}
