//! Pooling, normalisation and losses.

use crate::convert::ints;
use crate::error::{IntoPy, to_py};
use crate::functional::input;
use crate::held::PyTensor;
use crate::product::pair;
use crate::tensor::wrap;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tengen::ops::{self, CountMode, CrossEntropy, HingeNorm, PoolParams, Reduction};
use tengen::{Error, ErrorKind, Tensor};

type Any<'a, 'py> = &'a Bound<'py, PyAny>;
type New = PyResult<Py<PyTensor>>;

fn pool_params(kernel: Any, stride: Option<Any>, padding: Option<Any>) -> PyResult<PoolParams> {
    let kernel = pair("kernel_size", kernel)?;
    Ok(PoolParams {
        kernel,
        stride: stride.map_or(Ok(kernel), |s| pair("stride", s))?,
        padding: padding.map_or(Ok((0, 0)), |p| pair("padding", p))?,
    })
}

/// Greatest element of each window of inp [n, c, h, w]; the stride is the kernel's size where it is
/// left out. Every element that equals the maximum gets the gradient.
///
/// >>> import megengine.functional as F
/// >>> F.max_pool2d(F.arange(16).reshape(1, 1, 4, 4), 2).numpy()[0, 0]
/// array([[ 5.,  7.],
///        [13., 15.]], dtype=float32)
#[pyfunction]
#[pyo3(signature = (inp, kernel_size, stride=None, padding=None), text_signature = "(inp, kernel_size, stride=None, padding=0)")]
fn max_pool2d(inp: Any, kernel_size: Any, stride: Option<Any>, padding: Option<Any>) -> New {
    let params = pool_params(kernel_size, stride, padding)?;
    wrap(inp.py(), ops::max_pool2d(&input(inp)?, params))
}

/// Mean of each window of inp [n, c, h, w]; the stride is the kernel's size where it is left out.
/// mode says whether padding counts: "average_count_exclude_padding" or "average".
///
/// >>> import megengine.functional as F
/// >>> F.avg_pool2d(F.arange(16).reshape(1, 1, 4, 4), 2).numpy()[0, 0]
/// array([[ 2.5,  4.5],
///        [10.5, 12.5]], dtype=float32)
#[pyfunction]
#[pyo3(signature = (inp, kernel_size, stride=None, padding=None, mode="average_count_exclude_padding"),
       text_signature = "(inp, kernel_size, stride=None, padding=0, mode='average_count_exclude_padding')")]
fn avg_pool2d(
    inp: Any,
    kernel_size: Any,
    stride: Option<Any>,
    padding: Option<Any>,
    mode: &str,
) -> New {
    let mode = match mode {
        "average_count_exclude_padding" => CountMode::ExcludePadding,
        "average" => CountMode::IncludePadding,
        _ => {
            return Err(PyValueError::new_err(format!(
                "avg_pool2d: mode is {mode:?}, not \"average_count_exclude_padding\" or \"average\""
            )));
        }
    };
    let params = pool_params(kernel_size, stride, padding)?;
    wrap(inp.py(), ops::avg_pool2d(&input(inp)?, params, mode))
}

/// Greatest elements of equal windows of inp [n, c, h, w], oshp of them along each axis: the stride
/// is inp // out, the window inp - (out - 1) * stride.
///
/// >>> import megengine.functional as F
/// >>> F.adaptive_max_pool2d(F.ones((1, 2, 5, 5)), 2).shape
/// (1, 2, 2, 2)
#[pyfunction]
fn adaptive_max_pool2d(inp: Any, oshp: Any) -> New {
    wrap(inp.py(), ops::adaptive_max_pool2d(&input(inp)?, pair("oshp", oshp)?))
}

/// Means of equal windows of inp [n, c, h, w], oshp of them along each axis: the stride is
/// inp // out, the window inp - (out - 1) * stride.
///
/// >>> import megengine.functional as F
/// >>> F.adaptive_avg_pool2d(F.ones((1, 2, 5, 5)), 1).shape
/// (1, 2, 1, 1)
#[pyfunction]
fn adaptive_avg_pool2d(inp: Any, oshp: Any) -> New {
    wrap(inp.py(), ops::adaptive_avg_pool2d(&input(inp)?, pair("oshp", oshp)?))
}

