//! A whole training step as a graph: forward and backward pass, optimizer, running statistics and
//! random numbers, bit for bit what the same step does without a graph.

use tengen::device::Guarded;
use tengen::graph::{Graph, with_values};
use tengen::nn::{BatchNorm2d, Conv2d, Dropout, Forward, Linear, MaxPool2d, Module, PReLU};
use tengen::op::Table;
use tengen::ops::{self, ConvParams, CrossEntropy};
use tengen::optim::{Adam, AdamW, Optimizer, Rule, SGD};
use tengen::random::{self, Generator};
use tengen::{DType, Device, GradManager, Meta, Result, Tensor, Var};
use tengen_kernels::pool::with_threads;

const BATCH: usize = 16;
const STEPS: usize = 20;

/// The network of the digits example, with dropout.
#[derive(Module)]
struct Net {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    act1: PReLU,
    pool1: MaxPool2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    act2: PReLU,
    pool2: MaxPool2d,
    drop: Dropout,
    fc: Linear,
}

impl Net {
    fn new() -> Result<Net> {
        random::seed(3);
        let same = ConvParams { padding: (1, 1), ..Default::default() };
        Ok(Net {
            conv1: Conv2d::new(1, 8, (3, 3), same)?,
            bn1: BatchNorm2d::new(8)?,
            act1: PReLU::new(8, 0.25)?,
            pool1: MaxPool2d::new(2),
            conv2: Conv2d::new(8, 16, (3, 3), same)?,
            bn2: BatchNorm2d::new(16)?,
            act2: PReLU::new(16, 0.25)?,
            pool2: MaxPool2d::new(2),
            drop: Dropout::new(0.25),
            fc: Linear::new(64, 10)?,
        })
    }
}

impl Forward for Net {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.act1.call(&self.bn1.call(&self.conv1.call(x)?)?)?;
        let x = self.pool1.call(&x)?;
        let x = self.act2.call(&self.bn2.call(&self.conv2.call(&x)?)?)?;
        let x = self.drop.call(&self.pool2.call(&x)?)?;
        self.fc.call(&ops::flatten(&x, 1, -1)?)
    }
}

/// A network in training, and everything that a step changes.
struct Training<R> {
    net: Net,
    optimizer: Optimizer<R>,
    vars: Vec<Var>,
}

impl<R: Rule> Training<R> {
    fn new(rule: R) -> Result<Training<R>> {
        let net = Net::new()?;
        let optimizer = Optimizer::new(net.parameters(true), rule)?;
        let mut vars: Vec<Var> = net.parameters(true).iter().map(|p| p.var().clone()).collect();
        vars.extend(net.buffers(true).iter().map(|b| b.var().clone()));
        vars.extend(optimizer.state_vars());
        Ok(Training { net, optimizer, vars })
    }

    /// One step; gives the loss.
    fn step(&mut self, images: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let mut gm = GradManager::new();
        gm.attach_all(self.net.parameters(true).into_iter().map(|p| p.var()))?;
        let loss = gm.scope(|gm| {
            let smoothed = CrossEntropy { label_smooth: 0.1, ..Default::default() };
            let loss = ops::cross_entropy(&self.net.call(images)?, labels, smoothed)?;
            gm.backward(&loss)?;
            Ok(loss.detach())
        })?;
        self.optimizer.step()?;
        self.optimizer.clear_grad();
        Ok(loss)
    }

    fn values(&self) -> Vec<Tensor> {
        self.vars.iter().map(|v| v.get().detach()).collect()
    }

    /// The step as a graph of images, labels, the generator's state and the variables' values; it
    /// gives the loss, the state and the values afterwards.
    fn graph(&mut self) -> Result<Graph> {
        let shape =
            |dims: &[usize], dtype| Ok::<_, tengen::Error>(Tensor::zeros(dims, dtype)?.meta());
        let mut inputs: Vec<Meta> = vec![
            shape(&[BATCH, 1, 8, 8], DType::F32)?,
            shape(&[BATCH], DType::I32)?,
            random::state(0, 0)?.meta(),
        ];
        inputs.extend(self.values().iter().map(Tensor::meta));
        Graph::record(&inputs, |x| {
            let vars = self.vars.clone();
            let vars: Vec<&Var> = vars.iter().collect();
            let ((loss, state), after) = with_values(&vars, &x[3..], || {
                random::with_state(&x[2], || self.step(&x[0], &x[1]))
            })?;
            Ok([loss, state].into_iter().chain(after).collect())
        })
    }
}

