//! Element types.

use half::{bf16, f16};
use std::fmt;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned 8-bit integer.
    U8,
    /// Signed 8-bit integer.
    I8,
    /// Signed 16-bit integer.
    I16,
    /// Signed 32-bit integer.
    I32,
    /// Signed 64-bit integer.
    I64,
    /// IEEE half precision; arithmetic is done in f32.
    F16,
    /// bfloat16; arithmetic is done in f32.
    BF16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

impl DType {
    /// Every dtype.
    pub const ALL: [DType; 10] = [
        DType::Bool,
        DType::U8,
        DType::I8,
        DType::I16,
        DType::I32,
        DType::I64,
        DType::F16,
        DType::BF16,
        DType::F32,
        DType::F64,
    ];

    /// Bytes per element.
    pub const fn size(self) -> usize {
        match self {
            DType::Bool | DType::U8 | DType::I8 => 1,
            DType::I16 | DType::F16 | DType::BF16 => 2,
            DType::I32 | DType::F32 => 4,
            DType::I64 | DType::F64 => 8,
        }
    }

    /// Whether this is f16, bf16, f32 or f64.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F16 | DType::BF16 | DType::F32 | DType::F64)
    }

    /// Whether this is an integer type; bool is not.
    pub const fn is_int(self) -> bool {
        !self.is_float() && !matches!(self, DType::Bool)
    }

    /// NumPy's name for it: `float32`, `int8`, `bool`; `bfloat16` for [`DType::BF16`].
    pub const fn name(self) -> &'static str {
        match self {
            DType::Bool => "bool",
            DType::U8 => "uint8",
            DType::I8 => "int8",
            DType::I16 => "int16",
            DType::I32 => "int32",
            DType::I64 => "int64",
            DType::F16 => "float16",
            DType::BF16 => "bfloat16",
            DType::F32 => "float32",
            DType::F64 => "float64",
        }
    }

    /// The dtype with this [`name`](DType::name).
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|d| d.name() == name)
    }
}

impl fmt::Display for DType {
    /// The short form that error messages use: `f32`, `i8`, `bool`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::Bool => "bool",
            DType::U8 => "u8",
            DType::I8 => "i8",
            DType::I16 => "i16",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::F32 => "f32",
            DType::F64 => "f64",
        })
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that a tensor can hold. Bool tensors hold bytes that are 0 or 1; Rust's `bool` has
/// that representation.
pub trait Element:
    sealed::Sealed + Copy + Default + PartialEq + Send + Sync + fmt::Debug + 'static
{
    /// The matching dtype.
    const DTYPE: DType;
    /// The value as f64, rounded to nearest where f64 cannot hold it.
    fn to_f64(self) -> f64;
    /// The value as i64; floats truncate and saturate.
    fn to_i64(self) -> i64;
    /// The value of this type that has the low bits of `v` (integers), is nearest (floats) or says
    /// whether `v` is not 0 (bool).
    fn from_i64(v: i64) -> Self;
    /// The nearest value of this type; integers truncate towards zero and saturate, NaN becomes 0
    /// ([`ops::cast`](crate::ops::cast) differs where an integer type has no such value).
    fn from_f64(v: f64) -> Self;
}

/// A float that [`to_odd`] rounds as it would round `v`: beyond 2⁵³, where f64 does not have every
/// integer, the lowest bits are replaced by one that says whether any was set.
fn exact(v: i64) -> f64 {
    const LOW: i64 = (1 << 11) - 1;
    if v.unsigned_abs() < 1 << 53 {
        return v as f64;
    }
    (if v & LOW == 0 { v } else { (v & !LOW) | (LOW + 1) }) as f64
}

/// An f32 that rounds to the same half-precision number as `v`: `v` itself, or else the neighbour
/// whose last bit is set, which lies on the same side of every number in the middle of two halves.
fn to_odd(v: f64) -> f32 {
    let near = v as f32;
    if f64::from(near) == v || v.is_nan() {
        return near;
    }
    let below = near.to_bits() - u32::from(f64::from(near).abs() > v.abs());
    f32::from_bits(below | 1)
}

