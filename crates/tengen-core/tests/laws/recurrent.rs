//! Recurrent networks.

use crate::harness::{Rng, alone, laws, tensor};
use tengen_core::ops::{Activation, RecurrentParams};
use tengen_core::{DType, GradManager, Result, Tensor, Var, ops};
use tengen_kernels::pool::with_threads;

const BOTH: [Activation; 2] = [Activation::Tanh, Activation::Relu];

fn settings() -> Vec<RecurrentParams> {
    let p = RecurrentParams::new(3, 4);
    vec![
        p,
        RecurrentParams { bias: false, ..p },
        RecurrentParams { bidirectional: true, ..p },
        RecurrentParams { num_layers: 2, ..p },
        RecurrentParams { num_layers: 2, bidirectional: true, ..p },
    ]
}

/// The sum of all tensors with different weights, so that each has a gradient of its own.
fn mixed(all: &[&Tensor]) -> Result<Tensor> {
    let mut total = Tensor::zeros(&[], all[0].dtype())?;
    for (i, t) in all.iter().enumerate() {
        let turned = ops::sin(&ops::mul(t, &Tensor::full(&[], 1.0 + i as f64, t.dtype())?)?)?;
        total = ops::add(&total, &ops::sum(&turned, None, false)?)?;
    }
    Ok(total)
}

#[test]
fn networks_obey_the_laws() {
    for p in settings() {
        let layers = p.num_layers * p.num_directions();
        for activation in BOTH {
            laws("rnn", move |t| {
                let (y, h) = ops::rnn(&t[0], Some(&t[1]), &t[2], p, activation)?;
                mixed(&[&y, &h])
            })
            .input(&[3, 2, 3], -1.0, 1.0)
            .input(&[layers, 2, 4], -1.0, 1.0)
            .input(&[p.weights_len(1).unwrap()], -0.6, 0.7)
            .rtol(5e-5)
            .no_halves()
            .check();
        }
        laws("lstm", move |t| {
            let (y, [h, c]) = ops::lstm(&t[0], Some([&t[1], &t[2]]), &t[3], p)?;
            mixed(&[&y, &h, &c])
        })
        .input(&[3, 2, 3], -1.0, 1.0)
        .input(&[layers, 2, 4], -1.0, 1.0)
        .input(&[layers, 2, 4], -1.0, 1.0)
        .input(&[p.weights_len(4).unwrap()], -0.6, 0.7)
        .rtol(5e-5)
        .no_halves()
        .check();
    }
}

#[test]
fn cells_obey_the_laws() {
    for activation in BOTH {
        laws("rnn_cell", move |t| {
            ops::rnn_cell(
                &t[0],
                Some(&t[1]),
                [&t[2], &t[3]],
                [Some(&t[4]), Some(&t[5])],
                activation,
            )
        })
        .input(&[3, 2], -1.0, 1.0)
        .input(&[3, 5], -1.0, 1.0)
        .input(&[5, 2], -1.0, 1.0)
        .input(&[5, 5], -1.0, 1.0)
        .input(&[5], -1.0, 1.0)
        .input(&[5], -1.0, 1.0)
        .check();
    }
    laws("lstm_cell", |t| {
        let [h, c] =
            ops::lstm_cell(&t[0], Some([&t[1], &t[2]]), [&t[3], &t[4]], [Some(&t[5]), None])?;
        ops::concat(&[&h, &c], 0)
    })
    .input(&[3, 2], -1.0, 1.0)
    .input(&[3, 5], -1.0, 1.0)
    .input(&[3, 5], -1.0, 1.0)
    .input(&[20, 2], -1.0, 1.0)
    .input(&[20, 5], -1.0, 1.0)
    .input(&[20], -1.0, 1.0)
    .rtol(5e-5)
    .check();
}

fn random(shape: &[usize], seed: u64, dtype: DType) -> Tensor {
    let mut rng = Rng::new(seed);
    let n = shape.iter().product();
    tensor(shape, &(0..n).map(|_| rng.next() - 0.5).collect::<Vec<_>>(), dtype)
}

