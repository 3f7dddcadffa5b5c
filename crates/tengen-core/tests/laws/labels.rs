//! Labels, indices and lengths: what is none is an error, however many bits it has.

use tengen_core::ops::{self, CrossEntropy, Index, Reduction};
use tengen_core::{DType, ErrorKind, Tensor};

#[test]
fn labels_are_checked_before_they_are_narrowed() {
    let pred = Tensor::full(&[1, 3], 0.3, DType::F32).unwrap();
    let loss = |label: Tensor, with_logits| {
        let options = CrossEntropy { with_logits, ..Default::default() };
        ops::cross_entropy(&pred, &ops::reshape(&label, &[1]).unwrap(), options)
    };
    for logits in [true, false] {
        let e = loss(Tensor::scalar((1i64 << 32) + 1).unwrap(), logits).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Index);
        assert!(e.to_string().contains("4294967297"), "{e}");
        for label in [f64::NAN, 0.5, f64::INFINITY, 4_294_967_297.0, -1.0, 3.0] {
            assert!(loss(Tensor::scalar(label).unwrap(), logits).is_err(), "{label}");
            assert!(loss(Tensor::scalar(label as f32).unwrap(), logits).is_err(), "{label}");
        }
        assert!(loss(Tensor::scalar(2.0f32).unwrap(), logits).is_ok());
        assert!(loss(Tensor::scalar(2i64).unwrap(), logits).is_ok());
    }
    let far = Tensor::from_slice(&[1i64 << 32], &[1]).unwrap();
    let named = |e: tengen_core::Error| assert!(e.to_string().contains("4294967296"), "{e}");
    named(ops::one_hot(&far, 3).unwrap_err());
    named(ops::embedding(&far, &Tensor::zeros(&[3, 2], DType::F32).unwrap()).unwrap_err());
    named(ops::indexing_one_hot(&pred, &far, 1, false).unwrap_err());
    let index = ops::reshape(&far, &[1, 1]).unwrap();
    named(ops::gather(&pred, 1, &index).unwrap_err());
    let source = Tensor::zeros(&[1, 1], DType::F32).unwrap();
    named(ops::scatter(&pred, 1, &index, &source).unwrap_err());
    let scalar = Index::Tensor(Tensor::scalar(1i64 << 32).unwrap());
    named(ops::getitem(&pred, &[scalar]).unwrap_err());
}

#[test]
fn lengths_and_classes_of_ctc_are_checked_before_they_are_narrowed() {
    let pred = Tensor::full(&[2, 1, 2], 0.5, DType::F32).unwrap();
    let one = |v: i64| Tensor::from_slice(&[v], &[1]).unwrap();
    let loss = |steps, label, length| {
        ops::ctc_loss(&pred, &one(steps), &one(label), &one(length), 0, Reduction::Sum)
    };
    assert!(loss(2, 1, 1).is_ok());
    for (steps, label, length) in
        [((1 << 32) + 2, 1, 1), (2, (1 << 32) + 1, 1), (2, 1, (1 << 32) + 1), (-1, 1, 1)]
    {
        assert!(loss(steps, label, length).is_err(), "{steps} {label} {length}");
    }
}
