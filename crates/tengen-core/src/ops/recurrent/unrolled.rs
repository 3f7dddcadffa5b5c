//! The gradient in operators, for gradients of gradients: the steps unrolled.

use super::cell::{C, Cell, H, Layer, W, WH, X};
use crate::op::Tensors;
use crate::ops::{
    add, cast, concat, matmul, mul, relu, reshape, sigmoid, split, square, stack, sub, sum, tanh,
};
use crate::{DType, Error, ErrorKind, Result, Tensor};
use tengen_kernels::recurrent::Activation;

/// One step as the way back needs it.
struct Step {
    before: Tensor,
    /// The gates i, f, g, o and the cells before and after; of an RNN, the state after.
    inside: Vec<Tensor>,
}

/// d·s·(1 − s), the gradient through s = σ(z).
fn through_sigmoid(d: &Tensor, s: &Tensor) -> Result<Tensor> {
    mul(d, &sub(s, &square(s)?)?)
}

/// d·(1 − y²), the gradient through y = tanh(z).
fn through_tanh(d: &Tensor, y: &Tensor) -> Result<Tensor> {
    sub(d, &mul(d, &square(y)?)?)
}

/// The slices of axis 0.
fn slices(t: &Tensor) -> Result<Vec<Tensor>> {
    let parts = split(t, t.shape()[0], 0)?;
    parts.iter().map(|p| reshape(p, &t.shape()[1..])).collect()
}

/// Four tensors side by side along the last axis.
fn quarters(z: &Tensor) -> Result<[Tensor; 4]> {
    let few = |_| Error::new(ErrorKind::Unsupported, "split gave too few parts");
    Tensors::into_vec(split(z, 4, -1)?).try_into().map_err(few)
}

/// A layer's gradients to the inputs that need one, in operators, which compute the steps again; the
/// inputs are those of its gradient's operator.
pub(super) fn unrolled(layer: &Layer, needs: &[bool], inputs: &[&Tensor]) -> Result<Tensors> {
    let dtype = if inputs[X].dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let input = |k: usize| cast(inputs[k], dtype);
    // The gradients to the visible results come last.
    let dy = |k: usize| cast(inputs[inputs.len() - layer.visible() + k], dtype);
    let (x, w, wh) = (input(X)?, input(W)?, input(WH)?);
    let mut z = matmul(&x, &w, false, true)?;
    if let Some(k) = layer.bias_at() {
        z = add(&z, &input(k)?)?;
    }
    let z = slices(&z)?;
    let mut order: Vec<usize> = (0..z.len()).collect();
    if layer.reverse {
        order.reverse();
    }
    let (mut h, mut c) = (input(H)?, None);
    if layer.cell == Cell::Lstm {
        c = Some(input(C)?);
    }
    let mut steps: Vec<Option<Step>> = z.iter().map(|_| None).collect();
    for t in &order {
        let z = add(&z[*t], &matmul(&h, &wh, false, true)?)?;
        let before = h;
        let inside = match (&c, layer.cell) {
            (Some(cell), _) => {
                let [i, f, g, o] = quarters(&z)?;
                let (i, f, g, o) = (sigmoid(&i)?, sigmoid(&f)?, tanh(&g)?, sigmoid(&o)?);
                let next = add(&mul(&f, cell)?, &mul(&i, &g)?)?;
                h = mul(&o, &tanh(&next)?)?;
                let inside = vec![i, f, g, o, cell.clone(), next.clone()];
                c = Some(next);
                inside
            }
            (None, Cell::Simple(Activation::Relu)) => {
                h = relu(&z)?;
                vec![z]
            }
            (None, _) => {
                h = tanh(&z)?;
                vec![h.clone()]
            }
        };
        steps[*t] = Some(Step { before, inside });
    }
    let (dys, mut dh, mut dc) = (slices(&dy(0)?)?, dy(1)?, None);
    if layer.cell == Cell::Lstm {
        dc = Some(dy(2)?);
    }
    let mut dz: Vec<Tensor> = dys.clone();
    for t in order.iter().rev() {
        let Some(step) = &steps[*t] else { continue };
        let d = add(&dh, &dys[*t])?;
        dz[*t] = match (&step.inside[..], &dc) {
            ([i, f, g, o, before, after], Some(arrived)) => {
                let top = tanh(after)?;
                let cell = add(arrived, &through_tanh(&mul(&d, o)?, &top)?)?;
                let parts = [
                    through_sigmoid(&mul(&cell, g)?, i)?,
                    through_sigmoid(&mul(&cell, before)?, f)?,
                    through_tanh(&mul(&cell, i)?, g)?,
                    through_sigmoid(&mul(&d, &top)?, o)?,
                ];
                dc = Some(mul(&cell, f)?);
                concat(&parts.each_ref(), -1)?
            }
            ([z, ..], _) if layer.cell == Cell::Simple(Activation::Relu) => {
                let zero = Tensor::zeros(&[], dtype)?;
                mul(&d, &cast(&crate::ops::greater(z, &zero)?, dtype)?)?
            }
            ([y, ..], _) => through_tanh(&d, y)?,
            _ => d,
        };
        dh = matmul(&dz[*t], &wh, false, false)?;
    }
    let earlier: Vec<&Tensor> = steps.iter().flatten().map(|s| &s.before).collect();
    let rows = |t: &Tensor| reshape(t, &[t.shape()[0] * t.shape()[1], t.shape()[2]]);
    let earlier = rows(&stack(&earlier, 0)?)?;
    let dz = stack(&dz.iter().collect::<Vec<_>>(), 0)?;
    let gradient = |k: usize| {
        let d = match k {
            X => matmul(&dz, &w, false, false)?,
            W => matmul(&rows(&dz)?, &rows(&x)?, true, false)?,
            WH => matmul(&rows(&dz)?, &earlier, true, false)?,
            H => dh.clone(),
            _ if Some(k) == layer.bias_at() => sum(&dz, Some(&[0, 1]), false)?,
            _ => match &dc {
                Some(dc) => dc.clone(),
                None => dh.clone(),
            },
        };
        cast(&d, inputs[k].dtype())
    };
    (0..layer.inputs()).filter(|k| needs[*k]).map(gradient).collect()
}