/// The integer that x86-64 makes of a float in 32 bits: the lowest one if there is none.
fn to_i32(v: f64) -> i32 {
    if v > -2_147_483_649.0 && v < 2_147_483_648.0 { v as i32 } else { i32::MIN }
}

/// [`to_i32`] in 64 bits.
fn to_i64(v: f64) -> i64 {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if (-END..END).contains(&v) { v as i64 } else { i64::MIN }
}

/// The conversion of [`ops::cast`](crate::ops::cast).
#[inline(always)]
pub(crate) fn convert<S: Element, D: Element>(v: S) -> D {
    match D::DTYPE {
        DType::Bool => D::from_i64(i64::from(v.to_f64() != 0.0)),
        to if to.is_float() && S::DTYPE.is_float() => D::from_f64(v.to_f64()),
        DType::I64 if S::DTYPE.is_float() => D::from_i64(to_i64(v.to_f64())),
        to if !to.is_float() && S::DTYPE.is_float() => D::from_i64(to_i32(v.to_f64()).into()),
        _ => D::from_i64(v.to_i64()),
    }
}

macro_rules! elements {
    (@int Bool $v:ident $t:ty) => { $v != 0 };
    (@int F16 $v:ident $t:ty) => { f16::from_f32(to_odd(exact($v))) };
    (@int BF16 $v:ident $t:ty) => { bf16::from_f32(to_odd(exact($v))) };
    (@int $d:ident $v:ident $t:ty) => { $v as $t };
    ($($t:ty, $d:ident, $x:ident => $to:expr, $int:expr, $v:ident => $from:expr;)*) => {$(
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const DTYPE: DType = DType::$d;
            #[inline(always)]
            fn to_f64(self) -> f64 { let $x = self; $to }
            #[inline(always)]
            fn to_i64(self) -> i64 { let $x = self; $int }
            #[inline(always)]
            fn from_i64(v: i64) -> Self { elements!(@int $d v $t) }
            #[inline(always)]
            fn from_f64($v: f64) -> Self { $from }
        }
    )*};
}

elements! {
    bool, Bool, x => x as u8 as f64, x as i64, v => v != 0.0;
    u8, U8, x => x as f64, x as i64, v => v as u8;
    i8, I8, x => x as f64, x as i64, v => v as i8;
    i16, I16, x => x as f64, x as i64, v => v as i16;
    i32, I32, x => x as f64, x as i64, v => v as i32;
    i64, I64, x => x as f64, x as i64, v => v as i64;
    f16, F16, x => x.to_f64(), x.to_f64() as i64, v => f16::from_f32(to_odd(v));
    bf16, BF16, x => x.to_f64(), x.to_f64() as i64, v => bf16::from_f32(to_odd(v));
    f32, F32, x => x as f64, x as i64, v => v as f32;
    f64, F64, x => x, x as i64, v => v;
}

/// Runs a block with a type alias for the Rust type of a dtype. The one dtype dispatch of the
/// repository: `dispatch!(dtype, T => body)` covers every dtype, and `dispatch!(dtype, [F32, F64], T =>
/// body, else other)` some.
#[macro_export]
macro_rules! dispatch {
    ($dtype:expr, $T:ident => $body:expr) => {
        $crate::dispatch!($dtype, [Bool, U8, I8, I16, I32, I64, F16, BF16, F32, F64], $T => $body)
    };
    ($dtype:expr, [$($d:ident),* $(,)?], $T:ident => $body:expr $(, else $other:expr)?) => {
        match $dtype {
            $($crate::DType::$d => { type $T = $crate::rust_type!($d); $body })*
            $(#[allow(unreachable_patterns, reason = "a list may name every dtype")] _ => $other,)?
        }
    };
}

/// The Rust type of a [`DType`] variant.
#[doc(hidden)]
#[macro_export]
macro_rules! rust_type {
    (Bool) => {
        bool
    };
    (U8) => {
        u8
    };
    (I8) => {
        i8
    };
    (I16) => {
        i16
    };
    (I32) => {
        i32
    };
    (I64) => {
        i64
    };
    (F16) => {
        $crate::half::f16
    };
    (BF16) => {
        $crate::half::bf16
    };
    (F32) => {
        f32
    };
    (F64) => {
        f64
    };
}
