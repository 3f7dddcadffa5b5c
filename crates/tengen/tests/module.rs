//! What every module can do, on a user's own structs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tengen::nn::{
    Base, Buffer, Forward, Layer, Linear, Module, PReLU, Parameter, ReLU, Sequential, StateDict,
};
use tengen::{DType, GradManager, Result, Tensor, ops};

#[derive(Module)]
struct Block {
    fc: Linear,
    act: PReLU,
}

impl Block {
    fn new(n: usize) -> Result<Block> {
        Ok(Block { fc: Linear::new(n, n)?, act: PReLU::new(1, 0.25)? })
    }
}

impl Forward for Block {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.act.call(&self.fc.call(x)?)
    }
}

#[derive(Module)]
struct Net {
    scale: Parameter,
    steps: Buffer,
    blocks: Vec<Block>,
    heads: BTreeMap<String, Linear>,
    extra: Option<Box<dyn Layer>>,
    width: usize,
}

fn net() -> Net {
    let head = |n| Linear::without_bias(4, n).unwrap();
    Net {
        scale: Tensor::full(&[1], 2.0, DType::F32).unwrap().into(),
        steps: Tensor::zeros(&[], DType::I32).unwrap().into(),
        blocks: vec![Block::new(4).unwrap(), Block::new(4).unwrap()],
        heads: BTreeMap::from([("b".into(), head(3)), ("a".into(), head(2))]),
        extra: Some(Box::new(ReLU::new())),
        width: 4,
    }
}

impl Forward for Net {
    type Input = Tensor;
    type Output = [Tensor; 2];
    fn forward(&self, x: &Tensor) -> Result<[Tensor; 2]> {
        assert_eq!(self.width, 4);
        let mut x = ops::mul(x, &self.scale.get())?;
        for b in &self.blocks {
            x = b.call(&x)?;
        }
        if let Some(e) = &self.extra {
            x = e.call(&x)?;
        }
        Ok([self.heads["a"].call(&x)?, self.heads["b"].call(&x)?])
    }
}

fn input() -> Tensor {
    Tensor::ones(&[2, 4], DType::F32).unwrap()
}

#[test]
fn members_are_named_by_sorted_fields_and_dotted_paths() {
    let net = net();
    let names: Vec<String> = net.named_tensors("", true).into_iter().map(|(n, _)| n).collect();
    assert_eq!(
        names,
        [
            "blocks.0.act.weight",
            "blocks.0.fc.bias",
            "blocks.0.fc.weight",
            "blocks.1.act.weight",
            "blocks.1.fc.bias",
            "blocks.1.fc.weight",
            "heads.a.weight",
            "heads.b.weight",
            "scale",
            "steps",
        ]
    );
    assert_eq!(net.parameters(true).len(), 9);
    assert_eq!(net.parameters(false).len(), 1);
    assert_eq!(net.named_buffers("net", true)[0].0, "net.steps");
    let children: Vec<String> = net.named_children().into_iter().map(|(n, _)| n).collect();
    assert_eq!(children, ["blocks.0", "blocks.1", "extra", "heads.a", "heads.b"]);
    let modules: Vec<&str> = net.modules().iter().map(|m| m.type_name()).collect();
    assert_eq!(
        modules,
        ["Net", "Block", "PReLU", "Linear", "Block", "PReLU", "Linear", "ReLU", "Linear", "Linear"]
    );
    let mut seen = 0;
    net.apply(&mut |_| seen += 1);
    assert_eq!(seen, 10);
}

#[test]
fn shared_members_are_met_once() {
    #[derive(Module)]
    struct Tied {
        a: Arc<Linear>,
        b: Arc<Linear>,
        w: Parameter,
    }
    let a = Arc::new(Linear::new(2, 2).unwrap());
    let tied = Tied { b: a.clone(), w: a.weight.clone(), a };
    assert_eq!(tied.parameters(true).len(), 2);
    assert_eq!(tied.modules().len(), 2);
}

