//! The door: every operator runs through [`apply`] or [`apply_in_place`].

use crate::op::{Meta, Op, Tensors, describe};
use crate::{Device, Result, Tensor, autograd, device, graph, ops};
use smallvec::SmallVec;
use std::sync::Arc;

/// Runs an operator: converts its inputs to one dtype where it asks for that, infers and checks,
/// evaluates, and records what automatic differentiation will need.
///
/// # Errors
/// Whatever the operator's inference or evaluation finds.
#[inline]
pub fn apply<O: Op>(op: O, inputs: &[&Tensor]) -> Result<Tensors> {
    if let Some(dtype) = op.promote(describe(inputs))?
        && inputs.iter().any(|x| x.dtype() != dtype)
    {
        let cast =
            inputs.iter().map(|x| ops::cast(x, dtype)).collect::<Result<SmallVec<[_; 3]>>>()?;
        return run(op, &cast.iter().collect::<SmallVec<[&Tensor; 3]>>());
    }
    run(op, inputs)
}

#[inline]
fn run<O: Op>(op: O, inputs: &[&Tensor]) -> Result<Tensors> {
    let tracked = autograd::is_recording() && inputs.iter().any(|x| autograd::is_tracked(x));
    if tracked
        && op.differentiates_expanded()
        && let Some(results) = op.expand(inputs)
    {
        return results;
    }
    let out = op.infer(describe(inputs))?;
    let (mut here, mut named) = (true, false);
    for x in inputs {
        here &= x.is_here();
        named |= x.device() != Device::ANYWHERE;
    }
    if !here && !device::is_open() {
        return elsewhere(Arc::new(op), inputs, &out, tracked);
    }
    let mut results = op.eval(inputs, &out)?;
    debug_assert!(
        out.iter().map(|m| (m.shape, m.dtype)).eq(results.iter().map(|r| (*r.shape(), r.dtype()))),
        "{}: inferred {out:?}, computed {results:?}",
        op.name()
    );
    if named {
        let device = common_device(inputs);
        results = results.into_iter().map(|r| r.named(device)).collect();
    }
    if tracked {
        autograd::record(op, inputs, &mut results);
    }
    Ok(results)
}

/// What runs where inputs are not in the host's memory: if some have no value yet, the operator becomes
/// a step of the graph that they belong to; else their device computes it.
#[cold]
fn elsewhere(op: Arc<dyn Op>, inputs: &[&Tensor], out: &[Meta], tracked: bool) -> Result<Tensors> {
    let (mut results, recorded) = if inputs.iter().any(|x| x.is_later()) {
        (graph::record(&op, inputs, out)?, false)
    } else {
        device::evaluate(&*op, inputs, out)?
    };
    if tracked && !recorded {
        autograd::record(op, inputs, &mut results);
    }
    Ok(results)
}

/// Whether an operator with such inputs would be recorded, on a tape or in a graph.
pub(crate) fn records(inputs: &[Tensor]) -> bool {
    let tracked = autograd::is_recording() && inputs.iter().any(autograd::is_tracked);
    tracked || inputs.iter().any(Tensor::is_later)
}

/// Evaluates a step of a graph on inputs that have values; they may be written over where nothing
/// else holds them.
pub(crate) fn evaluate(op: &Arc<dyn Op>, inputs: &mut [Tensor], out: &[Meta]) -> Result<Tensors> {
    if inputs.iter().all(Tensor::is_here) {
        return op.eval_in_place(inputs, out);
    }
    let refs: SmallVec<[&Tensor; 4]> = inputs.iter().collect();
    Ok(device::evaluate(&**op, &refs, out)?.0)
}

/// The device of results: that of the first input that was placed on one.
fn common_device(inputs: &[&Tensor]) -> Device {
    let mut devices = inputs.iter().map(|x| x.device());
    devices.find(|d| *d != Device::default()).unwrap_or_default()
}

/// [`apply`] for operators with one result.
///
/// # Errors
/// As [`apply`].
#[inline]
pub fn apply1<O: Op>(op: O, inputs: &[&Tensor]) -> Result<Tensor> {
    let mut results = apply(op, inputs)?;
    debug_assert_eq!(results.len(), 1);
    Ok(results.swap_remove(0))
}

/// Replaces `x` by the result of an operator on `x` and `rest`, in `x`'s memory where nothing else
/// holds that and the operator can.
///
/// # Errors
/// As [`apply`]; `x` is left as it was.
pub fn apply_in_place<O: Op>(op: O, x: &mut Tensor, rest: &[&Tensor]) -> Result<()> {
    let mut inputs: SmallVec<[Tensor; 4]> = SmallVec::new();
    inputs.push(std::mem::replace(x, Tensor::nothing()));
    inputs.extend(rest.iter().map(|t| (*t).clone()));
    let results = apply_all_in_place(op, &mut inputs);
    *x = match results {
        Ok(mut results) => results.swap_remove(0),
        Err(e) => {
            *x = inputs.swap_remove(0);
            return Err(e);
        }
    };
    Ok(())
}

/// [`apply`], where results may be written to the memory of inputs that nothing else holds.
///
/// # Errors
/// As [`apply`]; inputs are left as they were.
pub fn apply_all_in_place<O: Op>(op: O, inputs: &mut [Tensor]) -> Result<Tensors> {
    let refs: SmallVec<[&Tensor; 4]> = inputs.iter().collect();
    if records(inputs) || !inputs.iter().all(Tensor::is_here) {
        return apply(op, &refs);
    }
    let out = op.infer(describe(&refs))?;
    drop(refs);
    op.eval_in_place(inputs, &out)
}
