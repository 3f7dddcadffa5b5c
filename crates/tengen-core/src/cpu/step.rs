//! Steps of optimizers.

use crate::cpu::cast_raw;
use crate::op::{Eval, Meta, Tensors};
use crate::ops::step::{AdamStep, SgdStep};
use crate::{DType, Element, Result, Tensor, bail};
use bytemuck::Pod;
use tengen_kernels::lanes::Float;
use tengen_kernels::optim::{self, Step};

/// Takes a step of `formula` on parameter and state by `grad`, in f32 or, of an f64 parameter, in
/// f64: in the tensors' own memory where nothing else holds it.
fn step<F: Step<S>, const S: usize>(
    formula: F,
    param: &mut Tensor,
    grad: &Tensor,
    state: [&mut Tensor; S],
) -> Result<Tensors> {
    match param.dtype() {
        DType::F64 => step_as::<f64, F, S>(formula, param, grad, state),
        _ => step_as::<f32, F, S>(formula, param, grad, state),
    }
}

fn step_as<T: Float + Element + Pod, F: Step<S>, const S: usize>(
    formula: F,
    param: &mut Tensor,
    grad: &Tensor,
    state: [&mut Tensor; S],
) -> Result<Tensors> {
    let grad = cast_raw(grad, T::DTYPE)?.contiguous()?;
    let mut all: Vec<&mut Tensor> = [param].into_iter().chain(state).collect();
    // Values of another dtype are converted, and back afterwards.
    let mut cast = Vec::with_capacity(S + 1);
    for t in &mut all {
        t.make_unique()?;
        let other = t.dtype() != T::DTYPE;
        cast.push(if other { Some(cast_raw(t, T::DTYPE)?) } else { None });
    }
    {
        let wide = all.iter_mut().zip(&mut cast).map(|(t, c)| match c {
            Some(c) => c.as_mut_slice::<T>(),
            None => t.as_mut_slice::<T>(),
        });
        let mut slices = wide.collect::<Result<Vec<&mut [T]>>>()?.into_iter();
        let param = slices.next().unwrap_or_default();
        if let Ok(state) = <[&mut [T]; S]>::try_from(slices.collect::<Vec<_>>()) {
            optim::step(formula, param, grad.as_slice::<T>()?, state);
        }
    }
    let back = |(t, c): (&&mut Tensor, Option<Tensor>)| match c {
        Some(c) => cast_raw(&c, t.dtype()),
        None => Ok(t.detach()),
    };
    all.iter().zip(cast).map(back).collect()
}

impl Eval for SgdStep {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        self.eval_in_place(&mut x.iter().map(|t| t.detach()).collect::<Tensors>(), out)
    }

    fn eval_in_place(&self, x: &mut [Tensor], _: &[Meta]) -> Result<Tensors> {
        let SgdStep { lr, momentum, nesterov, weight_decay } = *self;
        match (x, momentum) {
            ([p, g], None) => step(optim::Descent { lr, weight_decay }, p, g, []),
            ([p, g, v], Some(momentum)) => {
                step(optim::Momentum { lr, momentum, nesterov, weight_decay }, p, g, [v])
            }
            _ => bail!(Value, "sgd_step: a velocity is needed with momentum, and only then"),
        }
    }
}

impl Eval for AdamStep {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        self.eval_in_place(&mut x.iter().map(|t| t.detach()).collect::<Tensors>(), out)
    }

    fn eval_in_place(&self, x: &mut [Tensor], _: &[Meta]) -> Result<Tensors> {
        let [p, g, m, v, number] = x else { bail!(Value, "adam_step: takes 5 inputs") };
        let AdamStep { lr, betas, eps, weight_decay, decoupled } = *self;
        let number = number.item()?;
        let corrections = (1.0 / (1.0 - betas.0.powf(number)), 1.0 / (1.0 - betas.1.powf(number)));
        let formula = optim::Adam { lr, betas, corrections, eps, weight_decay, decoupled };
        step(formula, p, g, [m, v])
    }
}
