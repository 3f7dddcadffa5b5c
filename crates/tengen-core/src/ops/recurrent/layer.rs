//! One recurrent layer in one direction, over the whole sequence: the primitive.

use super::cell::{C, Cell, H, Layer, W, WH, X};
use super::unrolled::unrolled;
use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Grads, Meta, Metas, Op, Saves, Tensors};
use crate::shape::Shape;
use crate::{DType, Result, Tensor, apply, ensure, promote};
use smallvec::{SmallVec, smallvec};

impl Op for Layer {
    fn name(&self) -> &'static str {
        self.cell.name()
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == self.inputs()
    }

    fn promote(&self, x: &[&Described]) -> Result<Option<DType>> {
        let dtype = promote(x.iter().map(|x| x.dtype()));
        Ok(Some(if dtype.is_float() { dtype } else { DType::F32 }))
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let (name, inp, wh) = (self.name(), x[X], x[WH]);
        ensure!(
            inp.ndim() == 3 && inp.shape()[0] > 0,
            Shape,
            "{name}: input must be [steps, batch, features] with at least one step, not {inp}"
        );
        let (batch, features) = (inp.shape()[1], inp.shape()[2]);
        let hidden = if wh.ndim() == 2 { wh.shape()[1] } else { 0 };
        let wide = hidden.saturating_mul(self.cell.gates());
        ensure!(hidden > 0, Shape, "{name}: weight_hh must be [gates·hidden, hidden], not {wh}");
        let fits = |k: usize, what: &str, shape: &[usize]| {
            ensure!(
                x[k].shape()[..] == *shape,
                Shape,
                "{name}: {what} must be {shape:?} for input {inp} and weight_hh {wh}, not {}",
                x[k]
            );
            Ok(())
        };
        fits(W, "weight_ih", &[wide, features])?;
        fits(WH, "weight_hh", &[wide, hidden])?;
        fits(H, "h", &[batch, hidden])?;
        if self.cell == Cell::Lstm {
            fits(C, "c", &[batch, hidden])?;
        }
        if let Some(k) = self.bias_at() {
            fits(k, "bias", &[wide])?;
        }
        let states = Shape::new(&[inp.shape()[0], batch, hidden])?;
        let dtype = inp.dtype();
        let last = Meta { shape: Shape::new(&[batch, hidden])?, dtype };
        let mut out: Metas = smallvec![Meta { shape: states, dtype }, last];
        let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let (steps, gates) = (inp.shape()[0], self.cell.gates());
        let all = Meta { shape: Shape::new(&[steps + 1, batch, hidden])?, dtype: wide };
        if self.cell == Cell::Lstm {
            let gates = Shape::new(&[steps * batch, gates * hidden])?;
            out.extend([last, all, all, Meta { shape: gates, dtype: wide }]);
        } else {
            out.push(all);
        }
        Ok(out)
    }

    fn saves(&self, _: DType) -> Saves {
        Saves { inputs: u32::MAX, outputs: u32::MAX << self.visible() }
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let visible = self.visible();
        let kept = if self.cell == Cell::Lstm { 3 } else { 1 };
        let dys = (0..visible).map(|k| g.dy(k)).collect::<Result<SmallVec<[Tensor; 3]>>>()?;
        let mut x: SmallVec<[&Tensor; 12]> = smallvec![];
        for k in 0..self.inputs() {
            x.push(g.input(k)?);
        }
        for k in visible..visible + kept {
            x.push(g.output(k)?);
        }
        x.extend(&dys);
        let needs = (0..self.inputs()).map(|k| g.needs(k)).collect();
        let mut found = apply(LayerGradient { layer: *self, needs }, &x)?.into_iter();
        Ok((0..self.inputs()).map(|k| if g.needs(k) { found.next() } else { None }).collect())
    }
}

/// The inputs of a [`Layer`], those of its results that are for this, and the gradients to its other
/// results → the gradients to the inputs that need one.
#[derive(Clone, Attributes)]
pub(crate) struct LayerGradient {
    pub layer: Layer,
    pub needs: SmallVec<[bool; 8]>,
}

impl Op for LayerGradient {
    fn name(&self) -> &'static str {
        if self.layer.cell == Cell::Lstm { "lstm_gradient" } else { "rnn_gradient" }
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs > self.layer.inputs()
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let inputs = self.layer.inputs();
        let dtype = x[X].dtype();
        let alike = dtype.is_float() && x[..inputs].iter().all(|t| t.dtype() == dtype);
        ensure!(alike, DType, "{}: inputs must be floats of one dtype", self.name());
        let out = self.layer.infer(&x[..inputs])?;
        let (visible, hidden) = out.split_at(self.layer.visible());
        let given = &x[inputs..];
        let wanted = hidden.iter().chain(visible);
        let fits = given.len() == out.len()
            && self.needs.len() == inputs
            && given.iter().zip(wanted).all(|(t, m)| *t.shape() == m.shape && t.dtype() == m.dtype);
        ensure!(fits, Shape, "{}: states and gradients are not those of {}", self.name(), x[X]);
        let meta = |x: &Described| Meta { shape: *x.shape(), dtype: x.dtype() };
        let needed = x.iter().zip(&self.needs).filter(|(_, needed)| **needed);
        Ok(needed.map(|(x, _)| meta(x)).collect())
    }

    fn expand(&self, x: &[&Tensor]) -> Option<Result<Tensors>> {
        Some(unrolled(&self.layer, &self.needs, x))
    }

    fn differentiates_expanded(&self) -> bool {
        true
    }
}
