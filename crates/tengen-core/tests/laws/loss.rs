//! Losses.

use crate::harness::laws;
use tengen_core::ops::{self, CrossEntropy, HingeNorm, Reduction};
use tengen_core::{DType, Tensor};

const ALL: [Reduction; 3] = [Reduction::Mean, Reduction::Sum, Reduction::None];

#[test]
fn losses_obey_the_laws() {
    for reduction in ALL {
        for label_smooth in [0.0, 0.1] {
            laws("cross_entropy", move |x| {
                let label = Tensor::from_slice(&[2, 0, 1], &[3])?;
                let options = CrossEntropy { label_smooth, reduction, ..Default::default() };
                ops::cross_entropy(&x[0], &label, options)
            })
            .input(&[3, 4], -2.0, 2.0)
            .no_halves()
            .check();
        }
        laws("cross_entropy", move |x| {
            let label = Tensor::from_slice(&[1, 0, 2, 1], &[2, 2])?;
            let options =
                CrossEntropy { axis: 1, with_logits: false, reduction, label_smooth: 0.0 };
            ops::cross_entropy(&x[0], &label, options)
        })
        .input(&[2, 3, 2], 0.1, 0.9)
        .no_halves()
        .check();
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
