//! Compiling plain loops for more than one instruction set.

/// Calls a generic `#[inline(always)]` function compiled for AVX2 where the processor has it, and
/// for the baseline otherwise: `with_avx2!(T: Bound, function(argument: Type, ...))`. Such functions
/// use no fused multiply-add, so both give the same bits.
macro_rules! with_avx2 {
    ($T:ident: $bound:path, $function:ident($($arg:ident: $ty:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2")]
            fn avx2<$T: $bound>($($arg: $ty),*) {
                $function($($arg),*)
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2.
                return unsafe { avx2($($arg),*) };
            }
        }
        $function($($arg),*)
    }};
}
pub(crate) use with_avx2;
