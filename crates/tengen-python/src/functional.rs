//! Functions on tensors, by MegEngine's names and arguments.

use crate::convert::{axes, from_python, operand};
use crate::tensor::{PyTensor, wrap};
use pyo3::prelude::*;
use tengen::{DType, Tensor, ops};

type Any<'a, 'py> = &'a Bound<'py, PyAny>;
type New = PyResult<Py<PyTensor>>;

/// An input: a tensor, or something that becomes one.
#[inline]
pub fn input(obj: Any) -> PyResult<Tensor> {
    match obj.cast::<PyTensor>() {
        Ok(t) => Ok(t.get().value()),
        Err(_) => from_python(obj, None),
    }
}

/// Two inputs, of which one may be a number that takes on the other's dtype.
#[inline]
fn inputs(x: Any, y: Any) -> PyResult<(Tensor, Tensor)> {
    match (x.cast::<PyTensor>(), y.cast::<PyTensor>()) {
        (Ok(x), Ok(y)) => Ok((x.get().value(), y.get().value())),
        (Ok(x), Err(_)) => {
            let x = x.get().value();
            let y = operand(y, x.dtype())?;
            Ok((x, y))
        }
        (Err(_), Ok(y)) => {
            let y = y.get().value();
            Ok((operand(x, y.dtype())?, y))
        }
        _ => {
            let x = from_python(x, None)?;
            let y = operand(y, x.dtype())?;
            Ok((x, y))
        }
    }
}

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident($x:ident $(, $y:ident)?) = $f:path;)*) => {
        $(functions!(@one [$(#[$doc])*] $name($x $(, $y)?) = $f);)*
        /// Adds them to the module.
        fn register_elementwise(m: &Bound<'_, PyModule>) -> PyResult<()> {
            $(m.add_function(wrap_pyfunction!($name, m)?)?;)*
            Ok(())
        }
    };
    (@one [$(#[$doc:meta])*] $name:ident($x:ident) = $f:path) => {
        $(#[$doc])*
        #[pyfunction]
        fn $name(py: Python<'_>, $x: Any) -> New {
            wrap(py, $f(&input($x)?))
        }
    };
    (@one [$(#[$doc:meta])*] $name:ident($x:ident, $y:ident) = $f:path) => {
        $(#[$doc])*
        #[pyfunction]
        fn $name(py: Python<'_>, $x: Any, $y: Any) -> New {
            let (a, b) = inputs($x, $y)?;
            wrap(py, $f(&a, &b))
        }
    };
}

functions! {
    /// x + y, elementwise.
    add(x, y) = ops::add;
    /// x - y, elementwise.
    sub(x, y) = ops::sub;
    /// x * y, elementwise.
    mul(x, y) = ops::mul;
    /// x / y, elementwise; integers are divided as float32.
    div(x, y) = ops::div;
    /// floor(x / y), elementwise; integers divided by 0 give 0.
    floor_div(x, y) = ops::floor_div;
    /// Remainder of x / y, elementwise: with the sign of x for floats, of y for integers.
    r#mod(x, y) = ops::modulo;
    /// -x, elementwise.
    neg(x) = ops::neg;
    /// The larger of x and y, elementwise; NaN if either is.
    maximum(x, y) = ops::maximum;
    /// The smaller of x and y, elementwise; NaN if either is.
    minimum(x, y) = ops::minimum;
    /// |x|, elementwise.
    abs(x) = ops::abs;
    /// -1, 0 or 1 by the sign of x, elementwise.
    sign(x) = ops::sign;
    /// x squared, elementwise.
    square(x) = ops::square;
    /// Square root, elementwise.
    sqrt(x) = ops::sqrt;
    /// e to the power of x, elementwise.
    exp(x) = ops::exp;
    /// e to the power of x, minus 1, elementwise; accurate near 0.
    expm1(x) = ops::expm1;
    /// Natural logarithm, elementwise.
    log(x) = ops::log;
    /// log(1 + x), elementwise; accurate near 0.
    log1p(x) = ops::log1p;
    /// log(exp(x) + exp(y)), elementwise, without overflow.
    logaddexp(x, y) = ops::logaddexp;
    /// Sine, elementwise, of radians.
    sin(x) = ops::sin;
    /// Cosine, elementwise, of radians.
    cos(x) = ops::cos;
    /// Tangent, elementwise, of radians.
    tan(x) = ops::tan;
    /// Arc sine, elementwise.
    asin(x) = ops::asin;
    /// Arc cosine, elementwise.
    acos(x) = ops::acos;
    /// Arc tangent, elementwise.
    atan(x) = ops::atan;
    /// Angle of the point (x, y), elementwise, in -pi..pi.
    atan2(y, x) = ops::atan2;
    /// Hyperbolic sine, elementwise.
    sinh(x) = ops::sinh;
    /// Hyperbolic cosine, elementwise.
    cosh(x) = ops::cosh;
    /// Hyperbolic tangent, elementwise.
    tanh(x) = ops::tanh;
    /// Inverse hyperbolic sine, elementwise.
    asinh(x) = ops::asinh;
    /// Inverse hyperbolic cosine, elementwise.
    acosh(x) = ops::acosh;
    /// Inverse hyperbolic tangent, elementwise.
    atanh(x) = ops::atanh;
    /// Error function, elementwise.
    erf(x) = ops::erf;
    /// 1 - erf(x), elementwise; accurate for large x.
    erfc(x) = ops::erfc;
    /// Largest integer not above x, elementwise.
    floor(x) = ops::floor;
    /// Smallest integer not below x, elementwise.
    ceil(x) = ops::ceil;
    /// Nearest integer, halves away from zero, elementwise.
    round(x) = ops::round;
    /// max(x, 0), elementwise.
    relu(x) = ops::relu;
    /// min(max(x, 0), 6), elementwise.
    relu6(x) = ops::relu6;
    /// 1 / (1 + exp(-x)), elementwise.
    sigmoid(x) = ops::sigmoid;
    /// min(max(x + 3, 0), 6) / 6, elementwise.
    hsigmoid(x) = ops::hsigmoid;
    /// x * min(max(x + 3, 0), 6) / 6, elementwise.
    hswish(x) = ops::hswish;
    /// x / (1 + exp(-x)), elementwise.
    silu(x) = ops::silu;
    /// x * Phi(x), elementwise, with the exact normal distribution function Phi.
    gelu(x) = ops::gelu;
    /// log(1 + exp(inp)), elementwise, without overflow.
    softplus(inp) = ops::softplus;
    /// log(1 / (1 + exp(-inp))), elementwise, without overflow.
    logsigmoid(inp) = ops::logsigmoid;
    /// max(0, x) + y * min(0, x): y is one slope, or one per channel (axis 1 of x).
    prelu(x, y) = ops::prelu;
    /// x == y, elementwise; bool.
    equal(x, y) = ops::equal;
    /// x != y, elementwise; bool.
    not_equal(x, y) = ops::not_equal;
    /// x < y, elementwise; bool.
    less(x, y) = ops::less;
    /// x <= y, elementwise; bool.
    less_equal(x, y) = ops::less_equal;
    /// x > y, elementwise; bool.
    greater(x, y) = ops::greater;
    /// x >= y, elementwise; bool.
    greater_equal(x, y) = ops::greater_equal;
    /// Whether x is NaN, elementwise; bool.
    isnan(inp) = ops::isnan;
    /// Whether x is infinite, elementwise; bool.
    isinf(inp) = ops::isinf;
    /// x and y, elementwise, of bool tensors.
    logical_and(x, y) = ops::logical_and;
    /// x or y, elementwise, of bool tensors.
    logical_or(x, y) = ops::logical_or;
    /// Either x or y, elementwise, of bool tensors.
    logical_xor(x, y) = ops::logical_xor;
    /// The opposite, elementwise, of a bool tensor.
    logical_not(x) = ops::logical_not;
    /// x * 2**y, elementwise, of integers.
    left_shift(x, y) = ops::left_shift;
    /// floor(x / 2**y), elementwise, of integers.
    right_shift(x, y) = ops::right_shift;
}

/// x to the power of y, elementwise.
#[pyfunction]
fn pow(py: Python<'_>, x: Any, y: Any) -> New {
    if let (Ok(e), Err(_)) = (y.extract::<f64>(), y.cast::<PyTensor>()) {
        return wrap(py, ops::pow_scalar(&input(x)?, e));
    }
    let (a, b) = inputs(x, y)?;
    wrap(py, ops::pow(&a, &b))
}

/// max(0, inp) + negative_slope * min(0, inp), elementwise.
#[pyfunction]
#[pyo3(signature = (inp, negative_slope=0.01))]
fn leaky_relu(py: Python<'_>, inp: Any, negative_slope: f64) -> New {
    wrap(py, ops::leaky_relu(&input(inp)?, negative_slope))
}

/// x limited to lower..upper, elementwise; a bound may be left out, or be a tensor.
#[pyfunction]
#[pyo3(signature = (x, lower=None, upper=None))]
fn clip(py: Python<'_>, x: Any, lower: Option<Any>, upper: Option<Any>) -> New {
    let x = input(x)?;
    let fixed = |b: Option<Any>, open: f64| match b {
        None => Some(open),
        Some(b) if b.cast::<PyTensor>().is_ok() => None,
        Some(b) => b.extract::<f64>().ok(),
    };
    if lower.is_none() && upper.is_none() {
        return Err(pyo3::exceptions::PyAssertionError::new_err(
            "At least one of 'lower' or 'upper' must not be None",
        ));
    }
    if let (Some(l), Some(u)) = (fixed(lower, f64::NEG_INFINITY), fixed(upper, f64::INFINITY)) {
        let whole = |v: f64| v.is_infinite() || v == v.trunc();
        if x.dtype().is_float() || (whole(l) && whole(u)) {
            return wrap(py, ops::clip(&x, l, u));
        }
    }
    let mut y = x;
    if let Some(l) = lower {
        let l = operand(l, y.dtype())?;
        y = crate::error::IntoPy::py(ops::maximum(&y, &l), py)?;
    }
    if let Some(u) = upper {
        let u = operand(u, y.dtype())?;
        y = crate::error::IntoPy::py(ops::minimum(&y, &u), py)?;
    }
    wrap(py, Ok(y))
}

/// x where mask is true, else y: elementwise, with broadcasting.
#[pyfunction]
fn r#where(py: Python<'_>, mask: Any, x: Any, y: Any) -> New {
    let mask = input(mask)?;
    let (x, y) = inputs(x, y)?;
    wrap(py, ops::select(&mask, &x, &y))
}

macro_rules! reductions {
    ($($(#[$doc:meta])* $py:literal $name:ident as $rust:ident;)*) => {
        $(
            $(#[$doc])*
            #[pyfunction]
            #[pyo3(name = $py, signature = (inp, axis=None, keepdims=false))]
            fn $rust(py: Python<'_>, inp: Any, axis: Option<Any>, keepdims: bool) -> New {
                wrap(py, ops::$name(&input(inp)?, axes(axis)?.as_deref(), keepdims))
            }
        )*
        /// Adds them to the module.
        fn register_reductions(m: &Bound<'_, PyModule>) -> PyResult<()> {
            $(m.add_function(wrap_pyfunction!($rust, m)?)?;)*
            Ok(())
        }
    };
}

reductions! {
    /// Sum over axis (an int, several, or None for all). Integers keep their dtype and wrap.
    "sum" sum as reduce_sum;
    /// Product over axis (an int, several, or None for all).
    "prod" prod as reduce_prod;
    /// Mean over axis (an int, several, or None for all), in float32.
    "mean" mean as reduce_mean;
    /// Greatest element over axis (an int, several, or None for all); NaN if there is one.
    "max" max as reduce_max;
    /// Least element over axis (an int, several, or None for all); NaN if there is one.
    "min" min as reduce_min;
    /// Population variance over axis (an int, several, or None for all).
    "var" var as reduce_var;
    /// Population standard deviation over axis (an int, several, or None for all).
    "std" std as reduce_std;
    /// log(sum(exp(inp))) over axis, without overflow.
    "logsumexp" logsumexp as reduce_logsumexp;
}

/// Conversion of a tensor to another dtype, for code that has no Tensor method at hand.
#[pyfunction]
fn _astype(py: Python<'_>, x: Any, dtype: &str) -> New {
    let dtype = DType::from_name(dtype)
        .ok_or_else(|| pyo3::exceptions::PyTypeError::new_err(format!("no dtype {dtype:?}")))?;
    wrap(py, ops::cast(&input(x)?, dtype))
}

/// Adds the functions to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    register_elementwise(m)?;
    register_reductions(m)?;
    m.add_function(wrap_pyfunction!(pow, m)?)?;
    m.add_function(wrap_pyfunction!(leaky_relu, m)?)?;
    m.add_function(wrap_pyfunction!(clip, m)?)?;
    m.add_function(wrap_pyfunction!(r#where, m)?)?;
    m.add_function(wrap_pyfunction!(_astype, m)?)?;
    Ok(())
}
