//! Running sums, products and extrema.

use crate::harness::{laws, tensor};
use tengen_core::op::{Table, Value};
use tengen_core::{DType, ErrorKind, GradManager, Tensor, Var, apply, ops};

#[test]
fn scans_obey_the_laws() {
    let s = &[3, 4, 5];
    for axis in [0, 1, -1] {
        laws("cumsum", move |x| ops::cumsum(&x[0], axis)).input(s, -2.0, 2.0).check();
        laws("cumprod", move |x| ops::cumprod(&x[0], axis)).input(s, -2.0, 2.0).check();
        laws("cummax", move |x| Ok(ops::cummax(&x[0], axis)?.0)).input(s, -2.0, 2.0).check();
        laws("cummin", move |x| Ok(ops::cummin(&x[0], axis)?.0)).input(s, -2.0, 2.0).check();
    }
    for n in [1, 2, 17] {
        laws("cumprod", |x| ops::cumprod(&x[0], 0)).input(&[n], 0.5, 1.5).check();
    }
}

/// The operator as files make it, which may run from the end.
fn reversed(name: &str, kind: &str, x: &Tensor) -> tengen_core::Result<Tensor> {
    let attributes = [
        ("kind".to_string(), Value::Text(kind.into())),
        ("axis".to_string(), Value::Int(1)),
        ("reverse".to_string(), Value::Bool(true)),
    ];
    Ok(apply(Table::all().build(name, &attributes)?, &[x])?.swap_remove(0))
}

#[test]
fn scans_from_the_end_obey_the_laws() {
    for (name, kind) in
        [("cumsum", "Sum"), ("cumprod", "Prod"), ("cummax", "Max"), ("cummin", "Min")]
    {
        laws(name, move |x| reversed(name, kind, &x[0])).input(&[2, 5, 3], -2.0, 2.0).check();
    }
    let x = tensor(&[1, 3], &[2.0, 3.0, 4.0], DType::F32);
    let y = reversed("cumprod", "Prod", &x).unwrap();
    assert_eq!(y.to_vec::<f32>().unwrap(), [24.0, 12.0, 4.0]);
    // Attributes that fit no tensor are errors.
    let vector = tensor(&[3], &[1.0; 3], DType::F32);
    assert_eq!(reversed("cumsum", "Sum", &vector).unwrap_err().kind(), ErrorKind::Index);
}

/// Σ r[k]·Πx[..=k] by definition: its gradient, and the gradient of the sum of squares of that.
fn products(x: &[f64], r: &[f64]) -> [Vec<f64>; 2] {
    let n = x.len();
    let without = |k: usize, skip: &[usize]| -> f64 {
        (0..=k).filter(|i| !skip.contains(i)).map(|i| x[i]).product()
    };
    let first = |j: usize| (j..n).map(|k| r[k] * without(k, &[j])).sum::<f64>();
    let mixed = |i: usize, j: usize| match i == j {
        true => 0.0,
        false => (i.max(j)..n).map(|k| r[k] * without(k, &[i, j])).sum::<f64>(),
    };
    let second = |j| (0..n).map(|i| 2.0 * first(i) * mixed(i, j)).sum();
    [(0..n).map(first).collect(), (0..n).map(second).collect()]
}

