//! The door: every operator runs through [`apply`].

use crate::op::{Op, Tensors};
use crate::{Device, Result, Tensor, autograd, ops};
use smallvec::SmallVec;

/// Runs an operator: converts its inputs to one dtype where it asks for that, infers and checks,
/// evaluates, and records what automatic differentiation will need.
///
/// # Errors
/// Whatever the operator's inference or evaluation finds.
pub fn apply<O: Op>(op: O, inputs: &[&Tensor]) -> Result<Tensors> {
    if let Some(dtype) = op.promote(inputs)?
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
    let out = op.infer(inputs)?;
    let mut results = op.eval(inputs, &out)?;
    debug_assert!(
        out.iter().map(|m| (m.shape, m.dtype)).eq(results.iter().map(|r| (*r.shape(), r.dtype()))),
        "{}: inferred {out:?}, computed {results:?}",
        op.name()
    );
    let device = common_device(inputs);
    if device != Device::default() {
        results = results.into_iter().map(|r| r.to_device(device)).collect();
    }
    if autograd::is_recording() && inputs.iter().any(|x| autograd::is_tracked(x)) {
        autograd::record(op, inputs, &mut results);
    }
    Ok(results)
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
