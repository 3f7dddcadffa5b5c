//! Recurrent layers: state, hooks, modes and errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tengen::nn::{Forward, LSTM, LSTMCell, Module, RNN, RNNCell};
use tengen::ops::{self, Activation, RecurrentParams};
use tengen::{DType, ErrorKind, Tensor, random};

fn normal(shape: &[usize]) -> Tensor {
    random::normal(0.0, 1.0, shape, DType::F32).unwrap()
}

fn close(a: &Tensor, b: &Tensor) {
    let worst = ops::max(&ops::abs(&ops::sub(a, b).unwrap()).unwrap(), None, false);
    assert!(worst.unwrap().item().unwrap() < 1e-5);
}

#[test]
fn a_sequence_may_be_cut_and_continued() {
    let p = RecurrentParams { num_layers: 2, ..RecurrentParams::new(4, 5) };
    let (mut rnn, lstm) = (RNN::with_params(p).unwrap(), LSTM::with_params(p).unwrap());
    rnn.nonlinearity = Activation::Relu;
    let x = normal(&[6, 3, 4]);
    let parts = ops::split_at(&x, &[4], 0).unwrap();
    let [whole, last] = rnn.call(&(x.clone(), None)).unwrap();
    let [first, h] = rnn.call(&(parts[0].clone(), None)).unwrap();
    let [second, h] = rnn.call(&(parts[1].clone(), Some(h))).unwrap();
    close(&ops::concat(&[&first, &second], 0).unwrap(), &whole);
    close(&h, &last);
    let (whole, [_, c]) = lstm.call(&(x, None)).unwrap();
    let (first, state) = lstm.call(&(parts[0].clone(), None)).unwrap();
    let (second, state) = lstm.call(&(parts[1].clone(), Some(state))).unwrap();
    close(&ops::concat(&[&first, &second], 0).unwrap(), &whole);
    close(&state[1], &c);
}

#[test]
fn the_batch_may_come_first() {
    let mut lstm = LSTM::new(4, 5).unwrap();
    let x = normal(&[6, 3, 4]);
    let (want, _) = lstm.call(&(x.clone(), None)).unwrap();
    lstm.batch_first = true;
    let (got, [h, _]) = lstm.call(&(ops::swapaxes(&x, 0, 1).unwrap(), None)).unwrap();
    close(&ops::swapaxes(&got, 0, 1).unwrap(), &want);
    assert_eq!(*h.shape(), [1, 3, 5]);
}

#[test]
fn hooks_see_states_and_may_replace_them() {
    let lstm = LSTM::new(4, 5).unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let handle = lstm.register_forward_hook(Box::new(move |_, inputs, outputs| {
        count.fetch_add(10 * inputs.len() + outputs.len(), Ordering::Relaxed);
        let mut outputs = outputs.to_vec();
        outputs[0] = ops::zeros_like(&outputs[0])?;
        Ok(Some(outputs))
    }));
    let x = normal(&[6, 3, 4]);
    let (y, state) = lstm.call(&(x.clone(), None)).unwrap();
    assert!(y.to_vec::<f32>().unwrap().iter().all(|v| *v == 0.0));
    lstm.call(&(x.clone(), Some(state))).unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), 13 + 33);
    handle.remove();
    let wrong =
        lstm.register_forward_hook(Box::new(|_, _, outputs| Ok(Some(outputs[1..].to_vec()))));
    assert_eq!(lstm.call(&(x, None)).unwrap_err().kind(), ErrorKind::Value);
    wrong.remove();
}

#[test]
fn dropout_works_between_layers_in_training_only() {
    let p = RecurrentParams { num_layers: 2, dropout: 0.5, ..RecurrentParams::new(4, 50) };
    let (rnn, x) = (RNN::with_params(p).unwrap(), normal(&[6, 3, 4]));
    let run = || rnn.call(&(x.clone(), None)).unwrap()[0].to_vec::<f32>().unwrap();
    assert_ne!(run(), run());
    rnn.eval();
    assert_eq!(run(), run());
}

#[test]
fn cells_without_bias_have_buffers_of_zeros() {
    let cell = LSTMCell::without_bias(3, 4).unwrap();
    let names: Vec<String> = cell.named_buffers("", true).into_iter().map(|(n, _)| n).collect();
    assert_eq!(names, ["bias_hh", "bias_ih"]);
    assert!(cell.bias_ih.get().to_vec::<f32>().unwrap().iter().all(|v| *v == 0.0));
    let weights = cell.weight_hh.get().to_vec::<f32>().unwrap();
    let most = weights.iter().fold(0.0f32, |a, v| a.max(v.abs()));
    assert!(most > 0.3 && most <= 0.5, "{most}");
}

#[test]
fn what_does_not_fit_is_an_error() {
    assert_eq!(RNNCell::new(3, 0).err().unwrap().kind(), ErrorKind::Value);
    for p in [
        RecurrentParams { num_layers: 0, ..RecurrentParams::new(3, 4) },
        RecurrentParams { dropout: f64::NAN, ..RecurrentParams::new(3, 4) },
        RecurrentParams::new(3, 0),
    ] {
        assert_eq!(RNN::with_params(p).err().unwrap().kind(), ErrorKind::Value, "{p:?}");
    }
    for p in [RecurrentParams::new(3, usize::MAX / 3), RecurrentParams::new(usize::MAX, 4)] {
        assert!(LSTM::with_params(p).is_err(), "{p:?}");
    }
    let lstm = LSTM::new(4, 5).unwrap();
    for shape in [&[6, 4][..], &[6, 3, 5], &[0, 3, 4]] {
        assert_eq!(lstm.call(&(normal(shape), None)).unwrap_err().kind(), ErrorKind::Shape);
    }
    let state = [normal(&[1, 3, 5]), normal(&[1, 2, 5])];
    assert!(lstm.call(&(normal(&[6, 3, 4]), Some(state))).is_err());
}
