//! New tensors from numbers, and diagonals.

use super::index::zeros_of;
use crate::autograd::Gradient;
use crate::elementwise::copy_into;
use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::shape::{MAX_DIMS, Shape};
use crate::{DType, Element, Result, Scalar, Tensor, apply1, bail, dispatch, ensure};
use smallvec::smallvec;

/// A one-dimensional tensor of `f(0)`, `f(1)`, ….
fn line<S: Into<Scalar>>(n: usize, dtype: DType, f: impl Fn(usize) -> S) -> Result<Tensor> {
    let t = Tensor::empty(Shape::new(&[n])?, dtype)?;
    dispatch!(dtype, T => {
        for i in 0..n {
            // SAFETY: the tensor is new and has `n` elements.
            unsafe { t.ptr::<T>().add(i).write(f(i).into().to::<T>()) };
        }
    });
    Ok(t)
}

/// start, start + step, … up to and without stop; nothing if stop lies the other way. Exact where
/// bounds and step are integers; else computed in f64, which integer dtypes truncate.
///
/// ```
/// use tengen_core::{DType, ops};
/// let x = ops::arange(0.0, 1.0, 0.25, DType::F32)?;
/// assert_eq!(x.to_vec::<f32>()?, [0.0, 0.25, 0.5, 0.75]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
///
/// # Errors
/// Value: a bound or the step is not finite, or the step is 0. Shape: there are too many elements.
/// Memory: the result cannot be had.
pub fn arange(
    start: impl Into<Scalar>,
    stop: impl Into<Scalar>,
    step: impl Into<Scalar>,
    dtype: DType,
) -> Result<Tensor> {
    let (start, stop, step) = (start.into(), stop.into(), step.into());
    let range = || format!("from {start} to {stop} in steps of {step}");
    // 2⁶⁰ elements of eight bytes are beyond any memory, and below this f64 counts exactly enough.
    let few = |n: f64| {
        ensure!(n < (1u64 << 60) as f64, Shape, "arange: {n} elements {} are too many", range());
        Ok(())
    };
    if let (Scalar::Int(a), Scalar::Int(b), Scalar::Int(by)) = (start, stop, step) {
        ensure!(by != 0, Value, "arange: there is no range {}", range());
        let (a, by) = (i128::from(a), i128::from(by));
        let away = (i128::from(b) - a) * by.signum();
        let n = if away <= 0 { 0 } else { (away - 1) / by.abs() + 1 };
        few(n as f64)?;
        // Every element lies between the bounds.
        return line(n as usize, dtype, |i| (a + i as i128 * by) as i64);
    }
    let (a, b, by) = (start.to_f64(), stop.to_f64(), step.to_f64());
    let finite = a.is_finite() && b.is_finite() && by.is_finite() && by != 0.0;
    ensure!(finite, Value, "arange: there is no range {}", range());
    let n = ((b - a) / by).ceil().max(0.0);
    few(n)?;
    line(n as usize, dtype, |i| a + i as f64 * by)
}

/// `n` evenly spaced numbers from start to stop, both included. Integer dtypes truncate.
///
/// # Errors
/// Shape: there are too many elements. Memory: the result cannot be had.
pub fn linspace(start: f64, stop: f64, n: usize, dtype: DType) -> Result<Tensor> {
    let last = n.saturating_sub(1);
    let step = (stop - start) / last.max(1) as f64;
    line(n, dtype, |i| if i == last && i > 0 { stop } else { start + i as f64 * step })
}

/// A matrix of `rows` × `columns` with ones on diagonal `k` (positive: above the main one) and
/// zeros elsewhere.
///
/// # Errors
/// Shape: there are too many elements. Memory: the result cannot be had.
pub fn eye(rows: usize, columns: usize, k: isize, dtype: DType) -> Result<Tensor> {
    let t = Tensor::zeros(&[rows, columns], dtype)?;
    let (n, first) = diagonal(rows, columns, k);
    dispatch!(dtype, T => {
        for i in 0..n {
            // SAFETY: the tensor is new, and the diagonal lies in it.
            unsafe { t.ptr::<T>().add(first + i * (columns + 1)).write(T::from_f64(1.0)) };
        }
    });
    Ok(t)
}

