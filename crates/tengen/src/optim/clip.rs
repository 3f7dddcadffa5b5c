//! Limits on gradients.

use crate::nn::Parameter;
use tengen_core::{Result, Tensor, Var, ops, without_recording};

fn gradients<'a>(params: impl IntoIterator<Item = &'a Parameter>) -> Vec<Var> {
    params.into_iter().filter_map(|p| p.grad()).collect()
}

/// Scales gradients down so that their norm n, of all together as one vector, is at most
/// `max_norm`: each is multiplied by min(1, max_norm / (n + 10⁻⁶)). Gives n; 0 if there is no
/// gradient.
///
/// `ord` is the order of the norm; infinite for the largest magnitude. Parameters without a
/// gradient are left out.
///
/// # Errors
/// Memory: a value cannot be had.
///
/// ```
/// use tengen::nn::Parameter;
/// use tengen::optim::clip_grad_norm;
/// use tengen::{DType, Tensor, Var};
/// let w = Parameter::new(Tensor::zeros(&[2], DType::F32)?);
/// w.set_grad(Some(Var::new(Tensor::from_slice(&[3.0f32, 4.0], &[2])?)));
/// assert_eq!(clip_grad_norm([&w], 1.0, 2.0)?, 5.0);
/// assert!((w.grad().unwrap().get().to_vec::<f32>()?[0] - 0.6).abs() < 1e-5);
/// # Ok::<(), tengen::Error>(())
/// ```
pub fn clip_grad_norm<'a>(
    params: impl IntoIterator<Item = &'a Parameter>,
    max_norm: f64,
    ord: f64,
) -> Result<f64> {
    let grads = gradients(params);
    if grads.is_empty() {
        return Ok(0.0);
    }
    without_recording(|| {
        let norms: Vec<f64> = grads
            .iter()
            .map(|g| ops::norm(&g.get().detach(), ord, None, false)?.item())
            .collect::<Result<_>>()?;
        let norm =
            ops::norm(&Tensor::from_slice(&norms, &[norms.len()])?, ord, None, false)?.item()?;
        let scale = max_norm / (norm + 1e-6);
        // A NaN in the gradients spreads to all of them.
        if scale < 1.0 || scale.is_nan() {
            for grad in &grads {
                let g = grad.get().detach();
                grad.replace(ops::mul(&g, &Tensor::full(&[], scale, g.dtype())?)?);
            }
        }
        Ok(norm)
    })
}

/// Limits every element of the gradients to `lower`..`upper`. Parameters without a gradient are
/// left out.
///
/// # Errors
/// Memory: a value cannot be had.
///
/// ```
/// use tengen::nn::Parameter;
/// use tengen::optim::clip_grad_value;
/// use tengen::{DType, Tensor, Var};
/// let w = Parameter::new(Tensor::zeros(&[2], DType::F32)?);
/// w.set_grad(Some(Var::new(Tensor::from_slice(&[-3.0f32, 0.5], &[2])?)));
/// clip_grad_value([&w], -1.0, 1.0)?;
/// assert_eq!(w.grad().unwrap().get().to_vec::<f32>()?, [-1.0, 0.5]);
/// # Ok::<(), tengen::Error>(())
/// ```
pub fn clip_grad_value<'a>(
    params: impl IntoIterator<Item = &'a Parameter>,
    lower: f64,
    upper: f64,
) -> Result<()> {
    without_recording(|| {
        for grad in gradients(params) {
            grad.replace(ops::clip(&grad.get().detach(), lower, upper)?);
        }
        Ok(())
    })
}
