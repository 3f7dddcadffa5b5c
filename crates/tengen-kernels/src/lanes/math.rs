//! Every [`Num`] function from a [`Lane`]'s primitives. Coefficients come from
//! `tools/coefficients.py`; the stated errors are measured by the tests in `tests/math.rs`.

use super::{Lane, Num, Table, k, normal};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_PI_2, LOG2_E, SQRT_2};

/// A polynomial, highest power first, by Horner's rule.
#[inline(always)]
fn poly<L: Lane, const K: usize>(x: L, c: [f64; K]) -> L {
    let mut r = k::<L>(c[0]);
    let mut i = 1;
    while i < K {
        r = r.fma(x, k::<L>(c[i]));
        i += 1;
    }
    r
}

/// High and low parts of ln 2: products of the high part with exponents are exact.
#[inline(always)]
fn ln2<L: Lane>() -> (f64, f64) {
    if L::DOUBLE {
        (f64::from_bits(0x3fe6_2e42_fee0_0000), 1.908_214_929_270_587_7e-10)
    } else {
        (0.693_145_751_953_125, 1.428_606_765_330_187e-6)
    }
}

/// Splits x into j·ln 2 + r with |r| ≤ ln 2 / 2.
#[inline(always)]
fn reduce_exp<L: Lane>(x: L) -> (L, L) {
    let (hi, lo) = ln2::<L>();
    let j = x.mul(k(LOG2_E)).rint();
    (j, j.fma(k(-lo), j.fma(k(-hi), x)))
}

/// q(r) of eʳ = 1 + r + r²·q(r).
#[inline(always)]
fn exp_q<L: Lane>(r: L) -> L {
    if L::DOUBLE { poly(r, EXP64) } else { poly(r, EXP32) }
}
const EXP64: [f64; 12] = [
    1.608662795678037e-10,
    2.0918137737642736e-09,
    2.505207109429355e-08,
    2.75572632790885e-07,
    2.755731924721873e-06,
    2.4801587336442236e-05,
    0.00019841269841263298,
    0.0013888888888879073,
    0.008333333333333333,
    0.04166666666666668,
    0.16666666666666666,
    0.5,
];
const EXP32: [f64; 5] = [
    0.0013926183588083018,
    0.008363179052722578,
    0.04166655461719902,
    0.16666576989698775,
    0.5000000000000002,
];

/// Range outside which eˣ is 0 or infinite.
#[inline(always)]
fn exp_range<L: Lane>() -> (f64, f64) {
    if L::DOUBLE { (-746.0, 710.0) } else { (-105.0, 89.0) }
}

/// e^(j·ln 2 + r), from [`reduce_exp`].
#[inline(always)]
fn exp_of<L: Lane>((j, r): (L, L)) -> L {
    r.mul(r).fma(exp_q(r), r).add(k(1.0)).ldexp(j)
}

/// p of erfc(a)·e^(a²) = t·p(a·t), where t = 1 / (1 + ERFC_T·a): for a up to [`ERFC_END`].
const ERFC32: [f64; 10] = [
    -0.0002739099593086989,
    0.0016003716040590584,
    -0.0028322247629851698,
    0.001988619878693749,
    -0.005742436918427762,
    0.0014560071969915687,
    0.03992241479585742,
    0.06130615529607568,
    -0.5783802462579174,
    1.0000000083435707,
];
const ERFC64: [f64; 23] = [
    1.4600758453829828e-12,
    -3.377118537802587e-11,
    3.506005082291745e-10,
    -2.1712549571105453e-09,
    9.051444515741145e-09,
    -2.729980168998919e-08,
    6.200017268381952e-08,
    -1.0678459249610022e-07,
    1.4290216694899346e-07,
    -1.610665396295545e-07,
    8.654875578376264e-08,
    1.0634612331284506e-08,
    9.663963444008446e-07,
    1.6971280823990893e-06,
    -1.3547022050780644e-05,
    -7.34521812202539e-05,
    0.00014002566063853214,
    0.0019322471548501204,
    -0.002871257037731634,
    -0.05055336418149041,
    0.29434062467834265,
    -0.7533791670955122,
    1.0,
];
const ERFC_T: [f64; 2] = [0.55, 0.375];
/// Beyond this erfc is 0.
const ERFC_END: [f64; 2] = [10.2, 27.3];
const ERF32: [f64; 7] = [
    7.875875062685488e-05,
    -0.000801686428716587,
    0.005189087423433974,
    -0.026854212010626412,
    0.11283594715160218,
    -0.37612626666720334,
    1.1283791658483509,
];
const ERF64: [f64; 14] = [
    -4.230945824295338e-12,
    8.709045129053106e-11,
    -1.216456005728345e-09,
    1.4792401209404813e-08,
    -1.6364642158167616e-07,
    1.6462045441468418e-06,
    -1.4925647567519332e-05,
    0.00012055332902888736,
    -0.000854832702193483,
    0.0052239776254232985,
    -0.02686617064512984,
    0.1128379167095512,
    -0.37612638903183754,
    std::f64::consts::FRAC_2_SQRT_PI,
];
const LOG32: [f64; 4] =
    [0.23330581938241893, 0.2855081659971155, 0.40000121876972, 0.6666666655445165];
