//! Steps of optimizers: parameters and their state by a gradient, written where they are if nothing
//! else holds them.

use crate::op::{Attributes, Described, Entry, Meta, Metas, Op, Saves};
use crate::{DType, Result, bail, ensure};

pub(super) const OPERATORS: &[&[Entry]] =
    &[&[Entry::of::<SgdStep>(&["sgd_step"]), Entry::of::<AdamStep>(&["adam_step"])]];

/// Parameter, gradient, velocity (with momentum) → parameter, velocity.
#[derive(Clone, Copy, Attributes)]
pub(crate) struct SgdStep {
    pub lr: f64,
    pub momentum: Option<f64>,
    pub nesterov: bool,
    pub weight_decay: f64,
}

/// Parameter, gradient, first and second moment, number of the step → parameter and moments.
#[derive(Clone, Copy, Attributes)]
pub(crate) struct AdamStep {
    pub lr: f64,
    pub betas: (f64, f64),
    pub eps: f64,
    pub weight_decay: f64,
    pub decoupled: bool,
}

/// Checks a parameter, its gradient and its state, which are the results.
fn expect_floats(
    name: &str,
    param: &Described,
    grad: &Described,
    state: &[&Described],
) -> Result<Metas> {
    for t in [param].iter().chain(state) {
        ensure!(
            t.shape() == grad.shape() && t.dtype().is_float() && grad.dtype().is_float(),
            Shape,
            "{name}: parameter {param}, gradient {grad} and state {t} must be floats of one shape"
        );
    }
    let meta = |t: &&Described| Meta { shape: *t.shape(), dtype: t.dtype() };
    Ok([param].iter().chain(state).map(meta).collect())
}

impl Op for SgdStep {
    fn name(&self) -> &'static str {
        "sgd_step"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 2 + usize::from(self.momentum.is_some())
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        expect_floats(self.name(), x[0], x[1], &x[2..])
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
}

impl Op for AdamStep {
    fn name(&self) -> &'static str {
        "adam_step"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 5
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let (name, step) = (self.name(), x[4]);
        if step.numel() != 1 || !step.dtype().is_float() {
            bail!(Shape, "{name}: the number of the step must be one float, not {step}");
        }
        expect_floats(name, x[0], x[1], &x[2..4])
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
}