/// An LSTM of one layer in elementwise operators and products, step by step.
fn composed(x: &Tensor, h: &Tensor, c: &Tensor, weights: &Tensor) -> Result<Tensor> {
    let (steps, batch, input) = (x.shape()[0], x.shape()[1], x.shape()[2]);
    let hidden = h.shape()[1];
    let rows = 4 * hidden;
    let ends = [rows * input, rows * (input + hidden), rows * (input + hidden + 1)];
    let parts = ops::split_at(weights, &ends, 0)?;
    let w = ops::reshape(&parts[0], &[rows, input])?;
    let wh = ops::reshape(&parts[1], &[rows, hidden])?;
    let (mut h, mut c, mut states) = (h.clone(), c.clone(), vec![]);
    for x in &ops::split(x, steps, 0)? {
        let x = ops::linear(&ops::reshape(x, &[batch, input])?, &w, Some(&parts[2]))?;
        let z = ops::split(&ops::add(&x, &ops::linear(&h, &wh, Some(&parts[3]))?)?, 4, -1)?;
        let (i, f) = (ops::sigmoid(&z[0])?, ops::sigmoid(&z[1])?);
        let new = ops::mul(&i, &ops::tanh(&z[2])?)?;
        c = ops::add(&ops::mul(&f, &c)?, &new)?;
        h = ops::mul(&ops::sigmoid(&z[3])?, &ops::tanh(&c)?)?;
        states.push(h.clone());
    }
    ops::stack(&states.iter().collect::<Vec<_>>(), 0)
}

/// Values and all gradients of a layer.
fn trained(f: impl Fn(&[Tensor]) -> Result<Tensor>, inputs: &[Tensor]) -> Vec<Vec<f64>> {
    let vars: Vec<Var> = inputs.iter().cloned().map(Var::new).collect();
    let mut gm = GradManager::new();
    gm.attach_all(&vars).unwrap();
    gm.record().unwrap();
    let y = f(&vars.iter().map(Var::get).collect::<Vec<_>>()).unwrap();
    gm.backward_with(std::slice::from_ref(&y), Some(&[random(y.shape(), 9, y.dtype())])).unwrap();
    let grads = vars.iter().map(|v| v.grad().unwrap().get().to_f64_vec().unwrap());
    std::iter::once(y.to_f64_vec().unwrap()).chain(grads).collect()
}

fn wide(dtype: DType) -> ([Tensor; 4], RecurrentParams) {
    let p = RecurrentParams::new(40, 75);
    let inputs = [
        random(&[9, 21, 40], 1, dtype),
        random(&[21, 75], 2, dtype),
        random(&[21, 75], 3, dtype),
        random(&[p.weights_len(4).unwrap()], 4, dtype),
    ];
    (inputs, p)
}

fn fused(t: &[Tensor], p: RecurrentParams) -> Result<Tensor> {
    let state = [&t[1], &t[2]].map(|s| ops::reshape(s, &[1, s.shape()[0], s.shape()[1]]));
    let [h, c] = state;
    Ok(ops::lstm(&t[0], Some([&h?, &c?]), &t[3], p)?.0)
}

#[test]
fn the_fused_layer_equals_the_composed_one_with_its_gradients() {
    let _alone = alone();
    for (dtype, tol) in [(DType::F32, 2e-4), (DType::F64, 1e-12)] {
        let (inputs, p) = wide(dtype);
        let got = trained(|t| fused(t, p), &inputs);
        let want = trained(|t| composed(&t[0], &t[1], &t[2], &t[3]), &inputs);
        for (g, w) in got.iter().zip(&want) {
            let worst = g.iter().zip(w).map(|(g, w)| (g - w).abs()).fold(0.0, f64::max);
            let scale = w.iter().fold(1.0f64, |a, v| a.max(v.abs()));
            assert!(worst < tol * scale, "{dtype}: {worst} of {scale}");
        }
    }
}

