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
    if which == "conv" {
        convs()
    }
    if which == "one" {
        let a: Vec<usize> = std::env::args().skip(2).map(|v| v.parse().unwrap()).collect();
        one(&a)
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
pub fn convs() {
    for (n, c, h, k, r, s, p, grp, pt) in [
        (16usize, 64usize, 56usize, 64usize, 3usize, 1usize, 1usize, 1usize, "10.1/10.6/11.1"),
        (16, 128, 28, 128, 3, 1, 1, 1, "8.9/8.7/9.6"),
        (16, 256, 14, 256, 3, 1, 1, 1, "8.4/9.4/10.6"),
        (16, 512, 7, 512, 3, 1, 1, 1, "8.7/8.8/10.7"),
        (1, 64, 56, 64, 3, 1, 1, 1, ".77"),
        (1, 512, 7, 512, 3, 1, 1, 1, ""),
        (16, 256, 56, 64, 1, 1, 0, 1, "10.1/12.9/11.9"),
        (16, 1024, 14, 256, 1, 1, 0, 1, "4.4/4.4/5.2"),
        (16, 3, 224, 64, 7, 2, 3, 1, "26/-/14-26"),
        (16, 128, 56, 128, 3, 2, 1, 1, "11.9/16.7/12.3"),
        (16, 64, 56, 128, 1, 2, 0, 1, ""),
        (16, 144, 28, 144, 3, 1, 1, 144, "0.7"),
        (16, 128, 28, 128, 3, 1, 1, 8, ""),
        (1, 2048, 7, 512, 1, 1, 0, 1, ""),
        (1, 3, 224, 64, 7, 2, 3, 1, ""),
    ] {
        let x = Var::new(random::normal(0.0, 1.0, &[n, c, h, h], DType::F32).unwrap());
        let ws = if grp == 1 { vec![k, c, r, r] } else { vec![grp, k / grp, c / grp, r, r] };
        let w = Var::new(random::normal(0.0, 1.0, &ws, DType::F32).unwrap());
        let prm =
            ops::ConvParams { stride: (s, s), padding: (p, p), groups: grp, ..Default::default() };
        let (xt, wt) = (x.get(), w.get());
        let y = ops::conv2d(&xt, &wt, None, prm).unwrap();
        let reps = 8;
        let (_, f) = best(reps, || {
            std::hint::black_box(ops::conv2d(&xt, &wt, None, prm).unwrap());
        });
        let mut gr = [0.0; 2];
        for (i, v) in [&x, &w].into_iter().enumerate() {
            let mut gm = GradManager::new();
            gm.attach(v).unwrap();
            let mut all = vec![];
            for _ in 0..reps {
                gm.record().unwrap();
                let y2 = ops::conv2d(&x.get(), &w.get(), None, prm).unwrap();
                let t = Instant::now();
                gm.backward_with(&[y2], Some(&[y.clone()])).unwrap();
                all.push(t.elapsed().as_secs_f64());
                v.set_grad(None);
            }
            all.sort_by(f64::total_cmp);
            gr[i] = all[reps / 2];
        }
        let gf = 2.0 * y.numel() as f64 * (c / grp * r * r) as f64 / 1e9;
        println!(
            "{n},{c},{h}→{k} {r}×{r} s{s} g{grp}: fwd {:.2} ms ({:.0} GF/s)  dx {:.2} ms ({:.0})  dw {:.2} ms ({:.0})   torch {pt}",
            f * 1e3,
            gf / f,
            gr[0] * 1e3,
            gf / gr[0],
            gr[1] * 1e3,
            gf / gr[1]
        );
    }
}
pub fn one(args: &[usize]) {
    let [n, c, h, k, r, s, p] = args[..] else { return };
    let x = random::normal(0.0, 1.0, &[n, c, h, h], DType::F32).unwrap();
    let w = random::normal(0.0, 1.0, &[k, c, r, r], DType::F32).unwrap();
    let prm = ops::ConvParams { stride: (s, s), padding: (p, p), ..Default::default() };
    for _ in 0..5 {
        let (lo, f) = best(40, || {
            std::hint::black_box(ops::conv2d(&x, &w, None, prm).unwrap());
        });
        println!("{:.2} ({:.2})", f * 1e3, lo * 1e3);
    }
}
