//! Recurrent layers by MegEngine's names and arguments.

use crate::case::{Args, Case, Outcome};
use crate::layers::named;
use crate::modules::check_forward;
use serde_json::{Map, Value};
use tengen::nn::{LSTM, LSTMCell, RNN, RNNCell};
use tengen::ops::{Activation, RecurrentParams};

/// Checks a case of a recurrent layer; none if the class is another.
pub fn check(
    case: &Case,
    class: &str,
    args: &[Value],
    kwargs: &Map<String, Value>,
) -> Option<Outcome> {
    let json = named(&["input_size", "hidden_size"], args, kwargs);
    let a = Args(&json);
    Some(match class {
        "RNNCell" => rnn_cell(case, a),
        "LSTMCell" => lstm_cell(case, a),
        "RNN" => rnn(case, a),
        "LSTM" => lstm(case, a),
        _ => return None,
    })
}

fn sizes(a: Args) -> (usize, usize) {
    (a.usize("input_size").unwrap(), a.usize("hidden_size").unwrap())
}

fn activation(a: Args) -> Activation {
    if a.str("nonlinearity", "tanh") == "relu" { Activation::Relu } else { Activation::Tanh }
}

fn params(a: Args) -> RecurrentParams {
    let (input, hidden) = sizes(a);
    RecurrentParams {
        num_layers: a.usize("num_layers").unwrap_or(1),
        bias: a.bool("bias", true),
        bidirectional: a.bool("bidirectional", false),
        ..RecurrentParams::new(input, hidden)
    }
}

fn rnn_cell(case: &Case, a: Args) -> Outcome {
    let make = if a.bool("bias", true) { RNNCell::new } else { RNNCell::without_bias };
    let mut cell = make(sizes(a).0, sizes(a).1)?;
    cell.nonlinearity = activation(a);
    check_forward(case, &cell)
}

fn lstm_cell(case: &Case, a: Args) -> Outcome {
    let make = if a.bool("bias", true) { LSTMCell::new } else { LSTMCell::without_bias };
    check_forward(case, &make(sizes(a).0, sizes(a).1)?)
}

fn rnn(case: &Case, a: Args) -> Outcome {
    let mut layer = RNN::with_params(params(a))?;
    (layer.nonlinearity, layer.batch_first) = (activation(a), a.bool("batch_first", false));
    check_forward(case, &layer)
}

fn lstm(case: &Case, a: Args) -> Outcome {
    let mut layer = LSTM::with_params(params(a))?;
    layer.batch_first = a.bool("batch_first", false);
    check_forward(case, &layer)
}
