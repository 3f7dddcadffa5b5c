//! Random tensors.

use tengen_core::random::{self, Generator};
use tengen_core::{DType, Tensor};
use tengen_kernels::pool::with_threads;

fn scalar(v: f64) -> Tensor {
    Tensor::scalar(v).unwrap()
}

fn moments(t: &Tensor) -> (f64, f64) {
    let v = t.to_f64_vec().unwrap();
    let mean = v.iter().sum::<f64>() / v.len() as f64;
    (mean, v.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / v.len() as f64)
}

#[test]
fn distributions_have_their_moments() {
    let g = Generator::new(11);
    let size = [50_000];
    let near = |t: Tensor, mean: f64, var: f64| {
        let (m, v) = moments(&t);
        let close = |a: f64, b: f64| (a - b).abs() < 0.05 * b.abs().max(1.0);
        assert!(close(m, mean) && close(v, var), "{m} {mean}, {v} {var}");
    };
    near(g.uniform(-1.0, 3.0, &size, DType::F32).unwrap(), 1.0, 16.0 / 12.0);
    near(g.normal(2.0, 3.0, &size, DType::F64).unwrap(), 2.0, 9.0);
    for (a, s) in [(0.5, 2.0), (3.0, 0.5)] {
        near(g.gamma(&scalar(a), &scalar(s), &size).unwrap(), a * s, a * s * s);
    }
    let (a, b) = (2.0, 3.0);
    let var = a * b / ((a + b) * (a + b) * (a + b + 1.0));
    near(g.beta(&scalar(a), &scalar(b), &size).unwrap(), a / (a + b), var);
    for lam in [0.5, 30.0] {
        near(g.poisson(&scalar(lam), &size).unwrap(), lam, lam);
    }
}

#[test]
fn parameters_are_broadcast_behind_the_size() {
    let rows = Tensor::from_slice(&[0.1f32, 50.0], &[2, 1]).unwrap();
    let columns = Tensor::ones(&[3], DType::F32).unwrap();
    let t = Generator::new(3).gamma(&rows, &columns, &[4]).unwrap();
    assert_eq!((*t.shape() == [4, 2, 3], t.dtype()), (true, DType::F32));
    let v = t.to_vec::<f32>().unwrap();
    for (i, v) in v.iter().enumerate() {
        assert!(if i % 6 < 3 { *v < 20.0 } else { *v > 20.0 }, "{i} {v}");
    }
}

#[test]
fn a_seed_decides_for_any_number_of_threads() {
    let draw = || {
        random::seed(5);
        let a = random::normal(0.0, 1.0, &[40_000], DType::F32).unwrap();
        let b = random::poisson(&scalar(4.0), &[40_000]).unwrap();
        let c = random::beta(&scalar(1.0), &scalar(2.0), &[10]).unwrap();
        [a, b, c].map(|t| t.to_f64_vec().unwrap())
    };
    let one = with_threads(1, draw);
    assert!(one == with_threads(3, draw));
}

#[test]
fn impossible_parameters_are_errors() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(random::gamma(&scalar(bad), &scalar(1.0), &[]).is_err());
        assert!(random::beta(&scalar(1.0), &scalar(bad), &[]).is_err());
        assert!(random::poisson(&scalar(bad), &[]).is_err());
    }
    assert!(random::uniform(1.0, 0.0, &[2], DType::F32).is_err());
    assert!(random::normal(0.0, 1.0, &[2], DType::I32).is_err());
    assert!(random::gamma(&scalar(1.0), &scalar(1.0), &[usize::MAX, 2]).is_err());
}
