//! Softmax and losses.

use crate::harness::laws;
use tengen_core::ops::{self, HingeNorm, Reduction};
use tengen_core::{DType, ErrorKind, Tensor};

const REDUCTIONS: [Reduction; 3] = [Reduction::Mean, Reduction::Sum, Reduction::None];

#[test]
fn softmax_obeys_the_laws() {
    for axis in [0, 1, -1] {
        laws("softmax", move |x| ops::softmax(&x[0], axis)).input(&[3, 4, 5], -2.0, 2.0).check();
    }
    laws("softmax", |x| ops::softmax(&x[0], -1)).input(&[2, 300], -3.0, 3.0).check();
}

#[test]
fn cross_entropy_obeys_the_laws() {
    let cases: [(&[usize], &[usize], isize); 4] =
        [(&[4, 5], &[4], 1), (&[5, 3], &[3], 0), (&[2, 3, 2, 4], &[2, 2, 4], 1), (&[7], &[], -1)];
    for (shape, label_shape, axis) in cases {
        let classes = shape[axis.rem_euclid(shape.len() as isize) as usize];
        let n: usize = label_shape.iter().product();
        let label: Vec<i32> = (0..n).map(|i| (i * 7 % classes) as i32).collect();
        let label = Tensor::from_slice(&label, label_shape).unwrap();
        for smooth in [0.0, 0.1] {
            for reduction in REDUCTIONS {
                for (with_logits, low) in [(true, -2.0), (false, 0.2)] {
                    let label = label.clone();
                    laws("cross_entropy", move |x| {
                        ops::cross_entropy(&x[0], &label, axis, with_logits, smooth, reduction)
                    })
                    .input(shape, low, 0.9)
                    .rtol(2e-5)
                    .no_halves()
                    .check();
                }
            }
        }
    }
}

#[test]
fn other_losses_obey_the_laws() {
    for r in REDUCTIONS {
        let shape = &[3, 4];
        laws("l1_loss", move |x| ops::l1_loss(&x[0], &x[1], r))
            .input(shape, -2.0, 2.0)
            .input(&[4], -2.0, 2.0)
            .no_halves()
            .check();
        laws("square_loss", move |x| ops::square_loss(&x[0], &x[1], r))
            .input(shape, -2.0, 2.0)
            .input(shape, -2.0, 2.0)
            .no_halves()
            .check();
        laws("binary_cross_entropy", move |x| ops::binary_cross_entropy(&x[0], &x[1], true, r))
            .input(shape, -2.0, 2.0)
            .input(shape, 0.0, 1.0)
            .no_halves()
            .check();
        laws("binary_cross_entropy", move |x| ops::binary_cross_entropy(&x[0], &x[1], false, r))
            .input(shape, 0.1, 0.9)
            .input(shape, 0.1, 0.9)
            .no_halves()
            .check();
        for norm in [HingeNorm::L1, HingeNorm::L2] {
            laws("hinge_loss", move |x| ops::hinge_loss(&x[0], &x[1], norm, r))
                .input(shape, -2.0, 2.0)
                .input(shape, -1.0, 1.0)
                .no_halves()
                .check();
        }
    }
    laws("logistic_loss", |x| ops::logistic_loss(&x[0], &x[1]))
        .input(&[3, 4], -2.0, 2.0)
        .input(&[3, 4], 0.0, 1.0)
        .check();
    laws("binary_nll", |x| ops::binary_nll(&x[0], &x[1]))
        .input(&[3, 4], 0.2, 0.8)
        .input(&[3, 4], 0.0, 1.0)
        .check();
}

#[test]
fn certain_probabilities_cost_nothing() {
    let t = |v: &[f32]| Tensor::from_slice(v, &[v.len()]).unwrap();
    let loss = ops::binary_nll(&t(&[0.0, 1.0, 0.0]), &t(&[0.0, 1.0, 1.0])).unwrap();
    assert_eq!(loss.to_vec::<f32>().unwrap(), [0.0, 0.0, f32::INFINITY]);
    let large = ops::logistic_loss(&t(&[1e4, -1e4]), &t(&[1.0, 1.0])).unwrap();
    assert_eq!(large.to_vec::<f32>().unwrap(), [0.0, 1e4]);
}

#[test]
fn labels_that_do_not_fit_are_errors() {
    let pred = Tensor::ones(&[2, 3], DType::F32).unwrap();
    let label = |v: &[i32]| Tensor::from_slice(v, &[v.len()]).unwrap();
    let loss = |l: &Tensor, logits| {
        ops::cross_entropy(&pred, l, 1, logits, 0.0, Reduction::Mean).unwrap_err().kind()
    };
    for logits in [true, false] {
        assert_eq!(loss(&label(&[0, 3]), logits), ErrorKind::Index);
        assert_eq!(loss(&label(&[-1, 0]), logits), ErrorKind::Index);
        assert_eq!(loss(&label(&[0, 0, 0]), logits), ErrorKind::Shape);
    }
    let l = label(&[0, 1]);
    assert!(ops::cross_entropy(&pred, &l, 2, true, 0.0, Reduction::Mean).is_err());
    assert!(ops::cross_entropy(&pred, &l, 1, true, 1.5, Reduction::Mean).is_err());
    let scalar = Tensor::ones(&[], DType::F32).unwrap();
    assert!(ops::softmax(&scalar, 0).is_err());
    assert!(ops::cross_entropy(&scalar, &scalar, 0, true, 0.0, Reduction::Mean).is_err());
    let none = Tensor::ones(&[0, 3], DType::F32).unwrap();
    let empty = ops::cross_entropy(&none, &label(&[]), 1, true, 0.0, Reduction::Sum).unwrap();
    assert_eq!(empty.item().unwrap(), 0.0);
}
