//! Products of matrices.

use crate::cpu::batches::{batched, matrix};
use crate::cpu::{bytes, cast_raw};
use crate::op::{Eval, Meta, Tensors};
use crate::ops::matmul::{MatMul, of_bytes};
use crate::shape::Shape;
use crate::{DType, Element, Result, Tensor, bail};
use smallvec::smallvec;
use tengen_kernels::gemm::{self, Strided};
use tengen_kernels::gemv;
use tengen_kernels::lanes::Float;
use tengen_kernels::pool::Shared;
use tengen_kernels::{pool, small};

/// Multiplications of at least this many steps are shared out each; smaller ones in a batch are
/// run side by side.
const LARGE: usize = 1 << 21;

/// The product of matrices of `E`, computed in `T`.
pub(super) fn product<T, E>(a: &Tensor, b: &Tensor, shape: Shape) -> Result<Tensor>
where
    T: Float + Element,
    E: Element + gemm::Element<T>,
{
    let y = Tensor::empty(shape, T::DTYPE)?;
    let d = shape.len();
    let (m, n, k) = (shape[d - 2], shape[d - 1], a.shape()[a.ndim() - 1]);
    if y.numel() == 0 {
        return Ok(y);
    }
    if d == 2 && small::applies(m, n, k) {
        let (ptr, s, t) = (|x: &Tensor| x.ptr::<E>().cast_const(), a.strides(), b.strides());
        let left = Strided { ptr: ptr(a), outer: s[0], inner: s[1] };
        let right = Strided { ptr: ptr(b), outer: t[1], inner: t[0] };
        // SAFETY: the operands have these elements, and `y` is new.
        unsafe { small::multiply((m, n, k), left, right, y.ptr::<T>()) };
        return Ok(y);
    }
    let (a, b, lead, [m, n]) = batched(a, b, &shape)?;
    let batch: usize = lead.iter().product();
    let matrix = |x: &Tensor, at: usize, flip: bool| matrix::<E>(x, &lead, at, flip);
    // A vector and a matrix: the side with one row, or else the one with one column, is the vector.
    let vector = |i: usize| {
        let (x, other) = (matrix(&a, i, false), matrix(&b, i, true));
        let (x, other) = if m == 1 { (x, other) } else { (other, x) };
        ((x.ptr, x.inner), other)
    };
    let thin = (m == 1 || n == 1) && gemv::applies(&vector(0).1);
    let side_by_side = batch > 1 && m * n * k < LARGE;
    let workers = if side_by_side { pool::threads().min(batch) } else { 1 };
    let product = <E as gemm::Element<T>>::product(m, n, k);
    let product = if side_by_side { product.alone() } else { product };
    let work = if thin {
        gemv::workspace_len::<T, E>(m.max(n), k, &vector(0).1)
    } else {
        product.workspace_len()
    };
    // Whole cache lines, so that workers share none.
    let each = work.next_multiple_of(64);
    let Some(total) = each.checked_mul(workers) else {
        bail!(Memory, "matmul: the workspace for {a} and {b} cannot be had")
    };
    let scratch = Tensor::empty(Shape::new(&[total])?, T::DTYPE)?;
    let (s, c) = (Shared(scratch.ptr::<T>()), Shared(y.ptr::<T>()));
    let run = |worker: usize, i: usize| {
        let s = s.at(worker * each);
        let c = c.at(i * m * n);
        // SAFETY: the views have these matrices; `y` and the scratch space are new, each product
        // has a part of `y` of its own, and each worker one of the scratch space.
        unsafe {
            if thin {
                let (x, b) = vector(i);
                gemv::multiply((m.max(n), k), x, b, c, s);
            } else {
                E::multiply(product, matrix(&a, i, false), matrix(&b, i, true), c, s);
            }
        }
    };
    if side_by_side {
        pool::share(workers, batch, run)
    } else {
        (0..batch).for_each(|i| run(0, i))
    }
    Ok(y)
}

impl Eval for MatMul {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let Meta { shape, dtype } = out[0];
        Ok(smallvec![match dtype {
            DType::I32 if of_bytes(x[0].dtype(), x[1].dtype()) =>
                bytes::product(x[0], x[1], shape)?,
            DType::F32 => product::<f32, f32>(x[0], x[1], shape)?,
            DType::F64 => product::<f64, f64>(x[0], x[1], shape)?,
            DType::F16 => cast_raw(&product::<f32, half::f16>(x[0], x[1], shape)?, dtype)?,
            DType::BF16 => cast_raw(&product::<f32, half::bf16>(x[0], x[1], shape)?, dtype)?,
            // f64 is exact for sums below 2⁵³; beyond, integers have wrapped anyway.
            _ => {
                let (a, b) = (cast_raw(x[0], DType::F64)?, cast_raw(x[1], DType::F64)?);
                cast_raw(&product::<f64, f64>(&a, &b, shape)?, dtype)?
            }
        }])
    }
}
