//! Conversion between dtypes.

use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Entry, Grads, Meta, Metas, Op, Saves};
use crate::{DType, Result, Tensor, apply1};

pub(super) const OPERATORS: &[&[Entry]] = &[&[Entry::of::<Cast>(&["astype"])]];

/// The elements converted to a dtype.
#[derive(Attributes)]
pub(crate) struct Cast {
    pub dtype: DType,
}

impl Op for Cast {
    fn name(&self) -> &'static str {
        "astype"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        Ok(Meta::one(*x[0].shape(), self.dtype))
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let dy = g.dy(0)?;
        g.each(|_| Ok(Some(cast(&dy, g.input_meta(0).dtype)?)))
    }
}

/// The elements converted to `dtype`; the same tensor if it has it already.
///
/// What is made a float rounds to nearest. Integers keep their low bits when narrowed, and
/// everything but 0 is true, NaN included. Floats truncate towards zero when made integers: to i64
/// in 64 bits and to all others in 32 bits, of which a narrower type keeps the lowest. A float that
/// has no such integer, NaN or an infinity, gives the lowest one of those bits: `i64::MIN`,
/// `i32::MIN`, and 0 for i16, i8 and u8. NumPy's `astype` does the same on x86-64; here it holds on
/// every machine.
///
/// ```
/// use tengen_core::{DType, Tensor, ops};
/// let x = Tensor::from_slice(&[-1.5f32, 300.0, f32::NAN], &[3])?;
/// assert_eq!(ops::cast(&x, DType::U8)?.to_vec::<u8>()?, [255, 44, 0]);
/// assert_eq!(ops::cast(&x, DType::I32)?.to_vec::<i32>()?, [-1, 300, i32::MIN]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
///
/// # Errors
/// Memory: the result cannot be had.
pub fn cast(x: &Tensor, dtype: DType) -> Result<Tensor> {
    if x.dtype() == dtype {
        return Ok(x.clone());
    }
    apply1(Cast { dtype }, &[x])
}
