//! New tensors from numbers, and diagonals.

use crate::harness::laws;
use tengen_core::{DType, ErrorKind, Tensor, ops};

#[test]
fn diagonals_obey_the_laws() {
    for k in [0, 1, -2, 9] {
        laws("diag", move |x| ops::diag(&x[0], k)).input(&[4], -2.0, 2.0).check();
        laws("diag", move |x| ops::diag(&x[0], k)).input(&[3, 5], -2.0, 2.0).check();
        laws("diag", move |x| ops::diag(&x[0], k)).input(&[4, 2], -2.0, 2.0).check();
    }
}

#[test]
fn ranges_have_their_elements() {
    let v = |t: Tensor| t.to_f64_vec().unwrap();
    assert_eq!(v(ops::arange(1.0, 6.0, 2.0, DType::F32).unwrap()), [1.0, 3.0, 5.0]);
    assert_eq!(v(ops::arange(5.0, 0.0, -2.0, DType::I32).unwrap()), [5.0, 3.0, 1.0]);
    assert_eq!(v(ops::arange(0.5, 3.0, 1.0, DType::I32).unwrap()), [0.0, 1.0, 2.0]);
    assert!(v(ops::arange(5.0, 1.0, 1.0, DType::F32).unwrap()).is_empty());
    assert_eq!(v(ops::linspace(0.0, 10.0, 3, DType::I32).unwrap()), [0.0, 5.0, 10.0]);
    assert_eq!(v(ops::linspace(3.0, -1.0, 3, DType::F64).unwrap()), [3.0, 1.0, -1.0]);
    assert_eq!(v(ops::linspace(3.0, 9.0, 1, DType::F64).unwrap()), [3.0]);
    assert!(v(ops::linspace(3.0, 9.0, 0, DType::F64).unwrap()).is_empty());
    assert_eq!(v(ops::eye(2, 3, 1, DType::F32).unwrap()), [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(v(ops::eye(3, 2, -1, DType::I8).unwrap()), [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
    let x = Tensor::zeros(&[2], DType::I16).unwrap();
    assert_eq!(v(ops::ones_like(&x).unwrap()), [1.0, 1.0]);
    assert_eq!(v(ops::zeros_like(&x).unwrap()), [0.0, 0.0]);
    assert_eq!(ops::full_like(&x, 2.7).unwrap().to_vec::<i16>().unwrap(), [2, 2]);
}

#[test]
fn absurd_ranges_are_errors() {
    let kind = |a, b, c| ops::arange(a, b, c, DType::F32).unwrap_err().kind();
    assert_eq!(kind(0.0, 1.0, 0.0), ErrorKind::Value);
    assert_eq!(kind(0.0, f64::INFINITY, 1.0), ErrorKind::Value);
    assert_eq!(kind(f64::NAN, 1.0, 1.0), ErrorKind::Value);
    assert_eq!(kind(0.0, 1.0, 1e-300), ErrorKind::Shape);
    assert_eq!(kind(-1e308, 1e308, 1.0), ErrorKind::Shape);
    assert!(ops::arange(0.0, 1e17, 1.0, DType::F32).is_err());
    assert!(ops::linspace(0.0, 1.0, usize::MAX, DType::F32).is_err());
    assert!(ops::eye(usize::MAX, 2, 0, DType::F32).is_err());
    assert!(ops::diag(&Tensor::zeros(&[2], DType::F32).unwrap(), isize::MIN).is_err());
    assert!(ops::diag(&Tensor::scalar(1.0f32).unwrap(), 0).is_err());
    let x = Tensor::zeros(&[2, 2], DType::F32).unwrap();
    assert_eq!(*ops::diag(&x, isize::MIN).unwrap().shape(), [0]);
}
