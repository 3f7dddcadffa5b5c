//! Selection by a mask.

use crate::cpu::elementwise::{past_caches, prepare};
use crate::cpu::raw::by_size;
use crate::op::{Eval, Meta, Tensors};
use crate::ops::compare::Where;
use crate::ops::elementwise::operands;
use crate::{Result, Tensor};
use tengen_kernels::map::{self, Src};
use tengen_kernels::pool::Shared;

impl Eval for Where {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let Meta { shape, dtype } = out[0];
        let y = out.iter().map(|m| Tensor::empty(m.shape, m.dtype)).collect::<Result<Tensors>>()?;
        let (x, plan) = prepare(&shape, operands::<_, 3>("where", x)?)?;
        by_size!(dtype, U => {
            let mask = Shared(x[0].ptr::<bool>().cast::<u8>());
            let x = [&x[1], &x[2]].map(|x| Shared(x.ptr::<u8>().cast::<U>()));
            let to = |y: &Tensor| Shared(y.ptr::<u8>().cast::<U>());
            let (y, z) = (to(&y[0]), y.get(1).map(to));
            let past = past_caches::<U>(&shape);
            plan.for_each(|_, position, at, n| {
                let mask = Src { ptr: mask.offset(at[0]).cast_const(), single: plan.single[0] };
                let x = std::array::from_fn(|k| Src {
                    ptr: x[k].offset(at[1 + k]).cast_const(),
                    single: plan.single[1 + k],
                });
                let rest = z.as_ref().map(|z| z.at(position));
                // SAFETY: the plan keeps offsets inside the operands, and each piece of the new
                // results is written once.
                unsafe { map::select(mask, x, y.at(position), rest, n, past) };
            });
        });
        Ok(y)
    }
}
