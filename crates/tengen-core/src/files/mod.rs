//! File formats that hold arrays: npy, npz, safetensors and pickle.
//!
//! Every reader turns bytes into [`Array`]s, which are inert: nothing in a file is ever run. What a
//! file claims about sizes is checked against its length before memory is taken. Writing replaces
//! a file in one step ([`atomic`]), so that a process that dies leaves the old file or the new one.

pub mod atomic;
pub mod npy;
pub mod npz;
pub mod pickle;
pub mod safetensors;
mod tensor;

use crate::{DType, Element, Result, bail, ensure};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// An array as files hold it: little-endian elements in C order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    /// The element type.
    pub dtype: DType,
    /// The length of every dimension; empty for a single element.
    pub shape: Vec<usize>,
    /// The elements, little-endian, in C order. A bool is a byte, 0 or 1.
    pub data: Vec<u8>,
}

impl Array {
    /// An array of these bytes. Bools that are neither 0 nor 1 become 1.
    ///
    /// # Errors
    /// [`File`](crate::ErrorKind::File) if `data` does not have the length that dtype and shape
    /// ask for.
    pub fn new(dtype: DType, shape: Vec<usize>, mut data: Vec<u8>) -> Result<Array> {
        let bytes = byte_count(dtype, &shape)?;
        ensure!(
            data.len() == bytes,
            File,
            "{dtype}{shape:?} needs {bytes} bytes of data but there are {}",
            data.len()
        );
        if dtype == DType::Bool {
            data.iter_mut().for_each(|b| *b = u8::from(*b != 0));
        }
        Ok(Array { dtype, shape, data })
    }

    /// An array with a copy of these elements.
    ///
    /// # Errors
    /// [`File`](crate::ErrorKind::File) if their number is not that of the shape,
    /// [`Memory`](crate::ErrorKind::Memory) if there is no memory.
    ///
    /// ```
    /// use tengen_core::files::Array;
    /// let a = Array::from_slice(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0])?;
    /// assert_eq!(a.to_vec::<f32>()?, [1.0, 2.0, 3.0, 4.0]);
    /// # Ok::<(), tengen_core::Error>(())
    /// ```
    pub fn from_slice<T: Element>(shape: &[usize], elements: &[T]) -> Result<Array> {
        // SAFETY: every Element is a number or a bool, without padding, so all its bytes are
        // initialised.
        let bytes = unsafe {
            std::slice::from_raw_parts(elements.as_ptr().cast::<u8>(), size_of_val(elements))
        };
        let mut data = try_with_capacity(bytes.len())?;
        data.extend_from_slice(bytes);
        if cfg!(target_endian = "big") {
            swap_bytes(&mut data, T::DTYPE.size());
        }
        Array::new(T::DTYPE, shape.to_vec(), data)
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.data.len() / self.dtype.size()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// A copy of the elements.
    ///
    /// # Errors
    /// [`DType`](crate::ErrorKind::DType) if `T` is not their type,
    /// [`File`](crate::ErrorKind::File) if the data does not have the length that dtype and shape
    /// ask for, [`Memory`](crate::ErrorKind::Memory) if there is no memory.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        ensure!(
            T::DTYPE == self.dtype,
            DType,
            "an array of {} was read as {}; convert it with to_f64 or ask for its own dtype",
            self.dtype,
            T::DTYPE
        );
        self.elements(|v: T| v)
    }

    /// A copy of the elements as f64, rounded to nearest where f64 cannot hold them.
    ///
    /// # Errors
    /// As [`to_vec`](Array::to_vec).
    pub fn to_f64(&self) -> Result<Vec<f64>> {
        crate::dispatch!(self.dtype, T => self.elements(|v: T| v.to_f64()))
    }

    /// Maps elements of type `T`, which is the array's.
    fn elements<T: Element, U>(&self, f: impl Fn(T) -> U) -> Result<Vec<U>> {
        let bytes = byte_count(self.dtype, &self.shape)?;
        ensure!(
            self.data.len() == bytes,
            File,
            "{}{:?} has {} bytes of data in place of {bytes}",
            self.dtype,
            self.shape,
            self.data.len()
        );
        let mut out = try_with_capacity(self.len())?;
        out.extend(self.data.chunks_exact(size_of::<T>()).map(|chunk| {
            let mut bits = [0u8; 8];
            for (i, &byte) in chunk.iter().enumerate() {
                let i = if cfg!(target_endian = "big") { chunk.len() - 1 - i } else { i };
                bits[i] = if T::DTYPE == DType::Bool { u8::from(byte != 0) } else { byte };
            }
            // SAFETY: T is at most 8 bytes long, and the bytes at the front of `bits` are a value
            // of it: any bits are a number, and a bool was made 0 or 1.
            f(unsafe { bits.as_ptr().cast::<T>().read_unaligned() })
        }));
        Ok(out)
    }
}

/// How many bytes an array of this dtype and shape has.
fn byte_count(dtype: DType, shape: &[usize]) -> Result<usize> {
    let count = shape.iter().try_fold(dtype.size(), |a, &n| a.checked_mul(n));
    match count {
        Some(bytes) if isize::try_from(bytes).is_ok() => Ok(bytes),
        _ if shape.contains(&0) => Ok(0),
        _ => bail!(File, "an array of shape {shape:?} does not fit into memory"),
    }
}

