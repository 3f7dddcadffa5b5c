//! The operator of normalisation, on kernels that do forward and backward passes in one go.

use crate::autograd::{Gradient, is_recording};
use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::ops::cast::cast_raw;
use crate::ops::{add, broadcast_to, cast, div, mean, mul, reshape, sqrt, square, sub, sum};
use crate::shape::Shape;
use crate::{DType, Element, Result, Tensor, apply, bail, ensure};
use bytemuck::Pod;
use smallvec::{SmallVec, smallvec};
use std::cell::OnceCell;
use tengen_kernels::lanes::Float;
use tengen_kernels::norm::{self as kernels, Affine, Given, Layout, Units};

/// What is normalised together.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Over {
    /// All but axis 1.
    Batch,
    /// For each image, groups of channels.
    Groups(usize),
    /// So many last axes.
    Last(usize),
}

/// x, weight?, bias? → y, mean and variance of each unit. Weight and bias are vectors in the dtype
/// of the arithmetic, which is f64 for f64, else f32.
struct Norm {
    over: Over,
    eps: f64,
    weight: bool,
    bias: bool,
    /// Mean and variance, once computed.
    statistics: OnceCell<(Tensor, Tensor)>,
}

/// The dtype of statistics, weight and bias.
pub(super) fn arithmetic(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// `x` and its statistics under shapes that broadcast against each other.
struct View {
    x: SmallVec<[usize; 4]>,
    statistics: SmallVec<[usize; 4]>,
    affine: SmallVec<[usize; 4]>,
    /// The axes of `x` that are normalised.
    axes: SmallVec<[isize; 2]>,
}

impl Norm {
    fn layout(&self, shape: &Shape) -> Layout {
        let (lead, channels) = (shape.first().copied(), shape.get(1).copied());
        let (n, c) = (lead.unwrap_or(1), channels.unwrap_or(1));
        let image = shape.iter().skip(2).product();
        match self.over {
            Over::Batch => Layout {
                runs: n * c,
                len: image,
                units: Units::Interleaved(c),
                affine: Affine::Runs(c),
            },
            Over::Groups(g) => Layout {
                runs: n * c,
                len: image,
                units: Units::Neighbours(c / g),
                affine: Affine::Runs(c),
            },
            Over::Last(k) => Layout {
                runs: shape[..shape.len() - k].iter().product(),
                len: shape[shape.len() - k..].iter().product(),
                units: Units::Neighbours(1),
                affine: Affine::Elements,
            },
        }
    }

    fn view(&self, shape: &Shape) -> View {
        let l = self.layout(shape);
        match self.over {
            Over::Batch => View {
                x: smallvec![shape[0], shape[1], l.len],
                statistics: smallvec![1, shape[1], 1],
                affine: smallvec![1, shape[1], 1],
                axes: smallvec![0, 2],
            },
            Over::Groups(g) => View {
                x: smallvec![shape[0], g, shape[1] / g, l.len],
                statistics: smallvec![shape[0], g, 1, 1],
                affine: smallvec![1, g, shape[1] / g, 1],
                axes: smallvec![2, 3],
            },
            Over::Last(_) => View {
                x: smallvec![l.runs, l.len],
                statistics: smallvec![l.runs, 1],
                affine: smallvec![1, l.len],
                axes: smallvec![1],
            },
        }
    }

    fn weight<'a>(&self, x: &[&'a Tensor]) -> Option<&'a Tensor> {
        if self.weight { x.get(1).copied() } else { None }
    }

    fn bias<'a>(&self, x: &[&'a Tensor]) -> Option<&'a Tensor> {
        if self.bias { x.get(1 + self.weight as usize).copied() } else { None }
    }

    fn run<T: Float + Element + Pod>(&self, x: &[&Tensor]) -> Result<Tensors> {
        let (layout, source) = (self.layout(x[0].shape()), cast_raw(x[0], T::DTYPE)?.contiguous()?);
        let units = Shape::new(&[layout.units()])?;
        let (mut mean, mut var) =
            (Tensor::empty(units, T::DTYPE)?, Tensor::empty(units, T::DTYPE)?);
        let mut scratch = Tensor::empty(Shape::new(&[layout.scratch_len()])?, DType::F64)?;
        let mut y = Tensor::empty(*x[0].shape(), T::DTYPE)?;
        let flat = |x: Option<&Tensor>| x.map(Tensor::contiguous).transpose();
        let (weight, bias) = (flat(self.weight(x))?, flat(self.bias(x))?);
        kernels::forward(
            layout,
            source.as_slice::<T>()?,
            self.eps,
            [
                weight.as_ref().map(Tensor::as_slice).transpose()?,
                bias.as_ref().map(Tensor::as_slice).transpose()?,
            ],
            [y.as_mut_slice::<T>()?, mean.as_mut_slice::<T>()?, var.as_mut_slice::<T>()?],
            scratch.as_mut_slice::<f64>()?,
        );
        Ok(smallvec![cast_raw(&y, x[0].dtype())?, mean, var])
    }

    /// The gradients in one go, which cannot be differentiated again.
    fn fused<T: Float + Element + Pod>(&self, g: &Gradient, dy: &Tensor) -> Result<Grads> {
        let Some((mean, var)) = self.statistics.get() else {
            bail!(Unsupported, "{}: the statistics are missing", self.name())
        };
        let layout = self.layout(&g.input_meta(0).shape);
        let x = cast_raw(g.input(0)?, T::DTYPE)?.contiguous()?;
        let dy = cast_raw(dy, T::DTYPE)?.contiguous()?;
        let weight = if self.weight { Some(g.input(1)?.contiguous()?) } else { None };
        let given = Given {
            mean: mean.as_slice::<T>()?,
            var: var.as_slice::<T>()?,
            eps: self.eps,
            weight: weight.as_ref().map(Tensor::as_slice).transpose()?,
            bias: None,
        };
        let wanted = |wanted: bool, shape: Shape| {
            Tensor::empty(if wanted { shape } else { Shape::new(&[0])? }, T::DTYPE)
        };
        let affine = Shape::new(&[layout.affine_len()])?;
        let bias = 1 + self.weight as usize;
        let mut dx = wanted(g.needs(0), g.input_meta(0).shape)?;
        let mut dw = wanted(self.weight && g.needs(1), affine)?;
        let mut db = wanted(self.bias && g.needs(bias), affine)?;
        let mut scratch = Tensor::empty(Shape::new(&[layout.scratch_len()])?, DType::F64)?;
        kernels::backward(
            layout,
            given,
            x.as_slice::<T>()?,
            dy.as_slice::<T>()?,
            [dx.as_mut_slice::<T>()?, dw.as_mut_slice::<T>()?, db.as_mut_slice::<T>()?],
            scratch.as_mut_slice::<f64>()?,
        );
        g.each(|k| {
            Ok(Some(match k {
                0 => cast_raw(&dx, g.input_meta(0).dtype)?,
                1 if self.weight => dw.clone(),
                _ => db.clone(),
            }))
        })
    }

    /// The gradients in operators.
    fn composed(&self, g: &Gradient, dy: &Tensor) -> Result<Grads> {
        let Meta { shape, dtype } = g.input_meta(0);
        let view = self.view(&shape);
        let wide = |t: &Tensor| reshape(&cast(t, arithmetic(dtype))?, &view.x);
        let (x, dy) = (wide(g.input(0)?)?, wide(dy)?);
        let average = |t: &Tensor| mean(t, Some(&view.axes), true);
        let d = sub(&x, &average(&x)?)?;
        let spread = sqrt(&add(&average(&square(&d)?)?, &scalar(self.eps, d.dtype())?)?)?;
        let hat = div(&d, &spread)?;
        let inner = match self.weight {
            true => mul(&dy, &reshape(g.input(1)?, &view.affine)?)?,
            false => dy.clone(),
        };
        let to_affine = |t: &Tensor| {
            let over: SmallVec<[isize; 4]> =
                (0..view.x.len()).filter(|d| view.affine[*d] == 1).map(|d| d as isize).collect();
            reshape(&sum(t, Some(&over), false)?, &[self.layout(&shape).affine_len()])
        };
        g.each(|k| {
            Ok(Some(match k {
                0 => {
                    let level = average(&inner)?;
                    let slope = mul(&hat, &average(&mul(&inner, &hat)?)?)?;
                    let dx = div(&sub(&sub(&inner, &level)?, &slope)?, &spread)?;
                    cast(&reshape(&dx, &shape)?, dtype)?
                }
                1 if self.weight => to_affine(&mul(&dy, &hat)?)?,
                _ => to_affine(&dy)?,
            }))
        })
    }

    /// What gradients to mean and variance add to that to x: dmean/n + 2·dvar·(x − mean)/n.
    fn through_statistics(&self, g: &Gradient) -> Result<Option<Tensor>> {
        let (dmean, dvar) = (g.dy_if_any(1), g.dy_if_any(2));
        if dmean.is_none() && dvar.is_none() {
            return Ok(None);
        }
        let Meta { shape, dtype } = g.input_meta(0);
        let view = self.view(&shape);
        let x = reshape(&cast(g.input(0)?, arithmetic(dtype))?, &view.x)?;
        let n = scalar(self.layout(&shape).unit_len() as f64, x.dtype())?;
        let mut total = Tensor::zeros(&[], x.dtype())?;
        if let Some(d) = dmean {
            total = add(&total, &div(&reshape(&d, &view.statistics)?, &n)?)?;
        }
        if let Some(d) = dvar {
            let d = div(&reshape(&d, &view.statistics)?, &n)?;
            let centred = sub(&x, &mean(&x, Some(&view.axes), true)?)?;
            total = add(&total, &mul(&add(&centred, &centred)?, &d)?)?;
        }
        let total = broadcast_to(&total, x.shape())?;
        Ok(Some(cast(&reshape(&total, &shape)?, dtype)?))
    }
}

