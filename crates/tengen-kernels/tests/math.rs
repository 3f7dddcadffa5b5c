//! The functions of lanes against f64, in units in the last place, on every instruction set.

use tengen_kernels::lanes::{Float, Isa, Num, available, with_isa};
use tengen_kernels::map::{Map, Src, forward};

macro_rules! functions {
    ($($name:ident = $method:ident;)*) => {$(
        #[derive(Clone, Copy)]
        struct $name;
        impl Map<1> for $name {
            #[inline(always)]
            fn f<L: Num>(&self, [x]: [L; 1]) -> L {
                x.$method()
            }
            #[inline(always)]
            fn df<L: Num>(&self, _: [L; 1], dy: L) -> [L; 1] {
                [dy]
            }
        }
    )*};
}

functions! {
    Exp = exp;
    Expm1 = expm1;
    Log = log;
    Log1p = log1p;
    Tanh = tanh;
    Sigmoid = sigmoid;
    Erf = erf;
    Erfc = erfc;
    Normal = normal;
    Slope = normal_slope;
    Sin = sin;
    Cos = cos;
}

fn apply<T: Float, M: Map<1>>(map: M, x: &[T]) -> Vec<T> {
    let mut y = vec![T::default(); x.len()];
    // SAFETY: both slices have `x.len()` elements.
    unsafe {
        forward(&map, [Src { ptr: x.as_ptr(), single: false }], y.as_mut_ptr(), x.len(), false)
    };
    y
}

/// The worst error of f32 results over low..high, in units in the last place of the exact value,
/// with `floor` as the least magnitude that a unit is taken of.
fn worst<M: Map<1>>(map: M, exact: fn(f64) -> f64, low: f64, high: f64, floor: f32) -> (f64, f32) {
    let n = 200_001;
    let x: Vec<f32> =
        (0..n).map(|i| (low + (high - low) * i as f64 / (n - 1) as f64) as f32).collect();
    let mut worst = (0.0, 0.0);
    for (x, y) in x.iter().zip(apply(map, &x)) {
        let want = exact(*x as f64);
        let size = (want.abs() as f32).max(floor);
        let unit = (f32::from_bits(size.to_bits() + 1) - size) as f64;
        let error = (y as f64 - want).abs() / unit;
        if error > worst.0 {
            worst = (error, *x);
        }
    }
    worst
}

fn check<M: Map<1>>(name: &str, map: M, exact: fn(f64) -> f64, range: (f64, f64), limit: f64) {
    let floor = if matches!(name, "sin" | "cos") { 1e-2 } else { f32::MIN_POSITIVE };
    for isa in available() {
        let (error, at) = with_isa(*isa, || worst(map, exact, range.0, range.1, floor)).unwrap();
        // Without fused multiply-add, e^(−x²) keeps the rounding error of x².
        let squares = matches!(name, "erfc" | "beyond" | "normal") && *isa == Isa::Portable;
        let limit = if squares { 90.0 } else { limit };
        assert!(error <= limit, "{name} on {isa:?}: {error:.2} units at {at}");
    }
}

#[test]
fn single_precision_is_within_its_units() {
    check("exp", Exp, f64::exp, (-103.0, 88.7), 1.2);
    check("expm1", Expm1, f64::exp_m1, (-20.0, 80.0), 2.0);
    check("log", Log, f64::ln, (1e-6, 50.0), 1.2);
    check("log1p", Log1p, f64::ln_1p, (-0.99, 50.0), 2.5);
    check("tanh", Tanh, f64::tanh, (-12.0, 12.0), 3.0);
    check("sigmoid", Sigmoid, |x| 1.0 / (1.0 + (-x).exp()), (-80.0, 40.0), 3.0);
    check("sin", Sin, f64::sin, (-500.0, 500.0), 3.0);
    check("cos", Cos, f64::cos, (-500.0, 500.0), 3.0);
}

/// erf by its Taylor series, which converges quickly where it is used.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..80 {
        term *= -x * x / n as f64;
        sum += term / (2 * n + 1) as f64;
    }
    sum * std::f64::consts::FRAC_2_SQRT_PI
}

/// erfc by the series near 0, else by its continued fraction.
fn erfc(x: f64) -> f64 {
    if x < 1.5 {
        return if x > -1.5 { 1.0 - erf(x) } else { 2.0 - erfc(-x) };
    }
    let tail = (1..200).rev().fold(0.0, |tail, n| n as f64 / 2.0 / (x + tail));
    (-x * x).exp() / (x + tail) / std::f64::consts::PI.sqrt()
}