fn maybe(obj: Option<Any>) -> PyResult<Option<Tensor>> {
    obj.map(input).transpose()
}

/// The result, the mean and the unbiased variance of batch normalisation by the batch's own
/// statistics, per channel.
#[pyfunction]
fn _batch_norm_train(
    inp: Any,
    weight: Option<Any>,
    bias: Option<Any>,
    eps: f64,
) -> PyResult<(Py<PyTensor>, Py<PyTensor>, Py<PyTensor>)> {
    let py = inp.py();
    let (w, b) = (maybe(weight)?, maybe(bias)?);
    let (y, mean, var) = ops::batch_norm_train(&input(inp)?, w.as_ref(), b.as_ref(), eps).py(py)?;
    Ok((wrap(py, Ok(y))?, wrap(py, Ok(mean))?, wrap(py, Ok(var))?))
}

#[pyfunction]
fn _batch_norm_eval(
    inp: Any,
    mean: Any,
    var: Any,
    weight: Option<Any>,
    bias: Option<Any>,
    eps: f64,
) -> New {
    let (w, b) = (maybe(weight)?, maybe(bias)?);
    let (mean, var) = (input(mean)?, input(var)?);
    let y = ops::batch_norm_eval(&input(inp)?, &mean, &var, w.as_ref(), b.as_ref(), eps);
    wrap(inp.py(), y)
}

/// Normalises inp over its last axes, whose shape is normalized_shape: (x - mean) /
/// sqrt(var + eps) * weight + bias, with weight and bias of that shape (if affine).
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.layer_norm(mge.tensor([[1.0, 3.0]]), (2,), False, eps=0.0)
/// Tensor([[-1.  1.]], device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inp, normalized_shape, affine, weight=None, bias=None, eps=1e-5))]
fn layer_norm(
    inp: Any,
    normalized_shape: Any,
    affine: bool,
    weight: Option<Any>,
    bias: Option<Any>,
    eps: f64,
) -> New {
    let shape = crate::convert::shape(normalized_shape)?;
    let (w, b) = if affine { (maybe(weight)?, maybe(bias)?) } else { (None, None) };
    wrap(inp.py(), ops::layer_norm(&input(inp)?, &shape, w.as_ref(), b.as_ref(), eps))
}

/// Normalises inp [n, c, ...] over groups of channels and all further axes; weight and bias (if
/// affine) have one element per channel.
///
/// >>> import megengine.functional as F
/// >>> F.group_norm(F.ones((2, 4, 3, 3)), 2, False).shape
/// (2, 4, 3, 3)
#[pyfunction]
#[pyo3(signature = (inp, num_groups, affine, weight=None, bias=None, eps=1e-5))]
fn group_norm(
    inp: Any,
    num_groups: usize,
    affine: bool,
    weight: Option<Any>,
    bias: Option<Any>,
    eps: f64,
) -> New {
    let (w, b) = if affine { (maybe(weight)?, maybe(bias)?) } else { (None, None) };
    wrap(inp.py(), ops::group_norm(&input(inp)?, num_groups, w.as_ref(), b.as_ref(), eps))
}

/// Normalises every channel of every sample of inp [n, c, ...]; weight and bias (if affine) have
/// one element per channel.
///
/// >>> import megengine.functional as F
/// >>> F.instance_norm(F.ones((2, 4, 3, 3)), False).shape
/// (2, 4, 3, 3)
#[pyfunction]
#[pyo3(signature = (inp, affine, weight=None, bias=None, eps=1e-5))]
fn instance_norm(inp: Any, affine: bool, weight: Option<Any>, bias: Option<Any>, eps: f64) -> New {
    let (w, b) = if affine { (maybe(weight)?, maybe(bias)?) } else { (None, None) };
    wrap(inp.py(), ops::instance_norm(&input(inp)?, w.as_ref(), b.as_ref(), eps))
}

