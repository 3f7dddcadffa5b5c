//! Cases of layers: names, shapes, text, outputs, gradients, and the state they leave.

use crate::case::{Case, Outcome, fail};
use crate::layers::build;
use crate::recurrent;
use serde_json::Value;
use tengen::nn::{Forward, Module, StateDict, Tensors};
use tengen::{GradManager, Result, Tensor, Var};

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

/// What a layer gives for some tensors.
type Call<'a> = &'a dyn Fn(Vec<Tensor>) -> Result<Vec<Tensor>>;

pub fn check(case: &Case) -> Outcome {
    let class = case.op().strip_prefix("module:").unwrap();
    let args = case.json["args"].as_array().unwrap();
    let kwargs = case.json["kwargs"].as_object().unwrap();
    if let Some(outcome) = recurrent::check(case, class, args, kwargs) {
        return outcome;
    }
    let layer = build(class, args, kwargs)?;
    check_forward(case, &layer)
}

/// Checks a layer whatever it takes and gives: the tensors in it are the case's inputs and outputs.
pub fn check_forward<L: Forward>(case: &Case, layer: &L) -> Outcome {
    check_layer(case, layer, &|x| Ok(layer.call(&L::Input::from_tensors(x)?)?.to_tensors()))
}

fn check_layer(case: &Case, layer: &dyn Module, call: Call) -> Outcome {
    let json = case.json;
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
    let inputs: Vec<Var> = names
        .iter()
        .map(|n| Ok(Var::new(case.tensor(&format!("in/{n}"))?)))
        .collect::<Outcome<_>>()?;
    let (grads, param_grads) = (case.strings("grads"), case.strings("param_grads"));
    let mut gm = GradManager::new();
    gm.attach_all(parameters.iter().map(|(_, p)| p.var()))?;
    for (name, x) in names.iter().zip(&inputs) {
        if grads.contains(name) {
            gm.attach(x)?;
        }
    }
    gm.record()?;
    let got = call(inputs.iter().map(Var::get).collect())?;
    let outputs = case.strings("outputs");
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
    if !ys.is_empty() {
        gm.backward_with(&ys, Some(&dys))?;
    }
    let compare_grad = |path: String, var: &Var| match var.grad() {
        Some(g) => case.compare(&path, &g.get()),
        None => fail!("{path}: there is none"),
    };
    for (name, x) in names.iter().zip(&inputs).filter(|(n, _)| grads.contains(n)) {
        compare_grad(format!("grad/{name}"), x)?;
    }
    for (path, p) in &parameters {
        if param_grads.contains(&path.as_str()) {
            compare_grad(format!("pgrad/{path}"), p)?;
        } else if p.grad().is_some() {
            fail!("{path} has a gradient");
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