/// Turns an array's bytes in some byte order, and in Fortran order if asked, into an [`Array`].
fn from_raw(
    dtype: DType,
    shape: Vec<usize>,
    mut data: Vec<u8>,
    big_endian: bool,
    fortran: bool,
) -> Result<Array> {
    let bytes = byte_count(dtype, &shape)?;
    ensure!(
        data.len() == bytes,
        File,
        "{dtype}{shape:?} needs {bytes} bytes of data but there are {}",
        data.len()
    );
    if big_endian {
        swap_bytes(&mut data, dtype.size());
    }
    if fortran && shape.iter().filter(|&&n| n > 1).count() > 1 && bytes > 0 {
        data = transpose(dtype.size(), &shape, &data)?;
    }
    Array::new(dtype, shape, data)
}

/// Reverses the bytes of every element.
fn swap_bytes(data: &mut [u8], size: usize) {
    if size > 1 {
        data.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
}

/// Brings elements of `size` bytes from Fortran order to C order.
fn transpose(size: usize, shape: &[usize], data: &[u8]) -> Result<Vec<u8>> {
    let mut out = try_with_capacity(data.len())?;
    let (mut index, mut offset) = (vec![0usize; shape.len()], 0usize);
    let mut strides = vec![0; shape.len()];
    let mut next = size;
    for (stride, &n) in strides.iter_mut().zip(shape) {
        *stride = next;
        next *= n;
    }
    while out.len() < data.len() {
        out.extend_from_slice(&data[offset..offset + size]);
        for d in (0..shape.len()).rev() {
            index[d] += 1;
            offset += strides[d];
            if index[d] < shape[d] {
                break;
            }
            offset -= strides[d] * shape[d];
            index[d] = 0;
        }
    }
    Ok(out)
}

/// An empty vector with room for `n` elements, or a memory error.
fn try_with_capacity<T>(n: usize) -> Result<Vec<T>> {
    let mut out = Vec::new();
    if out.try_reserve_exact(n).is_err() {
        bail!(Memory, "no memory for {} bytes", n.saturating_mul(size_of::<T>()));
    }
    Ok(out)
}

/// A copy of these bytes, or a memory error.
fn try_copy(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut out = try_with_capacity(bytes.len())?;
    out.extend_from_slice(bytes);
    Ok(out)
}

/// The bytes of a file; errors name it.
fn read_file(path: &Path) -> Result<Vec<u8>> {
    let read = || -> Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let mut out = try_with_capacity(length)?;
        file.read_to_end(&mut out)?;
        Ok(out)
    };
    read().map_err(|e| e.context(path.display()))
}

/// The dtype of a NumPy type string without its byte order, such as `f4`; what is not supported is
/// an error that names it.
fn numpy_dtype(code: &str) -> Result<DType> {
    Ok(match code {
        "b1" | "?" => DType::Bool,
        "u1" => DType::U8,
        "i1" => DType::I8,
        "i2" => DType::I16,
        "i4" => DType::I32,
        "i8" => DType::I64,
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        _ => {
            let name = match code {
                "u2" => "uint16",
                "u4" => "uint32",
                "u8" => "uint64",
                "c8" => "complex64",
                "c16" => "complex128",
                "f16" => "float128",
                _ => match code.chars().next() {
                    Some('O') => "object",
                    Some('U') => "str",
                    Some('S' | 'a') => "bytes",
                    Some('V') => "void",
                    Some('M') => "datetime64",
                    Some('m') => "timedelta64",
                    _ => code,
                },
            };
            bail!(
                Unsupported,
                "arrays of {name:?} are not supported; use one of {}",
                DType::ALL.map(DType::name).join(", ")
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use half::{bf16, f16};

    #[test]
    fn elements_survive_the_way_there_and_back() {
        fn check<T: Element>(elements: &[T]) {
            let a = Array::from_slice(&[elements.len()], elements).unwrap();
            assert_eq!(a.to_vec::<T>().unwrap(), elements);
            let wide: Vec<f64> = elements.iter().map(|v| v.to_f64()).collect();
            assert_eq!(a.to_f64().unwrap(), wide);
        }
        check(&[true, false]);
        check(&[0u8, 255]);
        check(&[-128i8, 127]);
        check(&[i16::MIN, 300]);
        check(&[i32::MIN, 70_000]);
        check(&[i64::MIN, 1 << 40]);
        check(&[f16::from_f32(1.5), f16::MIN]);
        check(&[bf16::from_f32(-2.5), bf16::MAX]);
        check(&[1.25f32, f32::MIN_POSITIVE]);
        check(&[1e300f64, -0.5]);
        check::<f32>(&[]);
    }

    #[test]
    fn lengths_and_types_are_checked() {
        let kind = |r: Result<Array>| r.unwrap_err().kind();
        assert_eq!(kind(Array::new(DType::F32, vec![2], vec![0; 7])), ErrorKind::File);
        let huge = vec![usize::MAX, 2];
        assert_eq!(kind(Array::new(DType::F32, huge, vec![])), ErrorKind::File);
        assert!(Array::new(DType::F32, vec![usize::MAX, 2, 0], vec![]).is_ok());
        let a = Array::from_slice(&[1], &[1.0f32]).unwrap();
        assert_eq!(a.to_vec::<f64>().unwrap_err().kind(), ErrorKind::DType);
        let forged = Array { shape: vec![5], ..a };
        assert_eq!(forged.to_vec::<f32>().unwrap_err().kind(), ErrorKind::File);
        let odd = Array { dtype: DType::Bool, shape: vec![2], data: vec![0, 7] };
        assert_eq!(odd.to_vec::<bool>().unwrap(), [false, true]);
    }

    #[test]
    fn fortran_order_is_transposed() {
        let a =
            from_raw(DType::I16, vec![2, 3], vec![0, 0, 0, 3, 0, 1, 0, 4, 0, 2, 0, 5], true, true);
        assert_eq!(a.unwrap().to_vec::<i16>().unwrap(), [0, 1, 2, 3, 4, 5]);
    }
}
