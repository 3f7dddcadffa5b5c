use tengen_kernels::{lanes::*, map::*};
#[derive(Clone, Copy)]
struct Prelu;
impl Map<2> for Prelu {
    #[inline(always)]
    fn f<L: Num>(&self, [x, a]: [L; 2]) -> L {
        L::sel(L::c(0.).lt(x), x, a.mul(x))
    }
    #[inline(always)]
    fn df<L: Num>(&self, [x, a]: [L; 2], dy: L) -> [L; 2] {
        let p = L::c(0.).lt(x);
        [L::sel(p, dy, a.mul(dy)), L::sel(p, L::c(0.), x.mul(dy))]
    }
}
macro_rules! un {
    ($n:ident $m:ident) => {
        #[derive(Clone, Copy)]
        struct $n;
        impl Map<1> for $n {
            #[inline(always)]
            fn f<L: Num>(&self, [x]: [L; 1]) -> L {
                x.$m()
            }
            #[inline(always)]
            fn df<L: Num>(&self, _: [L; 1], dy: L) -> [L; 1] {
                [dy]
            }
        }
    };
}
un!(Exp exp);
un!(Log log);
un!(Tanh tanh);
un!(Sig sigmoid);
un!(Erf erf);
un!(Sin sin);
#[derive(Clone, Copy)]
struct Gelu;
impl Map<1> for Gelu {
    #[inline(always)]
    fn f<L: Num>(&self, [x]: [L; 1]) -> L {
        x.mul(L::c(0.5)).mul(x.mul(L::c(-std::f64::consts::FRAC_1_SQRT_2)).erfc())
    }
    #[inline(always)]
    fn df<L: Num>(&self, _: [L; 1], dy: L) -> [L; 1] {
        [dy]
    }
}
fn bench(name: &str, mut f: impl FnMut(), n: usize) {
    let mut best = f64::MAX;
    for _ in 0..20 {
        let t = std::time::Instant::now();
        for _ in 0..2000 {
            f();
        }
        best = best.min(t.elapsed().as_secs_f64());
    }
    println!("{name}: {:.0} ps/elem", best / 2000. / n as f64 * 1e12);
}
fn main() {
    let n = 2048;
    let x: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin() * 4.0).collect();
    let xp: Vec<f32> = x.iter().map(|v| v.abs() + 1e-3).collect();
    let mut y = vec![0f32; n];
    let a = 0.25f32;
    let s = |p: &Vec<f32>| Src { ptr: p.as_ptr(), single: false };
    let yp = y.as_mut_ptr();
    bench("prelu", || unsafe { forward(&Prelu, [s(&x), Src { ptr: &a, single: true }], yp, n) }, n);
    let mut sum = 0f64;
    let sp = &mut sum as *mut f64;
    bench(
        "prelu bwd",
        || unsafe {
            backward(
                &Prelu,
                [s(&x), Src { ptr: &a, single: true }],
                s(&xp),
                [Dst::Store(yp), Dst::Sum(sp)],
                n,
            )
        },
        n,
    );
    bench("exp", || unsafe { forward(&Exp, [s(&x)], yp, n) }, n);
    bench("log", || unsafe { forward(&Log, [s(&xp)], yp, n) }, n);
    bench("tanh", || unsafe { forward(&Tanh, [s(&x)], yp, n) }, n);
    bench("sigmoid", || unsafe { forward(&Sig, [s(&x)], yp, n) }, n);
    bench("erf", || unsafe { forward(&Erf, [s(&x)], yp, n) }, n);
    bench("gelu", || unsafe { forward(&Gelu, [s(&x)], yp, n) }, n);
    bench("sin", || unsafe { forward(&Sin, [s(&x)], yp, n) }, n);
    println!("{} {}", y[5], sum);
    // ulp
    macro_rules! ulp {
        ($n:expr, $m:ident, $r:expr, $lo:expr, $hi:expr) => {
            for isa in available() {
                with_isa(*isa, || {
                    let mut worst = 0f64;
                    let mut at = 0f32;
                    let k = 1 << 20;
                    let xs: Vec<f32> =
                        (0..k).map(|i| ($lo + ($hi - $lo) * i as f64 / k as f64) as f32).collect();
                    let mut ys = vec![0f32; k];
                    unsafe { forward(&$m, [s(&xs)], ys.as_mut_ptr(), k) };
                    for (x, y) in xs.iter().zip(&ys) {
                        let r: f64 = $r(*x as f64);
                        let rf = r as f32;
                        let u = (rf.abs().max(f32::MIN_POSITIVE).to_bits() + 1) as u32;
                        let ulp = (f32::from_bits(u) - f32::from_bits(u - 1)) as f64;
                        let e = (*y as f64 - r).abs() / ulp;
                        if e > worst {
                            worst = e;
                            at = *x;
                        }
                    }
                    println!("{} {:?}: {:.2} ulp at {}", $n, isa, worst, at);
                });
            }
        };
    }
    ulp!("exp", Exp, f64::exp, -103.0, 88.7);
    ulp!("log", Log, f64::ln, 1e-6, 10.0);
    ulp!("tanh", Tanh, f64::tanh, -12.0, 12.0);
    ulp!("sig", Sig, |x: f64| 1.0 / (1.0 + (-x).exp()), -80.0, 40.0);
    ulp!("sin", Sin, f64::sin, -8000.0, 8000.0);
}