/// Zeros of the shape and dtype of `x`, on its device.
///
/// # Errors
/// Memory: the result cannot be had.
pub fn zeros_like(x: &Tensor) -> Result<Tensor> {
    Ok(Tensor::zeros(x.shape(), x.dtype())?.to_device(x.device()))
}

/// Ones of the shape and dtype of `x`, on its device.
///
/// # Errors
/// Memory: the result cannot be had.
pub fn ones_like(x: &Tensor) -> Result<Tensor> {
    full_like(x, 1)
}

/// `value` in the shape of `x`, converted to its dtype, on its device.
///
/// # Errors
/// Memory: the result cannot be had.
pub fn full_like(x: &Tensor, value: impl Into<Scalar>) -> Result<Tensor> {
    Ok(Tensor::full(x.shape(), value, x.dtype())?.to_device(x.device()))
}

/// How many elements diagonal `k` of a contiguous matrix has, and where it begins.
fn diagonal(rows: usize, columns: usize, k: isize) -> (usize, usize) {
    let (down, right) = if k < 0 { (k.unsigned_abs(), 0) } else { (0, k.unsigned_abs()) };
    let n = rows.saturating_sub(down).min(columns.saturating_sub(right));
    (n, if n == 0 { 0 } else { down * columns + right })
}

/// Diagonal `k` of a matrix, as a view.
struct Diagonal(isize);

impl Op for Diagonal {
    fn name(&self) -> &'static str {
        "diag"
    }
    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        let &[rows, columns] = &x[0].shape()[..] else {
            bail!(Shape, "diag: {} must have one dimension or two", x[0])
        };
        Ok(Meta::one(Shape::new(&[diagonal(rows, columns, self.0).0])?, x[0].dtype()))
    }
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let (down, right) = (x[0].strides()[0], x[0].strides()[1]);
        let first = match out[0].shape[0] {
            0 => 0,
            _ => self.0.max(0) * right + (-self.0).max(0) * down,
        };
        let mut strides = [0; MAX_DIMS];
        strides[0] = down + right;
        let offset = (x[0].offset() as isize + first) as usize;
        // SAFETY: element i is that at (i, i + k) or (i − k, i), which `infer` keeps inside.
        Ok(smallvec![unsafe { x[0].view(out[0].shape, strides, offset) }])
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let shape = g.input_meta(0).shape;
        let op = || DiagonalMatrix { k: self.0, shape };
        g.each(|_| Ok(Some(apply1(op(), &[&g.dy(0)?])?)))
    }
}

/// A matrix with a vector on diagonal `k` and zeros elsewhere.
struct DiagonalMatrix {
    k: isize,
    shape: Shape,
}

impl Op for DiagonalMatrix {
    fn name(&self) -> &'static str {
        "diag"
    }
    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        let n = diagonal(self.shape[0], self.shape[1], self.k).0;
        ensure!(*x[0].shape() == [n], Shape, "diag: {} is no diagonal of {}", x[0], self.shape);
        Ok(Meta::one(self.shape, x[0].dtype()))
    }
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let y = zeros_of(&out[0].shape, out[0].dtype)?.copy()?;
        let mut strides = [0; MAX_DIMS];
        strides[0] = self.shape[1] as isize + 1;
        let first = diagonal(self.shape[0], self.shape[1], self.k).1;
        // SAFETY: the diagonal lies in the new matrix.
        copy_into(x[0], &unsafe { y.view(*x[0].shape(), strides, first) });
        Ok(smallvec![y])
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        g.each(|_| Ok(Some(apply1(Diagonal(self.k), &[&g.dy(0)?])?)))
    }
}

/// Diagonal `k` of a matrix (a view), or of a vector the matrix with it on that diagonal and zeros
/// elsewhere; positive `k` are above the main diagonal.
///
/// # Errors
/// Shape: `x` has neither one dimension nor two, or the matrix has too many elements. Memory: the
/// result cannot be had.
pub fn diag(x: &Tensor, k: isize) -> Result<Tensor> {
    if x.ndim() != 1 {
        return apply1(Diagonal(k), &[x]);
    }
    let n = x.numel().saturating_add(k.unsigned_abs());
    apply1(DiagonalMatrix { k, shape: Shape::new(&[n, n])? }, &[x])
}
