//! Numbers outside tensors.

use crate::dtype::convert;
use crate::{DType, Element};
use half::{bf16, f16};
use std::fmt;

/// A number that an operator takes: an integer is not rounded to the floats, nor a float to the
/// integers, before the dtype that it is wanted in is known.
///
/// ```
/// use tengen_core::{DType, Tensor};
/// let x = Tensor::full(&[2], i64::MAX, DType::I64)?;
/// assert_eq!(x.to_vec::<i64>()?, [i64::MAX; 2]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
}

impl Scalar {
    /// The number as `T`, as [`ops::cast`](crate::ops::cast) converts it.
    pub fn to<T: Element>(self) -> T {
        match self {
            Scalar::Bool(v) => convert(v),
            Scalar::Int(v) => convert(v),
            Scalar::Float(v) => convert(v),
        }
    }

    /// The number as `T`: the nearest float, or exactly that integer or bool if `T` has it.
    pub fn exactly<T: Element>(self) -> Option<T> {
        let v = self.to::<T>();
        let same = T::DTYPE.is_float()
            || match self {
                Scalar::Bool(x) => v.to_i64() == i64::from(x),
                Scalar::Int(x) => v.to_i64() == x,
                // 2⁶³ is the one float beyond i64 that equals i64::MAX as f64.
                Scalar::Float(x) => v.to_f64() == x && x < i64::MAX as f64,
            };
        same.then_some(v)
    }

    /// The nearest number of type `T`, whose range it need not be in; floats truncate to integers.
    pub(crate) fn nearest<T: Element>(self) -> T {
        match self {
            Scalar::Int(v) if !T::DTYPE.is_float() => {
                let end = |v: f64| T::from_f64(v).to_i64();
                T::from_i64(v.clamp(end(f64::NEG_INFINITY), end(f64::INFINITY)))
            }
            v => T::from_f64(v.to_f64()),
        }
    }

    /// The nearest f64.
    pub fn to_f64(self) -> f64 {
        self.to()
    }

    /// The number that an element is.
    pub(crate) fn of<T: Element>(v: T) -> Scalar {
        match T::DTYPE {
            DType::Bool => Scalar::Bool(v.to_i64() != 0),
            dtype if dtype.is_float() => Scalar::Float(v.to_f64()),
            _ => Scalar::Int(v.to_i64()),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Bool(v) => v.fmt(f),
            Scalar::Int(v) => v.fmt(f),
            Scalar::Float(v) => v.fmt(f),
        }
    }
}

macro_rules! from {
    ($($t:ty => $variant:ident),*) => {$(
        impl From<$t> for Scalar {
            #[inline]
            fn from(v: $t) -> Self {
                Scalar::$variant(v.into())
            }
        }
    )*};
}
from! {
    bool => Bool, u8 => Int, i8 => Int, u16 => Int, i16 => Int, u32 => Int, i32 => Int, i64 => Int,
    f16 => Float, bf16 => Float, f32 => Float, f64 => Float
}
