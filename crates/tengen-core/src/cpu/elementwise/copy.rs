//! Copies between layouts.

use super::plan::{PARALLEL, TASK};
use crate::Tensor;
use crate::cpu::raw::by_size;
use tengen_kernels::copy::CopyPlan;
use tengen_kernels::pool;
use tengen_kernels::pool::Shared;

/// The most elements that are still in a core's cache after they were written.
const NEAR: usize = 1 << 16;

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
    by_size!(src.dtype(), U => run::<U>(&plan, p, q));
}

/// [`copy_into`] of a first pair and then of a second one, whose destination is a part of the
/// first's, for one index of the `lead` leading axes after the other: those have the same extents
/// in all four, and what the first copy has written is still near when the second one comes.
pub(crate) fn copy_both(lead: usize, first: (&Tensor, &Tensor), second: (&Tensor, &Tensor)) {
    let (outer, inner) = first.1.shape().split_at(lead);
    let (blocks, len) = (outer.iter().product::<usize>(), inner.iter().product::<usize>());
    if blocks < 2 || blocks * len < PARALLEL || len > NEAR {
        copy_into(first.0, first.1);
        copy_into(second.0, second.1);
        return;
    }
    let plan = |(src, dst): (&Tensor, &Tensor)| {
        CopyPlan::new(&src.shape()[lead..], &src.strides()[lead..], &dst.strides()[lead..])
    };
    let (Some(a), Some(b)) = (plan(first), plan(second)) else {
        unreachable!("a tensor's own layout always has a plan");
    };
    by_size!(first.0.dtype(), U => {
        let all = [first.0, first.1, second.0, second.1];
        let p = all.map(|t| Shared(t.ptr::<u8>().cast::<U>()));
        pool::for_ranges(blocks, (TASK / len).max(1), |from, to| {
            for block in from..to {
                let (mut at, mut rest) = ([0; 4], block);
                for d in (0..lead).rev() {
                    let index = (rest % outer[d]) as isize;
                    rest /= outer[d];
                    (0..4).for_each(|k| at[k] += index * all[k].strides()[d]);
                }
                let [x, y, v, part] = std::array::from_fn(|k| p[k].offset(at[k]));
                // SAFETY: the plans cover what has this leading index of live tensors, of which
                // the destinations are new, and each task has its indices to itself.
                unsafe {
                    a.run(x.cast_const(), y, 0..a.units());
                    b.run(v.cast_const(), part, 0..b.units());
                }
            }
        });
    });
}
