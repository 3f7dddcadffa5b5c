//! Copies between layouts.

use super::Shared;
use super::plan::{PARALLEL, TASK};
use crate::Tensor;
use tengen_kernels::copy::CopyPlan;
use tengen_kernels::pool;

/// Copies the elements of `src` to `dst`, of the same shape and dtype: a new tensor or a view of
/// one, without repeated elements.
pub(crate) fn copy_into(src: &Tensor, dst: &Tensor) {
    fn run<U: Copy>(plan: &CopyPlan, src: *const u8, dst: *mut u8) {
        let (p, q) = (Shared(src.cast_mut().cast::<U>()), Shared(dst.cast::<U>()));
        let all = |from, to| {
            // SAFETY: the plan covers the elements of two live tensors, `dst` is new, and each
            // unit is copied once.
            unsafe { plan.run(p.at(0).cast_const(), q.at(0), from..to) }
        };
        if plan.units() * plan.unit_len() < PARALLEL {
            all(0, plan.units());
        } else {
            pool::for_ranges(plan.units(), (TASK / plan.unit_len().max(1)).max(1), all);
        }
    }
    debug_assert_eq!(src.shape(), dst.shape());
    let Some(plan) = CopyPlan::new(src.shape(), src.strides(), dst.strides()) else {
        unreachable!("a tensor's own layout always has a plan");
    };
    if plan.units() == 0 {
        return;
    }
    let (p, q) = (src.ptr::<u8>(), dst.ptr::<u8>());
    match src.dtype().size() {
        1 => run::<u8>(&plan, p, q),
        2 => run::<u16>(&plan, p, q),
        4 => run::<u32>(&plan, p, q),
        _ => run::<u64>(&plan, p, q),
    }
}
