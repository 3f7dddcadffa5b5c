//! Recurrent layers and cells.

use crate::error::{IntoPy, to_py};
use crate::functional::input;
use crate::held::PyTensor;
use crate::tensor::wrap;
use pyo3::prelude::*;
use tengen::ops::{self, Activation, RecurrentParams};
use tengen::{Error, ErrorKind, Tensor};

type Any<'a, 'py> = &'a Bound<'py, PyAny>;
type New = PyResult<Py<PyTensor>>;

fn activation(py: Python<'_>, name: &str) -> PyResult<Activation> {
    match name {
        "tanh" => Ok(Activation::Tanh),
        "relu" => Ok(Activation::Relu),
        _ => {
            let message = format!("nonlinearity is {name:?}, not \"tanh\" or \"relu\"");
            Err(to_py(py, Error::new(ErrorKind::Value, message)))
        }
    }
}

/// h and c, if given.
fn pair(hx: Option<Any>) -> PyResult<Option<[Tensor; 2]>> {
    let Some(hx) = hx else { return Ok(None) };
    let (h, c): (Bound<'_, PyAny>, Bound<'_, PyAny>) = match hx.extract() {
        Ok(pair) => pair,
        Err(_) => {
            let all = hx.try_iter()?.collect::<PyResult<Vec<_>>>()?;
            let n = all.len();
            <[_; 2]>::try_from(all).map(Into::into).map_err(|_| {
                let message = format!("hx must be two tensors, h and c, not {n}");
                to_py(hx.py(), Error::new(ErrorKind::Value, message))
            })?
        }
    };
    Ok(Some([input(&h)?, input(&c)?]))
}

fn maybe(obj: Option<Any>) -> PyResult<Option<Tensor>> {
    obj.map(input).transpose()
}

#[pyfunction]
#[pyo3(signature = (inp, hx, weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity))]
fn _rnn_cell(
    inp: Any,
    hx: Option<Any>,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Option<Any>,
    bias_hh: Option<Any>,
    nonlinearity: &str,
) -> New {
    let (py, h) = (inp.py(), maybe(hx)?);
    let weights = [input(weight_ih)?, input(weight_hh)?];
    let biases = [maybe(bias_ih)?, maybe(bias_hh)?];
    let activation = activation(py, nonlinearity)?;
    let biases = biases.each_ref().map(Option::as_ref);
    wrap(py, ops::rnn_cell(&input(inp)?, h.as_ref(), weights.each_ref(), biases, activation))
}

#[pyfunction]
#[pyo3(signature = (inp, hx, weight_ih, weight_hh, bias_ih, bias_hh))]
fn _lstm_cell(
    inp: Any,
    hx: Option<Any>,
    weight_ih: Any,
    weight_hh: Any,
    bias_ih: Option<Any>,
    bias_hh: Option<Any>,
) -> PyResult<(Py<PyTensor>, Py<PyTensor>)> {
    let (py, state) = (inp.py(), pair(hx)?);
    let weights = [input(weight_ih)?, input(weight_hh)?];
    let biases = [maybe(bias_ih)?, maybe(bias_hh)?];
    let biases = biases.each_ref().map(Option::as_ref);
    let state = state.as_ref().map(|s| s.each_ref());
    let [h, c] = ops::lstm_cell(&input(inp)?, state, weights.each_ref(), biases).py(py)?;
    Ok((wrap(py, Ok(h))?, wrap(py, Ok(c))?))
}

/// The settings of a layer; `input_size` comes from the layer, not from the input.
#[derive(FromPyObject)]
struct Layer<'py> {
    input_size: usize,
    hidden_size: usize,
    num_layers: usize,
    bias: bool,
    bidirectional: bool,
    dropout: f64,
    training: bool,
    #[pyo3(attribute("_flatten_weights"))]
    weights: Bound<'py, PyAny>,
}

impl Layer<'_> {
    fn params(&self) -> RecurrentParams {
        RecurrentParams {
            input_size: self.input_size,
            hidden_size: self.hidden_size,
            num_layers: self.num_layers,
            bias: self.bias,
            bidirectional: self.bidirectional,
            dropout: if self.training { self.dropout } else { 0.0 },
        }
    }
}

#[pyfunction]
fn _rnn(
    inp: Any,
    hx: Option<Any>,
    layer: Layer,
    nonlinearity: &str,
) -> PyResult<(Py<PyTensor>, Py<PyTensor>)> {
    let (py, h) = (inp.py(), maybe(hx)?);
    let activation = activation(py, nonlinearity)?;
    let (x, weights) = (input(inp)?, input(&layer.weights)?);
    let (y, h) = ops::rnn(&x, h.as_ref(), &weights, layer.params(), activation).py(py)?;
    Ok((wrap(py, Ok(y))?, wrap(py, Ok(h))?))
}

type Lstm = (Py<PyTensor>, (Py<PyTensor>, Py<PyTensor>));

#[pyfunction]
fn _lstm(inp: Any, hx: Option<Any>, layer: Layer) -> PyResult<Lstm> {
    let (py, state) = (inp.py(), pair(hx)?);
    let (x, weights) = (input(inp)?, input(&layer.weights)?);
    let state = state.as_ref().map(|s| s.each_ref());
    let (y, [h, c]) = ops::lstm(&x, state, &weights, layer.params()).py(py)?;
    Ok((wrap(py, Ok(y))?, (wrap(py, Ok(h))?, wrap(py, Ok(c))?)))
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(_rnn_cell, m)?)?;
    m.add_function(wrap_pyfunction!(_lstm_cell, m)?)?;
    m.add_function(wrap_pyfunction!(_rnn, m)?)?;
    m.add_function(wrap_pyfunction!(_lstm, m)?)
}
