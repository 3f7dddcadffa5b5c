//! Products of matrices.

use super::{cast, expand_dims, reshape, squeeze, sum_to, swapaxes};
use crate::autograd::Gradient;
use crate::elementwise::expand;
use crate::op::{Grads, Meta, Metas, Op, Tensors};
use crate::ops::cast::cast_raw;
use crate::shape::{MAX_DIMS, Shape, broadcast};
use crate::{DType, Element, Result, Tensor, apply1, bail, ensure, promote};
use smallvec::{SmallVec, smallvec};
use tengen_kernels::gemm::{self, Strided};
use tengen_kernels::gemv;
use tengen_kernels::lanes::Float;
use tengen_kernels::pool::Shared;
use tengen_kernels::{pool, small};

/// Batched matrix product of `[…, m, k]` and `[…, k, n]`.
struct MatMul;

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn promote(&self, x: &[&Tensor]) -> Result<Option<DType>> {
        Ok(Some(promote(x.iter().map(|x| x.dtype()))))
    }

    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        let (a, b) = (x[0], x[1]);
        let (p, q) = (a.ndim(), b.ndim());
        ensure!(p >= 2 && q >= 2, Shape, "matmul: matrices are needed, not {a} and {b}");
        ensure!(
            a.shape()[p - 1] == b.shape()[q - 2],
            Shape,
            "matmul: {a} has rows of {} elements, but {b} has columns of {}",
            a.shape()[p - 1],
            b.shape()[q - 2]
        );
        if p == 2 && q == 2 {
            return Ok(Meta::one(Shape::new(&[a.shape()[0], b.shape()[1]])?, a.dtype()));
        }
        let batch = |x: &Tensor| Shape::new(&x.shape()[..x.ndim() - 2]);
        let batch = broadcast("matmul", &batch(a)?, &batch(b)?)?;
        let mut dims: SmallVec<[usize; MAX_DIMS]> = batch[..].into();
        dims.extend([a.shape()[p - 2], b.shape()[q - 1]]);
        Ok(Meta::one(Shape::new(&dims)?, a.dtype()))
    }

    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let Meta { shape, dtype } = out[0];
        Ok(smallvec![match dtype {
            DType::F32 => product::<f32, f32>(x[0], x[1], shape)?,
            DType::F64 => product::<f64, f64>(x[0], x[1], shape)?,
            DType::F16 => cast_raw(&product::<f32, half::f16>(x[0], x[1], shape)?, dtype)?,
            DType::BF16 => cast_raw(&product::<f32, half::bf16>(x[0], x[1], shape)?, dtype)?,
            DType::Bool => bail!(DType, "matmul: does not work on bool tensors"),
            // f64 is exact for sums below 2⁵³; beyond, integers have wrapped anyway.
            _ => {
                let (a, b) = (cast_raw(x[0], DType::F64)?, cast_raw(x[1], DType::F64)?);
                cast_raw(&product::<f64, f64>(&a, &b, shape)?, dtype)?
            }
        }])
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let (a, b, dy) = (g.input(0)?, g.input(1)?, g.dy(0)?);
        g.each(|k| {
            let d = if k == 0 {
                apply1(MatMul, &[&dy, &swapaxes(b, -1, -2)?])?
            } else {
                apply1(MatMul, &[&swapaxes(a, -1, -2)?, &dy])?
            };
            Ok(Some(sum_to(&d, &g.input_meta(k).shape)?))
        })
    }
}

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
    let (mut m, n, k) = (shape[d - 2], shape[d - 1], a.shape()[a.ndim() - 1]);
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
    let mut lead: SmallVec<[usize; MAX_DIMS]> = shape[..d - 2].into();
    let mut a = a.detach();
    // A batch of left sides against one right side is one tall left side.
    if b.ndim() == 2 && a.ndim() > 2 && a.is_contiguous() {
        m *= lead.iter().product::<usize>();
        lead.clear();
        a = reshape(&a, &[m, k])?;
    }
    let batch: usize = lead.iter().product();
    let view = |x: &Tensor| -> Result<Tensor> {
        let mut dims = lead.clone();
        dims.extend_from_slice(&x.shape()[x.ndim() - 2..]);
        Ok(expand(x, &Shape::new(&dims)?))
    };
    let (a, b) = (view(&a)?, view(b)?);
    let matrix = |x: &Tensor, at: usize, flip: bool| {
        let (s, nd) = (x.strides(), x.ndim());
        let (mut rest, mut offset) = (at, 0);
        for i in (0..lead.len()).rev() {
            offset += (rest % lead[i]) as isize * s[i];
            rest /= lead[i];
        }
        let (outer, inner) = if flip { (s[nd - 1], s[nd - 2]) } else { (s[nd - 2], s[nd - 1]) };
        Strided { ptr: x.ptr::<E>().wrapping_offset(offset).cast_const(), outer, inner }
    };
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

/// The matrix product, by NumPy's rules: `[…, m, k]` and `[…, k, n]` give `[…, m, n]` with leading
/// axes broadcast; a vector counts as one row (left) or column (right), which the result drops.
/// The flags exchange the last two axes of an operand of at least two.
///
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
    let y = apply1(MatMul, &[&side(a, transpose_a, 0)?, &side(b, transpose_b, -1)?])?;
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
