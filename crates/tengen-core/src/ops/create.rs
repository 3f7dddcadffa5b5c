//! New tensors from numbers, and diagonals.

use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Entry, Grads, Meta, Metas, Op, Saves};
use crate::shape::Shape;
use crate::{DType, Result, Scalar, Tensor, apply1, bail, ensure};

pub(super) const OPERATORS: &[&[Entry]] = &[&[
    Entry::of::<Full>(&["full"]),
    Entry::of::<Arange>(&["arange"]),
    Entry::of::<Linspace>(&["linspace"]),
    Entry::of::<Eye>(&["eye"]),
    Entry::of::<Diagonal>(&["diag"]),
    Entry::of::<DiagonalMatrix>(&["diag_matrix"]),
]];

/// Declares operators without inputs, which make new tensors.
macro_rules! makers {
    ($($(#[$doc:meta])* $Op:ident = $name:literal { $($field:ident: $T:ty),+ } $self:ident => $shape:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Attributes)]
        pub(crate) struct $Op {
            $(pub $field: $T,)+
            pub dtype: DType,
        }
        impl Op for $Op {
            fn name(&self) -> &'static str {
                $name
            }
            fn takes(&self, inputs: usize) -> bool {
                inputs == 0
            }
            fn infer(&$self, _: &[&Described]) -> Result<Metas> {
                Ok(Meta::one($shape, $self.dtype))
            }
        }
    )+};
}

makers! {
    /// One value everywhere.
    Full = "full" { value: Scalar, shape: Shape } self => self.shape;
    /// start + i·step.
    Arange = "arange" { start: Scalar, step: Scalar, count: usize } self => Shape::new(&[self.count])?;
    /// From start to stop, both included.
    Linspace = "linspace" { start: f64, stop: f64, count: usize } self => Shape::new(&[self.count])?;
    /// Ones on a diagonal of zeros.
    Eye = "eye" { rows: usize, columns: usize, k: isize } self => Shape::new(&[self.rows, self.columns])?;
}

/// One value everywhere, converted to `dtype`.
pub(crate) fn full(shape: Shape, value: Scalar, dtype: DType) -> Result<Tensor> {
    apply1(Full { value, shape, dtype }, &[])
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
        return apply1(Arange { start, step, count: n as usize, dtype }, &[]);
    }
    let (a, b, by) = (start.to_f64(), stop.to_f64(), step.to_f64());
    let finite = a.is_finite() && b.is_finite() && by.is_finite() && by != 0.0;
    ensure!(finite, Value, "arange: there is no range {}", range());
    let n = ((b - a) / by).ceil().max(0.0);
    few(n)?;
    apply1(Arange { start: a.into(), step: by.into(), count: n as usize, dtype }, &[])
}

/// `n` evenly spaced numbers from start to stop, both included. Integer dtypes truncate.
///
/// # Errors
/// Shape: there are too many elements. Memory: the result cannot be had.
pub fn linspace(start: f64, stop: f64, n: usize, dtype: DType) -> Result<Tensor> {
    apply1(Linspace { start, stop, count: n, dtype }, &[])
}

/// A matrix of `rows` × `columns` with ones on diagonal `k` (positive: above the main one) and
/// zeros elsewhere.
///
/// # Errors
/// Shape: there are too many elements. Memory: the result cannot be had.
pub fn eye(rows: usize, columns: usize, k: isize, dtype: DType) -> Result<Tensor> {
    apply1(Eye { rows, columns, k, dtype }, &[])
}

/// Zeros of the shape and dtype of `x`, on its device.
///
/// # Errors
/// Memory: the result cannot be had.
pub fn zeros_like(x: &Tensor) -> Result<Tensor> {
    Tensor::zeros(x.shape(), x.dtype())?.to(x.device())
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
    Tensor::full(x.shape(), value, x.dtype())?.to(x.device())
}

/// How many elements diagonal `k` of a contiguous matrix has, and where it begins.
pub(crate) fn diagonal(rows: usize, columns: usize, k: isize) -> (usize, usize) {
    let (down, right) = if k < 0 { (k.unsigned_abs(), 0) } else { (0, k.unsigned_abs()) };
    let n = rows.saturating_sub(down).min(columns.saturating_sub(right));
    (n, if n == 0 { 0 } else { down * columns + right })
}

/// Diagonal `k` of a matrix, as a view.
#[derive(Attributes)]
pub(crate) struct Diagonal {
    pub k: isize,
}

impl Op for Diagonal {
    fn name(&self) -> &'static str {
        "diag"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let &[rows, columns] = &x[0].shape()[..] else {
            bail!(Shape, "diag: {} must have one dimension or two", x[0])
        };
        Ok(Meta::one(Shape::new(&[diagonal(rows, columns, self.k).0])?, x[0].dtype()))
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let shape = g.input_meta(0).shape;
        let op = || DiagonalMatrix { k: self.k, shape };
        g.each(|_| Ok(Some(apply1(op(), &[&g.dy(0)?])?)))
    }
}

/// A matrix with a vector on diagonal `k` and zeros elsewhere.
#[derive(Attributes)]
pub(crate) struct DiagonalMatrix {
    pub k: isize,
    pub shape: Shape,
}

impl Op for DiagonalMatrix {
    fn name(&self) -> &'static str {
        "diag_matrix"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let &[rows, columns] = &self.shape[..] else {
            bail!(Shape, "diag: {} is no shape of a matrix", self.shape)
        };
        let n = diagonal(rows, columns, self.k).0;
        ensure!(*x[0].shape() == [n], Shape, "diag: {} is no diagonal of {}", x[0], self.shape);
        Ok(Meta::one(self.shape, x[0].dtype()))
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
    fn grad(&self, g: &Gradient) -> Result<Grads> {
        g.each(|_| Ok(Some(apply1(Diagonal { k: self.k }, &[&g.dy(0)?])?)))
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
        return apply1(Diagonal { k }, &[x]);
    }
    let n = x.numel().saturating_add(k.unsigned_abs());
    apply1(DiagonalMatrix { k, shape: Shape::new(&[n, n])? }, &[x])
}
