use tengen_core::*;
fn main() {
    let a = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3]).unwrap();
    let b = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[3]).unwrap();
    let w = Var::new(Tensor::from_slice(&[0.25f32], &[1]).unwrap());
    let x = Var::new(a.clone());
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let t = std::time::Instant::now();
    for _ in 0..n {
        std::hint::black_box(ops::add(&a, &b).unwrap());
    }
    println!("add {:.0} ns", t.elapsed().as_secs_f64() / n as f64 * 1e9);
    let t = std::time::Instant::now();
    let wt = w.get();
    for _ in 0..n {
        std::hint::black_box(ops::prelu(&a, &wt).unwrap());
    }
    println!("prelu {:.0} ns", t.elapsed().as_secs_f64() / n as f64 * 1e9);
    let mut gm = GradManager::new();
    gm.attach(&w).unwrap();
    gm.attach(&x).unwrap();
    let t = std::time::Instant::now();
    for _ in 0..n {
        gm.record().unwrap();
        let y = ops::prelu(&x.get(), &w.get()).unwrap();
        gm.backward(&y).unwrap();
    }
    println!("fb {:.0} ns", t.elapsed().as_secs_f64() / n as f64 * 1e9);
    let mut s = tengen_core::random::normal(0.0, 1.0, &[32, 64, 56, 56], DType::F32).unwrap();
    s = ops::add(&s, &s).unwrap();
    let sl = Var::new(Tensor::full(&[1, 64, 1, 1], 0.25, DType::F32).unwrap());
    let big = Var::new(s.clone());
    let slt = sl.get();
    for _ in 0..3 {
        let t = std::time::Instant::now();
        for _ in 0..20 {
            std::hint::black_box(ops::prelu(&s, &slt).unwrap());
        }
        println!("prelu big {:.2} ms", t.elapsed().as_secs_f64() / 20.0 * 1e3);
    }
    let mut gm = GradManager::new();
    gm.attach(&sl).unwrap();
    gm.attach(&big).unwrap();
    for _ in 0..3 {
        let t = std::time::Instant::now();
        for _ in 0..10 {
            big.set_grad(None);
            sl.set_grad(None);
            gm.record().unwrap();
            let y = ops::prelu(&big.get(), &sl.get()).unwrap();
            gm.backward_with(&[y], Some(&[s.clone()])).unwrap();
        }
        println!("prelu big fb {:.2} ms", t.elapsed().as_secs_f64() / 10.0 * 1e3);
    }
    let a = tengen_core::random::normal(0.0, 1.0, &[1024, 1024], DType::F32).unwrap();
    let mut best = f64::MAX;
    for _ in 0..30 {
        let t = std::time::Instant::now();
        std::hint::black_box(ops::matmul(&a, &a, false, false).unwrap());
        best = best.min(t.elapsed().as_secs_f64());
    }
    println!("matmul {:.0} GFLOP/s", 2.147 / best);
    for (n, c, h, k, r, s, p) in [
        (16, 64, 56, 64, 3, 1, 1),
        (16, 128, 28, 128, 3, 1, 1),
        (16, 256, 14, 256, 3, 1, 1),
        (16, 512, 7, 512, 3, 1, 1),
        (16, 256, 56, 64, 1, 1, 0),
        (16, 3, 224, 64, 7, 2, 3),
        (16, 128, 56, 128, 3, 2, 1),
    ] {
        let x = Var::new(tengen_core::random::normal(0.0, 1.0, &[n, c, h, h], DType::F32).unwrap());
        let w = Var::new(tengen_core::random::normal(0.0, 1.0, &[k, c, r, r], DType::F32).unwrap());
        let prm = ops::ConvParams { stride: (s, s), padding: (p, p), ..Default::default() };
        let mut f = f64::MAX;
        let mut b = f64::MAX;
        for _ in 0..4 {
            let mut gm = GradManager::new();
            gm.attach(&x).unwrap();
            gm.attach(&w).unwrap();
            gm.record().unwrap();
            let t = std::time::Instant::now();
            let y = ops::conv2d(&x.get(), &w.get(), None, prm).unwrap();
            f = f.min(t.elapsed().as_secs_f64());
            let t = std::time::Instant::now();
            gm.backward(&y).unwrap();
            b = b.min(t.elapsed().as_secs_f64());
        }
        println!(
            "conv {n},{c},{h}->{k} {r}x{r} s{s}: fwd {:.1} ms, bwd {:.1} ms",
            f * 1e3,
            b * 1e3
        );
    }
    let x = tengen_core::random::normal(0.0, 1.0, &[16, 144, 28, 28], DType::F32).unwrap();
    let w = tengen_core::random::normal(0.0, 1.0, &[144, 1, 1, 3, 3], DType::F32).unwrap();
    let prm = ops::ConvParams { padding: (1, 1), groups: 144, ..Default::default() };
    let mut f = f64::MAX;
    for _ in 0..5 {
        let t = std::time::Instant::now();
        std::hint::black_box(ops::conv2d(&x, &w, None, prm).unwrap());
        f = f.min(t.elapsed().as_secs_f64());
    }
    println!("depthwise {:.2} ms", f * 1e3);
}
