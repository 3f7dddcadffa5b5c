//! Modules: the parts of networks.
//!
//! A layer is fields plus one formula, [`Forward::forward`]. [`Module`] gives every layer, and
//! every struct that derives it, traversal, state, modes and hooks.

mod activation;
mod base;
mod batchnorm;
mod boxed;
mod conv;
mod dropout;
mod embedding;
mod field;
pub mod init;
mod linear;
mod module;
mod normalization;
mod param;
mod pooling;
mod recurrent;
mod sequential;

pub use activation::*;
pub use base::{Base, ForwardHook, ForwardPreHook, HookHandle};
pub use batchnorm::{BatchNorm1d, BatchNorm2d, BatchNormParams};
pub use conv::{Conv1d, Conv2d, ConvTranspose2d, PaddingMode};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use field::{Anchor, Field};
pub use linear::Linear;
pub use module::{Forward, Layer, Member, Module, StateDict, Tensors};
pub use normalization::{GroupNorm, InstanceNorm, LayerNorm, NormParams};
pub use param::{Buffer, Parameter};
pub use pooling::{AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d};
pub use recurrent::{Bias, LSTM, LSTMCell, RNN, RNNCell};
pub use sequential::Sequential;
pub use tengen_derive::Module;

/// A number as Python writes it: descriptions of networks read the same in both faces.
fn number(v: f64) -> String {
    if v == 0.0 || (1e-4..1e16).contains(&v.abs()) || !v.is_finite() {
        return format!("{v:?}");
    }
    let text = format!("{v:e}");
    match text.split_once("e-") {
        Some((digits, exponent)) => format!("{digits}e-{exponent:0>2}"),
        None => text.replace('e', "e+"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_read_as_in_python() {
        let cases = [
            (0.0, "0.0"),
            (1e-5, "1e-05"),
            (0.01, "0.01"),
            (0.9, "0.9"),
            (2.0, "2.0"),
            (-1.5e-12, "-1.5e-12"),
            (1e16, "1e+16"),
        ];
        for (v, text) in cases {
            assert_eq!(super::number(v), text);
        }
    }
}