#[test]
fn the_gradient_of_running_products_is_right_zeros_or_not() {
    for zeros in [&[][..], &[0], &[4], &[2, 3], &[0, 5, 8], &[0, 1, 2, 3, 4, 5, 6, 7, 8]] {
        let mut data: Vec<f64> = (0..9).map(|k| 1.0 + ((k * 7) % 11) as f64 / 10.0).collect();
        zeros.iter().for_each(|k| data[*k] = 0.0);
        let r: Vec<f64> = (0..9).map(|k| 0.5 + k as f64 / 10.0).collect();
        let want = products(&data, &r);
        let x = Var::new(Tensor::from_slice(&data, &[9]).unwrap());
        let (mut outer, mut inner) = (GradManager::new(), GradManager::new());
        outer.attach(&x).unwrap().record().unwrap();
        inner.attach(&x).unwrap().record().unwrap();
        let y = ops::cumprod(&x.get(), 0).unwrap();
        inner.backward_with(&[y], Some(&[Tensor::from_slice(&r, &[9]).unwrap()])).unwrap();
        let first = x.grad().unwrap().get();
        x.set_grad(None);
        outer.backward(&ops::square(&first).unwrap()).unwrap();
        for (got, want) in [(first, &want[0]), (x.grad().unwrap().get(), &want[1])] {
            for (g, w) in got.to_vec::<f64>().unwrap().iter().zip(want) {
                assert!((g - w).abs() <= 1e-12 * w.abs(), "zeros at {zeros:?}: {g}, not {w}");
            }
        }
    }
}

#[test]
fn the_gradient_of_a_running_extremum_goes_where_it_stands() {
    let gradient = |f: fn(&Tensor, isize) -> tengen_core::Result<(Tensor, Tensor)>, x: &[f32]| {
        let x = Var::new(Tensor::from_slice(x, &[x.len()]).unwrap());
        let mut gm = GradManager::new();
        gm.attach(&x).unwrap().record().unwrap();
        let (y, at) = f(&x.get(), 0).unwrap();
        gm.backward(&y).unwrap();
        (at.to_vec::<i32>().unwrap(), x.grad().unwrap().get().to_vec::<f32>().unwrap())
    };
    let x = [1.0, 3.0, 3.0, 2.0, 1.0];
    assert_eq!(gradient(ops::cummax, &x), (vec![0, 1, 2, 2, 2], vec![1.0, 1.0, 3.0, 0.0, 0.0]));
    assert_eq!(gradient(ops::cummin, &x), (vec![0, 0, 0, 0, 4], vec![4.0, 0.0, 0.0, 0.0, 1.0]));
    let (y, at) = ops::cummax(&tensor(&[3], &[1.0, f64::NAN, 2.0], DType::F16), 0).unwrap();
    assert_eq!(at.to_vec::<i32>().unwrap(), [0, 1, 1]);
    let y = y.to_f64_vec().unwrap();
    assert!(y[0] == 1.0 && y[1].is_nan() && y[2].is_nan());
}

#[test]
fn gradients_of_many_halves_are_summed_in_f32() {
    let descending: Vec<f64> = (0..3001).map(|k| -f64::from(k / 2)).collect();
    let x = Var::new(tensor(&[3001], &descending, DType::F16));
    let mut gm = GradManager::new();
    gm.attach(&x).unwrap().record().unwrap();
    gm.backward(&ops::cummax(&x.get(), 0).unwrap().0).unwrap();
    // The second of the two zeros at the start stays the maximum.
    let dx = x.grad().unwrap().get().to_f64_vec().unwrap();
    assert_eq!(dx[..3], [1.0, 3000.0, 0.0]);
}

#[test]
fn integers_wrap_and_bools_count() {
    let x = Tensor::from_slice(&[200u8, 100], &[2]).unwrap();
    assert_eq!(ops::cumsum(&x, 0).unwrap().to_vec::<u8>().unwrap(), [200, 44]);
    assert_eq!(ops::cumprod(&x, 0).unwrap().to_vec::<u8>().unwrap(), [200, 32]);
    let x = Tensor::from_slice(&[true, true], &[2]).unwrap();
    assert_eq!(ops::cumsum(&x, 0).unwrap().to_vec::<i32>().unwrap(), [1, 2]);
    assert_eq!(ops::cummin(&x, 0).unwrap().0.dtype(), DType::Bool);
    for axis in [2, -3] {
        let x = Tensor::zeros(&[2, 3], DType::F32).unwrap();
        assert_eq!(ops::cumsum(&x, axis).unwrap_err().kind(), ErrorKind::Index);
        assert_eq!(ops::cummax(&x, axis).unwrap_err().kind(), ErrorKind::Index);
    }
}
