//! Connectionist temporal classification.

use super::{Reduction, cast, div};
use crate::autograd::{Gradient, is_recording};
use crate::op::{Grads, Meta, Metas, Op, Saves, Tensors};
use crate::ops::cast::cast_raw;
use crate::shape::Shape;
use crate::{DType, Element, Error, ErrorKind, Result, Tensor, apply1, bail, ensure};
use bytemuck::Pod;
use smallvec::smallvec;
use std::sync::atomic::{AtomicBool, Ordering};
use tengen_kernels::ctc::ctc;
use tengen_kernels::pool;
use tengen_kernels::pool::Shared;

/// pred `[steps, n, classes]` → loss `[n]`.
struct Ctc {
    blank: usize,
    /// For each sequence: its steps, and where its label starts and ends in `labels`.
    sequences: Vec<(usize, usize, usize)>,
    labels: Vec<i32>,
}

impl Ctc {
    /// The losses, and the gradient to `pred` of their sum weighted with `dy`, if that is given.
    fn run<T: Element + Pod>(&self, pred: &Tensor, dy: Option<&Tensor>) -> Result<Tensor> {
        let (n, classes) = (pred.shape()[1], pred.shape()[2]);
        let p = cast_raw(pred, T::DTYPE)?.contiguous()?;
        let shape = if dy.is_some() { *pred.shape() } else { Shape::new(&[n])? };
        let out = Tensor::zeros(&shape, T::DTYPE)?;
        let (p, q) = (p.as_slice::<T>()?, Shared(out.ptr::<T>()));
        let weights = dy.map(|dy| cast_raw(dy, T::DTYPE)?.contiguous()).transpose()?;
        let weights = weights.as_ref().map(Tensor::as_slice::<T>).transpose()?;
        let starved = AtomicBool::new(false);
        pool::for_each(n, |i| {
            let (steps, from, to) = self.sequences[i];
            let at = |t: usize, c: usize| (t * n + i) * classes + c;
            let probability = |t: usize, c: usize| p[at(t, c)].to_f64();
            let label = &self.labels[from..to];
            match weights {
                None => {
                    match ctc(steps, label, self.blank, probability, None) {
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
                    if ctc(steps, label, self.blank, probability, Some(&mut add)).is_none() {
                        starved.store(true, Ordering::Relaxed);
                    }
                }
            }
        });
        ensure!(
            !starved.into_inner(),
            Memory,
            "ctc_loss: no memory for the alignments of labels of {} classes (pred: {pred})",
            self.labels.len()
        );
        Ok(out)
    }
}

impl Op for Ctc {
    fn name(&self) -> &'static str {
        "ctc_loss"
    }

    fn infer(&self, x: &[&Tensor]) -> Result<Metas> {
        let dtype = if x[0].dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        Ok(Meta::one(Shape::new(&[x[0].shape()[1]])?, dtype))
    }

    fn eval(&self, x: &[&Tensor], out: &[Meta]) -> Result<Tensors> {
        Ok(smallvec![match out[0].dtype {
            DType::F64 => self.run::<f64>(x[0], None)?,
            _ => self.run::<f32>(x[0], None)?,
        }])
    }

    fn saves(&self, _: DType) -> Saves {
        Saves::INPUTS
    }

    fn grad(&self, g: &Gradient) -> Result<Grads> {
        if is_recording() {
            bail!(Unsupported, "ctc_loss: its gradient cannot be differentiated again");
        }
        let (pred, dy) = (g.input(0)?, g.dy(0)?);
        g.each(|_| {
            let dx = match pred.dtype() {
                DType::F64 => self.run::<f64>(pred, Some(&dy))?,
                _ => self.run::<f32>(pred, Some(&dy))?,
            };
            Ok(Some(cast_raw(&dx, pred.dtype())?))
        })
    }
}

