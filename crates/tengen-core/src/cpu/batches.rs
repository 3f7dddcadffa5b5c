//! Batches of matrices.

use crate::cpu::elementwise::expand;
use crate::ops::reshape;
use crate::shape::{MAX_DIMS, Shape};
use crate::{Element, Result, Tensor};
use smallvec::SmallVec;
use tengen_kernels::gemm::Strided;

/// Extents of the axes before a matrix.
type Lead = SmallVec<[usize; MAX_DIMS]>;

/// The operands of a product of that shape as batches of as many matrices, the batch's extents, and
/// the rows and columns of each result.
pub(super) fn batched(
    a: &Tensor,
    b: &Tensor,
    shape: &Shape,
) -> Result<(Tensor, Tensor, Lead, [usize; 2])> {
    let d = shape.len();
    let (mut m, n) = (shape[d - 2], shape[d - 1]);
    let mut lead: Lead = shape[..d - 2].into();
    let mut a = a.detach();
    // A batch of left sides against one right side is one tall left side.
    if b.ndim() == 2 && a.ndim() > 2 && a.is_contiguous() {
        m *= lead.iter().product::<usize>();
        lead.clear();
        a = reshape(&a, &[m, a.shape()[a.ndim() - 1]])?;
    }
    let view = |x: &Tensor| -> Result<Tensor> {
        let mut dims = lead.clone();
        dims.extend_from_slice(&x.shape()[x.ndim() - 2..]);
        Ok(expand(x, &Shape::new(&dims)?))
    };
    let (a, b) = (view(&a)?, view(b)?);
    Ok((a, b, lead, [m, n]))
}

/// Matrix `at` of a batch; with `flip` the outer dimension is that of columns.
pub(super) fn matrix<E: Element>(x: &Tensor, lead: &[usize], at: usize, flip: bool) -> Strided<E> {
    let (s, nd) = (x.strides(), x.ndim());
    let (mut rest, mut offset) = (at, 0);
    for i in (0..lead.len()).rev() {
        offset += (rest % lead[i]) as isize * s[i];
        rest /= lead[i];
    }
    let (outer, inner) = if flip { (s[nd - 1], s[nd - 2]) } else { (s[nd - 2], s[nd - 1]) };
    Strided { ptr: x.ptr::<E>().wrapping_offset(offset).cast_const(), outer, inner }
}