#[test]
fn modes_reach_all_modules_or_one() {
    let net = net();
    assert!(net.training());
    net.eval();
    assert!(net.modules().iter().all(|m| !m.training()));
    net.train(true, false);
    assert!(net.training() && !net.blocks[0].training());
    net.disable_quantize(true);
    assert!(net.modules().iter().all(|m| m.quantize_disabled()));
    // State is the module's own, wherever it is moved.
    let moved = Box::new(net);
    assert!(moved.training());
}

#[test]
fn a_module_and_its_first_field_have_states_of_their_own() {
    #[derive(Module)]
    struct Wrapper {
        inner: Block,
    }
    let w = Wrapper { inner: Block::new(2).unwrap() };
    w.train(false, false);
    assert!(!w.training() && w.inner.training() && w.inner.fc.training());
    w.inner.train(false, false);
    assert!(w.inner.fc.training());
    #[derive(Module)]
    struct Swish {
        #[module(base)]
        base: Base,
    }
    let s = Swish { base: Base::new() };
    s.eval();
    assert!(!s.training());
}

#[test]
fn hooks_see_and_replace_inputs_and_outputs_at_any_depth() {
    let net = net();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let deep = net.blocks[1].fc.register_forward_hook(Box::new(move |m, x, y| {
        assert_eq!((m.type_name(), x.len(), y.len()), ("Linear", 1, 1));
        count.fetch_add(1, Ordering::Relaxed);
        Ok(None)
    }));
    net.call(&input()).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    deep.remove();
    deep.remove();
    net.call(&input()).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);

    let zero =
        net.register_forward_pre_hook(Box::new(|_, x| Ok(Some(vec![ops::sub(&x[0], &x[0])?]))));
    let [a, _] = net.call(&input()).unwrap();
    assert_eq!(a.to_f64_vec().unwrap(), [0.0; 4]);
    let plus = net.register_forward_hook(Box::new(|_, _, y| {
        let one = Tensor::ones(&[], DType::F32)?;
        Ok(Some(vec![ops::add(&y[0], &one)?, y[1].clone()]))
    }));
    let [a, _] = net.call(&input()).unwrap();
    assert_eq!(a.to_f64_vec().unwrap(), [1.0; 4]);
    // forward itself has no hooks.
    assert_ne!(net.forward(&input()).unwrap()[0].to_f64_vec().unwrap(), [1.0; 4]);
    zero.remove();
    plus.remove();
    let bad = net.register_forward_hook(Box::new(|_, _, y| Ok(Some(vec![y[0].clone()]))));
    assert!(net.call(&input()).is_err());
    bad.remove();
    // A hook may take itself off while it runs.
    let handle = Arc::new(std::sync::OnceLock::<tengen::nn::HookHandle>::new());
    let own = handle.clone();
    let h = net.register_forward_hook(Box::new(move |_, _, _| {
        own.get().unwrap().remove();
        Ok(None)
    }));
    handle.set(h).ok().unwrap();
    net.call(&input()).unwrap();
    net.call(&input()).unwrap();
}

