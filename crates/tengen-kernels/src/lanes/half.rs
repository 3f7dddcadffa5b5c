//! Two-byte floating-point numbers, which are kept in memory and computed with as f32.

/// A two-byte floating-point number.
pub trait Half: Copy + Default + Send + Sync + 'static {
    /// Whether it is the upper half of an f32 (bfloat16); else it is IEEE 754's binary16.
    const BFLOAT: bool;
    /// The value.
    fn to_f32(self) -> f32;
    /// The nearest value, ties to even; a NaN stays one.
    fn from_f32(v: f32) -> Self;
}

impl Half for half::f16 {
    const BFLOAT: bool = false;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        half::f16::to_f32(self)
    }
    #[inline(always)]
    fn from_f32(v: f32) -> Self {
        half::f16::from_f32(v)
    }
}

impl Half for half::bf16 {
    const BFLOAT: bool = true;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    #[inline(always)]
    fn from_f32(v: f32) -> Self {
        half::bf16::from_f32(v)
    }
}
