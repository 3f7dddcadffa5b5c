//! Reductions and products of matrices.

use crate::functions::{Answer, Call};
use tengen::{Result, Tensor, ops};

type Reduction = fn(&Tensor, Option<&[isize]>, bool) -> Result<Tensor>;

pub fn call(c: &Call) -> Answer {
    let (op, a) = (c.case.op(), c.args);
    let x = c.inputs.first()?;
    let axes = a.isizes("axis");
    let (axis, keepdims) = (a.isize_if_one("axis"), a.bool("keepdims", false));
    let reduction: Option<Reduction> = match op {
        "sum" => Some(ops::sum),
        "mean" => Some(ops::mean),
        "prod" => Some(ops::prod),
        "max" => Some(ops::max),
        "min" => Some(ops::min),
        "var" => Some(ops::var),
        "std" => Some(ops::std),
        "logsumexp" => Some(ops::logsumexp),
        _ => None,
    };
    // Without an axis, softmax takes 0 for 0, 1 and 3 dimensions and 1 for others.
    let usual = if matches!(x.ndim(), 0 | 1 | 3) { 0 } else { 1 };
    let ord = a.f64("ord").unwrap_or(2.0);
    let result = match op {
        _ if reduction.is_some() => reduction?(x, axes.as_deref(), keepdims),
        "argmax" => ops::argmax(x, axis, keepdims),
        "argmin" => ops::argmin(x, axis, keepdims),
        "norm" => ops::norm(x, ord, axes.as_deref(), keepdims),
        "normalize" => ops::normalize(x, ord, axes.as_deref(), a.f64("eps").unwrap_or(1e-12)),
        "softmax" => ops::softmax(x, axis.unwrap_or(usual)),
        "logsoftmax" => ops::logsoftmax(x, &axes?),
        "cumsum" => ops::cumsum(x, axis?),
        "matmul" => {
            let (ta, tb) = (a.bool("transpose_a", false), a.bool("transpose_b", false));
            ops::matmul(x, &c.inputs[1], ta, tb)
        }
        "dot" => ops::dot(x, &c.inputs[1]),
        "linear" => ops::linear(x, &c.inputs[1], c.inputs.get(2)),
        _ => return None,
    };
    Some(result.map(|y| vec![y]).map_err(Into::into))
}
