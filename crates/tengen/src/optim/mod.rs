//! Optimizers: they update parameters by their gradients.
//!
//! A [`Rule`] ([`SGD`], [`Adam`], [`AdamW`], or your own) is settings plus one formula; an
//! [`Optimizer`] applies one to groups of parameters, keeps its state, saves and loads it. An
//! [`LRScheduler`] changes the learning rates from epoch to epoch.
//!
//! ```
//! use tengen::nn::{Forward, Linear, Module};
//! use tengen::optim::{Optimizer, SGD};
//! use tengen::{DType, GradManager, Tensor, ops};
//!
//! let net = Linear::new(3, 1)?;
//! let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0], &[1, 3])?;
//! let mut gm = GradManager::new();
//! gm.attach_all(net.parameters(true).into_iter().map(|p| p.var()))?;
//! let mut optimizer = Optimizer::new(net.parameters(true), SGD::new(0.01))?;
//! let mut last = f64::INFINITY;
//! for _ in 0..5 {
//!     let loss = gm.scope(|gm| {
//!         let loss = ops::sum(&ops::square(&net.call(&x)?)?, None, false)?;
//!         gm.backward(&loss)?;
//!         loss.item()
//!     })?;
//!     optimizer.step()?;
//!     optimizer.clear_grad();
//!     assert!(loss < last);
//!     last = loss;
//! }
//! # Ok::<(), tengen::Error>(())
//! ```

mod adam;
mod clip;
mod optimizer;
mod schedule;
mod sgd;
mod state;

pub use adam::{Adam, AdamW};
pub use clip::{clip_grad_norm, clip_grad_value};
pub use optimizer::{Optimizer, ParamGroup, ParamState, Rule};
pub use schedule::{LRScheduler, MultiStepLR};
pub use sgd::SGD;
pub use state::{GroupState, OptimizerState};
