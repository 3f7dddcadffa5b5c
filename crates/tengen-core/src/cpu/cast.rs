//! Conversion between dtypes.

use crate::cpu::raw::bits_mut;
use crate::op::{Eval, Meta, Tensors};
use crate::ops::cast::Cast;
use crate::{DType, Element, Result, Tensor, dispatch, dtype};
use bytemuck::Pod;
use half::{bf16, f16};
use smallvec::smallvec;
use tengen_kernels::pool::Shared;
use tengen_kernels::{map, pool};

/// [`cast`] without a record.
pub(crate) fn cast_raw(x: &Tensor, dtype: DType) -> Result<Tensor> {
    if x.dtype() == dtype {
        return Ok(x.detach());
    }
    let x = x.contiguous()?;
    let mut y = Tensor::empty(*x.shape(), dtype)?;
    match (x.dtype(), dtype) {
        (DType::F16, DType::F32) => between::<f16, f32>(&x, &y, map::widen),
        (DType::BF16, DType::F32) => between::<bf16, f32>(&x, &y, map::widen),
        (DType::F32, DType::F16) => between::<f32, f16>(&x, &y, map::narrow),
        (DType::F32, DType::BF16) => between::<f32, bf16>(&x, &y, map::narrow),
        (_, DType::Bool) => dispatch!(x.dtype(), S => truth::<S>(&x, &mut y))?,
        _ => dispatch!(x.dtype(), S => {
            dispatch!(dtype, [U8, I8, I16, I32, I64, F16, BF16, F32, F64], D => {
                convert::<S, D>(&x, &mut y)
            }, else Ok(()))
        })?,
    }
    Ok(y.named(x.device()))
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

fn convert<S: Element, D: Element + Pod>(x: &Tensor, y: &mut Tensor) -> Result<()> {
    let x = x.as_slice::<S>()?;
    pool::for_parts(y.as_mut_slice::<D>()?, 1, TASK, |first, y| {
        for (y, x) in y.iter_mut().zip(&x[first..]) {
            *y = dtype::convert::<S, D>(*x);
        }
    });
    Ok(())
}

/// [`convert`] to bools, by their bytes.
fn truth<S: Element>(x: &Tensor, y: &mut Tensor) -> Result<()> {
    let x = x.as_slice::<S>()?;
    pool::for_parts(bits_mut::<u8>(y)?, 1, TASK, |first, y| {
        for (y, x) in y.iter_mut().zip(&x[first..]) {
            *y = u8::from(dtype::convert::<S, bool>(*x));
        }
    });
    Ok(())
}

impl Eval for Cast {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        Ok(smallvec![cast_raw(x[0], self.dtype)?])
    }
}
