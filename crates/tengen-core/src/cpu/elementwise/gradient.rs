//! The backward pass of maps, in which gradients to broadcast operands are summed on the way.

use super::plan::{Plan, expand, past_caches, prepare};
use super::run::sources;
use crate::cpu::cast_raw;
use crate::op::Grads;
use crate::ops;
use crate::shape::{MAX_DIMS, Shape};
use crate::{Element, Result, Tensor, bail, dispatch};
use tengen_kernels::lanes::{Float, Operand};
use tengen_kernels::map::{self, Dst, Map, Src};
use tengen_kernels::pool::Shared;

/// The gradients of a map to the operands whose shapes are given.
pub(crate) fn backward<M: Map<N>, const N: usize>(
    map: &M,
    xs: [&Tensor; N],
    dy: &Tensor,
    wanted: [Option<Shape>; N],
) -> Result<Grads> {
    dispatch!(dy.dtype(), [F16, BF16, F32, F64], T => {
        backward_as::<T, M, N>(map, xs, dy, wanted)
    }, else bail!(DType, "a gradient cannot be of {}", dy.dtype()))
}

fn try_each<const N: usize>(
    xs: [&Tensor; N],
    f: impl Fn(&Tensor) -> Result<Tensor>,
) -> Result<[Tensor; N]> {
    let mut out = xs.map(Tensor::detach);
    for x in &mut out {
        *x = f(x)?;
    }
    Ok(out)
}

fn backward_as<T: Operand<Wide: Element> + Element, M: Map<N>, const N: usize>(
    map: &M,
    xs: [&Tensor; N],
    dy: &Tensor,
    wanted: [Option<Shape>; N],
) -> Result<Grads> {
    let shape = *dy.shape();
    let dy = &dense(dy)?;
    let (xs, plan) = prepare(&shape, xs)?;
    let segments = plan.runs() * plan.pieces();
    // An operand that is single in every run, or that the formula does not read and that has one
    // element, is summed per piece; any other gets a full gradient first.
    let sums = |k: usize, s: &Shape| plan.single[k] && *s != shape && plan.distinct(k) == s.numel();
    let wide = <T::Wide as Element>::DTYPE;
    let mut some = wanted.iter().enumerate().filter_map(|(k, s)| Some((k, s.as_ref()?)));
    if wide != T::DTYPE && some.any(|(k, s)| *s != shape && !sums(k, s)) {
        // A full gradient that is summed afterwards is not rounded in between.
        let xs = try_each(xs.each_ref(), |x| cast_raw(x, wide))?;
        let dy = expand(&cast_raw(dy, wide)?, &shape);
        let grads = backward_as::<T::Wide, M, N>(map, xs.each_ref(), &dy, wanted)?;
        return grads.into_iter().map(|g| g.map(|g| cast_raw(&g, T::DTYPE)).transpose()).collect();
    }
    enum Into {
        Skip,
        Full(Tensor),
        Sums(Vec<f64>),
    }
    let mut into: [Into; N] = std::array::from_fn(|_| Into::Skip);
    for k in 0..N {
        let Some(s) = &wanted[k] else { continue };
        into[k] = if sums(k, s) {
            Into::Sums(vec![0.0; segments])
        } else {
            Into::Full(Tensor::empty(shape, T::DTYPE)?)
        };
    }
    let p: [Shared<T>; N] = xs.each_ref().map(|x| Shared(x.ptr::<T>()));
    let q = Shared(dy.ptr::<T>());
    enum To<T> {
        Skip,
        Full(Shared<T>),
        Sums(Shared<f64>),
    }
    let to: [To<T>; N] = into.each_mut().map(|i| match i {
        Into::Skip => To::Skip,
        Into::Full(t) => To::Full(Shared(t.ptr::<T>())),
        Into::Sums(v) => To::Sums(Shared(v.as_mut_ptr())),
    });
    let (dy_single, past) = (dy.numel() == 1, past_caches::<T>(&shape));
    plan.for_each(|segment, position, at, n| {
        let src = sources(&p, &plan, at);
        let offset = if dy_single { 0 } else { position as isize };
        let dy = Src { ptr: q.offset(offset).cast_const(), single: dy_single };
        let dx = std::array::from_fn(|k| match &to[k] {
            To::Skip => Dst::Skip,
            To::Full(t) => Dst::Store(t.at(position)),
            To::Sums(s) => Dst::Sum(s.at(segment)),
        });
        // SAFETY: the plan keeps offsets inside the operands; positions and segments are written
        // once each, in tensors and vectors of this call.
        unsafe { map::backward(map, src, dy, dx, n, past) };
    });
    let mut grads = Grads::new();
    for (k, i) in into.into_iter().enumerate() {
        grads.push(match (i, &wanted[k]) {
            (Into::Full(t), Some(s)) => Some(ops::sum_to(&t, s)?),
            (Into::Sums(sums), Some(s)) => Some(collect_sums::<T, N>(&plan, k, &sums, s)?),
            _ => None,
        });
    }
    Ok(grads)
}

/// `x` if it is contiguous, one element if all of its elements are that one, else a copy.
fn dense(x: &Tensor) -> Result<Tensor> {
    if x.numel() > 1 && x.strides().iter().zip(x.shape().iter()).all(|(s, n)| *s == 0 || *n == 1) {
        // SAFETY: the first element of a tensor that is not empty.
        return Ok(unsafe { x.view(Shape::default(), [0; MAX_DIMS], x.offset()) });
    }
    Ok(x.contiguous()?.detach())
}

/// Adds up per-piece sums, in order, into the gradient of operand `k`.
fn collect_sums<T: Operand + Element, const N: usize>(
    plan: &Plan<N>,
    k: usize,
    sums: &[f64],
    shape: &Shape,
) -> Result<Tensor> {
    let mut total = vec![0.0f64; shape.numel()];
    let pieces = plan.pieces();
    let mut index = [0; MAX_DIMS];
    // The gradient is contiguous, while the plan's strides are those of the operand's own layout:
    // walk with strides of a contiguous operand instead.
    let steps = contiguous_steps(plan, k);
    let mut at = 0;
    for run in sums.chunks(pieces.max(1)) {
        total[at] += run.iter().sum::<f64>();
        for d in (0..plan.outer).rev() {
            index[d] += 1;
            at += steps[d];
            if index[d] < plan.sizes[d] {
                break;
            }
            at -= index[d] * steps[d];
            index[d] = 0;
        }
    }
    let t = Tensor::empty(*shape, T::DTYPE)?;
    for (i, v) in total.into_iter().enumerate() {
        // SAFETY: the tensor is new and has as many elements as `total`.
        unsafe { t.ptr::<T>().add(i).write(T::from_f64(T::Wide::from_f64(v).to_f64())) };
    }
    Ok(t)
}

/// Steps of operand `k` along the plan's outer dimensions if its elements were contiguous.
fn contiguous_steps<const N: usize>(plan: &Plan<N>, k: usize) -> [usize; MAX_DIMS] {
    let mut steps = [0; MAX_DIMS];
    let mut step = 1;
    for d in (0..plan.outer).rev() {
        if plan.strides[d][k] != 0 {
            steps[d] = step;
            step *= plan.sizes[d];
        }
    }
    steps
}
