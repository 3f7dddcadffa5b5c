//! Convolutions: direct, by minimal filtering, depthwise; and pooling.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tengen_kernels::conv::Geometry;
use tengen_kernels::direct::{Direct, Images};
use tengen_kernels::epilogue::Epilogue;
use tengen_kernels::pooling::{CountMode, Pool2d, avg_pool2d, max_pool2d};
use tengen_kernels::winograd::{self, Batch};
use tengen_kernels::{depthwise, pool};

const IMAGES: usize = 4;

fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i * 7919 % 2003) as f32 / 1001.0 - 1.0).collect()
}

/// Filters of 3×3 with padding of 1.
fn geometry(channels: usize, side: usize, stride: usize) -> Geometry {
    let out = (side - 1) / stride + 1;
    Geometry {
        c: channels,
        image: (side, side),
        k: channels,
        filter: (3, 3),
        out: (out, out),
        stride: (stride, stride),
        padding: (1, 1),
        dilation: (1, 1),
    }
}

fn direct(c: &mut Criterion) {
    let mut group = c.benchmark_group("direct");
    for (name, stride) in [("64x28 3x3", 1), ("64x28 3x3 stride 2", 2)] {
        let g = geometry(64, 28, stride);
        let plan = Direct::forward::<f32>(&g).expect("memory for a plan");
        let (x, w) = (numbers(IMAGES * g.image_len()), numbers(g.k * g.taps()));
        let workers = pool::threads();
        let mut packed = vec![0.0f32; plan.packed_len::<f32>()];
        let mut work = vec![0.0f32; plan.workspace_len(workers)];
        let mut y = vec![0.0f32; IMAGES * g.out_len()];
        group.throughput(Throughput::Elements((2 * IMAGES * g.out_len() * g.taps()) as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let images = Images {
                    n: IMAGES,
                    groups: 1,
                    image: x.as_ptr(),
                    image_step: g.image_len(),
                    out: y.as_mut_ptr(),
                    out_step: g.out_len(),
                };
                // SAFETY: the vectors have the lengths that the functions ask for.
                unsafe {
                    plan.pack(1, w.as_ptr(), packed.as_mut_ptr());
                    let (packed, work) = (packed.as_ptr(), work.as_mut_ptr());
                    plan.run(images, packed, workers, work, Epilogue::default());
                }
            });
        });
    }
    group.finish();
}

fn minimal_filtering(c: &mut Criterion) {
    let mut group = c.benchmark_group("winograd");
    let g = geometry(64, 28, 1);
    let batch = Batch { geometry: g, n: IMAGES, image_step: g.image_len(), out_step: g.out_len() };
    let (x, w) = (numbers(IMAGES * g.image_len()), numbers(g.k * g.taps()));
    let mut y = vec![0.0f32; IMAGES * g.out_len()];
    let mut dx = vec![0.0f32; IMAGES * g.image_len()];
    let mut dw = vec![0.0f32; g.k * g.taps()];
    let lengths = [
        winograd::forward_len(&batch),
        winograd::to_input_len(&batch),
        winograd::to_filter_len(&batch),
    ];
    let mut work = vec![0.0f32; lengths.into_iter().max().unwrap_or(0)];
    group.throughput(Throughput::Elements((2 * IMAGES * g.out_len() * g.taps()) as u64));
    group.bench_function("64x28 forward", |b| {
        let e = Epilogue::default();
        b.iter(|| winograd::forward(&batch, &x, &w, &mut y, &e, &mut work));
    });
    let dy = numbers(IMAGES * g.out_len());
    group.bench_function("64x28 to input", |b| {
        b.iter(|| winograd::to_input(&batch, &dy, &w, &mut dx, &mut work));
    });
    group.bench_function("64x28 to filter", |b| {
        b.iter(|| winograd::to_filter(&batch, &x, &dy, &mut dw, &mut work));
    });
    group.finish();
}

fn one_channel(c: &mut Criterion) {
    let mut group = c.benchmark_group("depthwise");
    for (name, stride) in [("56 3x3", 1), ("56 3x3 stride 2", 2)] {
        let g = geometry(1, 56, stride);
        let plan = depthwise::Sums::forward(&g).expect("memory for a plan");
        let (x, w) = (numbers(g.image_len()), numbers(9));
        let mut y = vec![0.0f32; g.out_len()];
        let mut work = vec![0.0f32; plan.workspace_len().expect("a workspace of this length")];
        group.throughput(Throughput::Elements((2 * g.out_len() * 9) as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                plan.load(&x, &mut work);
                plan.run(&w, &mut y, false, &mut work);
            });
        });
    }
    group.finish();
}

fn pooling(c: &mut Criterion) {
    let mut group = c.benchmark_group("pooling");
    let p = Pool2d::new((56, 56), (3, 3), (2, 2), (1, 1)).expect("windows that fit");
    let planes = 64;
    let x = numbers(planes * 56 * 56);
    let mut y = vec![0.0f32; planes * p.output().0 * p.output().1];
    group.throughput(Throughput::Bytes(4 * (x.len() + y.len()) as u64));
    group.bench_function("max 64x56 3x3 stride 2", |b| b.iter(|| max_pool2d(&p, &x, &mut y)));
    group.bench_function("average 64x56 3x3 stride 2", |b| {
        b.iter(|| avg_pool2d(&p, CountMode::IncludePadding, &x, &mut y));
    });
    group.finish();
}

criterion_group!(benches, direct, minimal_filtering, one_channel, pooling);
criterion_main!(benches);
