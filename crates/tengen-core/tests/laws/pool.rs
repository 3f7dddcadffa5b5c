//! Pooling.

use crate::harness::{Rng, alone, laws};
use tengen_core::ops::{self, CountMode, PoolParams};
use tengen_core::{DType, GradManager, Tensor, Var};

fn windows() -> [PoolParams; 6] {
    let new = |kernel, stride, padding| PoolParams { kernel, stride, padding };
    [
        PoolParams::square(2),
        new((3, 3), (2, 2), (1, 1)),
        new((3, 2), (1, 3), (0, 1)),
        new((1, 1), (2, 2), (0, 0)),
        new((5, 6), (1, 1), (0, 0)),
        new((4, 3), (2, 1), (3, 2)),
    ]
}

#[test]
fn pooling_obeys_the_laws() {
    let x = &[2, 3, 5, 6];
    for p in windows() {
        laws("max_pool2d", move |t| ops::max_pool2d(&t[0], p)).input(x, -2.0, 2.0).check();
        for mode in [CountMode::IncludePadding, CountMode::ExcludePadding] {
            laws("avg_pool2d", move |t| ops::avg_pool2d(&t[0], p, mode))
                .input(x, -2.0, 2.0)
                .check();
        }
    }
    for to in [(1, 1), (2, 3), (3, 4), (5, 6)] {
        laws("adaptive_max_pool2d", move |t| ops::adaptive_max_pool2d(&t[0], to))
            .input(x, -2.0, 2.0)
            .check();
        laws("adaptive_avg_pool2d", move |t| ops::adaptive_avg_pool2d(&t[0], to))
            .input(x, -2.0, 2.0)
            .check();
    }
}

#[test]
fn one_window_averages_the_whole_image() {
    let v: Vec<f32> = (0..2 * 3 * 5 * 7).map(|i| (i * 37 % 101) as f32 / 7.0 - 6.0).collect();
    let x = Tensor::from_slice(&v, &[2, 3, 5, 7]).unwrap();
    let p = PoolParams { kernel: (5, 7), stride: (5, 7), padding: (0, 0) };
    let window = ops::avg_pool2d(&x, p, CountMode::IncludePadding).unwrap();
    let whole = ops::adaptive_avg_pool2d(&x, (1, 1)).unwrap();
    assert_eq!(whole.shape(), window.shape());
    let pairs = whole.to_vec::<f32>().unwrap().into_iter().zip(window.to_vec::<f32>().unwrap());
    for (a, b) in pairs {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}

#[test]
fn every_tie_gets_the_gradient_of_a_maximum() {
    let x = Var::new(Tensor::from_slice(&[1.0f32, 1.0, 0.0, 1.0], &[1, 1, 2, 2]).unwrap());
    let mut gm = GradManager::new();
    gm.attach(&x).unwrap().record().unwrap();
    gm.backward(&ops::max_pool2d(&x.get(), PoolParams::square(2)).unwrap()).unwrap();
    assert_eq!(x.grad().unwrap().get().to_vec::<f32>().unwrap(), [1.0, 1.0, 0.0, 1.0]);
}

#[test]
fn windows_that_do_not_fit_are_errors() {
    let t = |s: &[usize]| Tensor::ones(s, DType::F32).unwrap();
    let p = PoolParams::square(2);
    assert!(ops::max_pool2d(&t(&[3, 4, 4]), p).is_err());
    assert!(ops::max_pool2d(&t(&[1, 3, 4, 4]), PoolParams::square(5)).is_err());
    assert!(ops::avg_pool2d(&t(&[1, 1, 1, 4]), p, CountMode::IncludePadding).is_err());
    assert!(ops::max_pool2d(&t(&[1, 1, 4, 4]), PoolParams { stride: (0, 1), ..p }).is_err());
    assert!(ops::max_pool2d(&t(&[1, 1, 4, 4]), PoolParams { padding: (2, 0), ..p }).is_err());
    let huge = PoolParams { padding: (usize::MAX, 0), ..p };
    assert!(ops::max_pool2d(&t(&[1, 1, 4, 4]), huge).is_err());
    // A window's extents fit each for itself, the count of its elements does not.
    let k = (1usize << 32) + 1;
    let wide = PoolParams { kernel: (k, k), stride: (k, k), padding: (k - 1, k - 1) };
    for mode in [CountMode::IncludePadding, CountMode::ExcludePadding] {
        assert!(ops::avg_pool2d(&t(&[1, 1, 4, 4]), wide, mode).is_err());
    }
    let tall = PoolParams { kernel: (k, 1), stride: (k, 1), padding: (k - 1, 0) };
    let y = ops::avg_pool2d(&t(&[1, 1, 4, 4]), tall, CountMode::ExcludePadding).unwrap();
    assert_eq!(y.to_vec::<f32>().unwrap(), [1.0; 8]);
    assert!(ops::adaptive_avg_pool2d(&t(&[1, 1, 4, 4]), (5, 1)).is_err());
    assert!(ops::adaptive_max_pool2d(&t(&[1, 1, 4, 4]), (0, 1)).is_err());
    let empty = ops::max_pool2d(&t(&[0, 3, 4, 4]), p).unwrap();
    assert_eq!(*empty.shape(), [0, 3, 2, 2]);
}

type Pooling<'a> = &'a dyn Fn(&Tensor) -> tengen_core::Result<Tensor>;

/// The gradient of `f(x)`, given the gradient to the result.
fn gradient(x: &Tensor, f: Pooling, dy: &Tensor) -> Tensor {
    let x = Var::new(x.clone());
    let mut gm = GradManager::new();
    gm.attach(&x).unwrap().record().unwrap();
    let y = f(&x.get()).unwrap();
    gm.backward_with(&[y], Some(std::slice::from_ref(dy))).unwrap();
    x.grad().unwrap().get()
}

#[test]
fn gradients_of_large_images_are_those_of_their_halves() {
    let _alone = alone();
    let noise = |shape: &[usize], seed: u64| {
        let mut rng = Rng::new(seed);
        let n = shape.iter().product();
        let data: Vec<f32> = (0..n).map(|_| (rng.next() * 9.0).floor() as f32).collect();
        Tensor::from_slice(&data, shape).unwrap()
    };
    let (x, dy) = (noise(&[2, 700, 56, 56], 1), noise(&[2, 700, 28, 28], 2));
    let p = PoolParams { kernel: (3, 3), stride: (2, 2), padding: (1, 1) };
    let functions: [Pooling; 2] =
        [&|x| ops::max_pool2d(x, p), &|x| ops::avg_pool2d(x, p, CountMode::ExcludePadding)];
    for f in functions {
        let whole = gradient(&x, f, &dy);
        let halves = [&x, &dy].map(|t| ops::split(t, 2, 0).unwrap());
        let parts = [0, 1].map(|k| gradient(&halves[0][k], f, &halves[1][k]));
        let joined = ops::concat(&[&parts[0], &parts[1]], 0).unwrap();
        assert!(whole.to_vec::<f32>().unwrap() == joined.to_vec::<f32>().unwrap());
    }
}
