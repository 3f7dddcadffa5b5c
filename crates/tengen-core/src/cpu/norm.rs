//! Normalisation.

use crate::cpu::cast_raw;
use crate::op::{Eval, Meta, Tensors};
use crate::ops::norm::{Norm, NormGradient, Over};
use crate::shape::Shape;
use crate::{DType, Element, Result, Tensor, without_recording};
use bytemuck::Pod;
use smallvec::smallvec;
use tengen_kernels::lanes::Float;
use tengen_kernels::norm::{self as kernels, Affine, Given, Layout, Units};

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
}

impl NormGradient {
    fn run<T: Float + Element + Pod>(&self, x: &[&Tensor]) -> Result<Tensors> {
        let (shape, dtype) = (*x[0].shape(), x[0].dtype());
        let layout = self.norm.layout(&shape);
        let weight = x.get(4).map(|w| w.contiguous()).transpose()?;
        let (mean, var) = (x[1].contiguous()?, x[2].contiguous()?);
        let dy = cast_raw(x[3], T::DTYPE)?.contiguous()?;
        let x = cast_raw(x[0], T::DTYPE)?.contiguous()?;
        let given = Given {
            mean: mean.as_slice::<T>()?,
            var: var.as_slice::<T>()?,
            eps: self.norm.eps,
            weight: weight.as_ref().map(Tensor::as_slice).transpose()?,
            bias: None,
        };
        let wanted = |wanted: bool, shape: Shape| {
            Tensor::empty(if wanted { shape } else { Shape::new(&[0])? }, T::DTYPE)
        };
        let affine = Shape::new(&[layout.affine_len()])?;
        let mut dx = wanted(self.needs[0], shape)?;
        let mut dw = wanted(self.needs[1], affine)?;
        let mut db = wanted(self.needs[2], affine)?;
        let mut scratch = Tensor::empty(Shape::new(&[layout.scratch_len()])?, DType::F64)?;
        kernels::backward(
            layout,
            given,
            x.as_slice::<T>()?,
            dy.as_slice::<T>()?,
            [dx.as_mut_slice::<T>()?, dw.as_mut_slice::<T>()?, db.as_mut_slice::<T>()?],
            scratch.as_mut_slice::<f64>()?,
        );
        let all = [cast_raw(&dx, dtype)?, dw, db].into_iter().zip(self.needs);
        Ok(all.filter(|(_, needed)| *needed).map(|(t, _)| t).collect())
    }
}

impl Eval for Norm {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let y: Tensors = if x[0].numel() == 0 {
            let nothing = Tensor::full(&out[1].shape, f64::NAN, out[1].dtype)?;
            smallvec![Tensor::empty(out[0].shape, out[0].dtype)?, nothing.clone(), nothing]
        } else if out[1].dtype == DType::F64 {
            self.run::<f64>(x)?
        } else {
            self.run::<f32>(x)?
        };
        Ok(y)
    }
}

impl Eval for NormGradient {
    fn eval(&self, x: &[&Tensor], _: &[Meta]) -> Result<Tensors> {
        match x[0].dtype() {
            _ if x[0].numel() == 0 => without_recording(|| self.composed(x)),
            DType::F64 => self.run::<f64>(x),
            _ => self.run::<f32>(x),
        }
    }
}
