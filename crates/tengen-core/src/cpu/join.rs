//! Tensors joined and cut.

use crate::cpu::elementwise::copy_into;
use crate::op::{Eval, Meta, Tensors};
use crate::ops::join::{Concat, Split};
use crate::shape::MAX_DIMS;
use crate::{Result, Tensor};
use smallvec::smallvec;

/// Results of up to so many bytes are copied run by run, without a plan for every input.
const SMALL: usize = 1 << 12;

/// See [`SMALL`]: at most so many runs of each input.
const RUNS: usize = 16;

impl Eval for Concat {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let y = Tensor::empty(out[0].shape, out[0].dtype)?;
        let size = out[0].dtype.size();
        let outer: usize = y.shape()[..self.axis].iter().product();
        if outer <= RUNS && y.numel() * size <= SMALL && x.iter().all(|t| t.is_contiguous()) {
            let mut to = y.ptr::<u8>();
            for (o, t) in (0..outer).flat_map(|o| x.iter().map(move |t| (o, t))) {
                let run = t.shape()[self.axis..].iter().product::<usize>() * size;
                // SAFETY: `t` is contiguous, so this is its part at these outer indices; the parts
                // fill `y`, which is new, one after the other.
                unsafe {
                    to.copy_from_nonoverlapping(t.ptr::<u8>().add(o * run), run);
                    to = to.add(run);
                }
            }
            return Ok(smallvec![y]);
        }
        let (mut strides, mut start) = ([0; MAX_DIMS], 0);
        strides[..y.ndim()].copy_from_slice(y.strides());
        for t in x {
            if t.numel() > 0 {
                // SAFETY: the part of `y` along the axis that is `t`'s.
                let part = unsafe { y.view(*t.shape(), strides, start) };
                copy_into(t, &part);
            }
            start += t.shape()[self.axis] * strides[self.axis] as usize;
        }
        Ok(smallvec![y])
    }
}

impl Eval for Split {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let mut strides = [0; MAX_DIMS];
        strides[..x[0].ndim()].copy_from_slice(x[0].strides());
        let parts = self.parts(x[0].shape()[self.axis]);
        let view = |((start, len), meta): ((usize, usize), &Meta)| {
            let step = if len == 0 { 0 } else { start as isize * strides[self.axis] };
            let offset = x[0].offset() as isize + step;
            // SAFETY: a range of one axis of `x`.
            unsafe { x[0].view(meta.shape, strides, offset as usize) }
        };
        Ok(parts.zip(out).map(view).collect())
    }
}
