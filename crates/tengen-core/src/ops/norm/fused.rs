//! The operator of normalisation, on kernels that do forward and backward passes in one go.

use crate::autograd::Gradient;
use crate::op::{Attributes, Described, Grads, Meta, Metas, Op, Saves, Tensors};
use crate::ops::{add, broadcast_to, cast, div, mean, mul, reshape, sqrt, square, sub, sum};
use crate::shape::Shape;
use crate::{DType, Result, Tensor, apply, ensure};
use smallvec::{SmallVec, smallvec};

/// What is normalised together.
#[derive(Clone, Copy, PartialEq, Attributes)]
pub(crate) enum Over {
    /// All but axis 1.
    Batch,
    /// For each image, groups of channels.
    Groups(usize),
    /// So many last axes.
    Last(usize),
}

/// x, weight?, bias? → y, mean and variance of each unit. Weight and bias are vectors in the dtype
/// of the arithmetic, which is f64 for f64, else f32.
#[derive(Clone, Copy, Attributes)]
pub(crate) struct Norm {
    pub over: Over,
    pub eps: f64,
    pub weight: bool,
    pub bias: bool,
}

/// The dtype of statistics, weight and bias.
pub(crate) fn arithmetic(dtype: DType) -> DType {
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
    /// The number of units with statistics of their own, that of weights, and elements of a unit.
    fn extents(&self, shape: &Shape) -> [usize; 3] {
        let (n, c) = (shape.first().copied().unwrap_or(1), shape.get(1).copied().unwrap_or(1));
        let image = shape.iter().skip(2).product::<usize>();
        match self.over {
            Over::Batch => [c, c, n * image],
            Over::Groups(g) => [n.saturating_mul(g), c, c / g * image],
            Over::Last(k) => {
                let (lead, last) = shape.split_at(shape.len() - k);
                let len = last.iter().product();
                [lead.iter().product(), len, len]
            }
        }
    }

    fn shapes(&self, shape: &Shape) -> View {
        let image: usize = shape.iter().skip(2).product();
        match self.over {
            Over::Batch => View {
                x: smallvec![shape[0], shape[1], image],
                statistics: smallvec![1, shape[1], 1],
                affine: smallvec![1, shape[1], 1],
                axes: smallvec![0, 2],
            },
            Over::Groups(g) => View {
                x: smallvec![shape[0], g, shape[1] / g, image],
                statistics: smallvec![shape[0], g, 1, 1],
                affine: smallvec![1, g, shape[1] / g, 1],
                axes: smallvec![2, 3],
            },
            Over::Last(_) => {
                let [runs, len, _] = self.extents(shape);
                View {
                    x: smallvec![runs, len],
                    statistics: smallvec![runs, 1],
                    affine: smallvec![1, len],
                    axes: smallvec![1],
                }
            }
        }
    }

    pub(crate) fn weight<'a, T>(&self, x: &[&'a T]) -> Option<&'a T> {
        if self.weight { x.get(1).copied() } else { None }
    }

    pub(crate) fn bias<'a, T>(&self, x: &[&'a T]) -> Option<&'a T> {
        if self.bias { x.get(1 + self.weight as usize).copied() } else { None }
    }
}

