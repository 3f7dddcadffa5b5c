//! Passes over memory: elementwise maps, reductions, softmax, normalisation, copies, optimizers.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tengen_kernels::copy::CopyPlan;
use tengen_kernels::lanes::Num;
use tengen_kernels::map::{self, Map, Src};
use tengen_kernels::norm::{self, Affine, Layout, Units};
use tengen_kernels::optim::{self, Adam, Momentum};
use tengen_kernels::reduce::{Max, Sum, reduce};
use tengen_kernels::softmax::{softmax, softmax_backward};

fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i * 7919 % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// x + y
#[derive(Clone, Copy)]
struct Add;
impl Map<2> for Add {
    #[inline(always)]
    fn f<L: Num>(&self, [x, y]: [L; 2]) -> L {
        x.add(y)
    }
    #[inline(always)]
    fn df<L: Num>(&self, _: [L; 2], dy: L) -> [L; 2] {
        [dy, dy]
    }
}

/// eˣ
#[derive(Clone, Copy)]
struct Exp;
impl Map<1> for Exp {
    #[inline(always)]
    fn f<L: Num>(&self, [x]: [L; 1]) -> L {
        x.exp()
    }
    #[inline(always)]
    fn df<L: Num>(&self, [x]: [L; 1], dy: L) -> [L; 1] {
        [dy.mul(x.exp())]
    }
}

fn maps(c: &mut Criterion) {
    let mut group = c.benchmark_group("map");
    for n in [3usize, 1 << 12, 1 << 20] {
        let (x, mut y) = (numbers(n), vec![0.0f32; n]);
        let src = |x: &[f32]| Src { ptr: x.as_ptr(), single: false };
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(format!("add {n}"), |b| {
            // SAFETY: the vectors have `n` elements.
            b.iter(|| unsafe { map::forward(&Add, [src(&x), src(&x)], y.as_mut_ptr(), n, false) });
        });
        group.bench_function(format!("exp {n}"), |b| {
            // SAFETY: as above.
            b.iter(|| unsafe { map::forward(&Exp, [src(&x)], y.as_mut_ptr(), n, false) });
        });
    }
    group.finish();
}

fn reductions(c: &mut Criterion) {
    let mut group = c.benchmark_group("reduce");
    let x = numbers(1 << 20);
    group.throughput(Throughput::Bytes(4 << 20));
    for (name, n, inner) in
        [("all", 1 << 20, 1), ("rows", 1 << 10, 1), ("columns", 1 << 10, 1 << 10)]
    {
        let mut y = vec![0.0f32; x.len() / n];
        group.bench_function(format!("sum {name}"), |b| {
            b.iter(|| reduce(Sum, &x, n, inner, &mut y));
        });
        group.bench_function(format!("max {name}"), |b| {
            b.iter(|| reduce(Max, &x, n, inner, &mut y));
        });
    }
    group.finish();
}

fn rows(c: &mut Criterion) {
    let mut group = c.benchmark_group("softmax");
    for n in [10usize, 1000] {
        let x = numbers(n * 512);
        let (mut y, mut dx) = (vec![0.0f32; x.len()], vec![0.0f32; x.len()]);
        group.throughput(Throughput::Elements(x.len() as u64));
        group.bench_function(format!("512x{n}"), |b| b.iter(|| softmax(n, &x, &mut y)));
        group.bench_function(format!("backward 512x{n}"), |b| {
            b.iter(|| softmax_backward(n, &y, &x, &mut dx));
        });
    }
    group.finish();
}

fn normalisation(c: &mut Criterion) {
    let mut group = c.benchmark_group("norm");
    let batch = Layout {
        runs: 16 * 64,
        len: 28 * 28,
        units: Units::Interleaved(64),
        affine: Affine::Runs(64),
    };
    let layer =
        Layout { runs: 1024, len: 768, units: Units::Neighbours(1), affine: Affine::Elements };
    for (name, layout) in [("batch 16x64x28x28", batch), ("layer 1024x768", layer)] {
        let x = numbers(layout.runs * layout.len);
        let (weight, bias) = (numbers(layout.affine_len()), numbers(layout.affine_len()));
        let mut y = vec![0.0f32; x.len()];
        let mut statistics = [vec![0.0f32; layout.units()], vec![0.0f32; layout.units()]];
        let mut scratch = vec![0.0; layout.scratch_len()];
        group.throughput(Throughput::Bytes(8 * x.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let [mean, var] = &mut statistics;
                let affine = [Some(&weight[..]), Some(&bias[..])];
                norm::forward(layout, &x, 1e-5, affine, [&mut y, mean, var], &mut scratch);
            });
        });
    }
    group.finish();
}

fn copies(c: &mut Criterion) {
    let mut group = c.benchmark_group("copy");
    let n = 1024;
    let (x, mut y) = (numbers(n * n), vec![0.0f32; n * n]);
    group.throughput(Throughput::Bytes(8 * (n * n) as u64));
    let shapes = [
        ("transpose", [n, n, 1], [1, n as isize, 0]),
        ("channels last", [n, 32, 32], [1, 32 * n as isize, n as isize]),
    ];
    for (name, shape, strides) in shapes {
        let plan = CopyPlan::to_contiguous(&shape, &strides).expect("a plan of these strides");
        group.bench_function(name, |b| b.iter(|| plan.copy(&x, 0, &mut y, 0)));
    }
    group.finish();
}

fn optimizers(c: &mut Criterion) {
    let mut group = c.benchmark_group("optim");
    let n = 1 << 20;
    let (g, mut p) = (numbers(n), numbers(n));
    let (mut m, mut v) = (vec![0.0f32; n], vec![0.0f32; n]);
    group.throughput(Throughput::Elements(n as u64));
    group.bench_function("momentum", |b| {
        let step = Momentum { lr: 1e-6, momentum: 0.9, nesterov: false, weight_decay: 1e-4 };
        b.iter(|| optim::step(step, &mut p, &g, [&mut m]));
    });
    group.bench_function("adam", |b| {
        let step = Adam {
            lr: 1e-6,
            betas: (0.9, 0.999),
            corrections: (1.0, 1.0),
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
        };
        b.iter(|| optim::step(step, &mut p, &g, [&mut m, &mut v]));
    });
    group.finish();
}

criterion_group!(benches, maps, reductions, rows, normalisation, copies, optimizers);
criterion_main!(benches);
