//! Sorting, the greatest and least elements.

use crate::harness::{laws, tensor};
use tengen_core::{DType, Tensor, ops};

#[test]
fn sorting_obeys_the_laws() {
    let s = &[3, 4, 5];
    for down in [false, true] {
        for axis in [0, 1, -1] {
            laws("sort", move |x| Ok(ops::sort(&x[0], axis, down)?.0)).input(s, -2.0, 2.0).check();
            laws("argsort", move |x| ops::argsort(&x[0], axis, down))
                .input(s, -2.0, 2.0)
                .no_gradient()
                .no_halves()
                .check();
        }
        for k in [1, 3, 9] {
            laws("topk", move |x| Ok(ops::topk(&x[0], k, down, true)?.0))
                .input(s, -2.0, 2.0)
                .check();
            // Their order means nothing, so they are compared in another.
            laws("topk", move |x| Ok(ops::sort(&ops::topk(&x[0], k, down, false)?.0, -1, down)?.0))
                .input(s, -2.0, 2.0)
                .check();
        }
        laws("kth", move |x| Ok(ops::kth(&x[0], 2, down)?.0)).input(s, -2.0, 2.0).check();
    }
}

#[test]
fn equal_elements_come_in_turn() {
    let x = tensor(&[5], &[1.0, 1.0, 0.0, 1.0, 0.0], DType::F32);
    let order = |down| ops::argsort(&x, 0, down).unwrap().to_vec::<i32>().unwrap();
    assert_eq!(order(false), [2, 4, 0, 1, 3]);
    assert_eq!(order(true), [3, 1, 0, 4, 2]);
    let (_, at) = ops::topk(&x, 2, true, true).unwrap();
    assert_eq!(at.to_vec::<i32>().unwrap(), [3, 1]);
    let x = tensor(&[3], &[1.0, f64::NAN, 2.0], DType::F32);
    let order = |down| ops::argsort(&x, 0, down).unwrap().to_vec::<i32>().unwrap();
    assert_eq!((order(false), order(true)), (vec![0, 2, 1], vec![1, 2, 0]));
}

#[test]
fn impossible_orders_are_errors() {
    let x = Tensor::zeros(&[2, 3], DType::F32).unwrap();
    let none = Tensor::scalar(1.0f32).unwrap();
    assert!(ops::sort(&none, 0, false).is_err());
    assert!(ops::sort(&x, 2, false).is_err());
    assert!(ops::sort(&Tensor::scalar(true).unwrap(), -1, false).is_err());
    assert!(ops::topk(&x, 0, true, true).is_err());
    assert!(ops::topk(&none, 1, true, true).is_err());
    assert!(ops::kth(&x, 4, true).is_err());
    assert!(ops::kth(&x, 0, true).is_err());
    let empty = Tensor::zeros(&[0, 3], DType::F32).unwrap();
    assert_eq!(*ops::sort(&empty, 0, false).unwrap().0.shape(), [0, 3]);
}