/// Connectionist temporal classification (Graves et al. 2006): −ln of the probability of each label
/// under its sequence of distributions, summed over all alignments.
///
/// `pred` `[steps, n, classes]` holds probabilities. `pred_lengths` and `label_lengths`, integers
/// `[n]`, say how many steps and classes count of each sequence and label. `label`, of integers, is
/// `[n, longest]`, or the labels one after the other. `blank` is the class that stands for none.
/// The loss of a label that does not fit into its steps is infinite, with gradient 0. The mean is
/// taken of losses divided by their labels' lengths. The gradient cannot be differentiated again.
///
/// # Errors
/// Shape: shapes or lengths do not belong together. Index: a class or the blank is not in
/// 0..classes. Value: a label holds the blank. Memory: the result cannot be had.
///
/// ```
/// use tengen_core::{Tensor, ops::{self, Reduction}};
/// let pred = Tensor::from_slice(&[0.6f32, 0.4, 0.3, 0.7], &[2, 1, 2])?;
/// let one = |v: i32| Tensor::from_slice(&[v], &[1]);
/// let loss = ops::ctc_loss(&pred, &one(2)?, &one(1)?, &one(1)?, 0, Reduction::Sum)?;
/// // Alignments: 1 1, blank 1, 1 blank.
/// let p: f64 = 0.4 * 0.7 + 0.6 * 0.7 + 0.4 * 0.3;
/// assert!((loss.item()? + p.ln()).abs() < 1e-6);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn ctc_loss(
    pred: &Tensor,
    pred_lengths: &Tensor,
    label: &Tensor,
    label_lengths: &Tensor,
    blank: usize,
    reduction: Reduction,
) -> Result<Tensor> {
    ensure!(pred.ndim() == 3, Shape, "ctc_loss: pred must be [steps, n, classes], not {pred}");
    let pred = if pred.dtype().is_float() { pred.clone() } else { cast(pred, DType::F32)? };
    let (steps, n, classes) = (pred.shape()[0], pred.shape()[1], pred.shape()[2]);
    ensure!(blank < classes, Index, "ctc_loss: blank {blank} is not in 0..{classes} ({pred})");
    let lengths = |what: &str, t: &Tensor, most: usize| -> Result<Vec<usize>> {
        ensure!(
            t.numel() == n && !t.dtype().is_float(),
            Shape,
            "ctc_loss: {what} must be {n} integers, not {t}"
        );
        let length = |v: i64| {
            let length = usize::try_from(v).ok().filter(|v| *v <= most);
            let outside = || format!("ctc_loss: {v} of {what} is not in 0..={most}");
            length.ok_or_else(|| Error::new(ErrorKind::Shape, outside()))
        };
        t.to_i64_vec()?.into_iter().map(length).collect()
    };
    ensure!(!label.dtype().is_float(), DType, "ctc_loss: labels are integers, not {label}");
    let rows = label.ndim() == 2;
    ensure!(
        label.ndim() == 1 || (rows && label.shape()[0] == n),
        Shape,
        "ctc_loss: label must be [{n}, longest], or all labels one after the other, not {label}"
    );
    let longest = if rows { label.shape()[1] } else { label.numel() };
    let pred_lengths = lengths("pred_lengths", pred_lengths, steps)?;
    let label_lengths = lengths("label_lengths", label_lengths, longest)?;
    let labels = label.to_i64_vec()?;
    let mut sequences = Vec::with_capacity(n);
    let mut end = 0;
    for (i, (steps, len)) in pred_lengths.into_iter().zip(&label_lengths).enumerate() {
        let from = if rows { i * longest } else { end };
        end = from + len;
        ensure!(
            end <= labels.len(),
            Shape,
            "ctc_loss: label_lengths add up to more than the {} classes of label",
            labels.len()
        );
        for class in &labels[from..end] {
            let known =
                usize::try_from(*class).is_ok_and(|c| c < classes) && *class <= i32::MAX.into();
            ensure!(known, Index, "ctc_loss: class {class} is not in 0..{classes}");
            ensure!(
                *class as usize != blank,
                Value,
                "ctc_loss: label {i} holds the blank, {blank}"
            );
        }
        sequences.push((steps, from, end));
    }
    // What lies between the labels is never read.
    let labels = labels.into_iter().map(|c| c as i32).collect();
    let loss = apply1(Ctc { blank, sequences, labels }, &[&pred])?;
    if reduction != Reduction::Mean {
        return reduction.apply(&loss);
    }
    let lengths: Vec<f64> = label_lengths.iter().map(|l| (*l).max(1) as f64).collect();
    let lengths = cast(&Tensor::from_slice(&lengths, &[n])?, loss.dtype())?;
    reduction.apply(&div(&loss, &lengths)?)
}
