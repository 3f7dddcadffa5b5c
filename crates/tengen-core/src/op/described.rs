//! What inference may see of a tensor.

use crate::shape::Shape;
use crate::{DType, Device, Tensor};
use std::fmt;

/// Shape, dtype and device of a tensor; not its values, which it may not have yet.
#[repr(transparent)]
pub struct Described(Tensor);

/// The tensors, as inference may see them.
#[inline]
pub(crate) fn describe<'a, 'b>(tensors: &'a [&'b Tensor]) -> &'a [&'b Described] {
    // SAFETY: `Described` is a transparent wrapper of `Tensor`, so references to them, and slices of
    // such references, have one layout.
    unsafe { std::slice::from_raw_parts(tensors.as_ptr().cast(), tensors.len()) }
}

impl Described {
    /// Extents, outermost first.
    #[inline]
    pub fn shape(&self) -> &Shape {
        self.0.shape()
    }

    /// Element type.
    #[inline]
    pub fn dtype(&self) -> DType {
        self.0.dtype()
    }

    /// Where the tensor lives.
    #[inline]
    pub fn device(&self) -> Device {
        self.0.device()
    }

    /// Number of dimensions.
    #[inline]
    pub fn ndim(&self) -> usize {
        self.0.ndim()
    }

    /// Number of elements.
    #[inline]
    pub fn numel(&self) -> usize {
        self.0.numel()
    }
}

impl fmt::Display for Described {
    /// Dtype and shape: `f32[2, 3]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
