//! Normalisation.

use crate::harness::{Rng, laws, tensor};
use tengen_core::{DType, Result, Tensor, ops};

const EPS: f64 = 1e-3;

#[test]
fn normalisation_obeys_the_laws() {
    for (x, c) in [(&[4, 3, 9][..], 3), (&[3, 4, 2, 5], 4), (&[4, 3, 5], 3), (&[6, 3], 3)] {
        laws("batch_norm", |t| Ok(ops::batch_norm_train(&t[0], Some(&t[1]), Some(&t[2]), EPS)?.0))
            .input(x, -1.0, 3.0)
            .input(&[c], 0.5, 1.5)
            .input(&[c], -1.0, 1.0)
            .rtol(5e-5)
            .check();
        laws("batch_norm statistics", |t| {
            let (y, mean, var) = ops::batch_norm_train(&t[0], None, None, EPS)?;
            let flat = ops::mul(&ops::exp(&mean)?, &ops::sqrt(&var)?)?;
            ops::add(&ops::sum(&ops::square(&y)?, None, false)?, &ops::sum(&flat, None, false)?)
        })
        .input(x, -1.0, 3.0)
        .no_halves()
        .rtol(5e-5)
        .check();
        laws("batch_norm_eval", |t| {
            let (w, b) = (Some(&t[3]), Some(&t[4]));
            ops::batch_norm_eval(&t[0], &t[1], &t[2], w, b, EPS)
        })
        .input(x, -1.0, 3.0)
        .input(&[c], 0.0, 1.0)
        .input(&[c], 0.5, 1.5)
        .input(&[c], 0.5, 1.5)
        .input(&[c], -1.0, 1.0)
        .rtol(5e-5)
        .check();
    }
    for groups in [1, 2, 4] {
        laws("group_norm", move |t| ops::group_norm(&t[0], groups, Some(&t[1]), Some(&t[2]), EPS))
            .input(&[2, 4, 3, 2], -1.0, 3.0)
            .input(&[4], 0.5, 1.5)
            .input(&[4], -1.0, 1.0)
            .rtol(5e-5)
            .check();
    }
    laws("instance_norm", |t| ops::instance_norm(&t[0], None, None, EPS))
        .input(&[2, 3, 4, 2], -1.0, 3.0)
        .rtol(5e-5)
        .check();
    for n in [1, 2] {
        let shape = [3, 4, 5];
        laws("layer_norm", move |t| {
            ops::layer_norm(&t[0], &shape[3 - n..], Some(&t[1]), Some(&t[2]), EPS)
        })
        .input(&shape, -1.0, 3.0)
        .input(&shape[3 - n..], 0.5, 1.5)
        .input(&shape[3 - n..], -1.0, 1.0)
        .rtol(5e-5)
        .check();
    }
    laws("general_norm", |t| ops::general_norm(&t[0], &[2, 0], Some(&t[1]), None, EPS))
        .input(&[3, 4, 5], -1.0, 3.0)
        .input(&[3, 5], 0.5, 1.5)
        .rtol(5e-5)
        .check();
}

/// (x − mean)/√(var + ε), of operators.
fn composed(x: &Tensor, axes: &[isize]) -> Result<Tensor> {
    let d = ops::sub(x, &ops::mean(x, Some(axes), true)?)?;
    let var = ops::var(x, Some(axes), true)?;
    ops::div(&d, &ops::sqrt(&ops::add(&var, &Tensor::full(&[], EPS, x.dtype())?)?)?)
}

#[test]
fn fused_normalisation_equals_the_composed_one() {
    let shape = [2, 6, 40, 70];
    let mut rng = Rng::new(5);
    let data: Vec<f64> = (0..shape.iter().product()).map(|_| 100.0 + 3.0 * rng.next()).collect();
    for (dtype, tol) in [(DType::F32, 2e-4), (DType::F64, 1e-11)] {
        let x = tensor(&shape, &data, dtype);
        let pairs = [
            (ops::batch_norm_train(&x, None, None, EPS).unwrap().0, composed(&x, &[0, 2, 3])),
            (ops::instance_norm(&x, None, None, EPS).unwrap(), composed(&x, &[2, 3])),
            (ops::group_norm(&x, 1, None, None, EPS).unwrap(), composed(&x, &[1, 2, 3])),
            (ops::layer_norm(&x, &[70], None, None, EPS).unwrap(), composed(&x, &[3])),
        ];
        for (fused, composed) in pairs {
            let (a, b) = (fused.to_f64_vec().unwrap(), composed.unwrap().to_f64_vec().unwrap());
            let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < tol, "{dtype}: {worst}");
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let t = |s: &[usize]| Tensor::ones(s, DType::F32).unwrap();
    let x = t(&[2, 4, 3]);
    assert!(ops::batch_norm_train(&t(&[4]), None, None, EPS).is_err());
    assert!(ops::batch_norm_train(&x, Some(&t(&[3])), None, EPS).is_err());
    assert!(ops::batch_norm_eval(&x, &t(&[1]), &t(&[4]), None, None, EPS).is_err());
    assert!(ops::group_norm(&x, 3, None, None, EPS).is_err());
    assert!(ops::group_norm(&x, 0, None, None, EPS).is_err());
    assert!(ops::layer_norm(&x, &[4], None, None, EPS).is_err());
    assert!(ops::layer_norm(&x, &[1, 2, 4, 3], None, None, EPS).is_err());
    assert!(ops::layer_norm(&x, &[3], None, Some(&t(&[2])), EPS).is_err());
    assert!(ops::general_norm(&x, &[1, 1], None, None, EPS).is_err());
    assert!(ops::general_norm(&x, &[3], None, None, EPS).is_err());
    let empty = ops::batch_norm_train(&t(&[0, 4, 3]), None, None, EPS).unwrap().0;
    assert_eq!(*empty.shape(), [0, 4, 3]);
}
