//! Memory over a long training run: what a step takes, it gives back.

use tengen::nn::{BatchNorm2d, Conv2d, Forward, Linear, Module, PReLU};
use tengen::ops::{ConvParams, CrossEntropy, PoolParams};
use tengen::optim::{Adam, Optimizer};
use tengen::{DType, GradManager, Result, Tensor, memory_stats, ops, random};

/// Batch sizes, in turn: none fits the blocks of the one before.
const BATCHES: [usize; 7] = [16, 3, 32, 1, 24, 7, 11];
const STEPS: usize = 1001;
/// Steps after which nothing new is needed: every batch size was there twice.
const SETTLED: usize = 2 * BATCHES.len();

#[derive(Module)]
struct Net {
    conv: Conv2d,
    norm: BatchNorm2d,
    act: PReLU,
    head: Linear,
}

impl Forward for Net {
    type Input = Tensor;
    type Output = Tensor;
    /// Images `[n, 1, 12, 12]`.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.act.call(&self.norm.call(&self.conv.call(x)?)?)?;
        self.head.call(&ops::flatten(&ops::max_pool2d(&x, PoolParams::square(2))?, 1, -1)?)
    }
}

/// Bytes of this process that are in memory; none where the system does not say.
fn resident() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(text.split_whitespace().nth(1)?.parse::<usize>().ok()? * 4096)
}

#[test]
fn a_thousand_steps_of_changing_batch_sizes_take_no_more_memory_than_the_first() {
    random::seed(1);
    let same = ConvParams { padding: (1, 1), ..ConvParams::default() };
    let net = Net {
        conv: Conv2d::new(1, 8, (3, 3), same).unwrap(),
        norm: BatchNorm2d::new(8).unwrap(),
        act: PReLU::new(8, 0.25).unwrap(),
        head: Linear::new(8 * 36, 10).unwrap(),
    };
    let vars: Vec<_> = net.parameters(true).into_iter().map(|p| p.var().clone()).collect();
    let mut gm = GradManager::new();
    gm.attach_all(&vars).unwrap();
    let mut adam = Optimizer::new(net.parameters(true), Adam::new(1e-3)).unwrap();
    let mut step = |n: usize| -> Result<()> {
        let x = random::normal(0.0, 1.0, &[n, 1, 12, 12], DType::F32)?;
        let labels = Tensor::zeros(&[n], DType::I32)?;
        gm.scope(|gm| {
            let loss = ops::cross_entropy(&net.call(&x)?, &labels, CrossEntropy::default())?;
            gm.backward(&loss)
        })?;
        adam.step()?;
        adam.clear_grad();
        Ok(())
    };
    let mut settled = None;
    for i in 0..STEPS {
        step(BATCHES[i % BATCHES.len()]).unwrap();
        if i < SETTLED {
            continue;
        }
        let now = memory_stats();
        let (first, pages) = *settled.get_or_insert_with(|| (now, resident()));
        assert_eq!(now.used, first.used, "live bytes after step {i}");
        assert_eq!(now.peak, first.peak, "peak at step {i}");
        assert!(now.cached <= first.cached, "{} > {} after step {i}", now.cached, first.cached);
        if let (Some(before), Some(now)) = (pages, resident()) {
            assert!(now <= before + (8 << 20), "{now} resident after step {i}, {before} before");
        }
    }
}
