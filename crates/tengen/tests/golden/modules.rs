//! Cases of layers: names, shapes, text, outputs, gradients, and the state they leave.

use crate::case::{Case, Outcome, fail};
use crate::layers::build;
use serde_json::Value;
use tengen::nn::{Forward, Module, StateDict};
use tengen::{GradManager, Tensor, Var};

/// Compares `[name, shape]` pairs in order.
fn compare_shapes(what: &str, want: &Value, got: Vec<(String, Vec<usize>)>) -> Outcome {
    let want: Vec<(String, Vec<usize>)> = serde_json::from_value(want.clone()).unwrap();
    if got != want {
        fail!("{what}: got {got:?}, want {want:?}");
    }
    Ok(())
}

fn shape(v: &Var) -> Vec<usize> {
    v.with(|t| t.shape().to_vec())
}

pub fn check(case: &Case) -> Outcome {
    let json = case.json;
    let class = case.op().strip_prefix("module:").unwrap();
    let layer =
        build(class, json["args"].as_array().unwrap(), json["kwargs"].as_object().unwrap())?;
    if let Some(text) = json["repr"].as_str()
        && layer.describe() != text
    {
        fail!("text: got {:?}, want {text:?}", layer.describe());
    }
    let parameters = layer.named_parameters("", true);
    let shapes = parameters.iter().map(|(n, p)| (n.clone(), shape(p))).collect();
    compare_shapes("parameters", &json["parameters"], shapes)?;
    let buffers = layer.named_buffers("", true);
    let shapes = buffers.iter().map(|(n, b)| (n.clone(), shape(b))).collect();
    compare_shapes("buffers", &json["buffers"], shapes)?;
    let state = layer.state_dict("")?;
    let mut shapes: Vec<(String, Vec<usize>)> =
        serde_json::from_value(json["state_dict"].clone()).unwrap();
    // The state dicts of Rust are sorted by name.
    shapes.sort();
    let got: Vec<_> = state.iter().map(|(n, t)| (n.clone(), t.shape().to_vec())).collect();
    if got != shapes {
        fail!("state_dict: got {got:?}, want {shapes:?}");
    }
    let mut loaded = StateDict::new();
    for key in case.strings("state") {
        loaded.insert(key.into(), case.tensor(&format!("state/{key}"))?);
    }
    layer.load_state_dict(&loaded, true)?;
    layer.train(json["training"].as_bool().unwrap(), true);

    let names = case.strings("inputs");
    let [name] = names[..] else { fail!("layers take one input, not {names:?}") };
    let x = Var::new(case.tensor(&format!("in/{name}"))?);
    let (grads, param_grads) = (case.strings("grads"), case.strings("param_grads"));
    let mut gm = GradManager::new();
    gm.attach_all(parameters.iter().map(|(_, p)| p.var()))?;
    if grads.contains(&name) {
        gm.attach(&x)?;
    }
    gm.record()?;
    let y = layer.call(&x.get())?;
    case.compare("out/y", &y)?;
    if case.has_array("dy/y") {
        gm.backward_with(&[y], Some(&[case.tensor("dy/y")?]))?;
    }
    let compare_grad = |path: String, var: &Var| match var.grad() {
        Some(g) => case.compare(&path, &g.get()),
        None => fail!("{path}: there is none"),
    };
    if grads.contains(&name) {
        compare_grad(format!("grad/{name}"), &x)?;
    }
    for (path, p) in &parameters {
        if param_grads.contains(&path.as_str()) {
            compare_grad(format!("pgrad/{path}"), p)?;
        }
    }
    let changed = case.strings("state_after");
    for (key, value) in layer.state_dict("")? {
        if changed.contains(&key.as_str()) {
            case.compare(&format!("after/{key}"), &value)?;
        } else if case.has_array(&format!("state/{key}")) {
            same(&key, &value, &loaded[&key])?;
        }
    }
    Ok(())
}

fn same(key: &str, got: &Tensor, want: &Tensor) -> Outcome {
    if got.to_f64_vec()? != want.to_f64_vec()? {
        fail!("after/{key}: it has changed");
    }
    Ok(())
}