#[test]
fn values_and_gradients_are_the_same_bits_on_any_number_of_threads() {
    let _alone = alone();
    let (inputs, p) = wide(DType::F32);
    let run = |threads| with_threads(threads, || trained(|t| fused(t, p), &inputs));
    let one = run(1);
    for threads in [2, 5] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

#[test]
fn half_precision_is_computed_in_single() {
    let _alone = alone();
    let (inputs, p) = wide(DType::F16);
    let single: Vec<Tensor> = inputs.iter().map(|t| ops::cast(t, DType::F32).unwrap()).collect();
    let (half, full) = (fused(&inputs, p).unwrap(), fused(&single, p).unwrap());
    assert_eq!(half.dtype(), DType::F16);
    let (half, full) = (half.to_f64_vec().unwrap(), full.to_f64_vec().unwrap());
    let worst = half.iter().zip(full).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-3, "{worst}");
}

#[test]
fn states_may_be_left_out_and_batches_be_empty() {
    let _alone = alone();
    let p = RecurrentParams { num_layers: 2, ..RecurrentParams::new(3, 4) };
    let x = random(&[5, 2, 3], 1, DType::F32);
    let weights = random(&[p.weights_len(1).unwrap()], 2, DType::F32);
    let zeros = Tensor::zeros(&[2, 2, 4], DType::F32).unwrap();
    let run = |h: Option<&Tensor>| ops::rnn(&x, h, &weights, p, Activation::Tanh).unwrap();
    let values = |h| run(h).0.to_f64_vec().unwrap();
    assert_eq!(values(None), values(Some(&zeros)));
    let none = Tensor::zeros(&[5, 0, 3], DType::F32).unwrap();
    let (y, h) = ops::rnn(&none, None, &weights, p, Activation::Tanh).unwrap();
    assert_eq!((&y.shape()[..], &h.shape()[..]), (&[5, 0, 4][..], &[2, 0, 4][..]));
}

#[test]
fn what_does_not_fit_is_an_error() {
    let _alone = alone();
    let p = RecurrentParams::new(3, 4);
    let t = |s: &[usize]| Tensor::ones(s, DType::F32).unwrap();
    let (x, w, h) = (t(&[5, 2, 3]), t(&[4 * 9]), t(&[1, 2, 4]));
    let run = |x: &Tensor, h: &Tensor, w: &Tensor, p: RecurrentParams| {
        ops::rnn(x, Some(h), w, p, Activation::Tanh).map(|r| *r.0.shape())
    };
    assert!(run(&x, &h, &w, p).is_ok());
    for wrong in [t(&[5, 3]), t(&[0, 2, 3]), t(&[5, 2, 4])] {
        assert!(run(&wrong, &h, &w, p).is_err(), "{wrong}");
    }
    for wrong in [t(&[2, 4]), t(&[2, 2, 4]), t(&[1, 1, 4]), t(&[1, 2, 3])] {
        assert!(run(&x, &wrong, &w, p).is_err(), "{wrong}");
    }
    assert!(run(&x, &h, &t(&[35]), p).is_err());
    for wrong in [
        RecurrentParams { num_layers: 0, ..p },
        RecurrentParams { hidden_size: 0, ..p },
        RecurrentParams { hidden_size: usize::MAX / 2, ..p },
        RecurrentParams { num_layers: usize::MAX, ..p },
        RecurrentParams { bias: false, ..p },
    ] {
        assert!(run(&x, &h, &w, wrong).is_err(), "{wrong:?}");
    }
    let two = RecurrentParams { num_layers: 2, dropout: 1.5, ..p };
    let (h, w) = (t(&[2, 2, 4]), t(&[two.weights_len(1).unwrap()]));
    assert!(run(&x, &h, &w, two).is_err());
    let cell = |x: &Tensor, h: &Tensor, w: &Tensor, wh: &Tensor| {
        ops::rnn_cell(x, Some(h), [w, wh], [None, None], Activation::Tanh)
    };
    let (x, h, w, wh) = (t(&[2, 3]), t(&[2, 4]), t(&[4, 3]), t(&[4, 4]));
    assert!(cell(&x, &h, &w, &wh).is_ok());
    assert!(cell(&t(&[3]), &h, &w, &wh).is_err());
    assert!(cell(&x, &t(&[1, 4]), &w, &wh).is_err());
    assert!(cell(&x, &h, &t(&[4, 2]), &wh).is_err());
    assert!(cell(&x, &h, &w, &t(&[4])).is_err());
    assert!(ops::lstm_cell(&x, None, [&w, &wh], [None, None]).is_err());
}
