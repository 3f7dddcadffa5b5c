//! Arrays of files to tensors and back.

use super::Array;
use crate::{Error, Result, Tensor, dispatch};

impl TryFrom<&Array> for Tensor {
    type Error = Error;

    /// A tensor of the same dtype, shape and elements.
    ///
    /// # Errors
    /// [`Shape`](crate::ErrorKind::Shape) if there are more dimensions than tensors have,
    /// [`File`](crate::ErrorKind::File) if the array's data does not have the length that it
    /// should, [`Memory`](crate::ErrorKind::Memory) if there is no memory.
    ///
    /// ```
    /// use tengen_core::{Tensor, files::Array};
    /// let array = Array::from_slice(&[2, 1], &[1.5f32, -2.0])?;
    /// let tensor = Tensor::try_from(&array)?;
    /// assert_eq!(tensor.to_vec::<f32>()?, [1.5, -2.0]);
    /// assert_eq!(Array::try_from(&tensor)?, array);
    /// # Ok::<(), tengen_core::Error>(())
    /// ```
    fn try_from(array: &Array) -> Result<Tensor> {
        if cfg!(target_endian = "big") {
            return dispatch!(array.dtype, T => Tensor::from_slice(&array.to_vec::<T>()?, &array.shape));
        }
        Tensor::from_bytes(&array.data, &array.shape, array.dtype)
    }
}

impl TryFrom<&Tensor> for Array {
    type Error = Error;

    /// An array of the same dtype, shape and elements.
    ///
    /// # Errors
    /// [`Memory`](crate::ErrorKind::Memory) if there is no memory.
    fn try_from(tensor: &Tensor) -> Result<Array> {
        let t = tensor.contiguous()?;
        dispatch!(t.dtype(), T => Array::from_slice(t.shape(), t.as_slice::<T>()?))
    }
}