fn bits(values: &[Tensor]) -> Vec<Vec<u64>> {
    let host = |t: &Tensor| t.to(Device::default()).unwrap();
    let one = |t: &Tensor| host(t).to_f64_vec().unwrap().iter().map(|v| v.to_bits()).collect();
    values.iter().map(one).collect()
}

fn batch(step: usize) -> Result<(Tensor, Tensor)> {
    let source = Generator::new(100 + step as u64);
    let images = source.uniform(0.0, 1.0, &[BATCH, 1, 8, 8], DType::F32)?;
    let labels: Vec<i32> = (0..BATCH).map(|i| ((i * 7 + step * 3) % 10) as i32).collect();
    Ok((images, Tensor::from_slice(&labels, &[BATCH])?))
}

/// Trains by graph and without on a device, and compares everything after every step.
fn compare_on<R: Rule>(rule: R, device: Device) {
    let run = || -> Result<()> {
        let mut eager = Training::new(rule.clone())?;
        for var in &eager.vars {
            var.replace(var.get().to(device)?);
        }
        let graph = Training::new(rule.clone())?.graph()?;
        let graph = Graph::decode(&graph.encode()?, Table::all())?;
        let (mut state, mut values) = (random::state(11, 0)?.to(device)?, eager.values());
        let mut own = state.clone();
        for step in 0..STEPS {
            let (images, labels) = batch(step)?;
            let (images, labels) = (images.to(device)?, labels.to(device)?);
            let (loss, after) = random::with_state(&own, || eager.step(&images, &labels))?;
            own = after;
            let inputs = [images, labels, state.clone()].into_iter().chain(values);
            let mut results = graph.run(inputs)?;
            values = results.split_off(2);
            assert_eq!(bits(&results), bits(&[loss, own.clone()]), "step {step}");
            state = results.swap_remove(1);
            assert!(bits(&values) == bits(&eager.values()), "values after step {step}");
        }
        assert_eq!(state.to(Device::default())?.to_vec::<i64>()?, [11, STEPS as i64]);
        Ok(())
    };
    for threads in [1, 2] {
        with_threads(threads, run).unwrap();
    }
}

fn compare<R: Rule>(rule: R) {
    compare_on(rule, Device::default());
}

#[test]
fn a_step_of_gradient_descent_runs_as_a_graph() {
    compare(SGD { momentum: 0.9, weight_decay: 1e-4, ..SGD::new(0.05) });
}

#[test]
fn a_step_of_adam_runs_as_a_graph() {
    compare(Adam { weight_decay: 1e-4, ..Adam::new(3e-3) });
}

#[test]
fn a_step_of_adamw_runs_as_a_graph() {
    compare(AdamW::new(3e-3));
}

#[test]
fn steps_run_on_a_device_whose_memory_the_host_cannot_touch() {
    let (device, _) = Guarded::register(&[]).unwrap();
    compare_on(SGD { momentum: 0.9, ..SGD::new(0.05) }, device);
    compare_on(Adam::new(3e-3), device);
    compare_on(AdamW::new(3e-3), device);
}

#[test]
fn a_step_on_a_device_copies_nothing_but_its_batch() {
    let (device, guarded) = Guarded::register(&[]).unwrap();
    let mut training = Training::new(Adam::new(3e-3)).unwrap();
    let count = training.vars.len();
    for var in &training.vars {
        var.replace(var.get().to(device).unwrap());
    }
    let mut state = random::state(5, 0).unwrap().to(device).unwrap();
    assert_eq!(guarded.transfers(), (count + 1, 0));
    for step in 0..3 {
        let (images, labels) = batch(step).unwrap();
        let (images, labels) = (images.to(device).unwrap(), labels.to(device).unwrap());
        let (_, after) = random::with_state(&state, || training.step(&images, &labels)).unwrap();
        state = after;
    }
    assert_eq!(guarded.transfers(), (count + 1 + 3 * 2, 0));
}