/// Normalises inp over the named axes; weight and bias (if affine) have these axes' shape.
///
/// >>> import megengine.functional as F
/// >>> F.general_norm(F.ones((2, 4, 3)), (0, 2), False).shape
/// (2, 4, 3)
#[pyfunction]
#[pyo3(signature = (inp, normalized_axis, affine=true, weight=None, bias=None, eps=1e-5))]
fn general_norm(
    inp: Any,
    normalized_axis: Any,
    affine: bool,
    weight: Option<Any>,
    bias: Option<Any>,
    eps: f64,
) -> New {
    let axes = ints(normalized_axis)?;
    let (w, b) = if affine { (maybe(weight)?, maybe(bias)?) } else { (None, None) };
    wrap(inp.py(), ops::general_norm(&input(inp)?, &axes, w.as_ref(), b.as_ref(), eps))
}

#[pyfunction]
fn _embedding(inp: Any, weight: Any) -> New {
    wrap(inp.py(), ops::embedding(&input(inp)?, &input(weight)?))
}

fn reduction(py: Python<'_>, name: &str) -> PyResult<Reduction> {
    Reduction::from_name(name).ok_or_else(|| {
        let message = format!("{name} is not a valid value for reduction: mean, sum or none");
        to_py(py, Error::new(ErrorKind::Value, message))
    })
}

/// Cross entropy between predictions and integer labels along axis, which label lacks:
/// -log(softmax(pred))[label], or -log(pred)[label] without logits. label_smooth is the share of
/// the target that is spread evenly over all classes; reduction is "mean", "sum" or "none".
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.loss.cross_entropy(mge.tensor([[0.0, 0.0]]), mge.tensor([1]))
/// Tensor(0.6931472, device=xpux:0)
#[pyfunction]
#[pyo3(signature = (pred, label, axis=1, with_logits=true, label_smooth=0.0, reduction="mean"),
       text_signature = "(pred, label, axis=1, with_logits=True, label_smooth=0, reduction='mean')")]
fn cross_entropy(
    pred: Any,
    label: Any,
    axis: isize,
    with_logits: bool,
    label_smooth: f64,
    reduction: &str,
) -> New {
    let py = pred.py();
    let reduction = self::reduction(py, reduction)?;
    let options = CrossEntropy { axis, with_logits, label_smooth, reduction };
    wrap(py, ops::cross_entropy(&input(pred)?, &input(label)?, options))
}

/// -(label * log(p) + (1 - label) * log(1 - p)) with p = sigmoid(pred), or pred itself without
/// logits; reduction is "mean", "sum" or "none".
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.loss.binary_cross_entropy(mge.tensor([0.0]), mge.tensor([1.0]))
/// Tensor(0.6931472, device=xpux:0)
#[pyfunction]
#[pyo3(signature = (pred, label, with_logits=true, reduction="mean"))]
fn binary_cross_entropy(pred: Any, label: Any, with_logits: bool, reduction: &str) -> New {
    let py = pred.py();
    let reduction = self::reduction(py, reduction)?;
    wrap(py, ops::binary_cross_entropy(&input(pred)?, &input(label)?, with_logits, reduction))
}

/// |pred - label|; reduction is "mean", "sum" or "none".
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.loss.l1_loss(mge.tensor([1.0, 2.0]), mge.tensor([0.0, 4.0]))
/// Tensor(1.5, device=xpux:0)
#[pyfunction]
#[pyo3(signature = (pred, label, reduction="mean"))]
fn l1_loss(pred: Any, label: Any, reduction: &str) -> New {
    let py = pred.py();
    let reduction = self::reduction(py, reduction)?;
    wrap(py, ops::l1_loss(&input(pred)?, &input(label)?, reduction))
}

