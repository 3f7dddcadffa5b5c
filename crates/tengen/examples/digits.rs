//! Trains a small convolutional network on handwritten digits, saves it, and loads it again.
//!
//!     cargo run --release --example digits
//!
//! It writes `out/digits.safetensors` and `out/digits.npz`. If there is an `out/digits.pkl`, which
//! `megengine.save(net.state_dict(), path)` wrote for the same network in Python, it tests that
//! too.

use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tengen::data::{ArrayDataset, DataLoader, Dataset};
use tengen::files;
use tengen::nn::{BatchNorm2d, Conv2d, Forward, Linear, MaxPool2d, Module, PReLU, StateDict};
use tengen::ops::{self, ConvParams, CrossEntropy};
use tengen::optim::{Adam, LRScheduler, MultiStepLR, Optimizer};
use tengen::random::{self, Generator};
use tengen::{DType, GradManager, Result, Tensor, ensure};

const EPOCHS: usize = 24;
const BATCH: usize = 64;

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
    fc: Linear,
}

impl Net {
    fn new() -> Result<Net> {
        let same = ConvParams { padding: (1, 1), ..Default::default() };
        Ok(Net {
            conv1: Conv2d::new(1, 16, (3, 3), same)?,
            bn1: BatchNorm2d::new(16)?,
            act1: PReLU::new(16, 0.25)?,
            pool1: MaxPool2d::new(2),
            conv2: Conv2d::new(16, 32, (3, 3), same)?,
            bn2: BatchNorm2d::new(32)?,
            act2: PReLU::new(32, 0.25)?,
            pool2: MaxPool2d::new(2),
            fc: Linear::new(128, 10)?,
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
        let x = self.pool2.call(&x)?;
        self.fc.call(&ops::flatten(&x, 1, -1)?)
    }
}

/// The folder that holds `data` and `out`.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The digits, split in training and test data: every fifth is for testing. Images are
/// `[n, 1, 8, 8]` from 0 to 1, labels `[n]`.
fn digits() -> Result<(ArrayDataset, ArrayDataset)> {
    let arrays = files::load(root().join("data/digits.npz"))?;
    let (Some(images), Some(labels)) = (arrays.get("images"), arrays.get("labels")) else {
        tengen::bail!(File, "data/digits.npz does not hold images and labels")
    };
    let images = ops::expand_dims(&ops::cast(images, DType::F32)?, &[1])?;
    let images = ops::div(&images, &Tensor::scalar(16.0f32)?)?;
    let all = ArrayDataset::new([images, ops::cast(labels, DType::I32)?])?;
    let (test, train): (Vec<usize>, Vec<usize>) = (0..all.len()).partition(|i| i % 5 == 0);
    let part = |indices: &[usize]| ArrayDataset::new(all.batch(indices)?);
    Ok((part(&train)?, part(&test)?))
}

/// The digit that the network sees in each image.
fn classify(net: &Net, images: &Tensor) -> Result<Vec<i32>> {
    ops::argmax(&net.call(images)?, Some(1), false)?.to_vec::<i32>()
}

/// The share of images that the network classifies right.
fn accuracy(net: &Net, data: &ArrayDataset) -> Result<f64> {
    net.eval();
    let mut right = 0;
    for batch in DataLoader::new(data, 256)?.epoch()? {
        let [images, labels] = &batch?[..] else { continue };
        let labels = labels.to_vec::<i32>()?;
        right += classify(net, images)?.iter().zip(&labels).filter(|(a, b)| a == b).count();
    }
    net.train(true, true);
    Ok(right as f64 / data.len() as f64)
}

fn train(net: &Net, data: &ArrayDataset) -> Result<()> {
    let loader = DataLoader::new(data, BATCH)?.shuffle(Generator::new(7));
    let mut gm = GradManager::new();
    gm.attach_all(net.parameters(true).into_iter().map(|p| p.var()))?;
    let rule = Adam { weight_decay: 1e-4, ..Adam::new(3e-3) };
    let mut optimizer = Optimizer::new(net.parameters(true), rule)?;
    let mut schedule = MultiStepLR::new(&mut optimizer, &[14, 20], 0.2)?;
    let smoothed = CrossEntropy { label_smooth: 0.1, ..Default::default() };
    let bar = ProgressBar::new((EPOCHS * loader.len()) as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} steps, {msg}") {
        bar.set_style(style);
    }
    for epoch in 0..EPOCHS {
        let mut total = 0.0;
        for batch in loader.epoch()? {
            let [images, labels] = &batch?[..] else { continue };
            let loss = gm.scope(|gm| {
                let logits = net.call(images)?;
                let loss = ops::cross_entropy(&logits, labels, smoothed)?;
                gm.backward(&loss)?;
                loss.item()
            })?;
            optimizer.step()?;
            optimizer.clear_grad();
            total += loss;
            bar.inc(1);
        }
        schedule.step(&mut optimizer);
        bar.set_message(format!("epoch {}: loss {:.4}", epoch + 1, total / loader.len() as f64));
    }
    bar.finish();
    Ok(())
}

/// A network with the state in a file.
fn load(path: &Path) -> Result<Net> {
    let net = Net::new()?;
    let state: StateDict = files::load(path)?;
    net.load_state_dict(&state, true)?;
    net.eval();
    Ok(net)
}

fn main() -> Result<()> {
    random::seed(7);
    let (training, test) = digits()?;
    println!("{} digits to train on, {} to test", training.len(), test.len());
    let net = Net::new()?;
    println!("{}", net.describe());
    let start = Instant::now();
    train(&net, &training)?;
    println!("trained {EPOCHS} epochs in {:.1} s", start.elapsed().as_secs_f64());
    let reached = accuracy(&net, &test)?;
    println!("test accuracy: {:.2} %", 100.0 * reached);

    let out = root().join("out");
    std::fs::create_dir_all(&out)?;
    for name in ["digits.safetensors", "digits.npz"] {
        let path = out.join(name);
        files::save(&path, &net.state_dict("")?)?;
        let again = accuracy(&load(&path)?, &test)?;
        println!("out/{name}, loaded again: {:.2} %", 100.0 * again);
        ensure!(again == reached, Value, "out/{name} gives another accuracy");
    }

    let net = load(&out.join("digits.safetensors"))?;
    let shown: Vec<usize> = (0..10).map(|i| 36 * i).collect();
    if let [images, labels] = &test.batch(&shown)?[..] {
        println!("labels:     {:?}", labels.to_vec::<i32>()?);
        println!("classified: {:?}", classify(&net, images)?);
    }

    let python = out.join("digits.pkl");
    if python.exists() {
        let accuracy = accuracy(&load(&python)?, &test)?;
        println!("out/digits.pkl, trained in Python: {:.2} %", 100.0 * accuracy);
    }
    Ok(())
}
