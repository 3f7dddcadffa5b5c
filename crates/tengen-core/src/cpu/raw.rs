//! Elements as bits, for code that only moves them.

use crate::{Result, Tensor};
use bytemuck::Pod;

/// Runs a block with a type alias for the unsigned integer of an element's size.
macro_rules! by_size {
    ($dtype:expr, $U:ident => $body:expr) => {
        match $dtype.size() {
            1 => {
                type $U = u8;
                $body
            }
            2 => {
                type $U = u16;
                $body
            }
            4 => {
                type $U = u32;
                $body
            }
            _ => {
                type $U = u64;
                $body
            }
        }
    };
}
pub(crate) use by_size;

/// The elements of a contiguous tensor as integers of their size.
pub(crate) fn bits<U: Pod>(t: &Tensor) -> &[U] {
    assert!(t.is_contiguous() && size_of::<U>() == t.dtype().size(), "{t} as raw elements");
    // SAFETY: a contiguous tensor has `numel` elements at its pointer, each of U's size, and all
    // bytes are values of a Pod type.
    unsafe { std::slice::from_raw_parts(t.ptr::<u8>().cast::<U>(), t.numel()) }
}

/// [`bits`] to write to; only values of the tensor's own type may be written. A tensor that is
/// shared or not contiguous is copied first.
pub(crate) fn bits_mut<U: Pod>(t: &mut Tensor) -> Result<&mut [U]> {
    assert!(size_of::<U>() == t.dtype().size(), "{t} as raw elements");
    t.make_unique()?;
    // SAFETY: now contiguous and unshared; otherwise as in `bits`.
    Ok(unsafe { std::slice::from_raw_parts_mut(t.ptr::<u8>().cast::<U>(), t.numel()) })
}
