//! Elementwise functions.

use super::{Any, New, input, inputs};
use crate::convert::{number, operand};
use crate::error::IntoPy;
use crate::held::PyTensor;
use crate::tensor::wrap;
use pyo3::exceptions::PyAssertionError;
use pyo3::prelude::*;
use tengen::{Scalar, ops};

/// Functions of one or two tensors, each with an example and what it prints.
macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident($x:ident $(, $y:ident)?) = $f:path, $call:literal => $shown:literal;)*) => {
        $(functions!(@one [$(#[$doc])*] $name($x $(, $y)?) = $f, $call => $shown);)*
        fn register_functions(m: &Bound<'_, PyModule>) -> PyResult<()> {
            $(m.add_function(wrap_pyfunction!($name, m)?)?;)*
            Ok(())
        }
    };
    (@one [$(#[$doc:meta])*] $name:ident($x:ident) = $f:path, $call:literal => $shown:literal) => {
        $(#[$doc])*
        ///
        /// Takes a tensor (or what makes one) of any shape, which the result has too.
        ///
        /// >>> import megengine as mge, megengine.functional as F
        #[doc = concat!(">>> ", $call)]
        #[doc = $shown]
        #[pyfunction]
        fn $name(py: Python<'_>, $x: Any) -> New {
            wrap(py, $f(&input($x)?))
        }
    };
    (@one [$(#[$doc:meta])*] $name:ident($x:ident, $y:ident) = $f:path, $call:literal => $shown:literal) => {
        $(#[$doc])*
        ///
        /// Takes tensors or numbers, whose shapes are broadcast together and whose dtypes meet in
        /// one; raises ShapeError if the shapes do not fit.
        ///
        /// >>> import megengine as mge, megengine.functional as F
        #[doc = concat!(">>> ", $call)]
        #[doc = $shown]
        #[pyfunction]
        fn $name(py: Python<'_>, $x: Any, $y: Any) -> New {
            let (a, b) = inputs($x, $y)?;
            wrap(py, $f(&a, &b))
        }
    };
}

functions! {
    /// x + y, elementwise.
    add(x, y) = ops::add,
        "F.add(mge.tensor([1.0, 4.0]), 2)" => "Tensor([3. 6.], device=xpux:0)";
    /// x - y, elementwise.
    sub(x, y) = ops::sub,
        "F.sub(mge.tensor([1.0, 4.0]), 2)" => "Tensor([-1.  2.], device=xpux:0)";
    /// x * y, elementwise.
    mul(x, y) = ops::mul,
        "F.mul(mge.tensor([1.0, 4.0]), 2)" => "Tensor([2. 8.], device=xpux:0)";
    /// x / y, elementwise; integers are divided as float32.
    div(x, y) = ops::div,
        "F.div(mge.tensor([1.0, 4.0]), 2)" => "Tensor([0.5 2. ], device=xpux:0)";
    /// floor(x / y), elementwise; integers divided by 0 give 0.
    floor_div(x, y) = ops::floor_div,
        "F.floor_div(mge.tensor([-7, 7]), 2)" => "Tensor([-4  3], dtype=int32, device=xpux:0)";
    /// Remainder of x / y, elementwise: with the sign of x for floats, of y for integers.
    r#mod(x, y) = ops::modulo,
        "F.mod(mge.tensor([-7, 7]), 3)" => "Tensor([2 1], dtype=int32, device=xpux:0)";
    /// -x, elementwise.
    neg(x) = ops::neg,
        "F.neg(mge.tensor([-1.0, 2.0]))" => "Tensor([ 1. -2.], device=xpux:0)";
    /// The larger of x and y, elementwise; NaN if either is.
    maximum(x, y) = ops::maximum,
        "F.maximum(mge.tensor([1.0, 4.0]), 2)" => "Tensor([2. 4.], device=xpux:0)";
    /// The smaller of x and y, elementwise; NaN if either is.
    minimum(x, y) = ops::minimum,
        "F.minimum(mge.tensor([1.0, 4.0]), 2)" => "Tensor([1. 2.], device=xpux:0)";
    /// |x|, elementwise.
    abs(x) = ops::abs,
        "F.abs(mge.tensor([-1.0, 2.0]))" => "Tensor([1. 2.], device=xpux:0)";
    /// -1, 0 or 1 by the sign of x, elementwise.
    sign(x) = ops::sign,
        "F.sign(mge.tensor([-3.0, 0.0]))" => "Tensor([-1.  0.], device=xpux:0)";
    /// x squared, elementwise.
    square(x) = ops::square,
        "F.square(mge.tensor([-1.0, 2.0]))" => "Tensor([1. 4.], device=xpux:0)";
    /// Square root, elementwise.
    sqrt(x) = ops::sqrt,
        "F.sqrt(mge.tensor([1.0, 4.0]))" => "Tensor([1. 2.], device=xpux:0)";
    /// e to the power of x, elementwise.
    exp(x) = ops::exp,
        "F.exp(mge.tensor([0.0, 1.0]))" => "Tensor([1.     2.7183], device=xpux:0)";
    /// e to the power of x, minus 1, elementwise; accurate near 0.
    expm1(x) = ops::expm1,
        "F.expm1(mge.tensor([0.0, 1.0]))" => "Tensor([0.     1.7183], device=xpux:0)";
    /// Natural logarithm, elementwise.
    log(x) = ops::log,
        "F.log(mge.tensor([1.0, 4.0]))" => "Tensor([0.     1.3863], device=xpux:0)";
    /// log(1 + x), elementwise; accurate near 0.
    log1p(x) = ops::log1p,
        "F.log1p(mge.tensor([0.0, 1.0]))" => "Tensor([0.     0.6931], device=xpux:0)";
    /// log(exp(x) + exp(y)), elementwise, without overflow.
    logaddexp(x, y) = ops::logaddexp,
        "F.logaddexp(mge.tensor([1.0, 4.0]), 2)" => "Tensor([2.3133 4.1269], device=xpux:0)";
    /// Sine, elementwise, of radians.
    sin(x) = ops::sin,
        "F.sin(mge.tensor([-1.0, 2.0]))" => "Tensor([-0.8415  0.9093], device=xpux:0)";
    /// Cosine, elementwise, of radians.
    cos(x) = ops::cos,
        "F.cos(mge.tensor([-1.0, 2.0]))" => "Tensor([ 0.5403 -0.4161], device=xpux:0)";
    /// Tangent, elementwise, of radians.
    tan(x) = ops::tan,
        "F.tan(mge.tensor([-1.0, 2.0]))" => "Tensor([-1.5574 -2.185 ], device=xpux:0)";
    /// Arc sine, elementwise.
    asin(x) = ops::asin,
        "F.asin(mge.tensor([0.0, 1.0]))" => "Tensor([0.     1.5708], device=xpux:0)";
    /// Arc cosine, elementwise.
    acos(x) = ops::acos,
        "F.acos(mge.tensor([0.0, 1.0]))" => "Tensor([1.5708 0.    ], device=xpux:0)";
    /// Arc tangent, elementwise.
    atan(x) = ops::atan,
        "F.atan(mge.tensor([-1.0, 2.0]))" => "Tensor([-0.7854  1.1071], device=xpux:0)";
    /// Angle of the point (x, y), elementwise, in -pi..pi.
    atan2(y, x) = ops::atan2,
        "F.atan2(mge.tensor([1.0, 4.0]), 2)" => "Tensor([0.4636 1.1071], device=xpux:0)";
    /// Hyperbolic sine, elementwise.
    sinh(x) = ops::sinh,
        "F.sinh(mge.tensor([-1.0, 2.0]))" => "Tensor([-1.1752  3.6269], device=xpux:0)";
    /// Hyperbolic cosine, elementwise.
    cosh(x) = ops::cosh,
        "F.cosh(mge.tensor([-1.0, 2.0]))" => "Tensor([1.5431 3.7622], device=xpux:0)";
    /// Hyperbolic tangent, elementwise.
    tanh(x) = ops::tanh,
        "F.tanh(mge.tensor([-1.0, 2.0]))" => "Tensor([-0.7616  0.964 ], device=xpux:0)";
    /// Inverse hyperbolic sine, elementwise.
    asinh(x) = ops::asinh,
        "F.asinh(mge.tensor([-1.0, 2.0]))" => "Tensor([-0.8814  1.4436], device=xpux:0)";
    /// Inverse hyperbolic cosine, elementwise.
    acosh(x) = ops::acosh,
        "F.acosh(mge.tensor([1.0, 2.0]))" => "Tensor([0.    1.317], device=xpux:0)";
    /// Inverse hyperbolic tangent, elementwise.
    atanh(x) = ops::atanh,
        "F.atanh(mge.tensor([0.0, 0.5]))" => "Tensor([0.     0.5493], device=xpux:0)";
    /// Error function, elementwise.
    erf(x) = ops::erf,
        "F.erf(mge.tensor([-1.0, 2.0]))" => "Tensor([-0.8427  0.9953], device=xpux:0)";
    /// 1 - erf(x), elementwise; accurate for large x.
    erfc(x) = ops::erfc,
        "F.erfc(mge.tensor([-1.0, 2.0]))" => "Tensor([1.8427 0.0047], device=xpux:0)";
    /// Largest integer not above x, elementwise.
    floor(x) = ops::floor,
        "F.floor(mge.tensor([-1.5, 2.5]))" => "Tensor([-2.  2.], device=xpux:0)";
    /// Smallest integer not below x, elementwise.
    ceil(x) = ops::ceil,
        "F.ceil(mge.tensor([-1.5, 2.5]))" => "Tensor([-1.  3.], device=xpux:0)";
    /// Nearest integer, halves away from zero, elementwise.
    round(x) = ops::round,
        "F.round(mge.tensor([-1.5, 2.4]))" => "Tensor([-2.  2.], device=xpux:0)";
    /// max(x, 0), elementwise.
    relu(x) = ops::relu,
        "F.relu(mge.tensor([-1.0, 2.0]))" => "Tensor([0. 2.], device=xpux:0)";
    /// min(max(x, 0), 6), elementwise.
    relu6(x) = ops::relu6,
        "F.relu6(mge.tensor([-1.0, 7.0]))" => "Tensor([0. 6.], device=xpux:0)";
    /// 1 / (1 + exp(-x)), elementwise.
    sigmoid(x) = ops::sigmoid,
        "F.sigmoid(mge.tensor([-1.0, 2.0]))" => "Tensor([0.2689 0.8808], device=xpux:0)";
    /// min(max(x + 3, 0), 6) / 6, elementwise.
    hsigmoid(x) = ops::hsigmoid,
        "F.hsigmoid(mge.tensor([-1.0, 2.0]))" => "Tensor([0.3333 0.8333], device=xpux:0)";
    /// x * min(max(x + 3, 0), 6) / 6, elementwise.
    hswish(x) = ops::hswish,
        "F.hswish(mge.tensor([-1.0, 2.0]))" => "Tensor([-0.3333  1.6667], device=xpux:0)";
    /// x / (1 + exp(-x)), elementwise.
    silu(x) = ops::silu,
        "F.silu(mge.tensor([-1.0, 2.0]))" => "Tensor([-0.2689  1.7616], device=xpux:0)";
    /// x * Phi(x), elementwise, with the exact normal distribution function Phi.
    gelu(x) = ops::gelu,
        "F.gelu(mge.tensor([-1.0, 2.0]))" => "Tensor([-0.1587  1.9545], device=xpux:0)";
    /// log(1 + exp(inp)), elementwise, without overflow.
    softplus(inp) = ops::softplus,
        "F.softplus(mge.tensor([-1.0, 2.0]))" => "Tensor([0.3133 2.1269], device=xpux:0)";
    /// log(1 / (1 + exp(-inp))), elementwise, without overflow.
    logsigmoid(inp) = ops::logsigmoid,
        "F.logsigmoid(mge.tensor([-1.0, 2.0]))" => "Tensor([-1.3133 -0.1269], device=xpux:0)";
    /// max(0, x) + y * min(0, x): y is one slope, or one per channel (axis 1 of x).
    prelu(x, y) = ops::prelu,
        "F.prelu(mge.tensor([-1.0, 2.0]), mge.tensor([0.25]))" => "Tensor([-0.25  2.  ], device=xpux:0)";
    /// x == y, elementwise; bool.
    equal(x, y) = ops::equal,
        "F.equal(mge.tensor([1.0, 4.0]), 2)" => "Tensor([False False], dtype=bool, device=xpux:0)";
    /// x != y, elementwise; bool.
    not_equal(x, y) = ops::not_equal,
        "F.not_equal(mge.tensor([1.0, 4.0]), 2)" => "Tensor([ True  True], dtype=bool, device=xpux:0)";
    /// x < y, elementwise; bool.
    less(x, y) = ops::less,
        "F.less(mge.tensor([1.0, 4.0]), 2)" => "Tensor([ True False], dtype=bool, device=xpux:0)";
    /// x <= y, elementwise; bool.
    less_equal(x, y) = ops::less_equal,
        "F.less_equal(mge.tensor([1.0, 4.0]), 2)" => "Tensor([ True False], dtype=bool, device=xpux:0)";
    /// x > y, elementwise; bool.
    greater(x, y) = ops::greater,
        "F.greater(mge.tensor([1.0, 4.0]), 2)" => "Tensor([False  True], dtype=bool, device=xpux:0)";
    /// x >= y, elementwise; bool.
    greater_equal(x, y) = ops::greater_equal,
        "F.greater_equal(mge.tensor([1.0, 4.0]), 2)" => "Tensor([False  True], dtype=bool, device=xpux:0)";
    /// Whether x is NaN, elementwise; bool.
    isnan(inp) = ops::isnan,
        "F.isnan(mge.tensor([float(\"nan\"), 1.0]))" => "Tensor([ True False], dtype=bool, device=xpux:0)";
    /// Whether x is infinite, elementwise; bool.
    isinf(inp) = ops::isinf,
        "F.isinf(mge.tensor([float(\"inf\"), 1.0]))" => "Tensor([ True False], dtype=bool, device=xpux:0)";
    /// x and y, elementwise, of bool tensors.
    logical_and(x, y) = ops::logical_and,
        "F.logical_and(mge.tensor([True, True]), mge.tensor([True, False]))" => "Tensor([ True False], dtype=bool, device=xpux:0)";
    /// x or y, elementwise, of bool tensors.
    logical_or(x, y) = ops::logical_or,
        "F.logical_or(mge.tensor([False, True]), mge.tensor([False, False]))" => "Tensor([False  True], dtype=bool, device=xpux:0)";
    /// Either x or y, elementwise, of bool tensors.
    logical_xor(x, y) = ops::logical_xor,
        "F.logical_xor(mge.tensor([True, True]), mge.tensor([True, False]))" => "Tensor([False  True], dtype=bool, device=xpux:0)";
    /// The opposite, elementwise, of a bool tensor.
    logical_not(x) = ops::logical_not,
        "F.logical_not(mge.tensor([True, False]))" => "Tensor([False  True], dtype=bool, device=xpux:0)";
    /// x * 2**y, elementwise, of integers.
    left_shift(x, y) = ops::left_shift,
        "F.left_shift(mge.tensor([1, 2]), 3)" => "Tensor([ 8 16], dtype=int32, device=xpux:0)";
    /// floor(x / 2**y), elementwise, of integers.
    right_shift(x, y) = ops::right_shift,
        "F.right_shift(mge.tensor([8, -8]), 2)" => "Tensor([ 2 -2], dtype=int32, device=xpux:0)";
}

/// x to the power of y, elementwise; integers become float32.
///
/// Takes tensors or numbers, whose shapes are broadcast together.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.pow(mge.tensor([2.0, 3.0]), 2)
/// Tensor([4. 9.], device=xpux:0)
#[pyfunction]
fn pow(py: Python<'_>, x: Any, y: Any) -> New {
    if let (Ok(e), Err(_)) = (y.extract::<f64>(), y.cast::<PyTensor>()) {
        return wrap(py, ops::pow_scalar(&input(x)?, e));
    }
    let (a, b) = inputs(x, y)?;
    wrap(py, ops::pow(&a, &b))
}

/// max(0, inp) + negative_slope * min(0, inp), elementwise.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.leaky_relu(mge.tensor([-1.0, 2.0]), 0.5)
/// Tensor([-0.5  2. ], device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inp, negative_slope=0.01))]
fn leaky_relu(py: Python<'_>, inp: Any, negative_slope: f64) -> New {
    wrap(py, ops::leaky_relu(&input(inp)?, negative_slope))
}

/// inp where |inp| > lambd, else 0, elementwise.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.hardshrink(mge.tensor([-2.0, -0.5, 0.25, 1.0]))
/// Tensor([-2.  0.  0.  1.], device=xpux:0)
#[pyfunction]
#[pyo3(signature = (inp, lambd=0.5))]
fn hardshrink(py: Python<'_>, inp: Any, lambd: f64) -> New {
    wrap(py, ops::hardshrink(&input(inp)?, lambd))
}

/// x limited to lower..upper, elementwise; a bound may be left out, or be a tensor.
///
/// Raises AssertionError if both bounds are left out.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.clip(mge.tensor([-1.0, 0.5, 3.0]), 0, 1)
/// Tensor([0.  0.5 1. ], device=xpux:0)
#[pyfunction]
#[pyo3(signature = (x, lower=None, upper=None))]
fn clip(py: Python<'_>, x: Any, lower: Option<Any>, upper: Option<Any>) -> New {
    let x = input(x)?;
    let fixed = |b: Option<Any>, open: f64| match b {
        None => Some(Scalar::Float(open)),
        Some(b) if b.cast::<PyTensor>().is_ok() => None,
        Some(b) => number(b).ok(),
    };
    if lower.is_none() && upper.is_none() {
        return Err(PyAssertionError::new_err(
            "At least one of 'lower' or 'upper' must not be None",
        ));
    }
    if let (Some(l), Some(u)) = (fixed(lower, f64::NEG_INFINITY), fixed(upper, f64::INFINITY)) {
        let whole = |v: Scalar| v.to_f64().is_infinite() || v.to_f64() == v.to_f64().trunc();
        if x.dtype().is_float() || (whole(l) && whole(u)) {
            return wrap(py, ops::clip(&x, l, u));
        }
    }
    let mut y = x;
    if let Some(l) = lower {
        let l = operand(l, y.dtype())?;
        y = ops::maximum(&y, &l).py(py)?;
    }
    if let Some(u) = upper {
        let u = operand(u, y.dtype())?;
        y = ops::minimum(&y, &u).py(py)?;
    }
    wrap(py, Ok(y))
}

/// x where mask (bool) is true, else y: elementwise, with broadcasting. x and y meet in one dtype.
///
/// >>> import megengine as mge, megengine.functional as F
/// >>> F.where(mge.tensor([True, False]), mge.tensor([1.0, 2.0]), mge.tensor([3.0, 4.0]))
/// Tensor([1. 4.], device=xpux:0)
#[pyfunction]
fn r#where(py: Python<'_>, mask: Any, x: Any, y: Any) -> New {
    let mask = input(mask)?;
    let (x, y) = inputs(x, y)?;
    wrap(py, ops::select(&mask, &x, &y))
}

pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    register_functions(m)?;
    m.add_function(wrap_pyfunction!(pow, m)?)?;
    m.add_function(wrap_pyfunction!(leaky_relu, m)?)?;
    m.add_function(wrap_pyfunction!(hardshrink, m)?)?;
    m.add_function(wrap_pyfunction!(clip, m)?)?;
    m.add_function(wrap_pyfunction!(r#where, m)?)
}