#[test]
fn state_is_loaded_whole_or_not_at_all() {
    let (a, b) = (net(), net());
    let state = a.state_dict("").unwrap();
    b.load_state_dict(&state, true).unwrap();
    let values = |n: &Net| {
        n.state_dict("").unwrap().values().map(|t| t.to_f64_vec().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(values(&a), values(&b));

    let mut bad = StateDict::new();
    for (k, v) in &state {
        bad.insert(k.clone(), ops::add(v, v).unwrap());
    }
    bad.insert("scale".into(), Tensor::ones(&[3], DType::F32).unwrap());
    let e = b.load_state_dict(&bad, true).unwrap_err().to_string();
    assert!(e.contains("scale") && e.contains("[1]") && e.contains("[3]"), "{e}");
    assert_eq!(values(&a), values(&b));

    bad.remove("scale");
    bad.insert("other".into(), Tensor::ones(&[3], DType::F32).unwrap());
    let e = b.load_state_dict(&bad, true).unwrap_err().to_string();
    assert!(e.contains("scale") && e.contains("other"), "{e}");
    assert_eq!(values(&a), values(&b));
    b.load_state_dict(&bad, false).unwrap();
    assert_ne!(values(&a), values(&b));

    let mut keys = 0;
    b.load_state_dict_with(
        &mut |k, v| {
            keys += 1;
            Ok((k != "scale").then(|| v.clone()))
        },
        false,
    )
    .unwrap();
    assert_eq!(keys, 10);
    assert!(b.load_state_dict_with(&mut |_, _| Ok(None), true).is_err());
}

#[test]
fn pointers_to_modules_are_the_modules() {
    let shared: Arc<dyn Layer> = Arc::new(Linear::new(3, 3).unwrap());
    let boxed: Box<dyn Layer> = Box::new(Linear::new(3, 3).unwrap());
    let net = Sequential::new().push(shared.clone()).push(boxed).push(shared.clone());
    assert_eq!(net.parameters(true).len(), 4);
    net.eval();
    assert!(!shared.training());
    let x = Tensor::ones(&[1, 3], DType::F32).unwrap();
    assert_eq!(*net.call(&x).unwrap().shape(), [1, 3]);
}

#[test]
fn parameters_are_replaced_by_position() {
    let net = net();
    let n = net.parameters(true).len();
    let position = 5 + n - 1;
    let new = BTreeMap::from([(position, Tensor::full(&[1], 7.0, DType::F32).unwrap())]);
    let mut seen = BTreeSet::new();
    assert_eq!(net.replace_param(&new, 5, Some(&mut seen)).unwrap(), n);
    assert_eq!(net.scale.get().item().unwrap(), 7.0);
    assert_eq!(net.replace_param(&new, 5, Some(&mut seen)).unwrap(), 0);
    let wrong = BTreeMap::from([(0, Tensor::zeros(&[9], DType::F32).unwrap())]);
    assert!(net.replace_param(&wrong, 0, None).is_err());
}

#[test]
fn gradients_reach_parameters_and_can_be_zeroed() {
    let net = net();
    let mut gm = GradManager::new();
    gm.attach_all(net.parameters(true).into_iter().map(|p| p.var())).unwrap();
    gm.scope(|gm| {
        let [a, b] = net.call(&input())?;
        gm.backward(&ops::add(&ops::sum(&a, None, false)?, &ops::sum(&b, None, false)?)?)
    })
    .unwrap();
    assert!(net.parameters(true).iter().all(|p| p.grad().is_some()));
    net.zero_grad().unwrap();
    assert!(
        net.parameters(true)
            .iter()
            .all(|p| { p.grad().unwrap().get().to_f64_vec().unwrap().iter().all(|v| *v == 0.0) })
    );
}

#[test]
fn networks_describe_themselves() {
    let net = Sequential::new()
        .push_named("fc", Linear::new(2, 3).unwrap())
        .push_named("act", ReLU::new());
    assert_eq!(
        net.describe(),
        "Sequential(\n  (fc): Linear(in_features=2, out_features=3, bias=True)\n  (act): ReLU()\n)"
    );
    #[derive(Module)]
    struct Pair {
        second: Linear,
        first: Sequential,
    }
    let pair = Pair { second: Linear::new(3, 1).unwrap(), first: net };
    assert_eq!(
        pair.describe(),
        "Pair(\n  (second): Linear(in_features=3, out_features=1, bias=True)\n  (first): Sequential(\n    \
         (fc): Linear(in_features=2, out_features=3, bias=True)\n    (act): ReLU()\n  )\n)"
    );
    let net = pair.first;
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&net);
}
