//! Gradients of elementwise formulas spelled out in operators, so that they can be differentiated
//! again: `df` is run on symbols, and its graph on tensors.

use super::{Elementwise, MapGradient};
use crate::op::Tensors;
use crate::{Result, Tensor, bail, ops};
use tengen_kernels::lanes::{Expr, Graph, Node, OpCode, trace};

/// [`MapGradient`] as operators on its inputs.
pub(super) fn gradient<M: Elementwise<N>, const N: usize>(
    op: &MapGradient<M, N>,
    inputs: &[&Tensor],
) -> Result<Tensors> {
    // A formula has at most three arguments; dy is the fourth.
    let graph = trace(|args: [Expr; 4]| {
        let out = match op.by_value {
            true => [op.map.dv(args[0], args[3]); N],
            false => op.map.df(std::array::from_fn::<_, N, _>(|k| args[k]), args[3]),
        };
        std::array::from_fn::<_, 3, _>(|k| out[k.min(N - 1)])
    });
    let Some((dy, xs)) = inputs.split_last() else {
        bail!(Value, "{}: inputs are missing", M::GRADIENT)
    };
    let mut arguments = [*dy; 4];
    for (a, x) in arguments.iter_mut().zip(xs) {
        *a = x;
    }
    let needs: [bool; 3] = std::array::from_fn(|k| k < N && op.wanted[k].is_some());
    let values = evaluate(&graph, arguments, needs, dy)?;
    let wanted = op.wanted.iter().flatten();
    let to = |(v, spread): (Tensor, &super::Spread)| ops::sum_to(&v, &spread.shape(dy.shape())?);
    values.into_iter().flatten().zip(wanted).map(to).collect()
}

/// The wanted outputs of a graph, each broadcast to `dy`'s shape.
fn evaluate(
    graph: &Graph,
    inputs: [&Tensor; 4],
    wanted: [bool; 3],
    dy: &Tensor,
) -> Result<Vec<Option<Tensor>>> {
    let mut used = vec![false; graph.nodes.len()];
    for (e, _) in graph.outputs.iter().zip(wanted).filter(|(_, w)| *w) {
        used[e.0 as usize] = true;
    }
    for (i, node) in graph.nodes.iter().enumerate().rev() {
        if let (true, Node::Op(_, args)) = (used[i], node) {
            args.iter().for_each(|a| used[a.0 as usize] = true);
        }
    }
    let mut values: Vec<Option<Tensor>> = Vec::with_capacity(graph.nodes.len());
    for (node, used) in graph.nodes.iter().zip(used) {
        values.push(match node {
            _ if !used => None,
            Node::Input(i) => Some(inputs[*i].clone()),
            Node::Const(c) => Some(Tensor::full(&[], *c, dy.dtype())?),
            Node::Op(code, args) => {
                let zero = &inputs[3];
                let [a, b, c] = args.map(|e| values[e.0 as usize].as_ref().unwrap_or(zero));
                Some(run(*code, a, b, c)?)
            }
        });
    }
    graph
        .outputs
        .iter()
        .zip(wanted)
        .map(|(e, wanted)| match &values[e.0 as usize] {
            Some(v) if wanted => Ok(Some(ops::broadcast_to(v, dy.shape())?)),
            _ => Ok(None),
        })
        .collect()
}

fn run(code: OpCode, a: &Tensor, b: &Tensor, c: &Tensor) -> Result<Tensor> {
    match code {
        OpCode::Add => ops::add(a, b),
        OpCode::Sub => ops::sub(a, b),
        OpCode::Mul => ops::mul(a, b),
        OpCode::Div => ops::div(a, b),
        OpCode::Neg => ops::neg(a),
        OpCode::Abs => ops::abs(a),
        OpCode::Fma => ops::add(&ops::mul(a, b)?, c),
        OpCode::Min => ops::minimum(a, b),
        OpCode::Max => ops::maximum(a, b),
        OpCode::Sqrt => ops::sqrt(a),
        // |a|·sign(b): exact but for the sign of zeros.
        OpCode::Copysign => ops::mul(&ops::abs(a)?, &ops::sign(b)?),
        OpCode::Floor => ops::floor(a),
        OpCode::Ceil => ops::ceil(a),
        OpCode::Round => ops::round(a),
        OpCode::Lt => ops::less(a, b),
        OpCode::Le => ops::less_equal(a, b),
        OpCode::Eq => ops::equal(a, b),
        OpCode::And => ops::logical_and(a, b),
        OpCode::Or => ops::logical_or(a, b),
        OpCode::Not => ops::logical_not(a),
        OpCode::Sel => ops::select(a, b, c),
        OpCode::Exp => ops::exp(a),
        OpCode::Expm1 => ops::expm1(a),
        OpCode::Log => ops::log(a),
        OpCode::Log1p => ops::log1p(a),
        OpCode::Tanh => ops::tanh(a),
        OpCode::Sigmoid => ops::sigmoid(a),
        OpCode::Erf => ops::erf(a),
        OpCode::Erfc => ops::erfc(a),
        OpCode::Sin => ops::sin(a),
        OpCode::Cos => ops::cos(a),
        OpCode::Tan => ops::tan(a),
        OpCode::Asin => ops::asin(a),
        OpCode::Acos => ops::acos(a),
        OpCode::Atan => ops::atan(a),
        OpCode::Sinh => ops::sinh(a),
        OpCode::Cosh => ops::cosh(a),
        OpCode::Asinh => ops::asinh(a),
        OpCode::Acosh => ops::acosh(a),
        OpCode::Atanh => ops::atanh(a),
        OpCode::Pow => ops::pow(a, b),
        OpCode::Atan2 => ops::atan2(a, b),
        OpCode::Modulo => ops::modulo(a, b),
    }
}