impl Op for Norm {
    fn name(&self) -> &'static str {
        match self.over {
            Over::Batch => "batch_norm",
            Over::Groups(_) => "group_norm",
            Over::Last(_) => "layer_norm",
        }
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 1 + usize::from(self.weight) + usize::from(self.bias)
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let (name, shape) = (self.name(), x[0].shape());
        ensure!(x[0].dtype().is_float(), DType, "{name}: works on floats, not {}", x[0]);
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
        let [units, affine, _] = self.extents(shape);
        let wide = arithmetic(x[0].dtype());
        for (what, t) in [("weight", self.weight(x)), ("bias", self.bias(x))] {
            if let Some(t) = t {
                ensure!(
                    t.numel() == affine,
                    Shape,
                    "{name}: {what} has {} elements where {affine} are needed (inp: {})",
                    t.numel(),
                    x[0]
                );
                ensure!(t.dtype() == wide, DType, "{name}: {what} must be {wide}, not {t}");
            }
        }
        let statistics = Meta { shape: Shape::new(&[units])?, dtype: wide };
        Ok(smallvec![Meta { shape: *shape, dtype: x[0].dtype() }, statistics, statistics])
    }

    fn saves(&self, _: DType) -> Saves {
        Saves { inputs: 1 | (self.weight as u32) << 1, outputs: 0b110 }
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        let bias = 1 + self.weight as usize;
        let needs = [g.needs(0), self.weight && g.needs(1), self.bias && g.needs(bias)];
        let mut grads: Grads = smallvec![None; g.inputs()];
        if let Some(dy) = g.dy_if_any(0) {
            let op = NormGradient { norm: *self, needs };
            let mut x: SmallVec<[&Tensor; 5]> =
                smallvec![g.input(0)?, g.output(1)?, g.output(2)?, &dy];
            if self.weight {
                x.push(g.input(1)?);
            }
            let mut found = apply(op, &x)?.into_iter();
            for (at, wanted) in [0, 1, bias].into_iter().zip(needs) {
                if wanted {
                    grads[at] = found.next();
                }
            }
        }
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

/// x, mean, variance, dy, weight? → the gradients to x, weight and bias, those of them that are
/// needed.
#[derive(Clone, Copy, Attributes)]
pub(crate) struct NormGradient {
    pub norm: Norm,
    pub needs: [bool; 3],
}

impl Op for NormGradient {
    fn name(&self) -> &'static str {
        match self.norm.over {
            Over::Batch => "batch_norm_gradient",
            Over::Groups(_) => "group_norm_gradient",
            Over::Last(_) => "layer_norm_gradient",
        }
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 4 + usize::from(self.norm.weight)
    }

    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        let given: SmallVec<[&Described; 2]> =
            [x[0]].into_iter().chain(x.get(4).copied()).collect();
        let out = Norm { bias: false, ..self.norm }.infer(&given)?;
        let fits = |t: &Described, m: &Meta| *t.shape() == m.shape && t.dtype() == m.dtype;
        ensure!(
            fits(x[1], &out[1]) && fits(x[2], &out[2]) && fits(x[3], &out[0]),
            Shape,
            "{}: statistics {}, {} and gradient {} do not belong to {}",
            self.name(),
            x[1],
            x[2],
            x[3],
            x[0]
        );
        let affine = Shape::new(&[self.norm.extents(x[0].shape())[1]])?;
        let affine = Meta { shape: affine, dtype: out[1].dtype };
        let all = [out[0], affine, affine].into_iter().zip(self.needs);
        Ok(all.filter(|(_, needed)| *needed).map(|(m, _)| m).collect())
    }

    fn expand(&self, x: &[&Tensor]) -> Option<Result<Tensors>> {
        Some(self.composed(x))
    }

    fn differentiates_expanded(&self) -> bool {
        true
    }
}

impl NormGradient {
    /// The gradients in operators, which compute the statistics again.
    pub(crate) fn composed(&self, x: &[&Tensor]) -> Result<Tensors> {
        let (shape, dtype) = (*x[0].shape(), x[0].dtype());
        let view = self.norm.shapes(&shape);
        let wide = |t: &Tensor| reshape(&cast(t, arithmetic(dtype))?, &view.x);
        let (weight, x, dy) = (x.get(4), wide(x[0])?, wide(x[3])?);
        let average = |t: &Tensor| mean(t, Some(&view.axes), true);
        let d = sub(&x, &average(&x)?)?;
        let spread = sqrt(&add(&average(&square(&d)?)?, &scalar(self.norm.eps, d.dtype())?)?)?;
        let hat = div(&d, &spread)?;
        let inner = match weight {
            Some(weight) => mul(&dy, &reshape(weight, &view.affine)?)?,
            None => dy.clone(),
        };
        let to_affine = |t: &Tensor| {
            let over: SmallVec<[isize; 4]> =
                (0..view.x.len()).filter(|d| view.affine[*d] == 1).map(|d| d as isize).collect();
            reshape(&sum(t, Some(&over), false)?, &[self.norm.extents(&shape)[1]])
        };
        let needed = (0..3).filter(|k| self.needs[*k]);
        let gradient = |k| {
            Ok(match k {
                0 => {
                    let level = average(&inner)?;
                    let slope = mul(&hat, &average(&mul(&inner, &hat)?)?)?;
                    let dx = div(&sub(&sub(&inner, &level)?, &slope)?, &spread)?;
                    cast(&reshape(&dx, &shape)?, dtype)?
                }
                1 => to_affine(&mul(&dy, &hat)?)?,
                _ => to_affine(&dy)?,
            })
        };
        needed.map(gradient).collect()
    }
}

impl Norm {
    /// What gradients to mean and variance add to that to x: dmean/n + 2·dvar·(x − mean)/n.
    fn through_statistics(&self, g: &Gradient) -> Result<Option<Tensor>> {
        let (dmean, dvar) = (g.dy_if_any(1), g.dy_if_any(2));
        if dmean.is_none() && dvar.is_none() {
            return Ok(None);
        }
        let Meta { shape, dtype } = g.input_meta(0);
        let view = self.shapes(&shape);
        let x = reshape(&cast(g.input(0)?, arithmetic(dtype))?, &view.x)?;
        let n = scalar(self.extents(&shape)[2] as f64, x.dtype())?;
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

/// y, mean and variance.
pub(super) fn normalize(
    over: Over,
    x: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<Tensors> {
    let x = if x.dtype().is_float() { x.clone() } else { cast(x, DType::F32)? };
    let op = Norm { over, eps, weight: weight.is_some(), bias: bias.is_some() };
    let mut inputs: SmallVec<[Tensor; 3]> = smallvec![x.clone()];
    for t in [weight, bias].into_iter().flatten() {
        inputs.push(reshape(&cast(t, arithmetic(x.dtype()))?, &[t.numel()])?);
    }
    apply(op, &inputs.iter().collect::<SmallVec<[&Tensor; 3]>>())
}