/// How likely a standard normal number is beyond |x|.
#[derive(Clone, Copy)]
struct Beyond;
impl Map<1> for Beyond {
    #[inline(always)]
    fn f<L: Num>(&self, [x]: [L; 1]) -> L {
        x.gauss()[1]
    }
    #[inline(always)]
    fn df<L: Num>(&self, [x]: [L; 1], dy: L) -> [L; 1] {
        [x.gauss()[0].mul(dy)]
    }
}

fn beyond(x: f64) -> f64 {
    erfc(x.abs() * std::f64::consts::FRAC_1_SQRT_2) / 2.0
}

fn normal(x: f64) -> f64 {
    erfc(-x * std::f64::consts::FRAC_1_SQRT_2) / 2.0
}

fn slope(x: f64) -> f64 {
    normal(x) + x * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[test]
fn error_functions_are_within_their_units() {
    check("erf", Erf, erf, (-2.5, 2.5), 2.5);
    check("erfc", Erfc, erfc, (-2.0, 9.0), 5.0);
    check("beyond", Beyond, beyond, (-13.0, 13.0), 5.0);
    // Within the reach of tables, which are more exact, and beyond it.
    check("normal", Normal, normal, (-3.9, 3.9), 5.0);
    check("normal", Normal, normal, (-13.0, 13.0), 5.0);
    if let Some((error, at)) = with_isa(Isa::Avx512, || worst(Normal, normal, -3.9, 3.9, 0.0)) {
        assert!(error <= 3.0, "normal by tables: {error:.2} units at {at}");
    }
    for (low, high) in [(-3.9, 3.9), (-13.0, 13.0)] {
        for isa in available() {
            // It is 0 at −0.75, where only the size of its terms can be held to.
            let (error, at) = with_isa(*isa, || worst(Slope, slope, low, high, 0.25)).unwrap();
            assert!(error <= 4.0, "slope on {isa:?}: {error:.2} units at {at}");
        }
    }
    let x: Vec<f64> = (0..20_001).map(|i| -5.0 + i as f64 * 0.0015).collect();
    for isa in available() {
        let (c, b) = with_isa(*isa, || (apply(Erfc, &x), apply(Beyond, &x))).unwrap();
        for ((x, c), b) in x.iter().zip(c).zip(b) {
            // Below 1.5 the series is exact to units of 1, beyond it e^(−x²) limits the reference.
            let near = |got: f64, want: f64| (got - want).abs() <= 1e-15 + 1e-13 * want;
            assert!(near(c, erfc(*x)) && near(b, beyond(*x)), "{isa:?} {x}: {c} {b}");
            let far = |got: f64, want: f64| *x < 2.2 || (got / want - 1.0).abs() < 2e-13;
            assert!(far(c, erfc(*x)) && far(b, beyond(*x)), "{isa:?} {x}: {c} {b}");
        }
    }
}

#[test]
fn double_precision_agrees_with_the_c_library() {
    let x: Vec<f64> = (0..20_001).map(|i| -20.0 + i as f64 * 0.002).collect();
    let near = |name: &str, got: Vec<f64>, want: fn(f64) -> f64, rtol: f64| {
        for (x, y) in x.iter().zip(got) {
            let w = want(*x);
            let same = y.to_bits() == w.to_bits() || (y.is_nan() && w.is_nan());
            assert!(same || (y - w).abs() <= rtol * w.abs() + 1e-300, "{name}({x}): {y}, not {w}");
        }
    };
    for isa in available() {
        with_isa(*isa, || {
            near("exp", apply(Exp, &x), f64::exp, 1e-15);
            near("expm1", apply(Expm1, &x), f64::exp_m1, 2e-15);
            near("tanh", apply(Tanh, &x), f64::tanh, 2e-15);
            near("log", apply(Log, &x), f64::ln, 4e-15);
        });
    }
}

#[test]
fn special_values_are_kept() {
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -0.0, -1.0, 1e-45];
    for isa in available() {
        with_isa(*isa, || {
            let e = apply(Exp, &x);
            assert!(e[0].is_nan() && e[1] == f32::INFINITY && e[2] == 0.0 && e[3] == 1.0);
            let l = apply(Log, &x);
            assert!(l[0].is_nan() && l[1] == f32::INFINITY && l[2].is_nan() && l[5].is_nan());
            assert_eq!((l[3], l[4]), (f32::NEG_INFINITY, f32::NEG_INFINITY));
            assert!((l[6] - 1e-45f32.ln()).abs() < 1e-3, "{isa:?} {}", l[6]);
            let t = apply(Tanh, &x);
            assert!(t[0].is_nan() && t[1] == 1.0 && t[2] == -1.0 && t[4].is_sign_negative());
            let s = apply(Sin, &x);
            assert!(s[0].is_nan() && s[1].is_nan() && s[4].is_sign_negative());
        });
    }
}