/// (pred - label) squared; reduction is "mean", "sum" or "none".
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.loss.square_loss(mge.tensor([1.0, 2.0]), mge.tensor([0.0, 4.0]))
/// Tensor(2.5, device=xpux:0)
#[pyfunction]
#[pyo3(signature = (pred, label, reduction="mean"))]
fn square_loss(pred: Any, label: Any, reduction: &str) -> New {
    let py = pred.py();
    let reduction = self::reduction(py, reduction)?;
    wrap(py, ops::square_loss(&input(pred)?, &input(label)?, reduction))
}

/// max(0, 1 - pred * label) for labels -1 and 1, summed over axis 1 (norm "L1") or its squares
/// ("L2"); reduction is "mean", "sum" or "none".
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.loss.hinge_loss(mge.tensor([[0.5, -0.5]]), mge.tensor([[1.0, -1.0]]))
/// Tensor(1.0, device=xpux:0)
#[pyfunction]
#[pyo3(signature = (pred, label, norm="L1", reduction="mean"))]
fn hinge_loss(pred: Any, label: Any, norm: &str, reduction: &str) -> New {
    let py = pred.py();
    let reduction = self::reduction(py, reduction)?;
    let norm = match norm {
        "L1" => HingeNorm::L1,
        "L2" => HingeNorm::L2,
        _ => return Err(PyValueError::new_err(format!("norm must be L1 or L2, not {norm}"))),
    };
    wrap(py, ops::hinge_loss(&input(pred)?, &input(label)?, norm, reduction))
}

/// Connectionist temporal classification: -log of the probability of each label under its sequence
/// of distributions, summed over all alignments.
///
/// pred [steps, n, classes] holds probabilities; pred_lengths and label_lengths [n] say how many
/// steps and classes count; label is [n, longest], or all labels one after the other. blank is the
/// class that stands for none. reduction is "mean" (of losses divided by their labels' lengths),
/// "sum" or "none".
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> pred = mge.tensor([[[0.6, 0.4]], [[0.3, 0.7]]])
/// >>> one = mge.tensor([1])
/// >>> print(f"{F.loss.ctc_loss(pred, mge.tensor([2]), one, one).item():.4f}")
/// 0.1985
#[pyfunction]
#[pyo3(signature = (pred, pred_lengths, label, label_lengths, blank=0, reduction="mean"))]
fn ctc_loss(
    pred: Any,
    pred_lengths: Any,
    label: Any,
    label_lengths: Any,
    blank: usize,
    reduction: &str,
) -> New {
    let py = pred.py();
    let reduction = self::reduction(py, reduction)?;
    let (steps, lengths) = (input(pred_lengths)?, input(label_lengths)?);
    wrap(py, ops::ctc_loss(&input(pred)?, &steps, &input(label)?, &lengths, blank, reduction))
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(max_pool2d, m)?)?;
    m.add_function(wrap_pyfunction!(avg_pool2d, m)?)?;
    m.add_function(wrap_pyfunction!(adaptive_max_pool2d, m)?)?;
    m.add_function(wrap_pyfunction!(adaptive_avg_pool2d, m)?)?;
    m.add_function(wrap_pyfunction!(_batch_norm_train, m)?)?;
    m.add_function(wrap_pyfunction!(_batch_norm_eval, m)?)?;
    m.add_function(wrap_pyfunction!(layer_norm, m)?)?;
    m.add_function(wrap_pyfunction!(group_norm, m)?)?;
    m.add_function(wrap_pyfunction!(instance_norm, m)?)?;
    m.add_function(wrap_pyfunction!(general_norm, m)?)?;
    m.add_function(wrap_pyfunction!(_embedding, m)?)?;
    m.add_function(wrap_pyfunction!(cross_entropy, m)?)?;
    m.add_function(wrap_pyfunction!(ctc_loss, m)?)?;
    m.add_function(wrap_pyfunction!(binary_cross_entropy, m)?)?;
    m.add_function(wrap_pyfunction!(l1_loss, m)?)?;
    m.add_function(wrap_pyfunction!(square_loss, m)?)?;
    m.add_function(wrap_pyfunction!(hinge_loss, m)?)
}
