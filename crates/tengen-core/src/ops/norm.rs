//! Normalisation by mean and variance.

use super::{add, broadcast_to, cast, div, mean, mul, reshape, sqrt, square, sub, sum, transpose};
use crate::autograd::{Gradient, is_recording};
use crate::elementwise::{Elementwise, MapOp};
use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::ops::cast::cast_raw;
use crate::shape::{MAX_DIMS, Shape, normalize_axis};
use crate::{DType, Element, Result, Tensor, apply, apply1, bail, ensure};
use bytemuck::Pod;
use smallvec::{SmallVec, smallvec};
use std::cell::OnceCell;
use tengen_kernels::lanes::{Float, Num};
use tengen_kernels::map::Map;
use tengen_kernels::norm::{self as kernels, Affine, Given, Layout, Units};

/// What is normalised together.
#[derive(Clone, Copy, PartialEq)]
enum Over {
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
fn arithmetic(dtype: DType) -> DType {
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
        kernels::statistics(
            layout,
            source.as_slice::<T>()?,
            mean.as_mut_slice::<T>()?,
            var.as_mut_slice::<T>()?,
            scratch.as_mut_slice::<f64>()?,
        );
        let flat = |x: Option<&Tensor>| x.map(Tensor::contiguous).transpose();
        let (weight, bias) = (flat(self.weight(x))?, flat(self.bias(x))?);
        let given = Given {
            mean: mean.as_slice::<T>()?,
            var: var.as_slice::<T>()?,
            eps: self.eps,
            weight: weight.as_ref().map(Tensor::as_slice).transpose()?,
            bias: bias.as_ref().map(Tensor::as_slice).transpose()?,
        };
        kernels::apply(layout, given, source.as_slice::<T>()?, y.as_mut_slice::<T>()?);
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

fn scalar(v: f64, dtype: DType) -> Result<Tensor> {
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

    fn saves(&self) -> Saves {
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

fn normalize(
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

/// Batch normalisation in training: for every channel (axis 1), y = (x − m)/√(v + ε)·weight + bias
/// with the channel's mean m and population variance v in this batch. Gives y, m, and the unbiased
/// variance v·n/(n − 1), which running statistics are to be blended with.
///
/// `x` is `[n, c, …]`; `weight` and `bias` have c elements in any shape; m and the variance are
/// vectors, in f32 (f64 for f64).
///
/// Source: Ioffe and Szegedy, "Batch normalization" (2015).
///
/// # Errors
/// Shape: `x` has less than two dimensions, or there are not c weights. Memory: the result cannot
/// be had.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let x = Tensor::from_slice(&[1.0f32, 3.0], &[2, 1])?;
/// let (y, mean, var) = ops::batch_norm_train(&x, None, None, 0.0)?;
/// assert_eq!(y.to_vec::<f32>()?, [-1.0, 1.0]);
/// assert_eq!((mean.item()?, var.item()?), (2.0, 2.0));
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn batch_norm_train(
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let short = x.ndim() >= 2 && x.shape()[2..].iter().product::<usize>() < SHORT;
    let results = if short {
        batch_norm_composed(x, weight, bias, eps)?
    } else {
        normalize(Over::Batch, x, weight, bias, eps)?
    };
    let [y, mean, var] = results
        .into_vec()
        .try_into()
        .map_err(|_| crate::Error::new(crate::ErrorKind::Unsupported, "batch_norm: results"))?;
    let n = (x.numel() / x.shape()[1].max(1)) as f64;
    let var = mul(&var, &scalar(n / (n - 1.0).max(1.0), var.dtype())?)?;
    Ok((y, mean, var))
}

/// Images of fewer pixels are normalised by operators on all channels together.
const SHORT: usize = 8;

/// [`batch_norm_train`] in operators, with the population variance.
fn batch_norm_composed(
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensors> {
    let (c, dtype) = (x.shape()[1], arithmetic(x.dtype()));
    let axes: SmallVec<[isize; MAX_DIMS]> = (0..x.ndim() as isize).filter(|d| *d != 1).collect();
    let wide = cast(x, dtype)?;
    let centre = mean(&wide, Some(&axes), true)?;
    let d = sub(&wide, &centre)?;
    let var = mean(&square(&d)?, Some(&axes), true)?;
    let mut y = div(&d, &sqrt(&add(&var, &scalar(eps, dtype)?)?)?)?;
    for (what, t) in [("weight", weight), ("bias", bias)] {
        let Some(t) = t else { continue };
        ensure!(
            t.numel() == c,
            Shape,
            "batch_norm: {what} has {} elements where {c} are needed (inp: {x})",
            t.numel()
        );
        let t = reshape(&cast(t, dtype)?, centre.shape())?;
        y = if what == "weight" { mul(&y, &t)? } else { add(&y, &t)? };
    }
    let y = cast(&y, if x.dtype().is_float() { x.dtype() } else { dtype })?;
    Ok(smallvec![y, reshape(&centre, &[c])?, reshape(&var, &[c])?])
}

/// y = x·scale + shift
#[derive(Clone, Copy)]
struct ScaleShift;
impl Map<3> for ScaleShift {
    #[inline(always)]
    fn f<L: Num>(&self, [x, scale, shift]: [L; 3]) -> L {
        x.mul(scale).add(shift)
    }
    #[inline(always)]
    fn df<L: Num>(&self, [x, scale, _]: [L; 3], dy: L) -> [L; 3] {
        [dy.mul(scale), dy.mul(x), dy]
    }
}
impl Elementwise<3> for ScaleShift {
    const NAME: &'static str = "batch_norm";
    const SAVES: Saves = Saves { inputs: 0b011, outputs: false };
}

/// Batch normalisation in evaluation: y = (x − mean)/√(var + ε)·weight + bias for every channel,
/// with given statistics, which get gradients too.
///
/// `x` is `[n, c, …]`; all others have c elements in any shape.
///
/// # Errors
/// As [`batch_norm_train`].
pub fn batch_norm_eval(
    x: &Tensor,
    mean: &Tensor,
    var: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    let x = if x.dtype().is_float() { x.clone() } else { cast(x, DType::F32)? };
    ensure!(x.ndim() >= 2, Shape, "batch_norm: inp must be [n, c, …], not {x}");
    let mut shape: SmallVec<[usize; MAX_DIMS]> = smallvec![1; x.ndim()];
    shape[1] = x.shape()[1];
    let dtype = arithmetic(x.dtype());
    let vector = |what: &str, t: &Tensor| {
        ensure!(
            t.numel() == x.shape()[1],
            Shape,
            "batch_norm: {what} has {} elements where {} are needed (inp: {x})",
            t.numel(),
            x.shape()[1]
        );
        reshape(&cast(t, dtype)?, &shape)
    };
    let mean = vector("running_mean", mean)?;
    let var = vector("running_var", var)?;
    let mut scale = div(&scalar(1.0, dtype)?, &sqrt(&add(&var, &scalar(eps, dtype)?)?)?)?;
    if let Some(w) = weight {
        scale = mul(&scale, &vector("weight", w)?)?;
    }
    let mut shift = super::neg(&mul(&mean, &scale)?)?;
    if let Some(b) = bias {
        shift = add(&shift, &vector("bias", b)?)?;
    }
    let (scale, shift) = (cast(&scale, x.dtype())?, cast(&shift, x.dtype())?);
    apply1(MapOp(ScaleShift), &[&x, &scale, &shift])
}

/// Layer normalisation: y = (x − m)/√(v + ε)·weight + bias with mean and population variance over
/// the last axes, whose extents are `normalized_shape`; `weight` and `bias` have that shape.
///
/// Source: Ba, Kiros and Hinton, "Layer normalization" (2016).
///
/// # Errors
/// Shape: `x` does not end in `normalized_shape`, or weights have not as many elements. Memory: the
/// result cannot be had.
///
/// ```
/// use tengen_core::{Tensor, ops};
/// let x = Tensor::from_slice(&[1.0f32, 3.0, 10.0, 30.0], &[2, 2])?;
/// let y = ops::layer_norm(&x, &[2], None, None, 0.0)?;
/// assert_eq!(y.to_vec::<f32>()?, [-1.0, 1.0, -1.0, 1.0]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn layer_norm(
    x: &Tensor,
    normalized_shape: &[usize],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    ensure!(
        x.shape().ends_with(normalized_shape),
        Shape,
        "layer_norm: {x} does not end in normalized_shape {normalized_shape:?}"
    );
    first(normalize(Over::Last(normalized_shape.len()), x, weight, bias, eps)?)
}

fn first(mut results: Tensors) -> Result<Tensor> {
    ensure!(!results.is_empty(), Unsupported, "an operator gave no result");
    Ok(results.swap_remove(0))
}

/// Group normalisation: for each image and each of `groups` groups of neighbouring channels,
/// y = (x − m)/√(v + ε)·weight + bias with the group's mean and population variance, and weight and
/// bias for each channel.
///
/// `x` is `[n, c, …]`; `weight` and `bias` have c elements in any shape.
///
/// Source: Wu and He, "Group normalization" (2018).
///
/// # Errors
/// Shape: channels do not divide into groups, or there are not c weights. Memory: the result cannot
/// be had.
pub fn group_norm(
    x: &Tensor,
    groups: usize,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    first(normalize(Over::Groups(groups), x, weight, bias, eps)?)
}

/// Instance normalisation: [`group_norm`] with each channel a group of its own.
///
/// Source: Ulyanov, Vedaldi and Lempitsky, "Instance normalization" (2016).
///
/// # Errors
/// As [`group_norm`].
pub fn instance_norm(
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    ensure!(x.ndim() >= 2, Shape, "instance_norm: inp must be [n, c, …], not {x}");
    if x.shape()[1] == 0 {
        return Ok(x.clone());
    }
    group_norm(x, x.shape()[1], weight, bias, eps)
}

/// [`layer_norm`] over any axes: mean and variance are taken over `axes`, and `weight` and `bias`
/// have their extents, in ascending order of the axes.
///
/// # Errors
/// As [`layer_norm`]; Index: an axis is out of range or named twice.
pub fn general_norm(
    x: &Tensor,
    axes: &[isize],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor> {
    let mut named = [false; MAX_DIMS];
    for a in axes {
        let at = normalize_axis("general_norm", *a, x.ndim())?;
        ensure!(!named[at], Index, "general_norm: axis {a} is named twice in {axes:?}");
        named[at] = true;
    }
    let (last, lead): (Vec<usize>, Vec<usize>) = (0..x.ndim()).partition(|d| named[*d]);
    let order: Vec<isize> = lead.iter().chain(&last).map(|d| *d as isize).collect();
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(i, d)| back[*d as usize] = i as isize);
    let extents: Vec<usize> = last.iter().map(|d| x.shape()[*d]).collect();
    transpose(&layer_norm(&transpose(x, &order)?, &extents, weight, bias, eps)?, &back)
}
