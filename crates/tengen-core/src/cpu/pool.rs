//! Pooling over two-dimensional windows.

use crate::cpu::cast_raw;
use crate::op::{Eval, Meta, Op, Tensors};
use crate::ops::pool::{AvgPool, MaxPass, MaxPool};
use crate::shape::Shape;
use crate::{DType, Element, Result, Tensor};
use bytemuck::Pod;
use smallvec::{SmallVec, smallvec};
use tengen_kernels::copy::{PAST, copy_past};
use tengen_kernels::pool;
use tengen_kernels::pooling::{self as kernels, Float, Pool2d};

/// The most elements of a plane that stays in the first-level caches.
const NEAR: usize = 8 * 1024;

/// A tensor of `shape`, computed plane by plane: `f(inputs' planes, result's planes)`.
fn by_planes<T: Float + Element + Pod>(
    g: &Pool2d,
    xs: &[&Tensor],
    shape: Shape,
    f: impl Fn(&[&[T]], &mut [T]) + Sync,
) -> Result<Tensor> {
    let mut y = Tensor::empty(shape, T::DTYPE)?;
    let xs = xs.iter().map(|x| x.contiguous()).collect::<Result<SmallVec<[Tensor; 3]>>>()?;
    let mut sources: SmallVec<[(&[T], usize); 3]> = smallvec![];
    for x in &xs {
        sources.push((x.as_slice::<T>()?, x.shape()[2] * x.shape()[3]));
    }
    let area = shape[2] * shape[3];
    // Planes of a large result are computed near and then copied past the caches.
    let past = y.numel() * size_of::<T>() >= PAST && area <= NEAR;
    let grain = 16 * 1024 / (g.input().0 * g.input().1).max(1);
    pool::for_parts(y.as_mut_slice::<T>()?, area, grain, |first, y| {
        let parts = |first: usize, n: usize| -> SmallVec<[&[T]; 3]> {
            sources.iter().map(|(x, a)| &x[first * a..(first + n) * a]).collect()
        };
        let n = y.len() / area;
        if !past {
            return f(&parts(first, n), y);
        }
        let mut near = vec![T::ZERO; area];
        for (k, y) in y.chunks_exact_mut(area).enumerate() {
            f(&parts(first + k, 1), &mut near);
            copy_past(&near, y);
        }
    });
    Ok(y)
}

/// Runs a generic kernel in the inputs' dtype, or for halves in f32.
macro_rules! in_floats {
    ($xs:expr, $dtype:expr, $T:ident, $inner:ident => $run:expr) => {
        match $dtype {
            DType::F64 => {
                type $T = f64;
                let $inner = $xs;
                $run?
            }
            dtype => {
                type $T = f32;
                let cast = $xs
                    .iter()
                    .map(|x| cast_raw(x, DType::F32))
                    .collect::<Result<SmallVec<[Tensor; 3]>>>()?;
                let refs: SmallVec<[&Tensor; 3]> = cast.iter().collect();
                let $inner = &refs[..];
                cast_raw(&$run?, dtype)?
            }
        }
    };
}

impl Eval for MaxPool {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let (g, _) = self.windows.geometry(self.name(), x[0].shape())?;
        let pass = self.pass;
        Ok(smallvec![in_floats!(x, out[0].dtype, T, inputs => by_planes(
            &g,
            inputs,
            out[0].shape,
            |x: &[&[T]], y: &mut [T]| match pass {
                MaxPass::Forward => kernels::max_pool2d(&g, x[0], y),
                MaxPass::Spread => kernels::max_pool2d_backward(&g, x[0], x[1], x[2], y),
                MaxPass::Gather => kernels::max_pool2d_gather(&g, x[0], x[1], x[2], y),
            }
        ))])
    }
}

impl Eval for AvgPool {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        let image = self.back.unwrap_or(*x[0].shape());
        let (g, _) = self.windows.geometry(self.name(), &image)?;
        let (mode, back) = (self.mode, self.back.is_some());
        Ok(smallvec![in_floats!(x, out[0].dtype, T, inputs => by_planes(
            &g,
            inputs,
            out[0].shape,
            |x: &[&[T]], y: &mut [T]| if back {
                kernels::avg_pool2d_backward(&g, mode, x[0], y)
            } else {
                kernels::avg_pool2d(&g, mode, x[0], y)
            }
        ))])
    }
}
