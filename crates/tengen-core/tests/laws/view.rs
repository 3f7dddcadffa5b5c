//! Changes of shape.

use crate::harness::laws;
use tengen_core::{DType, Shape, Tensor, ops};

#[test]
fn views_obey_the_laws() {
    let s = &[2, 3, 4];
    laws("reshape", |x| ops::reshape(&x[0], &[4, 6])).input(s, -2.0, 2.0).check();
    laws("reshape_infer", |x| ops::reshape_infer(&x[0], &[4, -1, 2])).input(s, -2.0, 2.0).check();
    laws("transpose", |x| ops::transpose(&x[0], &[2, 0, 1])).input(s, -2.0, 2.0).check();
    laws("swapaxes", |x| ops::swapaxes(&x[0], 0, -1)).input(s, -2.0, 2.0).check();
    laws("broadcast_to", |x| ops::broadcast_to(&x[0], &Shape::new(&[5, 2, 3, 4])?))
        .input(&[2, 1, 4], -2.0, 2.0)
        .check();
    laws("sum_to", |x| ops::sum_to(&x[0], &Shape::new(&[3, 1])?)).input(s, -2.0, 2.0).check();
    laws("expand_dims", |x| ops::expand_dims(&x[0], &[0, -1])).input(s, -2.0, 2.0).check();
    laws("squeeze", |x| ops::squeeze(&x[0], None)).input(&[2, 1, 4, 1], -2.0, 2.0).check();
    laws("squeeze", |x| ops::squeeze(&x[0], Some(&[-1]))).input(&[2, 1, 4, 1], -2.0, 2.0).check();
    laws("flatten", |x| ops::flatten(&x[0], 1, -1)).input(s, -2.0, 2.0).check();
    laws("cast", |x| ops::cast(&x[0], DType::F64)).input(s, -2.0, 2.0).check();
}

#[test]
fn impossible_shapes_are_errors() {
    let x = Tensor::zeros(&[2, 3], DType::F32).unwrap();
    assert!(ops::reshape(&x, &[4]).is_err());
    assert!(ops::reshape_infer(&x, &[-1, -1]).is_err());
    assert!(ops::reshape_infer(&x, &[-2, 3]).is_err());
    assert!(ops::reshape_infer(&x, &[4, -1]).is_err());
    assert!(ops::transpose(&x, &[0, 0]).is_err());
    assert!(ops::transpose(&x, &[0]).is_err());
    assert!(ops::squeeze(&x, Some(&[0])).is_err());
    assert!(ops::broadcast_to(&x, &Shape::new(&[3, 3]).unwrap()).is_err());
    assert!(Tensor::zeros(&[usize::MAX, 2], DType::F32).is_err());
    assert!(Tensor::zeros(&[1 << 40, 1 << 40], DType::F32).is_err());
    assert!(Tensor::zeros(&[1 << 45], DType::F32).is_err());
    assert!(Tensor::zeros(&[1; 9], DType::F32).is_err());
}
