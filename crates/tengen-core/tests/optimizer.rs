//! Optimizer steps on variables.

use tengen_core::optimizer::{AdamParams, adam_step, sgd_step};
use tengen_core::{DType, Tensor, Var, ops};
use tengen_kernels::pool::with_threads;

fn var(v: &[f64], dtype: DType) -> Var {
    Var::new(ops::cast(&Tensor::from_slice(v, &[v.len()]).unwrap(), dtype).unwrap())
}

fn values(v: &Var) -> Vec<f64> {
    v.get().to_f64_vec().unwrap()
}

#[test]
fn a_step_is_taken_in_place_unless_the_value_is_shared() {
    let p = var(&[1.0, 2.0], DType::F32);
    let g = Tensor::from_slice(&[1.0f32, 1.0], &[2]).unwrap();
    let at = |p: &Var| p.with(|t| t.as_slice::<f32>().unwrap().as_ptr());
    let before = at(&p);
    sgd_step(&p, &g, None, 0.5, 0.0, false, 0.0).unwrap();
    assert_eq!(at(&p), before);
    let kept = p.get();
    sgd_step(&p, &g, None, 0.5, 0.0, false, 0.0).unwrap();
    assert_eq!(kept.to_vec::<f32>().unwrap(), [0.5, 1.5]);
    assert_eq!(values(&p), [0.0, 1.0]);
}

#[test]
fn every_float_type_takes_steps() {
    for dtype in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        let (p, v) = (var(&[1.0, -2.0], dtype), var(&[0.0, 0.0], DType::F32));
        let g = ops::cast(&Tensor::from_slice(&[0.5, -0.25], &[2]).unwrap(), dtype).unwrap();
        for _ in 0..2 {
            sgd_step(&p, &g, Some(&v), 0.5, 0.5, false, 0.0).unwrap();
        }
        assert_eq!(p.get().dtype(), dtype);
        assert_eq!(v.get().dtype(), DType::F32);
        assert_eq!(values(&p), [0.375, -1.6875]);
        assert_eq!(values(&v), [0.75, -0.375]);
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let n = 100_000;
    let data: Vec<f64> = (0..n).map(|i| ((i * 37 % 1001) as f64 - 500.0) / 99.0).collect();
    let run = || {
        let (p, m, v) =
            (var(&data, DType::F32), var(&vec![0.0; n], DType::F32), var(&data, DType::F32));
        v.set(ops::abs(&v.get()).unwrap()).unwrap();
        let g = var(&data, DType::F32).get();
        adam_step(&p, &g, &m, &v, &Tensor::scalar(3.0f32).unwrap(), AdamParams::default()).unwrap();
        [values(&p), values(&m), values(&v)]
    };
    let one = with_threads(1, run);
    assert!(one == with_threads(3, run));
}

#[test]
fn what_does_not_fit_is_an_error_and_changes_nothing() {
    let p = var(&[1.0, 2.0], DType::F32);
    let g = |n: usize, dtype| Tensor::ones(&[n], dtype).unwrap();
    assert!(sgd_step(&p, &g(3, DType::F32), None, 0.1, 0.0, false, 0.0).is_err());
    assert!(sgd_step(&p, &g(2, DType::I32), None, 0.1, 0.0, false, 0.0).is_err());
    assert!(sgd_step(&p, &g(2, DType::F32), Some(&p), 0.1, 0.9, false, 0.0).is_err());
    let short = var(&[0.0], DType::F32);
    assert!(sgd_step(&p, &g(2, DType::F32), Some(&short), 0.1, 0.9, false, 0.0).is_err());
    assert_eq!(values(&p), [1.0, 2.0]);
}
