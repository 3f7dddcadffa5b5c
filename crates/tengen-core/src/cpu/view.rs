//! Views: other shapes and strides of the same memory.

use crate::cpu::elementwise::{copy_into, expand};
use crate::op::{Eval, Meta, Tensors};
use crate::ops::view::{BroadcastTo, Contiguous, Reshape, Transpose};
use crate::shape::MAX_DIMS;
use crate::{Result, Tensor};
use smallvec::smallvec;

impl Eval for Reshape {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        // SAFETY: a contiguous tensor with as many elements.
        let view =
            |x: &Tensor| unsafe { x.view(self.shape, self.shape.contiguous_strides(), x.offset()) };
        Ok(smallvec![if x[0].is_contiguous() { view(x[0]) } else { view(&x[0].copy()?) }])
    }
}

impl Eval for Transpose {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let mut strides = [0; MAX_DIMS];
        for (s, a) in strides.iter_mut().zip(&self.axes) {
            *s = x[0].strides()[*a];
        }
        // SAFETY: the same elements, with axes in another order.
        Ok(smallvec![unsafe { x[0].view(out[0].shape, strides, x[0].offset()) }])
    }
}

impl Eval for BroadcastTo {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        Ok(smallvec![expand(x[0], &self.shape)])
    }
}

impl Eval for Contiguous {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let y = Tensor::empty(out[0].shape, out[0].dtype)?;
        copy_into(x[0], &y);
        Ok(smallvec![y])
    }
}