pub(super) fn scalar(v: f64, dtype: DType) -> Result<Tensor> {
    Tensor::full(&[], v, dtype)
}

impl Op for Norm {
    fn name(&self) -> &'static str {
        match self.over {
            Over::Batch => "batch_norm",
            Over::Groups(_) => "group_norm",
            Over::Last(_) => "layer_norm",
        }
    }

    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        let (name, shape) = (self.name(), x[0].shape());
        match self.over {
            Over::Batch => {
                ensure!(shape.len() >= 2, Shape, "{name}: inp must be [n, c, …], not {}", x[0])
            }
            Over::Groups(g) => ensure!(
                shape.len() >= 2 && g > 0 && shape[1] % g == 0,
                Shape,
                "{name}: the channels (axis 1) of {} do not divide into {g} groups",
                x[0]
            ),
            Over::Last(k) => ensure!(k <= shape.len(), Shape, "{name}: {} has not {k} axes", x[0]),
        }
        let layout = self.layout(shape);
        for (what, t) in [("weight", self.weight(x)), ("bias", self.bias(x))] {
            if let Some(t) = t {
                ensure!(
                    t.numel() == layout.affine_len(),
                    Shape,
                    "{name}: {what} has {} elements where {} are needed (inp: {})",
                    t.numel(),
                    layout.affine_len(),
                    x[0]
                );
            }
        }
        let statistics =
            Meta { shape: Shape::new(&[layout.units()])?, dtype: arithmetic(x[0].dtype()) };
        Ok(smallvec![Meta { shape: *shape, dtype: x[0].dtype() }, statistics, statistics])
    }

    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let y: Tensors = if x[0].numel() == 0 {
            let nothing = Tensor::full(&out[1].shape, f64::NAN, out[1].dtype)?;
            smallvec![Tensor::empty(out[0].shape, out[0].dtype)?, nothing.clone(), nothing]
        } else if out[1].dtype == DType::F64 {
            self.run::<f64>(x)?
        } else {
            self.run::<f32>(x)?
        };
        let _ = self.statistics.set((y[1].clone(), y[2].clone()));
        Ok(y)
    }

    fn saves(&self, _: DType) -> Saves {
        Saves { inputs: 1 | (self.weight as u32) << 1, outputs: false }
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let Meta { shape, dtype } = g.input_meta(0);
        let mut grads = match g.dy_if_any(0) {
            Some(dy) if is_recording() || shape.numel() == 0 => self.composed(g, &dy)?,
            Some(dy) if dtype == DType::F64 => self.fused::<f64>(g, &dy)?,
            Some(dy) => self.fused::<f32>(g, &dy)?,
            None => smallvec![None; g.inputs()],
        };
        if g.needs(0)
            && let Some(more) = self.through_statistics(g)?
        {
            grads[0] = Some(match grads[0].take() {
                Some(dx) => add(&dx, &more)?,
                None => more,
            });
        }
        Ok(grads)
    }
}

/// y, mean and variance.
pub(super) fn normalize(
    over: Over,
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensors> {
    let x = if x.dtype().is_float() { x.clone() } else { cast(x, DType::F32)? };
    let op = Norm {
        over,
        eps,
        weight: weight.is_some(),
        bias: bias.is_some(),
        statistics: OnceCell::new(),
    };
    let mut inputs: SmallVec<[Tensor; 3]> = smallvec![x.clone()];
    for t in [weight, bias].into_iter().flatten() {
        inputs.push(reshape(&cast(t, arithmetic(x.dtype()))?, &[t.numel()])?);
    }
    apply(op, &inputs.iter().collect::<SmallVec<[&Tensor; 3]>>())
}
