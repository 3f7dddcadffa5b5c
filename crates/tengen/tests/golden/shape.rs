//! Shape, selection, sorting and creation.

use crate::case::Problem;
use crate::functions::{Answer, Call};
use tengen::ops::{self, Indexing, Padding};
use tengen::{DType, Result, Shape, Tensor};

pub fn call(c: &Call) -> Answer {
    match c.inputs.first() {
        None => create(c),
        Some(x) => one(c, x).or_else(|| several(c, x)),
    }
    .map(|r| r.map_err(Problem::from))
}

type Results = Option<Result<Vec<Tensor>>>;

/// Functions with one result.
fn one(c: &Call, x: &Tensor) -> Results {
    let (op, a) = (c.case.op(), c.args);
    let (axis, axes) = (a.isize_if_one("axis"), a.isizes("axis"));
    let all: Vec<&Tensor> = c.inputs.iter().collect();
    let result = match op {
        "reshape" => ops::reshape_infer(x, &a.isizes("target_shape")?),
        "flatten" => {
            let end = a.isize("end_axis").unwrap_or(-1);
            ops::flatten(x, a.isize("start_axis").unwrap_or(0), end)
        }
        "transpose" => transpose(c, x),
        "swapaxes" => ops::swapaxes(x, a.isize("axis1")?, a.isize("axis2")?),
        "expand_dims" => ops::expand_dims(x, &axes?),
        "squeeze" => ops::squeeze(x, axes.as_deref()),
        "broadcast_to" => Shape::new(&a.usizes("shape")?).and_then(|s| ops::broadcast_to(x, &s)),
        "concat" => ops::concat(&all, axis?),
        "stack" => ops::stack(&all, axis?),
        "tile" => ops::tile(x, &a.usizes("reps")?),
        "repeat" => ops::repeat(x, a.usize("repeats")?, axis),
        "roll" => ops::roll(x, &a.isizes("shift")?, axes.as_deref()),
        "pad" => ops::pad(x, &widths(c), padding(c)),
        "diag" => ops::diag(x, a.isize("k").unwrap_or(0)),
        "gather" => ops::gather(x, axis?, c.named("index")?),
        "scatter" => ops::scatter(x, axis?, c.named("index")?, c.named("source")?),
        "one_hot" => ops::one_hot(x, a.usize("num_classes")?),
        "indexing_one_hot" => {
            let keepdims = a.bool("keepdims", false);
            ops::indexing_one_hot(x, &c.inputs[1], axis.unwrap_or(1), keepdims)
        }
        "embedding" => ops::embedding(x, &c.inputs[1]),
        "argsort" => ops::argsort(x, -1, a.bool("descending", false)),
        "zeros_like" => ops::zeros_like(x),
        "ones_like" => ops::ones_like(x),
        "full_like" => ops::full_like(x, a.f64("value")?),
        "dropout" => ops::dropout(x, a.f64("drop_prob")?, a.bool("training", true)),
        _ => return None,
    };
    Some(result.map(|y| vec![y]))
}

/// Functions with several results.
fn several(c: &Call, x: &Tensor) -> Results {
    let a = c.args;
    let axis = a.isize_if_one("axis");
    let pair = |r: Result<(Tensor, Tensor)>| r.map(|(a, b)| vec![a, b]);
    Some(match c.case.op() {
        "split" => match a.get("nsplits_or_sections")?.as_u64() {
            Some(n) => ops::split(x, n as usize, axis?).map(|s| s.into_vec()),
            None => {
                ops::split_at(x, &a.usizes("nsplits_or_sections")?, axis?).map(|s| s.into_vec())
            }
        },
        "meshgrid" => {
            let xs: Vec<&Tensor> = c.inputs.iter().collect();
            let indexing =
                if a.str("indexing", "xy") == "xy" { Indexing::Xy } else { Indexing::Ij };
            ops::meshgrid(&xs, indexing)
        }
        "cond_take" => pair(ops::cond_take(x, &c.inputs[1])),
        "sort" => pair(ops::sort(x, -1, a.bool("descending", false))),
        "topk" => {
            let (k, descending) = (a.usize("k")?, a.bool("descending", true));
            if a.bool("kth_only", false) {
                pair(ops::kth(x, k, descending))
            } else {
                pair(ops::topk(x, k, descending, true))
            }
        }
        _ => return None,
    })
}

/// A pattern of axes may hold `"x"` for a new one.
fn transpose(c: &Call, x: &Tensor) -> Result<Tensor> {
    let pattern = c.args.get("pattern").and_then(|v| v.as_array()).unwrap();
    let old: Vec<isize> = pattern.iter().filter_map(|v| v.as_i64()).map(|v| v as isize).collect();
    let new: Vec<isize> =
        (0..pattern.len()).filter(|i| pattern[*i] == "x").map(|i| i as isize).collect();
    let y = ops::transpose(x, &old)?;
    if new.is_empty() { Ok(y) } else { ops::expand_dims(&y, &new) }
}

fn widths(c: &Call) -> Vec<(usize, usize)> {
    let pairs = c.args.get("pad_width").and_then(|v| v.as_array()).unwrap();
    let side = |p: &serde_json::Value, i: usize| p[i].as_u64().unwrap() as usize;
    pairs.iter().map(|p| (side(p, 0), side(p, 1))).collect()
}

fn padding(c: &Call) -> Padding {
    match c.args.str("mode", "constant") {
        "constant" => Padding::Constant(c.args.f64("constant_value").unwrap_or(0.0).into()),
        "reflect" => Padding::Reflect,
        _ => Padding::Replicate,
    }
}

/// Functions without inputs.
fn create(c: &Call) -> Results {
    let a = c.args;
    let result = match c.case.op() {
        "arange" => {
            let (start, stop) = (a.f64("start")?, a.f64("stop"));
            let (start, stop) = stop.map_or((0.0, start), |stop| (start, stop));
            ops::arange(start, stop, a.f64("step").unwrap_or(1.0), a.dtype(DType::F32))
        }
        "linspace" => {
            let (start, stop) = (a.f64("start")?, a.f64("stop")?);
            ops::linspace(start, stop, a.usize("num")?, a.dtype(DType::F32))
        }
        "eye" => {
            let n = a.usize("N")?;
            ops::eye(n, a.usize("M").unwrap_or(n), 0, a.dtype(DType::F32))
        }
        "zeros" => Tensor::zeros(&a.usizes("shape")?, a.dtype(DType::F32)),
        "ones" => Tensor::ones(&a.usizes("shape")?, a.dtype(DType::F32)),
        "full" => {
            let value = a.get("value")?;
            // Without a dtype, that of the Python value.
            let usual = match () {
                _ if value.is_boolean() => DType::Bool,
                _ if value.is_i64() => DType::I32,
                _ => DType::F32,
            };
            Tensor::full(&a.usizes("shape")?, a.f64("value")?, a.dtype(usual))
        }
        _ => return None,
    };
    Some(result.map(|y| vec![y]))
}
