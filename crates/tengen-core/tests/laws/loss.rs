//! Losses.

use crate::harness::laws;
use tengen_core::ops::{self, CrossEntropy, HingeNorm, Reduction};
use tengen_core::{DType, Tensor};

const ALL: [Reduction; 3] = [Reduction::Mean, Reduction::Sum, Reduction::None];

#[test]
fn losses_obey_the_laws() {
    for reduction in ALL {
        let pair =
            |name, f: fn(&Tensor, &Tensor, Reduction) -> tengen_core::Result<Tensor>, low| {
                laws(name, move |x| f(&x[0], &x[1], reduction))
                    .input(&[3, 4], low, 0.9)
                    .input(&[3, 4], 0.1, 0.8)
                    .no_halves()
                    .check();
            };
        pair("binary_cross_entropy", |p, q, r| ops::binary_cross_entropy(p, q, true, r), -2.0);
        pair("binary_cross_entropy", |p, q, r| ops::binary_cross_entropy(p, q, false, r), 0.1);
        pair("l1_loss", ops::l1_loss, -1.0);
        pair("square_loss", ops::square_loss, -1.0);
        for norm in [HingeNorm::L1, HingeNorm::L2] {
            laws("hinge_loss", move |x| ops::hinge_loss(&x[0], &x[1], norm, reduction))
                .input(&[3, 4], -2.0, 2.0)
                .input(&[3, 4], -1.0, 1.0)
                .no_halves()
                .check();
        }
    }
}

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
            for reduction in ALL {
                for (with_logits, low) in [(true, -2.0), (false, 0.2)] {
                    let label = label.clone();
                    laws("cross_entropy", move |x| {
                        let label_smooth = smooth;
                        let options = CrossEntropy { axis, with_logits, label_smooth, reduction };
                        ops::cross_entropy(&x[0], &label, options)
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
fn losses_of_two_classes_obey_the_laws() {
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
fn labels_out_of_range_are_errors() {
    let pred = Tensor::zeros(&[2, 3], DType::F32).unwrap();
    let loss = |l: &[i32], s: &[usize]| {
        ops::cross_entropy(&pred, &Tensor::from_slice(l, s).unwrap(), Default::default())
    };
    assert!(loss(&[0, 3], &[2]).is_err());
    assert!(loss(&[0, -1], &[2]).is_err());
    assert!(loss(&[0], &[1]).is_err());
    assert!(loss(&[0, 1], &[2, 1]).is_err());
    assert!(loss(&[0, 2], &[2]).is_ok());
}

#[test]
fn temporal_classification_obeys_the_laws() {
    let ints = |v: &'static [i32], s: &'static [usize]| Tensor::from_slice(v, s).unwrap();
    for reduction in ALL {
        for label in [ints(&[1, 2, 2, 1, 3], &[5]), ints(&[1, 2, 0, 2, 1, 3], &[2, 3])] {
            laws("ctc_loss", move |x| {
                let (steps, lengths) = (ints(&[4, 6], &[2]), ints(&[2, 3], &[2]));
                ops::ctc_loss(&x[0], &steps, &label, &lengths, 0, reduction)
            })
            .input(&[6, 2, 4], 0.1, 0.9)
            .first_order()
            .no_halves()
            .check();
        }
    }
}

#[test]
fn sequences_that_do_not_fit_are_errors() {
    let pred = Tensor::full(&[3, 1, 3], 0.5, DType::F32).unwrap();
    let loss = |steps: i32, label: &[i32], len: i32, blank| {
        let one = |v: i32| Tensor::from_slice(&[v], &[1]).unwrap();
        let label = Tensor::from_slice(label, &[label.len()]).unwrap();
        ops::ctc_loss(&pred, &one(steps), &label, &one(len), blank, Reduction::Sum)
    };
    assert!(loss(3, &[1, 2], 2, 0).unwrap().item().unwrap().is_finite());
    assert_eq!(loss(1, &[1, 2], 2, 0).unwrap().item().unwrap(), f64::INFINITY);
    assert!(loss(4, &[1, 2], 2, 0).is_err());
    assert!(loss(-1, &[1, 2], 2, 0).is_err());
    assert!(loss(3, &[1, 2], 3, 0).is_err());
    assert!(loss(3, &[1, 3], 2, 0).is_err());
    assert!(loss(3, &[1, 0], 2, 0).is_err());
    assert!(loss(3, &[1, -1], 2, 0).is_err());
    assert!(loss(3, &[1, 2], 2, 3).is_err());
}
