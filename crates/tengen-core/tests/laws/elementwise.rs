//! Elementwise operators.

use crate::harness::laws;
use tengen_core::{GradManager, Result, Tensor, Var, ops};

type Unary = fn(&Tensor) -> Result<Tensor>;
type Binary = fn(&Tensor, &Tensor) -> Result<Tensor>;

fn unary(name: &'static str, f: Unary, low: f64, high: f64) {
    laws(name, move |x| f(&x[0])).input(&[3, 4, 5], low, high).check();
    laws(name, move |x| f(&x[0])).input(&[], low, high).check();
}

fn binary(name: &'static str, f: Binary, a: (f64, f64), b: (f64, f64)) {
    let shapes: [(&[usize], &[usize]); 8] = [
        (&[3, 4], &[3, 4]),
        (&[3, 4], &[]),
        (&[3, 1], &[1, 4]),
        (&[2, 3, 40], &[3, 1]),
        (&[2, 3, 40], &[40]),
        (&[1, 40], &[2, 3, 40]),
        (&[2, 1, 40], &[2, 3, 1]),
        (&[5], &[2, 3, 1]),
    ];
    for (i, (p, q)) in shapes.into_iter().enumerate() {
        let l = laws(name, move |x| f(&x[0], &x[1])).input(p, a.0, a.1).input(q, b.0, b.1);
        if i < 3 { l.check() } else { l.no_halves().check() }
    }
}

#[test]
fn unary_functions_obey_the_laws() {
    unary("neg", ops::neg, -3.0, 3.0);
    unary("abs", ops::abs, -3.0, 3.0);
    unary("square", ops::square, -3.0, 3.0);
    unary("sqrt", ops::sqrt, 0.1, 9.0);
    unary("exp", ops::exp, -4.0, 4.0);
    unary("expm1", ops::expm1, -2.0, 2.0);
    unary("log", ops::log, 0.1, 9.0);
    unary("log1p", ops::log1p, -0.5, 9.0);
    unary("sin", ops::sin, -7.0, 7.0);
    unary("cos", ops::cos, -7.0, 7.0);
    unary("tan", ops::tan, -1.2, 1.2);
    unary("asin", ops::asin, -0.9, 0.9);
    unary("acos", ops::acos, -0.9, 0.9);
    unary("atan", ops::atan, -5.0, 5.0);
    unary("sinh", ops::sinh, -3.0, 3.0);
    unary("cosh", ops::cosh, -3.0, 3.0);
    unary("tanh", ops::tanh, -3.0, 3.0);
    unary("asinh", ops::asinh, -5.0, 5.0);
    unary("acosh", ops::acosh, 1.2, 5.0);
    unary("atanh", ops::atanh, -0.9, 0.9);
    unary("erf", ops::erf, -3.0, 3.0);
    unary("erfc", ops::erfc, -3.0, 3.0);
}

#[test]
fn activations_obey_the_laws() {
    unary("relu", ops::relu, -3.0, 3.0);
    unary("relu6", ops::relu6, -3.0, 9.0);
    unary("sigmoid", ops::sigmoid, -6.0, 6.0);
    unary("hsigmoid", ops::hsigmoid, -5.0, 5.0);
    unary("hswish", ops::hswish, -5.0, 5.0);
    unary("silu", ops::silu, -6.0, 6.0);
    unary("gelu", ops::gelu, -5.0, 5.0);
    unary("softplus", ops::softplus, -6.0, 6.0);
    unary("logsigmoid", ops::logsigmoid, -6.0, 6.0);
    laws("leaky_relu", |x| ops::leaky_relu(&x[0], 0.1)).input(&[3, 40], -3.0, 3.0).check();
    laws("hardshrink", |x| ops::hardshrink(&x[0], 0.5)).input(&[3, 40], -3.0, 3.0).check();
    laws("clip", |x| ops::clip(&x[0], -1.0, 2.0)).input(&[3, 40], -3.0, 3.0).check();
    for weight in [&[1][..], &[3], &[1, 3, 1, 1]] {
        laws("prelu", |x| ops::prelu(&x[0], &x[1]))
            .input(&[2, 3, 7, 6], -3.0, 3.0)
            .input(weight, 0.1, 0.4)
            .no_halves()
            .check();
    }
}

#[test]
fn binary_functions_obey_the_laws() {
    binary("add", ops::add, (-3.0, 3.0), (-3.0, 3.0));
    binary("sub", ops::sub, (-3.0, 3.0), (-3.0, 3.0));
    binary("mul", ops::mul, (-3.0, 3.0), (-3.0, 3.0));
    binary("div", ops::div, (-3.0, 3.0), (0.5, 3.0));
    binary("maximum", ops::maximum, (-3.0, 3.0), (-3.0, 3.0));
    binary("minimum", ops::minimum, (-3.0, 3.0), (-3.0, 3.0));
    binary("pow", ops::pow, (0.3, 3.0), (-2.0, 2.0));
    binary("atan2", ops::atan2, (0.3, 3.0), (0.3, 3.0));
    binary("logaddexp", ops::logaddexp, (-3.0, 3.0), (-3.0, 3.0));
    for e in [2.0, 3.0, 0.5, 1.0, -1.5] {
        laws("pow_scalar", move |x| ops::pow_scalar(&x[0], e)).input(&[3, 4], 0.5, 2.0).check();
    }
    laws("modulo", |x| ops::modulo(&x[0], &Tensor::full(&[], 0.7, x[0].dtype())?))
        .input(&[3, 4], 0.71, 1.39)
        .no_halves()
        .check();
    for a in [(7.1, 8.9), (-8.9, -7.1)] {
        laws("modulo", |x| ops::modulo(&x[0], &ops::neg(&x[1])?))
            .input(&[3, 4], a.0, a.1)
            .input(&[4], 3.0, 3.5)
            .no_halves()
            .check();
    }
}

