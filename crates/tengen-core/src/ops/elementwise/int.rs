//! Integer elements.

use crate::Element;

/// Integer elements, with the arithmetic that elementwise operators need.
pub trait Int: Element + Ord {
    /// self + o, wrapping.
    fn add(self, o: Self) -> Self;
    /// self − o, wrapping.
    fn sub(self, o: Self) -> Self;
    /// self · o, wrapping.
    fn mul(self, o: Self) -> Self;
    /// ⌊self ÷ o⌋; 0 when `o` is 0.
    fn floor_div(self, o: Self) -> Self;
    /// self − o·⌊self ÷ o⌋; 0 when `o` is 0.
    fn modulo(self, o: Self) -> Self;
    /// |self|, wrapping.
    fn abs(self) -> Self;
    /// Shifted left by `o` bits; 0 when there are not that many.
    fn shl(self, o: Self) -> Self;
    /// Shifted right by `o` bits, keeping the sign.
    fn shr(self, o: Self) -> Self;
    /// −1, 0 or 1.
    fn sign(self) -> Self;
}

macro_rules! ints {
    ($($t:ty),*) => {$(
        impl Int for $t {
            #[inline(always)]
            fn add(self, o: Self) -> Self {
                self.wrapping_add(o)
            }
            #[inline(always)]
            fn sub(self, o: Self) -> Self {
                self.wrapping_sub(o)
            }
            #[inline(always)]
            fn mul(self, o: Self) -> Self {
                self.wrapping_mul(o)
            }
            #[inline(always)]
            #[allow(unused_comparisons, reason = "one body for signed and unsigned integers")]
            fn floor_div(self, o: Self) -> Self {
                if o == 0 {
                    return 0;
                }
                let q = self.wrapping_div(o);
                if self.wrapping_rem(o) != 0 && (self < 0) != (o < 0) { q - 1 } else { q }
            }
            #[inline(always)]
            #[allow(unused_comparisons, reason = "one body for signed and unsigned integers")]
            fn modulo(self, o: Self) -> Self {
                if o == 0 {
                    return 0;
                }
                let r = self.wrapping_rem(o);
                if r != 0 && (r < 0) != (o < 0) { r + o } else { r }
            }
            #[inline(always)]
            #[allow(unused_comparisons, reason = "one body for signed and unsigned integers")]
            fn abs(self) -> Self {
                if self < 0 { (0 as $t).wrapping_sub(self) } else { self }
            }
            #[inline(always)]
            fn shl(self, o: Self) -> Self {
                u32::try_from(o).ok().and_then(|o| self.checked_shl(o)).unwrap_or(0)
            }
            #[inline(always)]
            fn shr(self, o: Self) -> Self {
                self >> u32::try_from(o).map_or(<$t>::BITS - 1, |o| o.min(<$t>::BITS - 1))
            }
            #[inline(always)]
            fn sign(self) -> Self {
                self.cmp(&0) as $t
            }
        }
    )*};
}
ints!(u8, i8, i16, i32, i64);
