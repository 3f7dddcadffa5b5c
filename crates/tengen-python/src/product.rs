//! Products of matrices and convolutions.

use crate::convert::ints;
use crate::functional::input;
use crate::held::PyTensor;
use crate::tensor::wrap;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tengen::ops::{self, ConvActivation, ConvEpilogue, ConvParams};
use tengen::{Error, ErrorKind, Tensor};

type Any<'a, 'py> = &'a Bound<'py, PyAny>;
type New = PyResult<Py<PyTensor>>;

/// Matrix product of inp1 [..., m, k] and inp2 [..., k, n], by NumPy's rules: leading axes are
/// broadcast, and a vector counts as one row (left) or one column (right). The flags exchange the
/// last two axes of an operand. int8 with int8 or uint8 gives int32.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.matmul(mge.tensor([[1.0, 2.0], [3.0, 4.0]]), mge.tensor([1.0, -1.0]))
/// Tensor([-1. -1.], device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inp1, inp2, transpose_a=false, transpose_b=false, compute_mode="default"))]
fn matmul(
    py: Python<'_>,
    inp1: Any,
    inp2: Any,
    transpose_a: bool,
    transpose_b: bool,
    compute_mode: &str,
) -> New {
    let _ = compute_mode;
    wrap(py, ops::matmul(&input(inp1)?, &input(inp2)?, transpose_a, transpose_b))
}

/// Inner product of two vectors.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.dot(mge.tensor([1.0, 2.0]), mge.tensor([3.0, 4.0]))
/// Tensor(11.0, device=xpux:0)
#[pyfunction]
fn dot(py: Python<'_>, inp1: Any, inp2: Any) -> New {
    wrap(py, ops::dot(&input(inp1)?, &input(inp2)?))
}

/// inp @ weight.T + bias, for inp [..., in], weight [out, in] and bias [out].
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.linear(mge.tensor([[1.0, 2.0]]), mge.tensor([[3.0, 4.0]]), mge.tensor([0.5]))
/// Tensor([[11.5]], device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inp, weight, bias=None, compute_mode="default"))]
fn linear(py: Python<'_>, inp: Any, weight: Any, bias: Option<Any>, compute_mode: &str) -> New {
    let _ = compute_mode;
    let bias = bias.map(input).transpose()?;
    wrap(py, ops::linear(&input(inp)?, &input(weight)?, bias.as_ref()))
}

/// A number that may not be negative.
fn natural(py: Python<'_>, name: &str, n: isize) -> PyResult<usize> {
    usize::try_from(n).map_err(|_| {
        let message = format!("{name} must not be negative, and is {n}");
        crate::error::to_py(py, Error::new(ErrorKind::Value, message))
    })
}

/// One number for both directions, or a pair (vertical, horizontal).
pub fn pair(name: &str, obj: Any) -> PyResult<(usize, usize)> {
    let v = ints(obj)?;
    let (a, b) = match v[..] {
        [a] => (a, a),
        [a, b] => (a, b),
        _ => {
            return Err(PyValueError::new_err(format!(
                "{name} takes one number or two, not {v:?}"
            )));
        }
    };
    Ok((natural(obj.py(), name, a)?, natural(obj.py(), name, b)?))
}

fn check_mode(conv_mode: &str) -> PyResult<()> {
    match conv_mode {
        "cross_correlation" => Ok(()),
        "convolution" => Err(PyValueError::new_err(
            "conv_mode \"convolution\" is not supported; flip the weight and use \"cross_correlation\"",
        )),
        other => {
            Err(PyValueError::new_err(format!("conv_mode is {other:?}, not \"cross_correlation\"")))
        }
    }
}

type Convolution = fn(&Tensor, &Tensor, Option<&Tensor>, ConvParams) -> tengen::Result<Tensor>;

/// Arguments that convolutions share.
struct Arguments<'a, 'py> {
    stride: Option<Any<'a, 'py>>,
    padding: Option<Any<'a, 'py>>,
    dilation: Option<Any<'a, 'py>>,
    groups: isize,
}

impl Arguments<'_, '_> {
    fn params(&self, py: Python<'_>) -> PyResult<ConvParams> {
        let or = |name, v: &Option<Any>, usual| v.map_or(Ok((usual, usual)), |v| pair(name, v));
        Ok(ConvParams {
            stride: or("stride", &self.stride, 1)?,
            padding: or("padding", &self.padding, 0)?,
            dilation: or("dilation", &self.dilation, 1)?,
            groups: natural(py, "groups", self.groups)?,
        })
    }

    fn run(&self, f: Convolution, inp: Any, weight: Any, bias: Option<Any>) -> New {
        let py = inp.py();
        let bias = bias.map(input).transpose()?;
        wrap(py, f(&input(inp)?, &input(weight)?, bias.as_ref(), self.params(py)?))
    }
}