#[test]
fn a_device_without_fused_gradients_runs_their_expansions() {
    let fused = ["softmax_gradient", "cross_entropy_gradient", "batch_norm_gradient"];
    let (device, _) = Guarded::register(&fused).unwrap();
    let mut training = Training::new(SGD::new(0.1)).unwrap();
    for var in &training.vars {
        var.replace(var.get().to(device).unwrap());
    }
    let (images, labels) = batch(0).unwrap();
    let (images, labels) = (images.to(device).unwrap(), labels.to(device).unwrap());
    let state = random::state(5, 0).unwrap().to(device).unwrap();
    random::with_state(&state, || training.step(&images, &labels)).unwrap();

    let (device, _) = Guarded::register(&["relu"]).unwrap();
    let x = Tensor::from_slice(&[1.0f32; 20], &[20]).unwrap();
    let error = ops::relu(&x.to(device).unwrap()).unwrap_err().to_string();
    assert_eq!(error, format!("relu: {device} has no such operator"));
    let error = ops::add(&x.to(device).unwrap(), &x).unwrap_err().to_string();
    assert!(error.contains(&device.to_string()) && error.contains("xpux"), "{error}");
}

#[test]
fn recording_a_step_leaves_the_network_as_it_was() {
    let mut training = Training::new(SGD::new(0.1)).unwrap();
    let before = bits(&training.values());
    let graph = training.graph().unwrap();
    assert_eq!(before, bits(&training.values()));
    assert!(graph.to_string().contains("conv2d_weight_gradient("), "{graph}");
}

#[test]
fn steps_are_taken_in_the_memory_of_values_that_nothing_else_holds() {
    let mut training = Training::new(SGD::new(0.1)).unwrap();
    let graph = training.graph().unwrap();
    let (images, labels) = batch(0).unwrap();
    let state = random::state(1, 0).unwrap();
    let copy = |t: Tensor| ops::add(&t, &Tensor::zeros(&[], DType::F32).unwrap()).unwrap();
    let values: Vec<Tensor> = training.values().into_iter().map(copy).collect();
    let at = |t: &Tensor| t.as_slice::<f32>().unwrap().as_ptr() as usize;
    let weight = values.iter().position(|t| t.numel() > 1000).unwrap();
    let before = at(&values[weight]);
    let results = graph.run([images, labels, state].into_iter().chain(values)).unwrap();
    assert_eq!(at(&results[2 + weight]), before);
}

/// A generator with the quality that test data needs.
struct Rng(u64);
impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % n
    }
}

#[test]
fn bytes_that_were_changed_are_errors_or_graphs_that_run() {
    let graph = Training::new(Adam::new(0.1)).unwrap().graph().unwrap();
    let bytes = graph.encode().unwrap();
    let (mut rng, mut ran) = (Rng(0x9e37_79b9_7f4a_7c15), 0);
    for _ in 0..1500 {
        let mut bad = bytes.clone();
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(bad.len());
            bad[at] = match rng.below(3) {
                0 => rng.below(256) as u8,
                1 => bad[at] ^ 1 << rng.below(8),
                _ => bad[at].wrapping_add(1),
            };
        }
        if rng.below(8) == 0 {
            bad.truncate(rng.below(bad.len()));
        }
        let Ok(graph) = Graph::decode(&bad, Table::all()) else { continue };
        // Without values of more than a few megabytes.
        let small = |m: &Meta| m.shape.numel() < 1 << 20;
        let steps = || graph.steps().iter().flat_map(|s| s.metas());
        if graph.inputs().iter().chain(steps()).all(small) {
            let zeros = graph.inputs().iter().map(|m| Tensor::zeros(&m.shape, m.dtype).unwrap());
            let _: Result<Vec<Tensor>> = graph.run(zeros);
            ran += 1;
        }
    }
    assert!(ran > 50, "{ran}");
}
