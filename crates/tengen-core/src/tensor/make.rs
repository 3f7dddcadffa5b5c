//! New tensors.

use super::Tensor;
use crate::shape::Shape;
use crate::{DType, Element, Result, Scalar, ensure, ops};
use std::sync::LazyLock;

impl Tensor {
    /// A tensor that stands in a place whose own one is away.
    pub(crate) fn nothing() -> Tensor {
        static NOTHING: LazyLock<Option<Tensor>> =
            LazyLock::new(|| Tensor::empty(Shape::default(), DType::Bool).ok());
        match &*NOTHING {
            Some(t) => t.clone(),
            None => unreachable!("a tensor of one element takes no memory of its own"),
        }
    }

    /// A tensor of zeros (false for bool).
    ///
    /// # Errors
    /// Shape: `shape` is impossible. Memory: it cannot be had.
    pub fn zeros(shape: &[usize], dtype: DType) -> Result<Tensor> {
        Tensor::full(shape, false, dtype)
    }

    /// A tensor whose elements are all `value`, converted to `dtype` as [`ops::cast`](crate::ops::cast) does.
    ///
    /// # Errors
    /// Shape: `shape` is impossible. Memory: it cannot be had.
    pub fn full(shape: &[usize], value: impl Into<Scalar>, dtype: DType) -> Result<Tensor> {
        ops::create::full(Shape::new(shape)?, value.into(), dtype)
    }

    /// A tensor of ones.
    ///
    /// # Errors
    /// As [`Tensor::full`].
    pub fn ones(shape: &[usize], dtype: DType) -> Result<Tensor> {
        Tensor::full(shape, 1.0, dtype)
    }

    /// A tensor without dimensions.
    ///
    /// # Errors
    /// Memory: it cannot be had.
    pub fn scalar<T: Element>(value: T) -> Result<Tensor> {
        Tensor::from_slice(&[value], &[])
    }

    /// A tensor of the given shape with a copy of `data`, in row-major order.
    ///
    /// # Errors
    /// Shape: `shape` is impossible or has not `data.len()` elements. Memory: it cannot be had.
    pub fn from_slice<T: Element>(data: &[T], shape: &[usize]) -> Result<Tensor> {
        let shape = Shape::new(shape)?;
        ensure!(
            shape.numel() == data.len(),
            Shape,
            "shape {shape} has {} elements, but {} were given",
            shape.numel(),
            data.len()
        );
        let t = Tensor::empty(shape, T::DTYPE)?;
        // SAFETY: the block is new and holds `data.len()` elements of `T`.
        unsafe { t.ptr::<T>().copy_from_nonoverlapping(data.as_ptr(), data.len()) };
        Ok(t)
    }

    /// A tensor from little-endian bytes in row-major order; bool bytes other than 0 count as true.
    ///
    /// # Errors
    /// Shape: `shape` is impossible or `bytes` has not its size. Memory: it cannot be had.
    pub fn from_bytes(bytes: &[u8], shape: &[usize], dtype: DType) -> Result<Tensor> {
        let shape = Shape::new(shape)?;
        ensure!(
            bytes.len() == shape.numel() * dtype.size(),
            Shape,
            "shape {shape} of {dtype} takes {} bytes, but {} were given",
            shape.numel() * dtype.size(),
            bytes.len()
        );
        let t = Tensor::empty(shape, dtype)?;
        if dtype == DType::Bool {
            for (i, b) in bytes.iter().enumerate() {
                // SAFETY: the block is new and holds one byte per element.
                unsafe { t.ptr::<bool>().add(i).write(*b != 0) };
            }
        } else {
            // SAFETY: the block is new and this long; all bytes are values of number dtypes.
            unsafe { t.ptr::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        }
        Ok(t)
    }
}
