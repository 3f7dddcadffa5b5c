//! Products of matrices.

use super::{cast, expand_dims, squeeze, sum_to, swapaxes};
use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Entry, Grads, Meta, Metas, Op};
use crate::shape::{MAX_DIMS, Shape, broadcast};
use crate::{DType, Result, Tensor, apply1, bail, ensure, promote};
use smallvec::SmallVec;

pub(super) const OPERATORS: &[&[Entry]] = &[&[Entry::of::<MatMul>(&["matmul"])]];

/// Batched matrix product of `[…, m, k]` and `[…, k, n]`.
#[derive(Attributes)]
pub(crate) struct MatMul {}

/// Whether a product of such matrices is one of bytes, with an i32 result. The kernels need a
/// signed operand.
pub(crate) fn of_bytes(a: DType, b: DType) -> bool {
    use DType::{I8, U8};
    matches!((a, b), (I8, I8) | (I8, U8) | (U8, I8))
}

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 2
    }

    fn promote(&self, x: &[&Described]) -> Result<Option<DType>> {
        let (a, b) = (x[0].dtype(), x[1].dtype());
        if a == b && a.is_float() {
            return Ok(Some(a));
        }
        if of_bytes(a, b) {
            return Ok(None);
        }
        Ok(Some(promote(x.iter().map(|x| x.dtype()))))
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let (a, b) = (x[0], x[1]);
        if a.dtype() == DType::Bool {
            bail!(DType, "matmul: does not work on bool tensors");
        }
        let (p, q) = (a.ndim(), b.ndim());
        ensure!(p >= 2 && q >= 2, Shape, "matmul: matrices are needed, not {a} and {b}");
        ensure!(
            a.shape()[p - 1] == b.shape()[q - 2],
            Shape,
            "matmul: {a} has rows of {} elements, but {b} has columns of {}",
            a.shape()[p - 1],
            b.shape()[q - 2]
        );
        let dtype = match a.dtype() {
            dtype @ (DType::I8 | DType::U8) if of_bytes(dtype, b.dtype()) => DType::I32,
            dtype => dtype,
        };
        if p == 2 && q == 2 {
            return Ok(Meta::one(Shape::new(&[a.shape()[0], b.shape()[1]])?, dtype));
        }
        let batch = |x: &Described| Shape::new(&x.shape()[..x.ndim() - 2]);
        let batch = broadcast("matmul", &batch(a)?, &batch(b)?)?;
        let mut dims: SmallVec<[usize; MAX_DIMS]> = batch[..].into();
        dims.extend([a.shape()[p - 2], b.shape()[q - 1]]);
        Ok(Meta::one(Shape::new(&dims)?, dtype))
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let (a, b, dy) = (g.input(0)?, g.input(1)?, g.dy(0)?);
        g.each(|k| {
            let d = if k == 0 {
                apply1(MatMul {}, &[&dy, &swapaxes(b, -1, -2)?])?
            } else {
                apply1(MatMul {}, &[&swapaxes(a, -1, -2)?, &dy])?
            };
            Ok(Some(sum_to(&d, &g.input_meta(k).shape)?))
        })
    }
}

/// The matrix product, by NumPy's rules: `[…, m, k]` and `[…, k, n]` give `[…, m, n]` with leading
/// axes broadcast; a vector counts as one row (left) or column (right), which the result drops.
/// The flags exchange the last two axes of an operand of at least two.
///
/// Products of i8 with i8 or u8 are i32, exact up to wrapping; other integers keep their dtype.
/// Sums of f16 and bf16 are made in f32. Where the machine multiplies bf16 itself, subnormal
/// numbers count as 0.
///
/// # Errors
/// Shape: the inner extents differ, leading axes cannot be broadcast, or an operand has no
/// dimensions. DType: bool. Memory: the result cannot be had.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let a = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
/// let x = Tensor::from_slice(&[1.0f32, -1.0], &[2])?;
/// assert_eq!(ops::matmul(&a, &x, false, false)?.to_vec::<f32>()?, [-1.0, -1.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn matmul(a: &Tensor, b: &Tensor, transpose_a: bool, transpose_b: bool) -> Result<Tensor> {
    ensure!(
        a.ndim() > 0 && b.ndim() > 0,
        Shape,
        "matmul: operands need dimensions; multiply {a} and {b} with mul"
    );
    let side = |x: &Tensor, transpose: bool, axis: isize| match x.ndim() {
        1 => expand_dims(x, &[axis]),
        _ if transpose => swapaxes(x, -1, -2),
        _ => Ok(x.clone()),
    };
    let y = apply1(MatMul {}, &[&side(a, transpose_a, 0)?, &side(b, transpose_b, -1)?])?;
    match (a.ndim(), b.ndim()) {
        (1, 1) => squeeze(&y, Some(&[-1, -2])),
        (1, _) => squeeze(&y, Some(&[-2])),
        (_, 1) => squeeze(&y, Some(&[-1])),
        _ => Ok(y),
    }
}

/// The inner product of two vectors.
///
/// # Errors
/// Shape: an operand is no vector, or their lengths differ.
pub fn dot(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    ensure!(
        a.ndim() == 1 && b.ndim() == 1,
        Shape,
        "dot: vectors are needed, not {a} and {b}; see matmul"
    );
    matmul(a, b, false, false)
}

/// x·Wᵀ + b for `x` of shape `[…, in]`, `weight` `[out, in]` and `bias` `[out]`.
///
/// # Errors
/// As [`matmul`].
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = matmul(x, weight, false, true)?;
    match bias {
        Some(b) => super::add(&y, &cast(b, y.dtype())?),
        None => Ok(y),
    }
}
