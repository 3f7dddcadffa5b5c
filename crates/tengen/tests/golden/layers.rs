//! Layers by MegEngine's names and arguments.

use crate::case::{Args, Outcome, fail};
use crate::networks::{conv_params, count_mode, pool_params};
use serde_json::{Map, Value};
use tengen::nn::*;

/// A layer of any type.
pub type AnyLayer = Box<dyn Layer>;

/// Positional arguments under their names, with those that are given by name.
pub fn named(positional: &[&str], args: &[Value], kwargs: &Map<String, Value>) -> Value {
    let mut all = kwargs.clone();
    all.extend(positional.iter().map(|n| n.to_string()).zip(args.iter().cloned()));
    Value::Object(all)
}

/// The constructors' arguments in order.
fn signature(class: &str) -> &'static [&'static str] {
    match class {
        "Linear" => &["in_features", "out_features", "bias"],
        "Conv1d" | "Conv2d" | "ConvTranspose2d" => &["in_channels", "out_channels", "kernel_size"],
        "BatchNorm1d" | "BatchNorm2d" => &["num_features"],
        "LayerNorm" => &["normalized_shape"],
        "GroupNorm" => &["num_groups", "num_channels"],
        "InstanceNorm" => &["num_channels"],
        "MaxPool2d" | "AvgPool2d" => &["kernel_size"],
        "AdaptiveAvgPool2d" | "AdaptiveMaxPool2d" => &["oshp"],
        "PReLU" => &["num_parameters", "init"],
        "LeakyReLU" => &["negative_slope"],
        "Dropout" => &["drop_prob"],
        "Embedding" => &["num_embeddings", "embedding_dim"],
        _ => &[],
    }
}

pub fn build(class: &str, args: &[Value], kwargs: &Map<String, Value>) -> Outcome<AnyLayer> {
    if args.len() > signature(class).len() && class != "Sequential" {
        fail!("{class}: too many arguments {args:?}");
    }
    let json = named(signature(class), args, kwargs);
    let a = Args(&json);
    let size = |name: &str| a.usize(name).unwrap_or_default();
    let bias = a.bool("bias", true);
    let norm = NormParams { eps: a.f64("eps").unwrap_or(1e-5), affine: a.bool("affine", true) };
    Ok(match class {
        "Identity" => Box::new(Identity::new()),
        "ReLU" => Box::new(ReLU::new()),
        "Sigmoid" => Box::new(Sigmoid::new()),
        "SiLU" => Box::new(SiLU::new()),
        "GELU" => Box::new(GELU::new()),
        "LeakyReLU" => Box::new(LeakyReLU::new(a.f64("negative_slope").unwrap_or(0.01))),
        "Softmax" => Box::new(Softmax::new(a.isize("axis"))),
        "PReLU" => {
            let n = a.usize("num_parameters").unwrap_or(1);
            Box::new(PReLU::new(n, a.f64("init").unwrap_or(0.25))?)
        }
        "Linear" if bias => Box::new(Linear::new(size("in_features"), size("out_features"))?),
        "Linear" => Box::new(Linear::without_bias(size("in_features"), size("out_features"))?),
        "Conv1d" => {
            let (i, o, k) = (size("in_channels"), size("out_channels"), size("kernel_size"));
            Box::new(Conv1d::new(i, o, k, conv_params(a), bias)?)
        }
        "Conv2d" => {
            let (i, o) = (size("in_channels"), size("out_channels"));
            let (k, params) = (a.pair("kernel_size").unwrap(), conv_params(a));
            let make = if bias { Conv2d::new } else { Conv2d::without_bias };
            let mut conv = make(i, o, k, params)?;
            conv.padding_mode = match a.str("padding_mode", "zeros") {
                "zeros" => PaddingMode::Zeros,
                "reflect" => PaddingMode::Reflect,
                "replicate" => PaddingMode::Replicate,
                other => fail!("no such padding mode: {other}"),
            };
            Box::new(conv)
        }
        "ConvTranspose2d" => {
            let (i, o) = (size("in_channels"), size("out_channels"));
            let (k, extra) = (a.pair("kernel_size").unwrap(), a.pair("output_padding"));
            let extra = extra.unwrap_or((0, 0));
            Box::new(ConvTranspose2d::new(i, o, k, conv_params(a), extra, bias)?)
        }
        "BatchNorm1d" => Box::new(BatchNorm1d::with_params(size("num_features"), batch_norm(a))?),
        "BatchNorm2d" => Box::new(BatchNorm2d::with_params(size("num_features"), batch_norm(a))?),
        "LayerNorm" => {
            Box::new(LayerNorm::with_params(&a.usizes("normalized_shape").unwrap(), norm)?)
        }
        "GroupNorm" => {
            Box::new(GroupNorm::with_params(size("num_groups"), size("num_channels"), norm)?)
        }
        "InstanceNorm" => Box::new(InstanceNorm::with_params(size("num_channels"), norm)?),
        "MaxPool2d" => Box::new(MaxPool2d::new(pool_params(a))),
        "AvgPool2d" => Box::new(AvgPool2d::with_mode(pool_params(a), count_mode(a))),
        "AdaptiveAvgPool2d" => Box::new(AdaptiveAvgPool2d::new(a.pair("oshp").unwrap())),
        "AdaptiveMaxPool2d" => Box::new(AdaptiveMaxPool2d::new(a.pair("oshp").unwrap())),
        "Dropout" => Box::new(Dropout::new(a.f64("drop_prob").unwrap_or(0.0))),
        "Embedding" => Box::new(Embedding::new(size("num_embeddings"), size("embedding_dim"))?),
        "Sequential" => Box::new(sequential(args)?),
        _ => fail!("there is no runner for {class}"),
    })
}

fn batch_norm(a: Args) -> BatchNormParams {
    let usual = BatchNormParams::default();
    BatchNormParams {
        eps: a.f64("eps").unwrap_or(usual.eps),
        momentum: a.f64("momentum").unwrap_or(usual.momentum),
        affine: a.bool("affine", usual.affine),
        track_running_stats: a.bool("track_running_stats", usual.track_running_stats),
        freeze: a.bool("freeze", usual.freeze),
    }
}

/// Layers in order, or one ordered dict of layers.
fn sequential(args: &[Value]) -> Outcome<Sequential> {
    let layer = |v: &Value| {
        let class = v["module"].as_str().unwrap();
        build(class, v["args"].as_array().unwrap(), v["kwargs"].as_object().unwrap())
    };
    let mut net = Sequential::new();
    match args.first().and_then(|v| v.get("ordered")).and_then(Value::as_array) {
        Some(pairs) => {
            for pair in pairs {
                net = net.push_named(pair[0].as_str().unwrap(), layer(&pair[1])?);
            }
        }
        None => {
            for arg in args {
                net = net.push(layer(arg)?);
            }
        }
    }
    Ok(net)
}
