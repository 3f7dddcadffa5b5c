//! Matrix multiplication with packed operands.
//!
//! C = A·B is computed in tiles that live in registers. Both operands are first packed into panels
//! in the order in which the tiles read them, a block of the inner dimension at a time (`blocks`): A by
//! each worker for itself, into its second-level cache, B by all together.
//! What is packed comes from a [`Strided`] matrix, so transposed and half-precision operands need no
//! copy of their own. Every element of C is summed in the same order whatever the number of
//! threads.

use crate::lanes::{Arch, Float, Kernel, Lane, Operand, dispatch, isa, prefetch};
use crate::pool;
use blocks::{Left, Plan, Right};
use std::any::TypeId;
use std::ops::Range;
use tile::tile_of;

mod bf16;
mod blocks;
pub mod int8;
#[cfg(test)]
mod tests;
mod tile;
mod words;

/// An operand: a matrix of elements at regular distances, seen as `outer` × `k`, where `outer` counts
/// rows of A or columns of B.
#[derive(Clone, Copy)]
pub struct Strided<E> {
    /// The first element.
    pub ptr: *const E,
    /// Distance between neighbours along the outer dimension.
    pub outer: isize,
    /// Distance between neighbours along the inner dimension.
    pub inner: isize,
}

// SAFETY: a Strided only reads, from memory that `pack`'s caller vouches for.
unsafe impl<E> Sync for Strided<E> {}

impl<E> Strided<E> {
    /// Writes `dst[(k − ks.start)·width + i]` = element (`outer + i`, k) for `i < n` and k in
    /// `ks`. Places from `n` to `width` keep what they hold, or become 0.
    ///
    /// # Safety
    /// The elements exist, and `dst` is writable for `ks.len()·width` elements.
    pub unsafe fn pack<T: Float>(
        &self,
        outer: usize,
        n: usize,
        ks: Range<usize>,
        dst: *mut T,
        width: usize,
    ) where
        E: Operand<Wide = T>,
    {
        let start = outer as isize * self.outer + ks.start as isize * self.inner;
        let from = Strided { ptr: self.ptr.wrapping_offset(start), ..*self };
        dispatch(Pack { from, n, steps: ks.len(), dst, width });
    }
}

/// Steps between a step that is packed and the one that is fetched: a step of a wide matrix lies on a
/// page of its own.
const AHEAD: usize = 16;

/// Packs `steps` steps of `n` rows or columns.
pub(crate) struct Pack<E, T> {
    pub from: Strided<E>,
    pub n: usize,
    pub steps: usize,
    pub dst: *mut T,
    pub width: usize,
}

impl<T: Float, E: Operand<Wide = T>> Kernel for Pack<E, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { from, n, steps, dst, width } = self;
        let w = <T::Lane<A> as Lane>::W;
        let at = |i: usize, k: usize| {
            from.ptr.wrapping_offset(i as isize * from.outer + k as isize * from.inner)
        };
        // SAFETY: `pack`'s contract: elements (i < n, k < steps) are readable, and `dst` has
        // `width` ≥ n places for each step; every access below stays under these bounds.
        unsafe {
            if from.outer == 1 {
                for k in 0..steps {
                    for i in (0..n).step_by(w) {
                        let r = w.min(n - i);
                        prefetch(at(i, k + AHEAD));
                        E::load::<T::Lane<A>>(at(i, k), r).store_n(dst.add(k * width + i), r);
                    }
                }
            } else if from.inner == 1 {
                for (i, k) in
                    (0..n).step_by(w).flat_map(|i| (0..steps).step_by(w).map(move |k| (i, k)))
                {
                    let (rows, columns) = (w.min(n - i), w.min(steps - k));
                    let mut square = [<T::Lane<A>>::splat(T::default()); 16];
                    for (j, row) in square.iter_mut().enumerate().take(rows) {
                        *row = E::load(at(i + j, k), columns);
                    }
                    Lane::transpose(&mut square);
                    for (j, column) in square.iter().enumerate().take(columns) {
                        let to = dst.add((k + j) * width + i);
                        // A whole store is faster; what it writes too much of, the next step's
                        // place, is written after it.
                        if n <= w && width + rows >= w && k + j + 1 < steps {
                            column.store(to);
                        } else {
                            column.store_n(to, rows);
                        }
                    }
                }
            } else {
                for k in 0..steps {
                    for i in 0..n {
                        *dst.add(k * width + i) = (*at(i, k)).get();
                    }
                }
            }
        }
    }
}

/// Bytes over which a right operand lies that tiles read as it is, without packing: it stays in the
/// first caches all the while.
const NEAR: usize = 64 << 10;

/// Elements that packed A takes: all of it, so that it can serve several multiplications.
pub fn packed_len<T: Float>(m: usize, k: usize) -> usize {
    plan::<T>(m, 0, k).packed_len()
}

/// Elements of workspace that [`multiply`] takes.
pub fn workspace_len<T: Float>(n: usize, k: usize) -> usize {
    plan::<T>(0, n, k).workspace_len()
}

