//! Connectionist temporal classification.

use crate::cpu::cast_raw;
use crate::op::{Eval, Meta, Tensors};
use crate::ops::ctc::{Ctc, CtcGradient};
use crate::shape::Shape;
use crate::{DType, Element, Result, Tensor, bail, ensure};
use bytemuck::Pod;
use smallvec::smallvec;
use std::sync::atomic::{AtomicBool, Ordering};
use tengen_kernels::ctc::ctc;
use tengen_kernels::pool;
use tengen_kernels::pool::Shared;

/// Labels, and for each sequence its steps and where its label starts and ends in them.
struct Sequences {
    labels: Vec<i32>,
    each: Vec<(usize, usize, usize)>,
}

/// Reads lengths and labels, and checks them.
fn sequences(x: &[&Tensor], blank: usize) -> Result<Sequences> {
    let (pred, label) = (x[0], x[2]);
    let (steps, classes) = (pred.shape()[0], pred.shape()[2]);
    let rows = label.ndim() == 2;
    let longest = if rows { label.shape()[1] } else { label.numel() };
    let lengths = |what: &str, t: &Tensor, most: usize| -> Result<Vec<usize>> {
        let mut all = Vec::with_capacity(t.numel());
        for v in t.to_i64_vec()? {
            match usize::try_from(v) {
                Ok(v) if v <= most => all.push(v),
                _ => bail!(Shape, "ctc_loss: {v} of {what} is not in 0..={most}"),
            }
        }
        Ok(all)
    };
    let pred_lengths = lengths("pred_lengths", x[1], steps)?;
    let label_lengths = lengths("label_lengths", x[3], longest)?;
    let all = label.to_i64_vec()?;
    let (mut each, mut end, mut labels) = (Vec::with_capacity(pred_lengths.len()), 0, Vec::new());
    for (i, (steps, len)) in pred_lengths.into_iter().zip(&label_lengths).enumerate() {
        let from = if rows { i * longest } else { end };
        end = from + len;
        let Some(label) = all.get(from..end) else {
            let n = all.len();
            bail!(Shape, "ctc_loss: label_lengths add up to more than the {n} classes of label")
        };
        let start = labels.len();
        for class in label {
            let known =
                usize::try_from(*class).is_ok_and(|c| c < classes) && *class <= i32::MAX.into();
            ensure!(known, Index, "ctc_loss: class {class} is not in 0..{classes}");
            ensure!(*class != blank as i64, Value, "ctc_loss: label {i} holds the blank, {blank}");
            labels.push(*class as i32);
        }
        each.push((steps, start, labels.len()));
    }
    Ok(Sequences { labels, each })
}

/// The losses, and the gradient to `pred` of their sum weighted with `dy`, if that is given.
fn run<T: Element + Pod>(x: &[&Tensor], blank: usize, dy: Option<&Tensor>) -> Result<Tensor> {
    let Sequences { labels, each } = sequences(x, blank)?;
    let pred = x[0];
    let (n, classes) = (pred.shape()[1], pred.shape()[2]);
    let p = cast_raw(pred, T::DTYPE)?.contiguous()?;
    let shape = if dy.is_some() { *pred.shape() } else { Shape::new(&[n])? };
    let out = Tensor::zeros(&shape, T::DTYPE)?;
    let (p, q) = (p.as_slice::<T>()?, Shared(out.ptr::<T>()));
    let weights = dy.map(|dy| cast_raw(dy, T::DTYPE)?.contiguous()).transpose()?;
    let weights = weights.as_ref().map(Tensor::as_slice::<T>).transpose()?;
    let starved = AtomicBool::new(false);
    pool::for_each(n, |i| {
        let (steps, from, to) = each[i];
        let at = |t: usize, c: usize| (t * n + i) * classes + c;
        let probability = |t: usize, c: usize| p[at(t, c)].to_f64();
        let label = &labels[from..to];
        match weights {
            None => {
                match ctc(steps, label, blank, probability, None) {
                    // SAFETY: `out` is new with one element for each sequence.
                    Some(v) => unsafe { q.at(i).write(T::from_f64(v)) },
                    None => starved.store(true, Ordering::Relaxed),
                }
            }
            Some(weights) => {
                let weight = weights[i].to_f64();
                let mut add = |t: usize, c: usize, v: f64| {
                    // SAFETY: `out` is new with the shape of `pred`, whose steps and classes
                    // were checked, and each sequence has elements of its own.
                    unsafe {
                        let to = q.offset(at(t, c) as isize);
                        *to = T::from_f64((*to).to_f64() + weight * v);
                    }
                };
                if ctc(steps, label, blank, probability, Some(&mut add)).is_none() {
                    starved.store(true, Ordering::Relaxed);
                }
            }
        }
    });
    ensure!(
        !starved.into_inner(),
        Memory,
        "ctc_loss: no memory for the alignments of labels of {} classes (pred: {pred})",
        labels.len()
    );
    Ok(out)
}

impl Eval for Ctc {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        Ok(smallvec![match out[0].dtype {
            DType::F64 => run::<f64>(x, self.blank, None)?,
            _ => run::<f32>(x, self.blank, None)?,
        }])
    }
}

impl Eval for CtcGradient {
    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        Ok(smallvec![match out[0].dtype {
            DType::F64 => run::<f64>(x, self.blank, Some(x[4]))?,
            dtype => cast_raw(&run::<f32>(x, self.blank, Some(x[4]))?, dtype)?,
        }])
    }
}
