//! Reductions.

use crate::harness::laws;
use tengen_core::{DType, Tensor, ops};
use tengen_kernels::lanes::{available, isa, with_isa};

#[test]
fn reductions_obey_the_laws() {
    let axes: [Option<&'static [isize]>; 6] =
        [None, Some(&[0]), Some(&[1]), Some(&[-1]), Some(&[0, 2]), Some(&[1, 2])];
    for a in axes {
        for keep in [false, true] {
            let shape = &[3, 4, 5];
            laws("sum", move |x| ops::sum(&x[0], a, keep)).input(shape, -2.0, 2.0).check();
            laws("mean", move |x| ops::mean(&x[0], a, keep))
                .input(shape, -2.0, 2.0)
                .no_halves()
                .check();
            laws("prod", move |x| ops::prod(&x[0], a, keep))
                .input(shape, 0.5, 1.5)
                .no_halves()
                .check();
            laws("max", move |x| ops::max(&x[0], a, keep)).input(shape, -2.0, 2.0).check();
            laws("min", move |x| ops::min(&x[0], a, keep)).input(shape, -2.0, 2.0).check();
            laws("var", move |x| ops::var(&x[0], a, keep))
                .input(shape, -2.0, 2.0)
                .no_halves()
                .check();
            laws("std", move |x| ops::std(&x[0], a, keep))
                .input(shape, -2.0, 2.0)
                .no_halves()
                .check();
            laws("logsumexp", move |x| ops::logsumexp(&x[0], a, keep))
                .input(shape, -2.0, 2.0)
                .check();
            for p in [1.0, 2.0, 3.0, f64::INFINITY, f64::NEG_INFINITY] {
                laws("norm", move |x| ops::norm(&x[0], p, a, keep))
                    .input(shape, 0.5, 2.0)
                    .no_halves()
                    .check();
            }
        }
    }
    for p in [1.0, 2.0, 3.0] {
        laws("normalize", move |x| ops::normalize(&x[0], p, Some(&[1]), 1e-12))
            .input(&[3, 4, 5], 0.5, 2.0)
            .no_halves()
            .check();
    }
    for axis in [0, 1, -1] {
        laws("softmax", move |x| ops::softmax(&x[0], axis)).input(&[3, 4, 5], -2.0, 2.0).check();
        laws("logsoftmax", move |x| ops::logsoftmax(&x[0], &[axis]))
            .input(&[3, 4, 5], -2.0, 2.0)
            .check();
        laws("argmax", move |x| ops::argmax(&x[0], Some(axis), false))
            .input(&[3, 4, 5], -2.0, 2.0)
            .no_gradient()
            .check();
        laws("argmin", move |x| ops::argmin(&x[0], Some(axis), true))
            .input(&[3, 4, 5], -2.0, 2.0)
            .no_gradient()
            .check();
    }
}

#[test]
fn logsumexp_at_once_is_its_composition() {
    use tengen_core::{GradManager, Var, apply, op::Table};
    let op = Table::all().build("logsumexp", &[]).unwrap();
    let inf = f64::INFINITY;
    let rows = [[1.0, -2.0, 3.0], [1000.0, 999.0, 1000.0], [-inf, 0.0, -1.0], [inf, 0.0, -1.0]];
    let rows = [rows, [[-inf; 3], [f64::NAN, 0.0, 1.0], [-1000.0, -999.0, -inf], [0.0; 3]]];
    let data: Vec<f64> = rows.iter().flatten().flatten().copied().collect();
    for dtype in [DType::F32, DType::F64] {
        let run = |fused: bool| {
            let x = ops::cast(&Tensor::from_slice(&data, &[2, 4, 3]).unwrap(), dtype).unwrap();
            let x = Var::new(x);
            let mut gm = GradManager::new();
            gm.attach(&x).unwrap().record().unwrap();
            let y = match fused {
                true => apply(op.clone(), &[&x.get()]).unwrap(),
                false => op.expand(&[&x.get()]).unwrap().unwrap(),
            };
            gm.backward(&y[0]).unwrap();
            [y[0].clone(), x.grad().unwrap().get()].map(|t| t.to_f64_vec().unwrap())
        };
        for (got, want) in run(true).concat().into_iter().zip(run(false).concat()) {
            let same = got == want || got.is_nan() && want.is_nan();
            assert!(same || (got - want).abs() <= 1e-6 * want.abs(), "{dtype}: {got}, not {want}");
        }
    }
    for shape in [&[2, 0][..], &[]] {
        let x = Tensor::zeros(shape, DType::F32).unwrap();
        assert!(apply(op.clone(), &[&x]).is_err());
    }
    let x = Tensor::zeros(&[0, 3], DType::F32).unwrap();
    assert_eq!(*ops::logsumexp(&x, Some(&[1]), true).unwrap().shape(), [0, 1]);
}

#[test]
fn every_tie_gets_the_gradient_of_a_maximum() {
    use tengen_core::{GradManager, Var};
    let x = Var::new(Tensor::from_slice(&[3.0f32, 1.0, 3.0], &[3]).unwrap());
    let mut gm = GradManager::new();
    gm.attach(&x).unwrap().record().unwrap();
    gm.backward(&ops::max(&x.get(), None, false).unwrap()).unwrap();
    assert_eq!(x.grad().unwrap().get().to_vec::<f32>().unwrap(), [1.0, 0.0, 1.0]);
}

/// Σ over the products of Πx·r, by definition, to each element and to each pair of elements.
fn products(x: &[f64], kept: usize, of: impl Fn(usize) -> usize, r: &[f64]) -> [Vec<f64>; 2] {
    let n = x.len();
    let without = |skip: &[usize], out: usize| -> f64 {
        (0..n).filter(|k| of(*k) == out && !skip.contains(k)).map(|k| x[k]).product()
    };
    assert!((0..n).all(|k| of(k) < kept));
    let first = (0..n).map(|i| r[of(i)] * without(&[i], of(i))).collect();
    // The gradient of the sum of squares of the gradients.
    let second = (0..n).map(|j| {
        let group = (0..n).filter(|i| *i != j && of(*i) == of(j));
        let terms =
            group.map(|i| r[of(i)].powi(2) * without(&[i], of(i)) * without(&[i, j], of(j)));
        2.0 * terms.sum::<f64>()
    });
    [first, second.collect()]
}

#[test]
fn the_gradient_of_a_product_is_the_product_of_the_others_zeros_or_not() {
    use tengen_core::{GradManager, Var};
    type Group = fn(usize) -> usize;
    let cases: [(Option<&'static [isize]>, usize, Group); 5] = [
        (None, 1, |_| 0),
        (Some(&[0]), 15, |k| k % 15),
        (Some(&[1]), 10, |k| k / 15 * 5 + k % 5),
        (Some(&[0, 2]), 3, |k| k / 5 % 3),
        (Some(&[1, 2]), 2, |k| k / 15),
    ];
    for zeros in [&[][..], &[7], &[7, 9], &[7, 22], &[3, 8, 9, 29]] {
        let mut data: Vec<f64> = (0..30).map(|k| 1.0 + ((k * 7) % 11) as f64 / 10.0).collect();
        zeros.iter().for_each(|k| data[*k] = 0.0);
        for (axes, kept, of) in cases {
            let r: Vec<f64> = (0..kept).map(|k| 0.5 + k as f64 / 10.0).collect();
            let want = products(&data, kept, of, &r);
            let x = Var::new(Tensor::from_slice(&data, &[2, 3, 5]).unwrap());
            let (mut outer, mut inner) = (GradManager::new(), GradManager::new());
            outer.attach(&x).unwrap().record().unwrap();
            inner.attach(&x).unwrap().record().unwrap();
            let y = ops::prod(&x.get(), axes, false).unwrap();
            let r = ops::reshape(&Tensor::from_slice(&r, &[kept]).unwrap(), y.shape()).unwrap();
            inner.backward_with(&[y], Some(&[r])).unwrap();
            let first = x.grad().unwrap().get();
            x.set_grad(None);
            outer.backward(&ops::square(&first).unwrap()).unwrap();
            for (got, want) in [(first, &want[0]), (x.grad().unwrap().get(), &want[1])] {
                for (g, w) in got.to_vec::<f64>().unwrap().iter().zip(want) {
                    let near = (g - w).abs() <= 1e-12 * w.abs();
                    assert!(near, "{axes:?}, zeros at {zeros:?}: {g}, not {w}");
                }
            }
        }
    }
}

#[test]
fn the_gradient_of_a_product_of_halves_keeps_their_range() {
    use tengen_core::{GradManager, Var};
    let x =
        ops::cast(&Tensor::from_slice(&[300.0f32, 300.0, 1e-3, 0.0], &[4]).unwrap(), DType::F16);
    let x = Var::new(x.unwrap());
    let mut gm = GradManager::new();
    gm.attach(&x).unwrap().record().unwrap();
    gm.backward(&ops::prod(&x.get(), None, false).unwrap()).unwrap();
    let dx = x.grad().unwrap().get().to_f64_vec().unwrap();
    assert_eq!(dx[..3], [0.0; 3]);
    assert!((dx[3] - 90.0).abs() < 0.2, "{dx:?}");
}

#[test]
fn reductions_of_nothing() {
    let x = Tensor::zeros(&[0, 3], DType::F32).unwrap();
    assert_eq!(ops::sum(&x, None, false).unwrap().item().unwrap(), 0.0);
    assert_eq!(ops::prod(&x, None, false).unwrap().item().unwrap(), 1.0);
    assert!(ops::mean(&x, None, false).unwrap().item().unwrap().is_nan());
    assert_eq!(*ops::sum(&x, Some(&[0]), false).unwrap().shape(), [3]);
    assert!(ops::max(&x, None, false).is_err());
    assert!(ops::argmax(&x, Some(0), false).is_err());
    assert_eq!(*ops::max(&x, Some(&[1]), false).unwrap().shape(), [0]);
    assert!(ops::sum(&x, Some(&[2]), false).is_err());
    assert!(ops::sum(&x, Some(&[0, -2]), false).is_err());
}

#[test]
fn sums_are_accurate_for_many_elements() {
    let x = Tensor::full(&[3, 1_000_003], 0.1, DType::F32).unwrap();
    let columns = ops::transpose(&x, &[1, 0]).unwrap();
    let near = |y: Tensor, expected: f64, tolerance: f64| {
        for v in y.to_f64_vec().unwrap() {
            assert!((v - expected).abs() < tolerance, "{:?}: {v}", isa());
        }
    };
    for set in available() {
        with_isa(*set, || {
            near(ops::sum(&x, Some(&[1]), false).unwrap(), 0.1f32 as f64 * 1_000_003.0, 0.02);
            near(ops::mean(&columns, Some(&[0]), false).unwrap(), 0.1f32 as f64, 1e-7);
        })
        .unwrap();
    }
}
