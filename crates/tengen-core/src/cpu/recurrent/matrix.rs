//! Products of matrices in memory that operators already have.

use crate::shape::Shape;
use crate::{Element, Result, Tensor};
use tengen_kernels::gemm::{self, Strided};
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

/// A left operand, packed for any number of products.
pub(super) struct Packed {
    memory: Tensor,
    rows: usize,
    columns: usize,
}

impl Packed {
    /// # Errors
    /// Memory: the packed operand cannot be had.
    pub fn new<T>(a: Matrix<T>) -> Result<Packed>
    where
        T: Float + Element,
    {
        let (rows, columns) = (a.rows, a.columns);
        let memory = scratch::<T>(gemm::packed_len::<T>(rows, columns))?;
        // SAFETY: the matrix has these extents and the memory, which is new, this length.
        unsafe { gemm::pack_a(rows, columns, &a.strided(true), memory.ptr::<T>()) };
        Ok(Packed { memory, rows, columns })
    }

    /// c = a·b
    ///
    /// # Errors
    /// Memory: the workspace cannot be had.
    ///
    /// # Panics
    /// If the extents do not belong together.
    pub fn times<T>(&self, b: Matrix<T>, c: &mut [T]) -> Result<()>
    where
        T: Float + Element,
    {
        let (m, n, k) = (self.rows, b.columns, self.columns);
        assert!(b.rows == k && c.len() == m * n, "product of matrices");
        assert!(self.memory.dtype() == T::DTYPE, "product of matrices of two types");
        if c.is_empty() {
            return Ok(());
        }
        let work = scratch::<T>(gemm::workspace_len::<T>(n, k))?;
        let (a, b, work) = (self.memory.ptr::<T>(), b.strided(false), work.ptr::<T>());
        // SAFETY: the operands and `c` have these extents, and the workspace is new.
        unsafe { gemm::multiply((m, n, k), a, &b, c.as_mut_ptr(), n, false, work) };
        Ok(())
    }
}

pub(super) fn scratch<T: Element>(len: usize) -> Result<Tensor> {
    Tensor::empty(Shape::new(&[len])?, T::DTYPE)
}