const LOG64: [f64; 8] = [
    0.13086767009948175,
    0.13268759668560612,
    0.15386240205813478,
    0.18181795630884753,
    0.2222222239180047,
    0.2857142857080323,
    0.4000000000000088,
    0.6666666666666666,
];
const SIN32: [f64; 4] =
    [2.7249314054698804e-06, -0.00019840082012765537, 0.008333331865959415, -0.16666666663832763];
const SIN64: [f64; 8] = [
    2.791203938334182e-15,
    -7.646960543242874e-13,
    1.6059042774746807e-10,
    -2.505210838236557e-08,
    2.755731922398105e-06,
    -0.00019841269841269839,
    0.008333333333333333,
    -0.16666666666666666,
];
const COS32: [f64; 4] =
    [-2.7300448619488353e-07, 2.4800596435621998e-05, -0.001388888766471362, 0.0416666666643024];
const COS64: [f64; 8] = [
    -1.551790823256003e-16,
    4.779375695231919e-14,
    -1.1470745066441372e-11,
    2.0876756986329255e-09,
    -2.755731922398347e-07,
    2.48015873015873e-05,
    -0.001388888888888889,
    0.041666666666666664,
];

/// The coefficients of p(v·x) from those of p(x).
const fn scaled<const K: usize>(mut c: [f64; K], v: f64) -> [f64; K] {
    let (mut i, mut power) = (K, 1.0);
    while i > 0 {
        i -= 1;
        c[i] *= power;
        power *= v;
    }
    c
}
const GAUSS32: [f64; 10] = scaled(ERFC32, SQRT_2);
const GAUSS64: [f64; 23] = scaled(ERFC64, SQRT_2);

/// e^(−a²) and erfc(a) of a ≥ 0; for `gauss` e^(−a²/2) and erfc(a/√2)/2. The rounding error of a²
/// is corrected.
#[inline(always)]
fn erfc_positive<L: Lane>(a: L, gauss: bool) -> [L; 2] {
    let at = L::DOUBLE as usize;
    let (square, root, half) = if gauss { (0.5, FRAC_1_SQRT_2, 0.5) } else { (1.0, 1.0, 1.0) };
    let a = a.min(k(ERFC_END[at] / root));
    let b = a.mul(k(-square));
    let x = a.mul(b);
    let (j, r) = reduce_exp(x);
    let e = exp_of((j, r.add(a.fma(b, x.neg()))));
    let t = k::<L>(half).div(a.fma(k(ERFC_T[at] * root), k(1.0)));
    let u = a.mul(t);
    let p = match (L::DOUBLE, gauss) {
        (false, false) => poly(u, ERFC32),
        (false, true) => poly(u, GAUSS32),
        (true, false) => poly(u, ERFC64),
        (true, true) => poly(u, GAUSS64),
    };
    [e, e.mul(t).mul(p)]
}

/// Quadrant and remainder of an angle; good for |x| below `TRIG_LIMIT`.
#[inline(always)]
fn reduce_trig<L: Lane>(x: L) -> (L, L) {
    let q = x.mul(k(1.0 / FRAC_PI_2)).rint();
    let r = if L::DOUBLE {
        let r = q.fma(k(-f64::from_bits(0x3ff9_21fb_5440_0000)), x);
        let r = q.fma(k(-f64::from_bits(0x3dd0_b461_1a60_0000)), r);
        q.fma(k(-2.022_266_248_795_950_7e-21), r)
    } else {
        let r = q.fma(k(-1.570_312_5), x);
        let r = q.fma(k(-4.837_512_969_970_703e-4), r);
        q.fma(k(-7.549_789_954_891_882e-8), r)
    };
    (q, r)
}
/// Angles beyond this go through the C library, element by element.
const TRIG_LIMIT: f64 = 512.0;

