//! Elementwise functions.

use crate::case::number_beside;
use crate::functions::{Answer, Call};
use tengen::{Result, Tensor, ops};

fn unary(op: &str) -> Option<fn(&Tensor) -> Result<Tensor>> {
    Some(match op {
        "abs" => ops::abs,
        "acos" => ops::acos,
        "acosh" => ops::acosh,
        "asin" => ops::asin,
        "asinh" => ops::asinh,
        "atan" => ops::atan,
        "atanh" => ops::atanh,
        "ceil" => ops::ceil,
        "cos" => ops::cos,
        "cosh" => ops::cosh,
        "exp" => ops::exp,
        "expm1" => ops::expm1,
        "floor" => ops::floor,
        "gelu" => ops::gelu,
        "hsigmoid" => ops::hsigmoid,
        "hswish" => ops::hswish,
        "isinf" => ops::isinf,
        "isnan" => ops::isnan,
        "log" => ops::log,
        "log1p" => ops::log1p,
        "logical_not" => ops::logical_not,
        "logsigmoid" => ops::logsigmoid,
        "neg" => ops::neg,
        "relu" => ops::relu,
        "relu6" => ops::relu6,
        "round" => ops::round,
        "sigmoid" => ops::sigmoid,
        "sign" => ops::sign,
        "silu" => ops::silu,
        "sin" => ops::sin,
        "sinh" => ops::sinh,
        "softplus" => ops::softplus,
        "sqrt" => ops::sqrt,
        "square" => ops::square,
        "tan" => ops::tan,
        "tanh" => ops::tanh,
        _ => return None,
    })
}

fn binary(op: &str) -> Option<fn(&Tensor, &Tensor) -> Result<Tensor>> {
    Some(match op {
        "add" => ops::add,
        "atan2" => ops::atan2,
        "div" => ops::div,
        "equal" => ops::equal,
        "floor_div" => ops::floor_div,
        "greater" => ops::greater,
        "greater_equal" => ops::greater_equal,
        "left_shift" => ops::left_shift,
        "less" => ops::less,
        "less_equal" => ops::less_equal,
        "logaddexp" => ops::logaddexp,
        "logical_and" => ops::logical_and,
        "logical_or" => ops::logical_or,
        "logical_xor" => ops::logical_xor,
        "maximum" => ops::maximum,
        "minimum" => ops::minimum,
        "mod" => ops::modulo,
        "mul" => ops::mul,
        "not_equal" => ops::not_equal,
        "pow" => ops::pow,
        "prelu" => ops::prelu,
        "right_shift" => ops::right_shift,
        "sub" => ops::sub,
        _ => return None,
    })
}

pub fn call(c: &Call) -> Answer {
    let x = c.inputs.first()?;
    let (op, y) = (c.case.op(), c.args.get("y"));
    let result = match (op, y) {
        ("pow", Some(e)) => ops::pow_scalar(x, e.as_f64().unwrap()),
        ("clip", _) => {
            let bound = |name, open| c.args.f64(name).unwrap_or(open);
            ops::clip(x, bound("lower", f64::NEG_INFINITY), bound("upper", f64::INFINITY))
        }
        ("leaky_relu", _) => ops::leaky_relu(x, c.args.f64("negative_slope").unwrap_or(0.01)),
        ("where", _) => ops::select(x, &c.inputs[1], &c.inputs[2]),
        (_, Some(v)) => {
            let f = binary(op)?;
            match number_beside(x, v) {
                Ok(y) => f(x, &y),
                Err(e) => return Some(Err(e)),
            }
        }
        _ => match unary(op) {
            Some(f) => f(x),
            None => binary(op)?(x, c.inputs.get(1)?),
        },
    };
    Some(result.map(|y| vec![y]).map_err(Into::into))
}
