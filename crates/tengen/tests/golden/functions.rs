//! Cases of functions: outputs and gradients.

use crate::case::{Args, Case, Outcome, fail};
use crate::{elementwise, index, losses, networks, reduce, shape};
use tengen::{DType, GradManager, Tensor, Var, ops};

/// The inputs of a call, and its other arguments.
pub struct Call<'a> {
    pub case: Case<'a>,
    pub args: Args<'a>,
    names: Vec<&'a str>,
    pub inputs: Vec<Tensor>,
}

impl Call<'_> {
    /// The input of this name.
    pub fn named(&self, name: &str) -> Option<&Tensor> {
        Some(&self.inputs[self.names.iter().position(|n| *n == name)?])
    }
}

/// What an operator's runner gives; none if there is no such operator.
pub type Answer = Option<Outcome<Vec<Tensor>>>;

fn call(c: &Call) -> Outcome<Vec<Tensor>> {
    let runners =
        [elementwise::call, reduce::call, networks::call, shape::call, index::call, losses::call];
    match runners.iter().find_map(|run| run(c)) {
        Some(outcome) => outcome,
        None => fail!("there is no runner for {}", c.case.op()),
    }
}

pub fn check(case: &Case) -> Outcome {
    let (names, grads) = (case.strings("inputs"), case.strings("grads"));
    let inputs: Vec<Tensor> =
        names.iter().map(|n| case.tensor(&format!("in/{n}"))).collect::<Outcome<_>>()?;
    let vars: Vec<Var> = inputs.into_iter().map(Var::new).collect();
    let mut gm = GradManager::new();
    for (name, var) in names.iter().zip(&vars) {
        if grads.contains(name) {
            gm.attach(var)?;
        }
    }
    let outputs = case.strings("outputs");
    gm.record()?;
    let c = Call {
        case: *case,
        args: Args(&case.json["attrs"]),
        names: names.clone(),
        inputs: vars.iter().map(Var::get).collect(),
    };
    let got = call(&c)?;
    if got.len() != outputs.len() {
        fail!("{} results, want {}", got.len(), outputs.len());
    }
    let (mut ys, mut dys) = (Vec::new(), Vec::new());
    for (name, y) in outputs.iter().zip(&got) {
        case.compare(&format!("out/{name}"), y)?;
        let dy = format!("dy/{name}");
        if case.has_array(&dy) {
            ys.push(y.clone());
            dys.push(case.tensor(&dy)?);
        }
    }
    if grads.is_empty() {
        return Ok(());
    }
    gm.backward_with(&ys, Some(&dys))?;
    for (name, var) in names.iter().zip(&vars).filter(|(n, _)| grads.contains(n)) {
        match var.grad() {
            Some(g) => compare_grad(case, &format!("grad/{name}"), var, &g.get())?,
            None => fail!("grad/{name}: there is none"),
        }
    }
    Ok(())
}

/// A gradient has its tensor's dtype; MegEngine's of half precision is sometimes single.
fn compare_grad(case: &Case, path: &str, var: &Var, grad: &Tensor) -> Outcome {
    let dtype = var.with(Tensor::dtype);
    if grad.dtype() != dtype {
        fail!("{path}: got {grad} for a tensor of {dtype}");
    }
    if dtype == DType::F16 && case.array(path)?.dtype == DType::F32 {
        return case.compare(path, &ops::cast(grad, DType::F32)?);
    }
    case.compare(path, grad)
}
