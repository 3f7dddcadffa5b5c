//! Files that MegEngine 1.13.0 wrote: they load, give its numbers, and training goes on from them.

use std::path::PathBuf;
use tengen::files::{self, pickle};
use tengen::nn::*;
use tengen::ops::{self, ConvParams, CrossEntropy};
use tengen::optim::{Adam, Optimizer, OptimizerState};
use tengen::{DType, GradManager, Result, Tensor, Var};

/// The net that the files' README describes.
#[derive(Module)]
struct Net {
    body: Sequential,
    head: Vec<Linear>,
    scale: Parameter,
    steps: Buffer,
}

impl Net {
    fn new() -> Result<Net> {
        let padded = ConvParams { padding: (1, 1), ..Default::default() };
        let body = Sequential::new()
            .push_named("conv1", Conv2d::new(3, 8, (3, 3), padded)?)
            .push_named("bn1", BatchNorm2d::new(8)?)
            .push_named("act1", PReLU::new(8, 0.25)?)
            .push_named("pool", MaxPool2d::new(2))
            .push_named("conv2", Conv2d::new(8, 16, (3, 3), ConvParams { groups: 2, ..padded })?)
            .push_named("bn2", BatchNorm2d::new(16)?)
            .push_named("act2", PReLU::new(1, 0.25)?)
            .push_named("gap", AdaptiveAvgPool2d::new((1, 1)));
        Ok(Net {
            body,
            head: vec![Linear::new(16, 12)?, Linear::new(12, 5)?],
            scale: Tensor::ones(&[1], DType::F32)?.into(),
            steps: Tensor::zeros(&[1], DType::I32)?.into(),
        })
    }
}

impl Forward for Net {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = ops::flatten(&self.body.call(x)?, 1, -1)?;
        for h in &self.head {
            x = ops::relu(&h.call(&x)?)?;
        }
        ops::mul(&x, &self.scale.get())
    }
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/megengine-1.13").join(name)
}

fn expected(name: &str) -> StateDict {
    files::load(file(name)).unwrap()
}

/// Row `i` of a tensor.
fn row(t: &Tensor, i: isize) -> Tensor {
    ops::getitem(t, &[ops::Index::Int(i)]).unwrap()
}

fn assert_close(what: &str, got: &Tensor, want: &Tensor, tolerance: f64) {
    assert_eq!(got.shape(), want.shape(), "{what}");
    let (got, want) = (got.to_f64_vec().unwrap(), want.to_f64_vec().unwrap());
    for (g, w) in got.iter().zip(&want) {
        assert!((g - w).abs() <= tolerance * w.abs().max(1.0), "{what}: got {g}, want {w}");
    }
}

#[test]
fn a_state_dict_gives_the_numbers_it_gave_there() {
    let (net, expected) = (Net::new().unwrap(), expected("expected.npz"));
    net.load_state_dict(&files::load(file("state_dict.pkl")).unwrap(), true).unwrap();
    net.eval();
    let x = row(&expected["X"], 5);
    assert_close("body", &net.body.call(&x).unwrap(), &expected["body_eval"], 1e-5);
    assert_close("net", &net.call(&x).unwrap(), &expected["net_eval"], 1e-5);
}

/// Whether a value follows from the data alone. A bias before batch normalisation has no gradient but
/// rounding errors, which Adam scales up to whole steps, and running means contain it.
fn is_determined(name: &str) -> bool {
    !["conv1.bias", "conv2.bias", "running_mean", "steps"].iter().any(|n| name.ends_with(n))
}

#[test]
fn prelu_gives_the_numbers_and_gradients_it_gave_there() {
    let want = expected("prelu.npz");
    let (layer, x) = (PReLU::new(4, 0.1).unwrap(), Var::new(want["x"].clone()));
    layer.weight.set(want["weight"].clone()).unwrap();
    let mut gm = GradManager::new();
    gm.attach_all([&x, layer.weight.var()]).unwrap();
    gm.record().unwrap();
    let y = layer.call(&x.get()).unwrap();
    assert_close("y", &y, &want["y"], 1e-6);
    gm.backward_with(&[y], Some(&[want["dy"].clone()])).unwrap();
    assert_close("dx", &x.grad().unwrap().get(), &want["dx"], 1e-6);
    assert_close("dweight", &layer.weight.grad().unwrap().get(), &want["dweight"], 1e-5);
}

