//! Adam and AdamW.

use super::optimizer::{ParamState, Rule, not_negative, state_of, zeros_for};
use tengen_core::optimizer::{AdamParams, adam_step};
use tengen_core::{DType, Result, Tensor, Var, ensure, ops};

macro_rules! adam {
    ($(#[$doc:meta])* $name:ident, $text:literal, $weight_decay:literal, $decoupled:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        pub struct $name {
            /// The learning rate.
            pub lr: f64,
            /// The decay rates β₁ and β₂ of the moments, at least 0 and below 1.
            pub betas: (f64, f64),
            /// ε, which keeps the quotient finite.
            pub eps: f64,
            /// The weight decay λ.
            pub weight_decay: f64,
        }

        impl $name {
            #[doc = concat!(
                "The rule with this learning rate; β = (0.9, 0.999), ε = 1e-8, λ = ",
                stringify!($weight_decay),
                "."
            )]
            pub fn new(lr: f64) -> $name {
                $name { lr, betas: (0.9, 0.999), eps: 1e-8, weight_decay: $weight_decay }
            }
        }

        impl Rule for $name {
            fn name(&self) -> &'static str {
                $text
            }

            fn settings(&mut self) -> Vec<(&'static str, Vec<&mut f64>)> {
                vec![
                    ("lr", vec![&mut self.lr]),
                    ("betas", vec![&mut self.betas.0, &mut self.betas.1]),
                    ("eps", vec![&mut self.eps]),
                    ("weight_decay", vec![&mut self.weight_decay]),
                ]
            }

            fn check(&self) -> Result<()> {
                not_negative($text, "lr", self.lr)?;
                not_negative($text, "eps", self.eps)?;
                not_negative($text, "weight_decay", self.weight_decay)?;
                let ok = |b: f64| (0.0..1.0).contains(&b);
                let (b1, b2) = self.betas;
                ensure!(
                    ok(b1) && ok(b2),
                    Value,
                    "{}: betas must be at least 0 and below 1, not {:?}",
                    $text,
                    self.betas
                );
                Ok(())
            }

            fn state(&self) -> &'static [&'static str] {
                &["exp_avg", "exp_avg_sq", "step"]
            }

            fn init(&self, name: &str, param: &Tensor) -> Result<Tensor> {
                match name {
                    "step" => Tensor::zeros(&[], DType::F32),
                    _ => zeros_for(param),
                }
            }

            fn update(&self, param: &Var, grad: &Tensor, state: &ParamState) -> Result<()> {
                let of = |name| state_of($text, state, name);
                let (avg, avg_sq, step) = (of("exp_avg")?, of("exp_avg_sq")?, of("step")?);
                let $name { lr, betas, eps, weight_decay } = *self;
                let settings = AdamParams { lr, betas, eps, weight_decay, decoupled: $decoupled };
                let n = ops::add(&step.get(), &Tensor::scalar(1.0f32)?)?;
                adam_step(param, grad, avg, avg_sq, &n, settings)?;
                step.set(n)
            }
        }
    };
}

adam! {
    /// Adam: steps by the ratio of running moments of the gradient.
    ///
    /// In step t, with g the gradient plus λθ: m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g²,
    /// θ ← θ − lr·(m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε). The state of a parameter is m under
    /// `exp_avg`, v under `exp_avg_sq`, and t under `step`.
    ///
    /// Source: Kingma and Ba, "Adam: a method for stochastic optimization" (2014).
    ///
    /// ```
    /// use tengen::nn::Parameter;
    /// use tengen::optim::{Adam, Optimizer};
    /// use tengen::{Tensor, Var};
    /// let w = Parameter::new(Tensor::from_slice(&[2.0f32], &[1])?);
    /// let mut optimizer = Optimizer::new([&w], Adam::new(0.5))?;
    /// w.set_grad(Some(Var::new(Tensor::from_slice(&[4.0f32], &[1])?)));
    /// optimizer.step()?;
    /// assert!((w.get().item()? - 1.5).abs() < 1e-6);
    /// # Ok::<(), tengen::Error>(())
    /// ```
    Adam, "Adam", 0.0, false
}

adam! {
    /// [`Adam`] whose weight decay does not pass through the moments: g is the gradient alone, and
    /// θ ← θ − lr·((m / (1 − β₁ᵗ)) / (√(v / (1 − β₂ᵗ)) + ε) + λθ).
    ///
    /// Source: Loshchilov and Hutter, "Decoupled weight decay regularization" (2017).
    ///
    /// ```
    /// use tengen::nn::Parameter;
    /// use tengen::optim::{AdamW, Optimizer};
    /// use tengen::{Tensor, Var};
    /// let w = Parameter::new(Tensor::from_slice(&[2.0f32], &[1])?);
    /// let mut optimizer = Optimizer::new([&w], AdamW { weight_decay: 0.1, ..AdamW::new(0.5) })?;
    /// w.set_grad(Some(Var::new(Tensor::from_slice(&[4.0f32], &[1])?)));
    /// optimizer.step()?;
    /// assert!((w.get().item()? - 1.4).abs() < 1e-6);
    /// # Ok::<(), tengen::Error>(())
    /// ```
    AdamW, "AdamW", 0.01, true
}
