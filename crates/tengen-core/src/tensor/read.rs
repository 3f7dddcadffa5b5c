//! Elements of tensors as Rust's numbers, to read and to write.

use super::{Memory, Tensor};
use crate::{DType, Element, Error, ErrorKind, Result, Scalar, bail, dispatch, ensure, ops};
use bytemuck::Pod;
use std::sync::Arc;

impl Tensor {
    /// The elements of a contiguous tensor.
    ///
    /// # Errors
    /// DType: `T` is not this tensor's element type. Value: it is a view that is not contiguous.
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        self.expect_dtype(T::DTYPE)?;
        self.expect_value()?;
        ensure!(self.is_contiguous(), Value, "as_slice: {self} is not contiguous");
        // SAFETY: a contiguous tensor has `numel` elements at its pointer, of the checked dtype.
        Ok(unsafe { std::slice::from_raw_parts(self.ptr::<T>(), self.numel()) })
    }

    /// The elements, to write to. A tensor that is shared or not contiguous is copied first, so no
    /// other handle ever sees the change.
    ///
    /// # Errors
    /// DType: `T` is not this tensor's element type. Memory: a copy cannot be had. Value: there is no
    /// value yet. Device: it is elsewhere.
    pub fn as_mut_slice<T: Element + Pod>(&mut self) -> Result<&mut [T]> {
        self.expect_dtype(T::DTYPE)?;
        self.make_unique()?;
        // SAFETY: now contiguous and unshared; all bytes are initialised and valid for a Pod.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.ptr::<T>(), self.numel()) })
    }

    /// Writes `f(i)` to element i, in row-major order. A tensor that is shared or not contiguous is
    /// copied first.
    pub(crate) fn write_each<T: Element>(&mut self, f: impl Fn(usize) -> T) -> Result<()> {
        self.expect_dtype(T::DTYPE)?;
        self.make_unique()?;
        let p = self.ptr::<T>();
        for i in 0..self.numel() {
            // SAFETY: now contiguous and unshared, with `numel` elements of the checked dtype.
            unsafe { p.add(i).write(f(i)) };
        }
        Ok(())
    }

    /// Copies the value unless this is its only handle and it is contiguous.
    pub(crate) fn make_unique(&mut self) -> Result<()> {
        self.expect_value()?;
        let alone = Arc::get_mut(&mut self.inner).is_some_and(|inner| {
            inner.prepared.clear();
            inner.contiguous
                && match &mut inner.memory {
                    Memory::Own(_) => true,
                    Memory::Lent(_) | Memory::Later { .. } => false,
                    Memory::Block(block) => Arc::get_mut(block).is_some(),
                    Memory::Far(far) => Arc::get_mut(far).is_some(),
                }
        });
        if !alone {
            *self = self.copy()?;
        }
        Ok(())
    }

    /// A contiguous tensor of the same value in memory of its own.
    pub(crate) fn copy(&self) -> Result<Tensor> {
        ops::view::contiguous(&self.detach())
    }

    /// The same value, contiguous in memory; this handle's own memory if it already is.
    ///
    /// # Errors
    /// Memory: the copy cannot be had.
    pub fn contiguous(&self) -> Result<Tensor> {
        if self.is_contiguous() {
            return Ok(self.clone());
        }
        let mut t = self.copy()?;
        t.node = self.node;
        Ok(t)
    }

    fn expect_dtype(&self, wanted: DType) -> Result<()> {
        if wanted != self.dtype() {
            bail!(DType, "elements of {self} cannot be read as {wanted}");
        }
        Ok(())
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// DType: `T` is not this tensor's element type.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        self.expect_dtype(T::DTYPE)?;
        Ok(self.contiguous()?.as_slice::<T>()?.to_vec())
    }

    /// The elements in row-major order, as f64.
    ///
    /// # Errors
    /// Memory: a copy of a view cannot be had.
    pub fn to_f64_vec(&self) -> Result<Vec<f64>> {
        dispatch!(self.dtype(), T => Ok(self.to_vec::<T>()?.into_iter().map(T::to_f64).collect()))
    }

    /// The elements in row-major order, as integers.
    ///
    /// # Errors
    /// Value: an element is no integer, or beyond i64. Memory: a copy of a view cannot be had.
    pub fn to_i64_vec(&self) -> Result<Vec<i64>> {
        let int = |v: Scalar| {
            v.exactly::<i64>().ok_or_else(|| {
                Error::new(ErrorKind::Value, format!("an integer is needed, not {v} ({self})"))
            })
        };
        dispatch!(self.dtype(), T => self.to_vec::<T>()?.into_iter().map(|v| int(Scalar::of(v))).collect())
    }

    /// The only element, as f64: the nearest one to an i64. [`Tensor::item_as`] and
    /// [`Tensor::item_scalar`] are exact.
    ///
    /// # Errors
    /// Shape: there is not exactly one element.
    pub fn item(&self) -> Result<f64> {
        Ok(self.item_scalar()?.to_f64())
    }

    /// The only element, as it is.
    ///
    /// # Errors
    /// Shape: there is not exactly one element.
    pub fn item_scalar(&self) -> Result<Scalar> {
        ensure!(self.numel() == 1, Shape, "item: a tensor of one element is needed, not {self}");
        self.expect_value()?;
        // SAFETY: the one element is at the pointer.
        Ok(dispatch!(self.dtype(), T => Scalar::of(unsafe { *self.ptr::<T>() })))
    }

    /// The only element, as the nearest `T` of the floats, or exactly as another `T`.
    ///
    /// ```
    /// use tengen_core::Tensor;
    /// let x = Tensor::scalar(i64::MAX)?;
    /// assert_eq!(x.item_as::<i64>()?, i64::MAX);
    /// assert!(x.item_as::<i32>().is_err());
    /// # Ok::<(), tengen_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Shape: there is not exactly one element. Value: `T` has no such number.
    pub fn item_as<T: Element>(&self) -> Result<T> {
        let v = self.item_scalar()?;
        v.exactly().ok_or_else(|| {
            Error::new(ErrorKind::Value, format!("item: {v} ({self}) is no {}", T::DTYPE))
        })
    }
}
