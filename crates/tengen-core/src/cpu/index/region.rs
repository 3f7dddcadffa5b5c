//! Views by ranges of the axes, and assignment to such a view.

use crate::cpu::elementwise::{copy_both, copy_into};
use crate::op::{Eval, Meta, Tensors};
use crate::ops::index::{Assign, Part, Parts, Region};
use crate::shape::{MAX_DIMS, Shape};
use crate::{Result, Tensor, bail};
use smallvec::smallvec;

/// The view of `x`; the parts are checked.
fn view(parts: &Parts, x: &Tensor, shape: Shape) -> Tensor {
    let (mut strides, mut offset) = ([0isize; MAX_DIMS], x.offset() as isize);
    let (mut axis, mut out) = (0, 0);
    for part in parts {
        match *part {
            Part::New => {
                out += 1;
                continue;
            }
            Part::At(i) => offset += i as isize * x.strides()[axis],
            Part::Range { start, step, .. } => {
                offset += start as isize * x.strides()[axis];
                strides[out] = step.wrapping_mul(x.strides()[axis]);
                out += 1;
            }
        }
        axis += 1;
    }
    // A view without elements may begin at an element that `x`, without elements too, has not.
    let offset = if shape.numel() == 0 { x.offset() } else { offset as usize };
    // SAFETY: along each axis the view names elements that are within that axis of `x`.
    unsafe { x.view(shape, strides, offset) }
}

impl Eval for Region {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        Ok(smallvec![view(&self.parts, x[0], out[0].shape)])
    }
}

impl Eval for Assign {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        let y = Tensor::empty(*x[0].shape(), x[0].dtype())?;
        let whole = |(part, n): &(&Part, &usize)| **part == Part::all(**n);
        let lead = self.parts.iter().zip(x[0].shape().iter()).take_while(whole).count();
        let part = view(&self.parts, &y, *x[1].shape());
        copy_both(lead, (x[0], &y), (x[1], &part));
        Ok(smallvec![y])
    }
    fn eval_in_place(&self, x: &mut [Tensor], _: &[Meta]) -> Result<Tensors> {
        let [y, v] = x else { bail!(Value, "setitem: takes 2 inputs") };
        y.make_unique()?;
        copy_into(v, &view(&self.parts, y, *v.shape()));
        Ok(smallvec![y.clone()])
    }
}
