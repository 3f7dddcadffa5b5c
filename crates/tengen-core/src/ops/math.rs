//! Exponentials, logarithms, trigonometry and the error function.

use super::map;
use crate::op::Entry;

pub(super) const OPERATORS: &[&[Entry]] = &[MAPS];

map! {
    /// eˣ, elementwise.
    exp = Exp(x) {
        f = x.exp();
        df(dy) = [dy.mul(x.exp())];
        by_value[F16 BF16 F32 F64](y, dy) = dy.mul(y);
    }

    /// eˣ − 1, elementwise, accurate near 0.
    expm1 = Expm1(x) {
        f = x.expm1();
        df(dy) = [dy.mul(x.exp())];
    }

    /// Natural logarithm, elementwise; −∞ at 0, NaN below.
    log = Log(x) {
        f = x.log();
        df(dy) = [dy.div(x)];
    }

    /// ln(1 + x), elementwise, accurate near 0.
    log1p = Log1p(x) {
        f = x.log1p();
        df(dy) = [dy.div(x.add(L::c(1.0)))];
    }

    /// ln(eᵃ + eᵇ), elementwise, without overflow.
    logaddexp = Logaddexp(a, b) {
        f = {
            let d = a.sub(b).abs();
            let m = L::sel(a.lt(b), b, a);
            m.add(d.neg().exp().log1p())
        };
        df(dy) = { let s = a.sub(b).sigmoid(); [dy.mul(s), dy.mul(L::c(1.0).sub(s))] };
    }

    /// Sine, elementwise, of radians.
    sin = Sin(x) {
        f = x.sin();
        df(dy) = [dy.mul(x.cos())];
    }

    /// Cosine, elementwise, of radians.
    cos = Cos(x) {
        f = x.cos();
        df(dy) = [dy.mul(x.sin()).neg()];
    }

    /// Tangent, elementwise, of radians.
    tan = Tan(x) {
        f = x.tan();
        df(dy) = { let t = x.tan(); [dy.mul(t.fma(t, L::c(1.0)))] };
    }

    /// Arc sine, elementwise; NaN beyond ±1.
    asin = Asin(x) {
        f = x.asin();
        df(dy) = [dy.div(L::c(1.0).sub(x.mul(x)).sqrt())];
    }

    /// Arc cosine, elementwise; NaN beyond ±1.
    acos = Acos(x) {
        f = x.acos();
        df(dy) = [dy.div(L::c(1.0).sub(x.mul(x)).sqrt()).neg()];
    }

    /// Arc tangent, elementwise.
    atan = Atan(x) {
        f = x.atan();
        df(dy) = [dy.div(x.fma(x, L::c(1.0)))];
    }

    /// The angle of the point (x, y), elementwise, in −π..π.
    atan2 = Atan2(y, x) {
        f = y.atan2(x);
        df(dy) = { let r = dy.div(x.fma(x, y.mul(y))); [r.mul(x), r.mul(y).neg()] };
    }

    /// Hyperbolic sine, elementwise.
    sinh = Sinh(x) {
        f = x.sinh();
        df(dy) = [dy.mul(x.cosh())];
    }

    /// Hyperbolic cosine, elementwise.
    cosh = Cosh(x) {
        f = x.cosh();
        df(dy) = [dy.mul(x.sinh())];
    }

    /// Hyperbolic tangent, elementwise.
    tanh = Tanh(x) {
        f = x.tanh();
        df(dy) = { let t = x.tanh(); [dy.mul(L::c(1.0).sub(t.mul(t)))] };
        // A half's rounding would be most of what is left of 1.
        by_value[F32 F64](y, dy) = dy.mul(L::c(1.0).sub(y.mul(y)));
    }

    /// Inverse hyperbolic sine, elementwise.
    asinh = Asinh(x) {
        f = x.asinh();
        df(dy) = [dy.div(x.fma(x, L::c(1.0)).sqrt())];
    }

    /// Inverse hyperbolic cosine, elementwise; NaN below 1.
    acosh = Acosh(x) {
        f = x.acosh();
        df(dy) = [dy.div(x.fma(x, L::c(-1.0)).sqrt())];
    }

    /// Inverse hyperbolic tangent, elementwise; NaN beyond ±1.
    atanh = Atanh(x) {
        f = x.atanh();
        df(dy) = [dy.div(L::c(1.0).sub(x.mul(x)))];
    }

    /// The error function 2/√π·∫₀ˣ e^(−t²) dt, elementwise.
    erf = Erf(x) {
        f = x.erf();
        df(dy) = [dy.mul(x.mul(x).neg().exp()).mul(L::c(std::f64::consts::FRAC_2_SQRT_PI))];
    }

    /// 1 − erf(x), elementwise, accurate for large x.
    erfc = Erfc(x) {
        f = x.erfc();
        df(dy) = [dy.mul(x.mul(x).neg().exp()).mul(L::c(-std::f64::consts::FRAC_2_SQRT_PI))];
    }
}
