//! Modules: the parts of networks.
//!
//! A layer is fields plus one formula, [`Forward::forward`]. [`Module`] gives every layer, and
//! every struct that derives it, traversal, state, modes and hooks.

mod activation;
mod base;
mod conv;
mod field;
pub mod init;
mod linear;
mod module;
mod param;
mod sequential;

pub use activation::*;
pub use base::{Base, ForwardHook, ForwardPreHook, HookHandle};
pub use conv::{Conv1d, Conv2d, ConvTranspose2d};
pub use field::{Anchor, Field};
pub use linear::Linear;
pub use module::{Forward, Layer, Member, Module, StateDict, Tensors};
pub use param::{Buffer, Parameter};
pub use sequential::Sequential;
pub use tengen_derive::Module;
