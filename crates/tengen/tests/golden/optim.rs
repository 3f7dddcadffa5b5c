//! Cases of optimizers: parameters after every step, learning rates, and state.

use crate::case::{Args, Case, Outcome, fail};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use tengen::Var;
use tengen::nn::Parameter;
use tengen::optim::*;

/// The settings of a group: its own, or else the optimizer's.
fn settings(case: &Case, group: &Value) -> Value {
    let mut all: Map<String, Value> = case.json["kwargs"].as_object().unwrap().clone();
    all.extend(group.as_object().unwrap().clone());
    all.remove("params");
    Value::Object(all)
}

fn betas(a: Args) -> (f64, f64) {
    a.get("betas").map_or((0.9, 0.999), |v| (v[0].as_f64().unwrap(), v[1].as_f64().unwrap()))
}

pub fn check(case: &Case) -> Outcome {
    match case.op() {
        "optim:SGD" => run(case, |a| SGD {
            lr: a.f64("lr").unwrap(),
            momentum: a.f64("momentum").unwrap_or(0.0),
            nesterov: a.bool("nesterov", false),
            weight_decay: a.f64("weight_decay").unwrap_or(0.0),
        }),
        "optim:Adam" => run(case, |a| Adam {
            lr: a.f64("lr").unwrap(),
            betas: betas(a),
            eps: a.f64("eps").unwrap_or(1e-8),
            weight_decay: a.f64("weight_decay").unwrap_or(0.0),
        }),
        "optim:AdamW" => run(case, |a| AdamW {
            lr: a.f64("lr").unwrap(),
            betas: betas(a),
            eps: a.f64("eps").unwrap_or(1e-8),
            weight_decay: a.f64("weight_decay").unwrap_or(0.01),
        }),
        other => fail!("there is no runner for {other}"),
    }
}

/// Runs a case twice: straight through, and with the state saved and loaded into a new optimizer
/// before every step.
fn run<R: Rule>(case: &Case, rule: fn(Args) -> R) -> Outcome {
    steps(case, rule, false)?;
    steps(case, rule, true)
}

fn steps<R: Rule>(case: &Case, rule: fn(Args) -> R, reload: bool) -> Outcome {
    let groups = case.json["groups"].as_array().unwrap();
    let mut params = BTreeMap::<String, Parameter>::new();
    for name in groups.iter().flat_map(|g| g["params"].as_array().unwrap()) {
        let name = name.as_str().unwrap();
        params.insert(name.into(), case.tensor(&format!("param/{name}"))?.into());
    }
    let new = || -> Outcome<Optimizer<R>> {
        let mut optimizer: Option<Optimizer<R>> = None;
        for group in groups {
            let names = group["params"].as_array().unwrap().iter();
            let members = names.map(|n| &params[n.as_str().unwrap()]);
            let rule = rule(Args(&settings(case, group)));
            match &mut optimizer {
                None => optimizer = Some(Optimizer::new(members, rule)?),
                Some(o) => o.add_group(members, rule)?,
            }
        }
        Ok(optimizer.unwrap())
    };
    let mut optimizer = new()?;
    let mut schedule = match case.json.get("schedule") {
        Some(s) => {
            let milestones: Vec<usize> = serde_json::from_value(s["milestones"].clone()).unwrap();
            Some(MultiStepLR::new(&mut optimizer, &milestones, s["gamma"].as_f64().unwrap())?)
        }
        None => None,
    };
    for step in 0..case.json["steps"].as_u64().unwrap() {
        if reload {
            let flat = optimizer.state_dict().to_flat()?;
            optimizer = new()?;
            optimizer.load_state_dict(&OptimizerState::from_flat(&flat)?)?;
        }
        for (name, p) in &params {
            let path = format!("{step}/grad/{name}");
            let grad = if case.has_array(&path) { Some(case.tensor(&path)?) } else { None };
            p.set_grad(grad.map(Var::new));
        }
        clip(case, step, &params)?;
        let rates: Vec<f64> = optimizer.groups().iter().map(|g| g.rule.lr()).collect();
        let want: Vec<f64> =
            serde_json::from_value(case.json["lr"][step as usize].clone()).unwrap();
        if rates.iter().zip(&want).any(|(r, w)| (r - w).abs() > 1e-12 * w.abs()) {
            fail!("step {step}: learning rates {rates:?}, want {want:?}");
        }
        optimizer.step()?;
        if let Some(s) = &mut schedule {
            s.step(&mut optimizer);
        }
        for (name, p) in &params {
            case.compare(&format!("{step}/param/{name}"), &p.get())?;
        }
    }
    let state = optimizer.state_dict().state;
    let want: Vec<(usize, String)> = serde_json::from_value(case.json["state"].clone()).unwrap();
    let got: Vec<(usize, String)> =
        state.iter().flat_map(|(i, s)| s.keys().map(|k| (*i, k.clone()))).collect();
    if got != want {
        fail!("state: got {got:?}, want {want:?}");
    }
    for (i, key) in want {
        case.compare(&format!("state/{i}/{key}"), &state[&i][&key])?;
    }
    optimizer.zero_grad()?;
    if params
        .values()
        .any(|p| p.grad().is_some_and(|g| g.get().to_f64_vec().unwrap().iter().any(|v| *v != 0.0)))
    {
        fail!("zero_grad leaves gradients");
    }
    optimizer.clear_grad();
    if params.values().any(|p| p.grad().is_some()) {
        fail!("clear_grad leaves gradients");
    }
    Ok(())
}

fn clip(case: &Case, step: u64, params: &BTreeMap<String, Parameter>) -> Outcome {
    if let Some(limit) = case.json.get("clip_norm") {
        let a = Args(limit);
        let (max, ord) = (a.f64("max_norm").unwrap(), a.f64("ord").unwrap());
        let norm = clip_grad_norm(params.values(), max, ord)?;
        let path = format!("{step}/norm");
        case.compare(&path, &tengen::Tensor::scalar(norm as f32)?)?;
    }
    if let Some(limit) = case.json.get("clip_value") {
        let a = Args(limit);
        clip_grad_value(params.values(), a.f64("lower").unwrap(), a.f64("upper").unwrap())?;
    }
    for (name, p) in params {
        let path = format!("{step}/clipped/{name}");
        if let (true, Some(g)) = (case.has_array(&path), p.grad()) {
            case.compare(&path, &g.get())?;
        }
    }
    Ok(())
}