fn plan<T: Float>(m: usize, n: usize, k: usize) -> Plan {
    Plan {
        m,
        n,
        steps: k,
        tile: tile_of::<T>(isa(), m),
        head: 0,
        workers: pool::workers(m * n * k),
    }
}

/// Packs A (`m` × `k`) to `packed`.
///
/// # Safety
/// `a` has `m` × `k` elements, and `packed` is writable for [`packed_len`] elements.
pub unsafe fn pack_a<T: Float, E: Operand<Wide = T>>(
    m: usize,
    k: usize,
    a: &Strided<E>,
    packed: *mut T,
) {
    let plan = plan::<T>(m, 0, k).packer();
    let (rows, _) = plan.tile;
    // SAFETY: by the contract; the driver asks for parts of A and of `packed` that exist.
    unsafe {
        plan.pack_a(packed, &|row, n, ks, dst| a.pack(row, n, ks, dst, rows));
    }
}

/// C = A·B, or C += A·B, with A packed by [`pack_a`] on the same instruction set.
///
/// # Safety
/// `packed` holds an `m` × `k` A, `b` has `n` × `k` elements, `c` is readable and writable for `m`
/// rows of `n` elements at distance `ldc`, `work` is writable for [`workspace_len`] elements.
pub unsafe fn multiply<T: Float, E: Operand<Wide = T>>(
    (m, n, k): (usize, usize, usize),
    packed: *const T,
    b: &Strided<E>,
    c: *mut T,
    ldc: usize,
    accumulate: bool,
    work: *mut T,
) {
    let plan = plan::<T>(m, n, k);
    let left = Left::Packed(packed);
    let run = |block| dispatch(block);
    // SAFETY: by the contract.
    unsafe {
        right(&plan, b, &|right| plan.multiply(left, c, ldc, accumulate, work, right, &run));
    }
}

/// Gives B to `multiply`: as it is, if it lies near and as panels could, else with a way to pack it.
///
/// # Safety
/// B has the elements that the plan asks for.
unsafe fn right<T: Float, E: Operand<Wide = T>>(
    plan: &Plan,
    b: &Strided<E>,
    multiply: &dyn Fn(Right<'_, T>),
) {
    let columns = plan.tile.1;
    // Tiles read all of their columns' registers.
    let near = b.inner >= 0 && plan.steps * b.inner.unsigned_abs() * size_of::<T>() <= NEAR;
    let as_is = TypeId::of::<E>() == TypeId::of::<T>() && b.outer == 1 && near;
    if as_is && plan.n.is_multiple_of(columns) {
        return multiply(Right::InPlace(b.ptr.cast(), b.inner.unsigned_abs()));
    }
    multiply(Right::Pack(&|column, n, ks: Range<usize>, dst| {
        // SAFETY: by the contract; the driver asks for parts of B and of the workspace that exist.
        unsafe { b.pack(column, n, ks, dst, columns) }
    }));
}

/// How a product is done, and the workspace that it needs.
#[derive(Clone, Copy)]
pub struct Product {
    plan: Plan,
    /// Elements of the inner dimension.
    k: usize,
}

impl Product {
    /// The same by one thread.
    pub fn alone(self) -> Product {
        Product { plan: Plan { workers: 1, ..self.plan }, ..self }
    }

    /// Elements of workspace that it needs.
    pub fn workspace_len(&self) -> usize {
        self.plan.product_len()
    }
}

/// Elements of matrices, with the way in which products of two such matrices are summed in `T`.
pub trait Element<T: Float>: Operand<Wide = T> {
    /// The product of an `m` × `k` and a `k` × `n` matrix.
    fn product(m: usize, n: usize, k: usize) -> Product {
        wide_product::<T>(m, n, k)
    }
    /// C = A·B.
    ///
    /// # Safety
    /// On the instruction set that the product was made for: `a` and `b` have the elements that it
    /// was made for, `c` is writable for as many, without gaps between rows, and `work` for
    /// [`Product::workspace_len`] elements.
    unsafe fn multiply(
        product: Product,
        a: Strided<Self>,
        b: Strided<Self>,
        c: *mut T,
        work: *mut T,
    ) {
        // SAFETY: by the contract.
        unsafe { multiply_wide(product, a, b, c, work) }
    }
}

/// A product that is summed by tiles of `T`.
fn wide_product<T: Float>(m: usize, n: usize, k: usize) -> Product {
    Product { plan: plan::<T>(m, n, k), k }
}

/// C = A·B by tiles of `T`.
///
/// # Safety
/// As [`Element::multiply`].
unsafe fn multiply_wide<T: Float, E: Operand<Wide = T>>(
    Product { plan, .. }: Product,
    a: Strided<E>,
    b: Strided<E>,
    c: *mut T,
    work: *mut T,
) {
    // SAFETY: by the contract; the driver asks for parts of A and of the workspace that exist.
    unsafe {
        let left = |row, n, ks, dst: *mut T| a.pack(row, n, ks, dst, plan.tile.0);
        right(&plan, &b, &|right| plan.product(c, work, &left, right, &|block| dispatch(block)));
    }
}
impl Element<f32> for f32 {}
impl Element<f64> for f64 {}
impl Element<f32> for half::f16 {}
