//! Elements of tensors as Rust's numbers.

use super::Tensor;
use crate::{Element, Error, ErrorKind, Result, Scalar, dispatch, ensure};

impl Tensor {
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