#[test]
fn the_gradient_of_a_remainder_counts_what_was_taken() {
    let x = Var::new(Tensor::from_slice(&[5.5f32, 7.0, -7.5, 7.5, 0.5, 6.0], &[6]).unwrap());
    let y = Var::new(Tensor::from_slice(&[2.0f32, 3.0, 2.0, -2.0, 2.0, 3.0], &[6]).unwrap());
    let mut gm = GradManager::new();
    gm.attach_all([&x, &y]).unwrap().record().unwrap();
    gm.backward(&ops::modulo(&x.get(), &y.get()).unwrap()).unwrap();
    let grad = |v: &Var| v.grad().unwrap().get().to_vec::<f32>().unwrap();
    assert_eq!(grad(&x), [1.0; 6]);
    assert_eq!(grad(&y), [-2.0, -2.0, 3.0, 3.0, 0.0, -2.0]);
}

#[test]
fn stepwise_functions_obey_the_laws() {
    for (name, f) in [
        ("sign", ops::sign as Unary),
        ("floor", ops::floor),
        ("ceil", ops::ceil),
        ("round", ops::round),
    ] {
        laws(name, move |x| f(&x[0])).input(&[3, 40], -3.0, 3.0).check();
    }
    laws("floor_div", |x| ops::floor_div(&x[0], &x[1]))
        .input(&[3, 40], -9.0, 9.0)
        .input(&[40], 1.0, 4.0)
        .no_halves()
        .check();
}

#[test]
fn tests_and_selection_obey_the_laws() {
    for (name, f) in [
        ("equal", ops::equal as Binary),
        ("not_equal", ops::not_equal),
        ("less", ops::less),
        ("less_equal", ops::less_equal),
        ("greater", ops::greater),
        ("greater_equal", ops::greater_equal),
    ] {
        laws(name, move |x| f(&x[0], &x[1]))
            .input(&[3, 4, 40], -1.0, 1.0)
            .input(&[4, 1], -1.0, 1.0)
            .no_gradient()
            .check();
    }
    for (name, f) in [("isnan", ops::isnan as Unary), ("isinf", ops::isinf)] {
        laws(name, move |x| f(&x[0])).input(&[3, 40], -1.0, 1.0).no_gradient().check();
    }
    laws("select", |x| ops::select(&ops::less(&x[0], &x[1])?, &x[0], &x[1]))
        .input(&[3, 4, 40], -1.0, 1.0)
        .input(&[4, 1], -1.0, 1.0)
        .no_halves()
        .check();
}

#[test]
fn logic_follows_its_truth_tables() {
    let a = Tensor::from_slice(&[false, false, true, true], &[4]).unwrap();
    let b = Tensor::from_slice(&[false, true, false, true], &[4]).unwrap();
    let bools = |t: Result<Tensor>| t.unwrap().to_vec::<bool>().unwrap();
    assert_eq!(bools(ops::logical_and(&a, &b)), [false, false, false, true]);
    assert_eq!(bools(ops::logical_or(&a, &b)), [false, true, true, true]);
    assert_eq!(bools(ops::logical_xor(&a, &b)), [false, true, true, false]);
    assert_eq!(bools(ops::logical_not(&a)), [true, true, false, false]);
    let x = Tensor::from_slice(&[1.0f32], &[1]).unwrap();
    assert!(ops::logical_and(&a, &x).is_err());
}

#[test]
fn integers_wrap_shift_and_divide_towards_minus_infinity() {
    let t = |v: &[i32]| Tensor::from_slice(v, &[v.len()]).unwrap();
    let ints = |t: Result<Tensor>| t.unwrap().to_vec::<i32>().unwrap();
    let (a, b) = (t(&[7, -7, 7, -7, 5, i32::MIN]), t(&[2, 2, -2, -2, 0, -1]));
    assert_eq!(ints(ops::floor_div(&a, &b)), [3, -4, -4, 3, 0, i32::MIN]);
    assert_eq!(ints(ops::modulo(&a, &b)), [1, 1, -1, -1, 0, 0]);
    assert_eq!(ints(ops::add(&t(&[i32::MAX]), &t(&[1]))), [i32::MIN]);
    assert_eq!(ints(ops::left_shift(&t(&[1, 1, 1]), &t(&[4, 40, -1]))), [16, 0, 0]);
    assert_eq!(ints(ops::right_shift(&t(&[-16, 16]), &t(&[2, 99]))), [-4, 0]);
    let x = Tensor::from_slice(&[1.0f32], &[1]).unwrap();
    assert!(ops::left_shift(&x, &x).is_err());
    let big: Vec<i32> = (0..100_000).collect();
    let twice: Vec<i32> = big.iter().map(|v| v * 2).collect();
    assert_eq!(ints(ops::add(&t(&big), &t(&big))), twice);
}
