//! How operands of broadcast shapes are walked, and shared out over threads.

use crate::shape::{MAX_DIMS, Shape};
use crate::{Result, Tensor};
use tengen_kernels::copy::PAST;
use tengen_kernels::pool;

/// Elements per task; the split never depends on the number of threads.
pub(super) const TASK: usize = 16 * 1024;
/// Below this many elements one thread is faster.
pub(super) const PARALLEL: usize = 32 * 1024;
/// Runs shorter than this are not worth a kernel call each: operands are materialised instead.
const SHORT_RUN: usize = 32;

/// Whether a result is larger than what the caches would hold for its reader.
pub(crate) fn past_caches<T>(shape: &Shape) -> bool {
    shape.numel() * size_of::<T>() >= PAST
}

/// Whether an operand needs no plan: it is one element, or contiguous and not broadcast.
#[inline]
pub(super) fn is_plain(x: &Tensor, shape: &Shape) -> bool {
    x.numel() == 1 || (x.is_contiguous() && x.shape() == shape)
}

/// How operands of broadcast shapes are walked: outer dimensions, and an inner run in which each
/// operand is either contiguous or a single element.
pub(crate) struct Plan<const K: usize> {
    pub(super) sizes: [usize; MAX_DIMS],
    pub(super) strides: [[isize; K]; MAX_DIMS],
    pub(super) outer: usize,
    inner: usize,
    pub(crate) single: [bool; K],
}

impl<const K: usize> Plan<K> {
    /// A plan, or the operands that must be made contiguous first.
    fn new(shape: &Shape, xs: [&Tensor; K]) -> std::result::Result<Plan<K>, [bool; K]> {
        let mut plan = Plan {
            sizes: [1; MAX_DIMS],
            strides: [[0; K]; MAX_DIMS],
            outer: 0,
            inner: 1,
            single: [true; K],
        };
        if xs.iter().all(|x| is_plain(x, shape)) {
            plan.inner = shape.numel();
            plan.single = xs.map(|x| x.numel() == 1);
            return Ok(plan);
        }
        // Merged dimensions, innermost first.
        let (mut sizes, mut strides, mut n) = ([1; MAX_DIMS], [[0isize; K]; MAX_DIMS], 0);
        for d in (0..shape.len()).rev() {
            if shape[d] == 1 {
                continue;
            }
            let step = xs.map(|x| match (d + x.ndim()).checked_sub(shape.len()) {
                Some(i) if x.shape()[i] != 1 => x.strides()[i],
                _ => 0,
            });
            let merges =
                n > 0 && (0..K).all(|k| step[k] == strides[n - 1][k] * sizes[n - 1] as isize);
            if merges {
                sizes[n - 1] *= shape[d];
            } else {
                (sizes[n], strides[n]) = (shape[d], step);
                n += 1;
            }
        }
        if n == 0 {
            return Ok(plan);
        }
        let bad = strides[0].map(|s| s != 0 && s != 1);
        if bad.contains(&true) {
            return Err(bad);
        }
        plan.inner = sizes[0];
        plan.single = strides[0].map(|s| s == 0);
        plan.outer = n - 1;
        for d in 0..plan.outer {
            plan.sizes[d] = sizes[n - 1 - d];
            plan.strides[d] = strides[n - 1 - d];
        }
        Ok(plan)
    }

    pub(super) fn runs(&self) -> usize {
        self.sizes[..self.outer].iter().product()
    }

    /// How many elements operand `k` has if it does not repeat along an axis of its own.
    pub(super) fn distinct(&self, k: usize) -> usize {
        (0..self.outer).filter(|d| self.strides[*d][k] != 0).map(|d| self.sizes[d]).product()
    }

    /// Pieces that a run is cut into.
    pub(super) fn pieces(&self) -> usize {
        self.inner.div_ceil(TASK)
    }

    /// Calls `f(segment, position in the result, offsets, length)` for every piece of every run,
    /// on several threads.
    pub(crate) fn for_each(&self, f: impl Fn(usize, usize, [isize; K], usize) + Sync) {
        let (runs, pieces) = (self.runs(), self.pieces());
        let segments = runs * pieces;
        if segments == 0 {
            return;
        }
        let per_task = if pieces > 1 { 1 } else { (TASK / self.inner.max(1)).max(1) };
        let work = |from: usize, to: usize| {
            // The first run's position, then an odometer.
            let mut index = [0; MAX_DIMS];
            let mut at = [0isize; K];
            let mut rest = from / pieces;
            for d in (0..self.outer).rev() {
                index[d] = rest % self.sizes[d];
                rest /= self.sizes[d];
                for k in 0..K {
                    at[k] += index[d] as isize * self.strides[d][k];
                }
            }
            for segment in from..to {
                let (run, piece) = (segment / pieces, segment % pieces);
                let start = piece * TASK;
                let offsets = std::array::from_fn(|k| {
                    at[k] + if self.single[k] { 0 } else { start as isize }
                });
                f(segment, run * self.inner + start, offsets, (self.inner - start).min(TASK));
                if piece + 1 == pieces {
                    for d in (0..self.outer).rev() {
                        index[d] += 1;
                        for k in 0..K {
                            at[k] += self.strides[d][k];
                        }
                        if index[d] < self.sizes[d] {
                            break;
                        }
                        for k in 0..K {
                            at[k] -= index[d] as isize * self.strides[d][k];
                        }
                        index[d] = 0;
                    }
                }
            }
        };
        if segments * self.inner.min(TASK) < PARALLEL {
            work(0, segments);
        } else {
            pool::for_ranges(segments, per_task, work);
        }
    }
}

/// A plan for operands, copying those whose layout the loops cannot walk.
pub(crate) fn prepare<const K: usize>(
    shape: &Shape,
    xs: [&Tensor; K],
) -> Result<([Tensor; K], Plan<K>)> {
    let mut xs = xs.map(Tensor::detach);
    loop {
        match Plan::new(shape, xs.each_ref()) {
            Ok(plan) if plan.outer > 0 && plan.inner < SHORT_RUN => {
                for x in &mut xs {
                    if !is_plain(x, shape) {
                        *x = expand(x, shape).copy()?;
                    }
                }
            }
            Ok(plan) => return Ok((xs, plan)),
            Err(bad) => {
                for (x, _) in xs.iter_mut().zip(bad).filter(|(_, bad)| *bad) {
                    *x = x.copy()?;
                }
            }
        }
    }
}

/// A view of `x` broadcast to `shape`, which must be possible.
pub(crate) fn expand(x: &Tensor, shape: &Shape) -> Tensor {
    let mut strides = [0; MAX_DIMS];
    for d in 0..shape.len() {
        if let Some(i) = (d + x.ndim()).checked_sub(shape.len())
            && x.shape()[i] != 1
        {
            strides[d] = x.strides()[i];
        }
    }
    // SAFETY: along each axis the view either keeps an extent and stride of `x` or repeats.
    unsafe { x.view(*shape, strides, x.offset()) }
}