/// Functions with the arguments of MegEngine's `conv2d`.
macro_rules! convolutions {
    ($($(#[$attribute:meta])* $name:ident = $convolution:expr;)*) => {$(
        $(#[$attribute])*
        #[pyfunction]
        #[pyo3(signature = (inp, weight, bias=None, stride=None, padding=None, dilation=None, groups=1, conv_mode="cross_correlation", compute_mode="default"),
               text_signature = "(inp, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, conv_mode='cross_correlation', compute_mode='default')")]
        #[expect(clippy::too_many_arguments, reason = "MegEngine's signature")]
        fn $name(
            inp: Any,
            weight: Any,
            bias: Option<Any>,
            stride: Option<Any>,
            padding: Option<Any>,
            dilation: Option<Any>,
            groups: isize,
            conv_mode: &str,
            compute_mode: &str,
        ) -> New {
            let _ = compute_mode;
            check_mode(conv_mode)?;
            Arguments { stride, padding, dilation, groups }.run($convolution, inp, weight, bias)
        }
    )*};
}
convolutions! {
    /// Two-dimensional convolution (cross-correlation) of inp [n, in, h, w] with weight
    /// [out, in, kh, kw], or [groups, out/groups, in/groups, kh, kw], and a bias of out elements.
    ///
    /// stride, padding (zeros on each side) and dilation are one number or (vertical, horizontal).
    ///
    /// >>> import megengine.functional as F
    /// >>> F.conv2d(F.ones((1, 1, 3, 3)), F.ones((1, 1, 3, 3)), padding=1).numpy()[0, 0]
    /// array([[4., 6., 4.],
    ///        [6., 9., 6.],
    ///        [4., 6., 4.]], dtype=float32)
    conv2d = ops::conv2d;

    /// One-dimensional convolution of inp [n, in, w] with weight [out, in, k], or
    /// [groups, out/groups, in/groups, k]; see conv2d.
    ///
    /// >>> import megengine.functional as F
    /// >>> F.conv1d(F.ones((1, 1, 4)), F.ones((1, 1, 3)), padding=1).numpy()[0, 0]
    /// array([2., 3., 3., 2.], dtype=float32)
    conv1d = ops::conv1d;

    /// conv2d and relu in one pass.
    _conv2d_relu = |x, weight, bias, params| {
        let after = ConvEpilogue { bias, activation: ConvActivation::Relu, ..Default::default() };
        ops::conv2d_fused(x, weight, params, after)
    };
}

/// Transposed two-dimensional convolution of inp [n, in, h, w] with weight [in, out, kh, kw], or
/// [groups, in/groups, out/groups, kh, kw]: what conv2d has as its gradient to the input.
///
/// output_padding adds that many rows and columns at the end, which several input sizes of the
/// convolution would otherwise share; it must be below the stride.
///
/// >>> import megengine.functional as F
/// >>> F.conv_transpose2d(F.ones((1, 1, 2, 2)), F.ones((1, 1, 2, 2)), stride=2).shape
/// (1, 1, 4, 4)
#[pyfunction]
#[pyo3(signature = (inp, weight, bias=None, stride=None, padding=None, output_padding=None, dilation=None, groups=1, conv_mode="cross_correlation", compute_mode="default"),
       text_signature = "(inp, weight, bias=None, stride=1, padding=0, output_padding=0, dilation=1, groups=1, conv_mode='cross_correlation', compute_mode='default')")]
#[expect(clippy::too_many_arguments, reason = "MegEngine's signature")]
fn conv_transpose2d(
    inp: Any,
    weight: Any,
    bias: Option<Any>,
    stride: Option<Any>,
    padding: Option<Any>,
    output_padding: Option<Any>,
    dilation: Option<Any>,
    groups: isize,
    conv_mode: &str,
    compute_mode: &str,
) -> New {
    let _ = compute_mode;
    check_mode(conv_mode)?;
    let py = inp.py();
    let params = Arguments { stride, padding, dilation, groups }.params(py)?;
    let extra = output_padding.map_or(Ok((0, 0)), |o| pair("output_padding", o))?;
    let bias = bias.map(input).transpose()?;
    wrap(py, ops::conv_transpose2d(&input(inp)?, &input(weight)?, bias.as_ref(), params, extra))
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(matmul, m)?)?;
    m.add_function(wrap_pyfunction!(dot, m)?)?;
    m.add_function(wrap_pyfunction!(linear, m)?)?;
    m.add_function(wrap_pyfunction!(conv1d, m)?)?;
    m.add_function(wrap_pyfunction!(conv2d, m)?)?;
    m.add_function(wrap_pyfunction!(_conv2d_relu, m)?)?;
    m.add_function(wrap_pyfunction!(conv_transpose2d, m)?)
}
