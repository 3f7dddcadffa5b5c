//! Conversion between dtypes.

use crate::autograd::Gradient;
use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::{DType, Element, Result, Tensor, apply1, dispatch, dtype};
use half::{bf16, f16};
use smallvec::smallvec;
use tengen_kernels::pool::Shared;
use tengen_kernels::{map, pool};

struct Cast(DType);

impl Op for Cast {
    fn name(&self) -> &'static str {
        "astype"
    }
    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        Ok(Meta::one(*x[0].shape(), self.0))
    }
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        Ok(smallvec![cast_raw(x[0], self.0)?])
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
    apply1(Cast(dtype), &[x])
}

/// [`cast`] without a record.
pub(crate) fn cast_raw(x: &Tensor, dtype: DType) -> Result<Tensor> {
    if x.dtype() == dtype {
        return Ok(x.detach());
    }
    let x = x.contiguous()?;
    let y = Tensor::empty(*x.shape(), dtype)?;
    match (x.dtype(), dtype) {
        (DType::F16, DType::F32) => between::<f16, f32>(&x, &y, map::widen),
        (DType::BF16, DType::F32) => between::<bf16, f32>(&x, &y, map::widen),
        (DType::F32, DType::F16) => between::<f32, f16>(&x, &y, map::narrow),
        (DType::F32, DType::BF16) => between::<f32, bf16>(&x, &y, map::narrow),
        _ => dispatch!(x.dtype(), S => dispatch!(dtype, D => convert::<S, D>(&x, &y))),
    }
    Ok(y.to_device(x.device()))
}

/// Elements per task.
const TASK: usize = 1 << 15;

/// Runs a conversion of `(from, to, elements)` over the elements of `x`.
fn between<S: Element, D: Element>(
    x: &Tensor,
    y: &Tensor,
    run: unsafe fn(*const S, *mut D, usize),
) {
    let (p, q) = (Shared(x.ptr::<S>()), Shared(y.ptr::<D>()));
    pool::for_ranges(x.numel(), TASK, |from, to| {
        let at = from as isize;
        // SAFETY: both tensors are contiguous with `numel` elements, `y` is new and each of its
        // elements is written once.
        unsafe { run(p.offset(at).cast_const(), q.offset(at), to - from) };
    });
}

fn convert<S: Element, D: Element>(x: &Tensor, y: &Tensor) {
    let (p, q) = (Shared(x.ptr::<S>()), Shared(y.ptr::<D>()));
    pool::for_ranges(x.numel(), TASK, |from, to| {
        for i in from as isize..to as isize {
            // SAFETY: both tensors are contiguous with `numel` elements, `y` is new and each of
            // its elements is written once.
            unsafe {
                q.offset(i).write(dtype::convert::<S, D>(*p.offset(i)));
            }
        }
    });
}