/// sin (quadrant offset 0) or cos (offset 1).
#[inline(always)]
fn sin_cos<L: Lane>(x: L, offset: f64) -> L {
    let far = L::not(x.abs().lt(k(TRIG_LIMIT)));
    if L::W == 1 || L::any(far) {
        return x.map(if offset == 0.0 { f64::sin } else { f64::cos });
    }
    let (q, r) = reduce_trig(x);
    let q = q.add(k(offset));
    let z = r.mul(r);
    let (s, c) =
        if L::DOUBLE { (poly(z, SIN64), poly(z, COS64)) } else { (poly(z, SIN32), poly(z, COS32)) };
    let sin = r.mul(z).fma(s, r);
    let cos = z.mul(z).fma(c, z.fma(k(-0.5), k(1.0)));
    // q mod 4 picks among sin, cos, −sin, −cos.
    let half = q.mul(k(0.5));
    let odd = L::not(half.floor().eq(half));
    let v = L::sel(odd, cos, sin);
    let quarter = half.floor().mul(k(0.5));
    L::sel(quarter.floor().eq(quarter), v, v.neg())
}

impl<L: Lane> Num for L {
    type Mask = L::M;
    #[inline(always)]
    fn c(v: f64) -> Self {
        k(v)
    }
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        Lane::add(self, o)
    }
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        Lane::sub(self, o)
    }
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        Lane::mul(self, o)
    }
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        Lane::div(self, o)
    }
    #[inline(always)]
    fn neg(self) -> Self {
        Lane::neg(self)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Lane::abs(self)
    }
    #[inline(always)]
    fn fma(self, a: Self, b: Self) -> Self {
        Lane::fma(self, a, b)
    }
    #[inline(always)]
    fn min(self, o: Self) -> Self {
        Lane::min(self, o)
    }
    #[inline(always)]
    fn max(self, o: Self) -> Self {
        Lane::max(self, o)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Lane::sqrt(self)
    }
    #[inline(always)]
    fn copysign(self, s: Self) -> Self {
        Lane::copysign(self, s)
    }
    #[inline(always)]
    fn floor(self) -> Self {
        Lane::floor(self)
    }
    #[inline(always)]
    fn ceil(self) -> Self {
        Lane::ceil(self)
    }
    #[inline(always)]
    fn round(self) -> Self {
        let a = Lane::abs(self);
        let f = Lane::floor(a);
        let up = L::le(k(0.5), Lane::sub(a, f));
        Lane::copysign(L::sel(up, Lane::add(f, k(1.0)), f), self)
    }
    #[inline(always)]
    fn lt(self, o: Self) -> L::M {
        Lane::lt(self, o)
    }
    #[inline(always)]
    fn le(self, o: Self) -> L::M {
        Lane::le(self, o)
    }
    #[inline(always)]
    fn eq(self, o: Self) -> L::M {
        Lane::eq(self, o)
    }
    #[inline(always)]
    fn and(a: L::M, b: L::M) -> L::M {
        <L as Lane>::and(a, b)
    }
    #[inline(always)]
    fn or(a: L::M, b: L::M) -> L::M {
        <L as Lane>::or(a, b)
    }
    #[inline(always)]
    fn not(m: L::M) -> L::M {
        <L as Lane>::not(m)
    }
    #[inline(always)]
    fn sel(m: L::M, a: Self, b: Self) -> Self {
        <L as Lane>::sel(m, a, b)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        let (lo, hi) = exp_range::<L>();
        exp_of(reduce_exp(Lane::max(Lane::min(self, k(hi)), k(lo))))
    }
    #[inline(always)]
    fn expm1(self) -> Self {
        let (_, hi) = exp_range::<L>();
        let x = Lane::max(Lane::min(self, k(hi)), k(-50.0));
        let (j, r) = reduce_exp(x);
        let p = Lane::fma(Lane::mul(r, r), exp_q(r), r);
        // 2ʲ·p + (2ʲ − 1), halved against overflow at the top.
        let half = k::<L>(0.5).ldexp(j);
        let v = Lane::fma(half, p, Lane::sub(half, k(0.5)));
        L::sel(Lane::eq(self, k(0.0)), self, Lane::add(v, v))
    }
    #[inline(always)]
    fn log(self) -> Self {
        let (m, e) = self.frexp();
        let big = Lane::lt(k(SQRT_2), m);
        let m = L::sel(big, Lane::mul(m, k(0.5)), m);
        let e = L::sel(big, Lane::add(e, k(1.0)), e);
        // ln m = f − s·(f − R), s = f / (2 + f), R = s²·p(s²): the leading term f is exact.
        let f = Lane::sub(m, k(1.0));
        let s = Lane::div(f, Lane::add(f, k(2.0)));
        let z = Lane::mul(s, s);
        let r = Lane::mul(z, if L::DOUBLE { poly(z, LOG64) } else { poly(z, LOG32) });
        let (hi, lo) = ln2::<L>();
        let tail = Lane::fma(e, k(lo), Lane::mul(s, Lane::sub(r, f)));
        let v = Lane::fma(e, k(hi), Lane::add(f, tail));
        let v = L::sel(Lane::lt(self, k(f64::INFINITY)), v, self);
        let v = L::sel(Lane::lt(self, k(0.0)), k(f64::NAN), v);
        L::sel(Lane::eq(self, k(0.0)), k(f64::NEG_INFINITY), v)
    }
    #[inline(always)]
    fn log1p(self) -> Self {
        let u = Lane::add(self, k(1.0));
        let lost = Lane::sub(self, Lane::sub(u, k(1.0)));
        let v = Lane::add(Num::log(u), Lane::div(lost, u));
        let plain = <L as Lane>::or(Lane::eq(u, k(1.0)), Lane::eq(u, k(f64::INFINITY)));
        let v = L::sel(plain, self, v);
        L::sel(Lane::eq(u, k(0.0)), k(f64::NEG_INFINITY), v)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        // tanh |x| = e / (e + 2), e = e^(2|x|) − 1; it is 1 to the last bit beyond the clamp.
        let a = Lane::abs(self);
        let a = Lane::min(a, k(if L::DOUBLE { 22.0 } else { 10.0 }));
        let e = Num::expm1(Lane::add(a, a));
        Lane::copysign(Lane::div(e, Lane::add(e, k(2.0))), self)
    }
    #[inline(always)]
    fn sigmoid(self) -> Self {
        Lane::div(k(1.0), Lane::add(Num::exp(Lane::neg(self)), k(1.0)))
    }
    #[inline(always)]
    fn erf(self) -> Self {
        let a = Lane::abs(self);
        let z = Lane::mul(self, self);
        let z1 = Lane::min(z, k(1.0));
        let near = Lane::mul(self, if L::DOUBLE { poly(z1, ERF64) } else { poly(z1, ERF32) });
        let far = Lane::copysign(Lane::sub(k(1.0), erfc_positive(a, false)[1]), self);
        L::sel(Lane::lt(a, k(1.0)), near, far)
    }
    #[inline(always)]
    fn erfc(self) -> Self {
        let [_, v] = erfc_positive(Lane::abs(self), false);
        L::sel(Lane::lt(self, k(0.0)), Lane::sub(k(2.0), v), v)
    }
    #[inline(always)]
    fn gauss(self) -> [Self; 2] {
        erfc_positive(Lane::abs(self), true)
    }
    #[inline(always)]
    fn stepwise(self, table: &Table) -> Option<Self> {
        normal::stepwise(self, table)
    }
    #[inline(always)]
    fn sin(self) -> Self {
        let v = sin_cos(self, 0.0);
        L::sel(Lane::eq(self, k(0.0)), self, v)
    }
    #[inline(always)]
    fn cos(self) -> Self {
        sin_cos(self, 1.0)
    }
    #[inline(always)]
    fn tan(self) -> Self {
        self.map(f64::tan)
    }
    #[inline(always)]
    fn asin(self) -> Self {
        self.map(f64::asin)
    }
    #[inline(always)]
    fn acos(self) -> Self {
        self.map(f64::acos)
    }
    #[inline(always)]
    fn atan(self) -> Self {
        self.map(f64::atan)
    }
    #[inline(always)]
    fn sinh(self) -> Self {
        self.map(f64::sinh)
    }
    #[inline(always)]
    fn cosh(self) -> Self {
        self.map(f64::cosh)
    }
    #[inline(always)]
    fn asinh(self) -> Self {
        self.map(f64::asinh)
    }
    #[inline(always)]
    fn acosh(self) -> Self {
        self.map(f64::acosh)
    }
    #[inline(always)]
    fn atanh(self) -> Self {
        self.map(f64::atanh)
    }
    #[inline(always)]
    fn pow(self, e: Self) -> Self {
        self.map2(e, f64::powf)
    }
    #[inline(always)]
    fn atan2(self, x: Self) -> Self {
        self.map2(x, f64::atan2)
    }
    #[inline(always)]
    fn modulo(self, o: Self) -> Self {
        self.map2(o, |a, b| a % b)
    }
}