/// One training step on batch `i`; gives the loss.
fn step(net: &Net, optimizer: &mut Optimizer<Adam>, data: &StateDict, i: isize) -> Result<f64> {
    let mut gm = GradManager::new();
    gm.attach_all(net.parameters(true).into_iter().map(|p| p.var()))?;
    let loss = gm.scope(|gm| {
        let y = net.call(&row(&data["X"], i))?;
        let loss = ops::cross_entropy(&y, &row(&data["Y"], i), CrossEntropy::default())?;
        gm.backward(&loss)?;
        loss.item()
    })?;
    optimizer.step()?;
    optimizer.clear_grad();
    Ok(loss)
}

fn adam(net: &Net) -> Optimizer<Adam> {
    let rule = Adam { weight_decay: 1e-4, ..Adam::new(1e-2) };
    Optimizer::new(net.parameters(true), rule).unwrap()
}

#[test]
fn training_from_the_start_follows() {
    let (net, expected) = (Net::new().unwrap(), expected("expected.npz"));
    net.load_state_dict(&files::load(file("state_dict_init.pkl")).unwrap(), true).unwrap();
    let mut optimizer = adam(&net);
    for (i, want) in expected["losses"].to_f64_vec().unwrap().into_iter().enumerate() {
        let loss = step(&net, &mut optimizer, &expected, i as isize).unwrap();
        assert!((loss - want).abs() < 1e-4, "step {i}: loss {loss}, want {want}");
    }
    let trained = files::load(file("state_dict.pkl")).unwrap();
    for (name, got) in net.state_dict("").unwrap() {
        if is_determined(&name) {
            assert_close(&name, &got, &trained[&name], 1e-4);
        }
    }
}

#[test]
fn training_goes_on_from_a_checkpoint() {
    let checkpoint = pickle::load(file("checkpoint.pkl")).unwrap();
    assert_eq!(checkpoint.get("epoch").unwrap().as_i64(), Some(3));
    let tensors = files::from_pickle(&checkpoint).unwrap();
    assert_eq!(tensors["mean"].to_f64_vec().unwrap().len(), 3);
    let net = Net::new().unwrap();
    net.load_state_dict(&files::under(&tensors, "state_dict"), true).unwrap();
    // The optimizer gets settings of its own from the file.
    let mut optimizer = Optimizer::new(net.parameters(true), Adam::new(0.5)).unwrap();
    let state = OptimizerState::from_pickle(checkpoint.get("optimizer").unwrap()).unwrap();
    optimizer.load_state_dict(&state).unwrap();
    assert_eq!(optimizer.groups()[0].rule, Adam { weight_decay: 1e-4, ..Adam::new(1e-2) });

    let (data, resumed) = (expected("expected.npz"), expected("expected_resumed.npz"));
    for (i, want) in resumed["losses"].to_f64_vec().unwrap().into_iter().enumerate() {
        let loss = step(&net, &mut optimizer, &data, 3 + i as isize).unwrap();
        assert!((loss - want).abs() < 1e-4, "step {i}: loss {loss}, want {want}");
    }
    for (name, got) in net.state_dict("").unwrap() {
        if is_determined(&name) {
            assert_close(&name, &got, &resumed[&name], 1e-4);
        }
    }
}

#[test]
fn checkpoints_of_our_own_go_both_ways() {
    let folder = tempfile::tempdir().unwrap();
    let (net, data) = (Net::new().unwrap(), expected("expected.npz"));
    let mut optimizer = adam(&net);
    step(&net, &mut optimizer, &data, 0).unwrap();
    for name in ["net.npz", "net.safetensors", "NET.NPZ"] {
        let path = folder.path().join(name);
        let mut all = net.state_dict("net").unwrap();
        for (key, value) in optimizer.state_dict().to_flat().unwrap() {
            all.insert(format!("optimizer.{key}"), value);
        }
        files::save(&path, &all).unwrap();
        let back = files::load(&path).unwrap();
        assert_eq!(back.len(), all.len());

        let other = Net::new().unwrap();
        other.load_state_dict(&files::under(&back, "net"), true).unwrap();
        let mut resumed = adam(&other);
        let state = OptimizerState::from_flat(&files::under(&back, "optimizer")).unwrap();
        resumed.load_state_dict(&state).unwrap();
        let here = Net::new().unwrap();
        here.load_state_dict(&net.state_dict("").unwrap(), true).unwrap();
        let mut straight = adam(&here);
        straight.load_state_dict(&optimizer.state_dict()).unwrap();
        for i in 1..3 {
            let loss = step(&other, &mut resumed, &data, i).unwrap();
            assert_eq!(loss, step(&here, &mut straight, &data, i).unwrap());
        }
    }
    for dtype in DType::ALL {
        let path = folder.path().join("all.safetensors");
        let one = StateDict::from([("x".into(), Tensor::ones(&[2, 3], dtype).unwrap())]);
        files::save(&path, &one).unwrap();
        assert_eq!(files::load(&path).unwrap()["x"].dtype(), dtype);
    }
}

