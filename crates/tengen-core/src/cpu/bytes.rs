//! Products of matrices of 8-bit integers, exact in i32.

use super::batches::{batched, matrix};
use crate::shape::Shape;
use crate::{DType, Element, Result, Tensor, bail};
use tengen_kernels::gemm::int8::{self, Byte};
use tengen_kernels::pool::{self, Shared};

/// The product of matrices of i8 and of i8 or u8, whose result has that shape.
pub(super) fn product(a: &Tensor, b: &Tensor, shape: Shape) -> Result<Tensor> {
    match (a.dtype(), b.dtype()) {
        (DType::I8, DType::I8) => run::<i8, i8>(a, b, shape),
        (DType::I8, _) => run::<i8, u8>(a, b, shape),
        _ => run::<u8, i8>(a, b, shape),
    }
}

/// Multiplications from which on a product is shared out by itself instead of a batch of them.
const LARGE: usize = 1 << 19;

fn run<X: Byte + Element, Y: Byte + Element>(
    a: &Tensor,
    b: &Tensor,
    shape: Shape,
) -> Result<Tensor> {
    let k = a.shape()[a.ndim() - 1];
    if shape.contains(&0) || k == 0 {
        return Tensor::zeros(&shape, DType::I32);
    }
    let y = Tensor::empty(shape, DType::I32)?;
    let (a, b, lead, [m, n]) = batched(a, b, &shape)?;
    let batch: usize = lead.iter().product();
    let side_by_side = batch > 1 && m * n * k < LARGE;
    let workers = if side_by_side { pool::threads().min(batch) } else { 1 };
    // Whole cache lines, so that workers share none.
    let line = |words: usize| words.next_multiple_of(16);
    let (packed, work) = (line(int8::packed_len(m, k)), line(int8::workspace_len(n, k)));
    let Some(total) = (packed + work).checked_mul(workers) else {
        bail!(Memory, "matmul: the workspace for {a} and {b} cannot be had")
    };
    let scratch = Tensor::empty(Shape::new(&[total])?, DType::I32)?;
    let (s, c) = (Shared(scratch.ptr::<i32>().cast::<u32>()), Shared(y.ptr::<i32>()));
    let run = |worker: usize, i: usize| {
        let packed_a = s.at(worker * (packed + work));
        let (left, right) = (matrix::<X>(&a, &lead, i, false), matrix::<Y>(&b, &lead, i, true));
        // SAFETY: the views have these matrices; `y` is new and each product has a part of it of
        // its own, and each worker one of the scratch space, as long as the kernels ask for. The
        // instruction set is the same for both calls, which this thread makes.
        unsafe {
            int8::pack_a::<X, Y>((m, k), left, packed_a);
            let (c, work) = ((c.at(i * m * n), n), packed_a.add(packed));
            int8::multiply::<X, Y>((m, n, k), packed_a, right, c, false, work);
        }
    };
    if side_by_side {
        pool::share(workers, batch, run)
    } else {
        (0..batch).for_each(|i| run(0, i))
    }
    Ok(y)
}
