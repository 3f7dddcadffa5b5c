//! Products of matrices in memory that operators already have.

use crate::shape::Shape;
use crate::{Element, Result, Tensor, bail};
use tengen_kernels::gemm::{self, Input, Strided};
use tengen_kernels::lanes::Float;

/// `rows` × `columns` elements, row by row, or column by column if transposed.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a, T> {
    data: &'a [T],
    pub rows: usize,
    pub columns: usize,
    transposed: bool,
}

impl<'a, T: Copy> Matrix<'a, T> {
    /// # Panics
    /// If there are not as many elements.
    pub fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        assert!(data.len() == rows * columns, "matrix of {rows} × {columns}");
        Matrix { data, rows, columns, transposed: false }
    }

    /// The matrix whose transpose has its elements row by row.
    ///
    /// # Panics
    /// As [`Matrix::new`].
    pub fn transposed(data: &'a [T], rows: usize, columns: usize) -> Self {
        Matrix { transposed: true, ..Matrix::new(data, rows, columns) }
    }

    /// As rows (or columns) at a distance.
    fn strided(self, by_rows: bool) -> Strided<T> {
        let distance = if self.transposed { self.rows } else { self.columns } as isize;
        let (outer, inner) = if by_rows == self.transposed { (1, distance) } else { (distance, 1) };
        Strided { ptr: self.data.as_ptr(), outer, inner }
    }
}

/// c = a·b
///
/// # Errors
/// Memory: the workspace cannot be had.
///
/// # Panics
/// If the extents do not belong together.
pub(super) fn multiply<T>(a: Matrix<T>, b: Matrix<T>, c: &mut [T]) -> Result<()>
where
    T: Float + Element + Input<T>,
{
    let (m, n, k) = (a.rows, b.columns, a.columns);
    assert!(b.rows == k && c.len() == m * n, "product of matrices");
    if c.is_empty() {
        return Ok(());
    }
    let (packed, work) = (gemm::packed_len::<T>(m, k), gemm::workspace_len::<T>(n, k));
    let Some(len) = packed.checked_add(work) else {
        bail!(Memory, "the workspace for a product of {m} × {k} and {k} × {n} cannot be had")
    };
    let scratch = Tensor::empty(Shape::new(&[len])?, T::DTYPE)?;
    let p = scratch.ptr::<T>();
    // SAFETY: the matrices and `c` have these extents, and the scratch space is new, with room for
    // the packed operand and the workspace behind it.
    unsafe {
        gemm::pack_a(m, k, &a.strided(true), p);
        gemm::multiply((m, n, k), p, &b.strided(false), c.as_mut_ptr(), n, false, p.add(packed));
    }
    Ok(())
}
