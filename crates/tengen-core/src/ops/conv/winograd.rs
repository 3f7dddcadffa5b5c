//! The switch for Winograd's minimal filtering.

use std::sync::atomic::{AtomicU8, Ordering};

const UNKNOWN: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;
static WINOGRAD: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Whether convolutions may use Winograd's minimal filtering; they do unless the environment
/// variable `TENGEN_WINOGRAD` is `0`, or this function said otherwise.
///
/// With it, 3×3 convolutions of stride 1 in f32, f16 and bf16 take a quarter of the multiplications.
/// Their error grows from about 3·10⁻⁷ to 2·10⁻⁶ of the largest result, and an infinity or NaN in the
/// image reaches results up to three pixels beyond its own window. Without it every result is the
/// direct sum.
///
/// ```
/// use tengen_core::{DType, Tensor, ops};
/// ops::set_winograd(false);
/// let (x, w) = (Tensor::ones(&[1, 32, 8, 8], DType::F32)?, Tensor::ones(&[32, 32, 3, 3], DType::F32)?);
/// let y = ops::conv2d(&x, &w, None, ops::ConvParams::default())?;
/// assert!(y.to_vec::<f32>()?.iter().all(|v| *v == 288.0));
/// # ops::set_winograd(true);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn set_winograd(on: bool) {
    WINOGRAD.store(if on { ON } else { OFF }, Ordering::Relaxed);
}

pub(crate) fn winograd_enabled() -> bool {
    match WINOGRAD.load(Ordering::Relaxed) {
        UNKNOWN => {
            let on = std::env::var("TENGEN_WINOGRAD").map_or(true, |v| v != "0");
            set_winograd(on);
            on
        }
        state => state == ON,
    }
}
