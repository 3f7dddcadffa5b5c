use std::time::Instant;
use tengen_core::*;
fn best(reps: usize, mut f: impl FnMut()) -> (f64, f64) {
    f();
    let mut all: Vec<f64> = (0..reps)
        .map(|_| {
            let t = Instant::now();
            f();
            t.elapsed().as_secs_f64()
        })
        .collect();
    all.sort_by(f64::total_cmp);
    (all[0], all[all.len() / 2])
}
fn main() {
    let which = std::env::args().nth(1).unwrap();
    ceiling();
    if which == "mm" {
        for n in [256usize, 512, 1024, 2048] {
            let a = random::normal(0.0, 1.0, &[n, n], DType::F32).unwrap();
            let b = random::normal(0.0, 1.0, &[n, n], DType::F32).unwrap();
            let reps = (60e9 / (2.0 * (n * n * n) as f64)) as usize;
            for (ta, tb) in [(false, false), (true, false), (false, true)] {
                let (lo, med) = best(reps.clamp(10, 500), || {
                    std::hint::black_box(ops::matmul(&a, &b, ta, tb).unwrap());
                });
                let f = 2.0 * (n * n * n) as f64 / 1e9;
                print!("{n} {ta} {tb}: {:.0} ({:.0})   ", f / med, f / lo);
            }
            println!();
        }
    }
    if which == "prelu" {
        let s = random::normal(0.0, 1.0, &[32, 64, 56, 56], DType::F32).unwrap();
        let w = Tensor::full(&[1, 64, 1, 1], 0.25, DType::F32).unwrap();
        for _ in 0..3 {
            let (lo, med) = best(100, || {
                std::hint::black_box(ops::prelu(&s, &w).unwrap());
            });
            print!("prelu {:.2} ({:.2}) ms ", med * 1e3, lo * 1e3);
            let (lo, med) = best(100, || {
                std::hint::black_box(ops::add(&s, &s).unwrap());
            });
            print!("add {:.2} ({:.2}) ms ", med * 1e3, lo * 1e3);
            let (lo, med) = best(100, || {
                std::hint::black_box(ops::relu(&s).unwrap());
            });
            println!("relu {:.2} ({:.2}) ms ", med * 1e3, lo * 1e3);
        }
    }
}
mod peak {
    use tengen_kernels::lanes::*;
    pub struct Fma(pub usize);
    impl Kernel for Fma {
        type Output = f32;
        #[inline(always)]
        fn run<A: Arch>(self) -> f32 {
            let mut acc = [<A::F32>::splat(0.0); 24];
            let (a, b) = (<A::F32>::splat(1.0001), <A::F32>::splat(0.9999));
            for _ in 0..self.0 {
                for x in acc.iter_mut() {
                    *x = Lane::fma(*x, a, b);
                }
            }
            acc.iter().map(|x| x.sum()).sum()
        }
    }
}
pub fn ceiling() {
    let t = Instant::now();
    let n = 20_000_000;
    tengen_kernels::pool::for_each(2, |_| {
        std::hint::black_box(tengen_kernels::lanes::dispatch(peak::Fma(n)));
    });
    println!(
        "peak {:.0} GFLOP/s",
        2.0 * 24.0 * 2.0 * 16.0 * n as f64 / t.elapsed().as_secs_f64() / 1e9
    );
}