#[test]
fn what_cannot_be_read_or_written_is_named() {
    let foreign = files::load(file("module_sequential.pkl")).unwrap_err().to_string();
    assert!(foreign.contains("megengine.module"), "{foreign}");
    let none = StateDict::new();
    let folder = tempfile::tempdir().unwrap();
    for (name, words) in [
        ("net.pkl", "not written"),
        ("net.txt", "\"txt\""),
        ("net", "extension"),
        ("a/b.npz", "a/b"),
    ] {
        let e = files::save(folder.path().join(name), &none).unwrap_err().to_string();
        assert!(e.contains(words), "{e}");
    }
    let e = files::load(folder.path().join("missing.npz")).unwrap_err().to_string();
    assert!(e.contains("missing.npz"), "{e}");
    std::fs::write(folder.path().join("broken.npz"), b"PK no zip").unwrap();
    let e = files::load(folder.path().join("broken.npz")).unwrap_err().to_string();
    assert!(e.contains("broken.npz"), "{e}");
    // A pickle that would run something is read, refused, and runs nothing.
    let evil = folder.path().join("evil.pickle");
    std::fs::write(&evil, b"cos\nsystem\n(S'touch here'\ntR.").unwrap();
    let e = files::load(&evil).unwrap_err().to_string();
    assert!(e.contains("os.system"), "{e}");
}

#[test]
fn optimizers_refuse_states_that_do_not_fit() {
    let net = Net::new().unwrap();
    let mut optimizer = adam(&net);
    let before = optimizer.state_dict();
    let refused = |state: &OptimizerState, optimizer: &mut Optimizer<Adam>| {
        optimizer.load_state_dict(state).unwrap_err().to_string()
    };
    let mut s = before.clone();
    s.groups[0].params.pop();
    assert!(refused(&s, &mut optimizer).contains("14 parameters"));
    let mut s = before.clone();
    s.groups[0].settings.remove("eps");
    assert!(refused(&s, &mut optimizer).contains("\"eps\""));
    let mut s = before.clone();
    s.groups[0].settings.insert("momentum".into(), vec![0.9]);
    assert!(refused(&s, &mut optimizer).contains("\"momentum\""));
    let mut s = before.clone();
    s.groups[0].settings.insert("lr".into(), vec![-1.0]);
    assert!(refused(&s, &mut optimizer).contains("lr"));
    let mut s = before.clone();
    s.state.get_mut(&3).unwrap().remove("step");
    assert!(refused(&s, &mut optimizer).contains("parameter 3"));
    let mut s = before.clone();
    let wrong = Tensor::zeros(&[2], DType::F32).unwrap();
    s.state.get_mut(&3).unwrap().insert("exp_avg".into(), wrong);
    assert!(refused(&s, &mut optimizer).contains("exp_avg"));
    let mut s = before.clone();
    s.groups.push(s.groups[0].clone());
    assert!(refused(&s, &mut optimizer).contains("2 groups"));
    assert!(Optimizer::new([&net.scale, &net.scale], Adam::new(0.1)).is_err());
    assert!(Optimizer::new(std::iter::empty::<&Parameter>(), Adam::new(0.1)).is_err());
    assert!(optimizer.add_group([&net.scale], Adam::new(0.1)).is_err());
    assert!(Optimizer::new([&net.scale], Adam { betas: (1.0, 0.9), ..Adam::new(0.1) }).is_err());
    assert_eq!(optimizer.state_dict().groups, before.groups);
}
