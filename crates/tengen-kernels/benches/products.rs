//! Products of matrices: f32, f64, bf16 and 8-bit integers, and of a vector and a matrix.

use criterion::{Bencher, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use half::bf16;
use tengen_kernels::gemm::int8;
use tengen_kernels::gemm::{Element, Strided};
use tengen_kernels::gemv;
use tengen_kernels::lanes::Float;

/// Numbers in [−1, 1], the same in each run.
fn numbers(n: usize) -> impl Iterator<Item = f64> {
    (0..n).map(|i| (i * 7919 % 2003) as f64 / 1001.0 - 1.0)
}

/// A matrix of `n` rows, or columns, that are contiguous.
fn rows<E>(x: &[E], n: usize) -> Strided<E> {
    Strided { ptr: x.as_ptr(), outer: (x.len() / n) as isize, inner: 1 }
}

/// n × n by n × n, packing included; the right side lies transposed.
fn square<T: Float, E: Element<T>>(b: &mut Bencher<'_>, n: usize, element: impl Fn(f64) -> E) {
    let x: Vec<E> = numbers(n * n).map(element).collect();
    let product = E::product(n, n, n);
    let mut work = vec![T::default(); product.workspace_len()];
    let mut y = vec![T::default(); n * n];
    // SAFETY: the vectors have the lengths that the functions ask for.
    b.iter(|| unsafe {
        E::multiply(product, rows(&x, n), rows(&x, n), y.as_mut_ptr(), work.as_mut_ptr());
    });
}

fn square_int8<X: int8::Byte>(b: &mut Bencher<'_>, n: usize, byte: impl Fn(f64) -> X) {
    let x: Vec<X> = numbers(n * n).map(byte).collect();
    let w: Vec<i8> = numbers(n * n).map(|v| (v * 127.0) as i8).collect();
    let mut packed = vec![0; int8::packed_len(n, n)];
    let mut work = vec![0; int8::workspace_len(n, n)];
    let mut y = vec![0; n * n];
    // SAFETY: the vectors have the lengths that the functions ask for.
    b.iter(|| unsafe {
        int8::pack_a::<X, i8>((n, n), rows(&x, n), packed.as_mut_ptr());
        let (c, work) = ((y.as_mut_ptr(), n), work.as_mut_ptr());
        int8::multiply::<X, i8>((n, n, n), packed.as_ptr(), rows(&w, n), c, false, work);
    });
}

fn gemm(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemm");
    for n in [64usize, 256, 1024] {
        group.throughput(Throughput::Elements((2 * n * n * n) as u64));
        let id = |name| BenchmarkId::new(name, n);
        group.bench_function(id("f32"), |b| square::<f32, f32>(b, n, |v| v as f32));
        group.bench_function(id("f64"), |b| square::<f64, f64>(b, n, |v| v));
        group.bench_function(id("bf16"), |b| square::<f32, bf16>(b, n, bf16::from_f64));
        group.bench_function(id("u8"), |b| square_int8::<u8>(b, n, |v| (v * 127.0 + 128.0) as u8));
        group.bench_function(id("i8"), |b| square_int8::<i8>(b, n, |v| (v * 127.0) as i8));
    }
    group.finish();
}

fn gemv(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemv");
    let n = 1024;
    let x: Vec<f32> = numbers(n).map(|v| v as f32).collect();
    let m: Vec<f32> = numbers(n * n).map(|v| v as f32).collect();
    let mut y = vec![0.0f32; n];
    group.throughput(Throughput::Bytes((4 * n * n) as u64));
    for (name, outer, inner) in [("columns", n as isize, 1), ("rows", 1, n as isize)] {
        let m = Strided { ptr: m.as_ptr(), outer, inner };
        let mut work = vec![0.0f32; gemv::workspace_len::<f32, f32>(n, n, &m)];
        group.bench_function(BenchmarkId::new(name, n), |b| {
            // SAFETY: the vectors have the lengths that the function asks for.
            b.iter(|| unsafe {
                let x = (x.as_ptr(), 1);
                gemv::multiply::<f32, f32>((n, n), x, m, y.as_mut_ptr(), work.as_mut_ptr());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, gemm, gemv);
criterion_main!(benches);
