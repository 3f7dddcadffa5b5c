//! Convolution, pooling, normalisation and losses.

use crate::case::{Args, Outcome};
use crate::functions::{Answer, Call};
use tengen::ops::{self, ConvParams, CountMode, PoolParams};
use tengen::{Result, Tensor};

pub fn conv_params(a: Args) -> ConvParams {
    let usual = ConvParams::default();
    ConvParams {
        stride: a.pair("stride").unwrap_or(usual.stride),
        padding: a.pair("padding").unwrap_or(usual.padding),
        dilation: a.pair("dilation").unwrap_or(usual.dilation),
        groups: a.usize("groups").unwrap_or(1),
    }
}

pub fn pool_params(a: Args) -> PoolParams {
    let kernel = a.pair("kernel_size").unwrap();
    PoolParams {
        kernel,
        stride: a.pair("stride").unwrap_or(kernel),
        padding: a.pair("padding").unwrap_or((0, 0)),
    }
}

pub fn count_mode(a: Args) -> CountMode {
    match a.str("mode", "average_count_exclude_padding") {
        "average" => CountMode::IncludePadding,
        _ => CountMode::ExcludePadding,
    }
}

pub fn call(c: &Call) -> Answer {
    let (op, a) = (c.case.op(), c.args);
    let x = c.inputs.first()?;
    let (weight, bias) = (c.named("weight"), c.named("bias"));
    let eps = a.f64("eps").unwrap_or(1e-5);
    let result = match op {
        "conv1d" => ops::conv1d(x, weight?, bias, conv_params(a)),
        "conv2d" => ops::conv2d(x, weight?, bias, conv_params(a)),
        "conv_transpose2d" => {
            let extra = a.pair("output_padding").unwrap_or((0, 0));
            ops::conv_transpose2d(x, weight?, bias, conv_params(a), extra)
        }
        "max_pool2d" => ops::max_pool2d(x, pool_params(a)),
        "avg_pool2d" => ops::avg_pool2d(x, pool_params(a), count_mode(a)),
        "adaptive_avg_pool2d" => ops::adaptive_avg_pool2d(x, a.pair("oshp")?),
        "adaptive_max_pool2d" => ops::adaptive_max_pool2d(x, a.pair("oshp")?),
        "batch_norm" => return Some(batch_norm(c, eps)),
        "layer_norm" => ops::layer_norm(x, &a.usizes("normalized_shape")?, weight, bias, eps),
        "group_norm" => ops::group_norm(x, a.usize("num_groups")?, weight, bias, eps),
        "instance_norm" => ops::instance_norm(x, weight, bias, eps),
        _ => return None,
    };
    Some(result.map(|y| vec![y]).map_err(Into::into))
}

/// The operator gives the batch's statistics, which MegEngine's function blends with the running
/// ones: r ← momentum·r + (1 − momentum)·s.
fn batch_norm(c: &Call, eps: f64) -> Outcome<Vec<Tensor>> {
    let (x, weight, bias) = (&c.inputs[0], c.named("weight"), c.named("bias"));
    let running = (c.named("running_mean"), c.named("running_var"));
    if let ((Some(mean), Some(var)), false) = (running, c.args.bool("training", false)) {
        return Ok(vec![ops::batch_norm_eval(x, mean, var, weight, bias, eps)?]);
    }
    let (y, mean, var) = ops::batch_norm_train(x, weight, bias, eps)?;
    let (Some(old_mean), Some(old_var)) = running else { return Ok(vec![y]) };
    let momentum = c.args.f64("momentum").unwrap_or(0.9);
    let blend = |old: &Tensor, new: &Tensor| -> Result<Tensor> {
        let share = |t: &Tensor, f| ops::mul(t, &Tensor::full(&[], f, t.dtype())?);
        let new = ops::reshape(new, old.shape())?;
        ops::add(&share(old, momentum)?, &share(&new, 1.0 - momentum)?)
    };
    let (mean, var) = (blend(old_mean, &mean)?, blend(old_var, &var)?);
    Ok(vec![y, mean, var])
}
