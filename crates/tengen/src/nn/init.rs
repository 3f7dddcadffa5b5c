//! Initial values of parameters.

use tengen_core::{Result, Scalar, Tensor, Var, ensure, random};

/// What the gain of an initialisation is chosen for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Nonlinearity {
    /// None: gain 1; sigmoid has the same.
    Linear,
    /// Gain 5/3.
    Tanh,
    /// Gain √2.
    ReLU,
    /// Gain √(2 / (1 + slope²)).
    LeakyReLU(f64),
}

impl Nonlinearity {
    /// The factor that keeps the variance of what passes through the same.
    pub fn gain(self) -> f64 {
        match self {
            Nonlinearity::Linear => 1.0,
            Nonlinearity::Tanh => 5.0 / 3.0,
            Nonlinearity::ReLU => 2f64.sqrt(),
            Nonlinearity::LeakyReLU(slope) => (2.0 / (1.0 + slope * slope)).sqrt(),
        }
    }
}

/// Which number of connections the variance is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// Into each output.
    In,
    /// Out of each input.
    Out,
}

/// Numbers of connections into each output and out of each input of a weight: `[out, in]`,
/// `[out, in, …taps]`, or with groups `[groups, out, in, r, s]`.
///
/// # Errors
/// Shape: the weight has fewer than two dimensions.
pub fn fans(weight: &Tensor) -> Result<(f64, f64)> {
    let s = weight.shape();
    ensure!(s.len() >= 2, Shape, "init: the fans of {weight} need two dimensions");
    let s = if s.len() == 5 { &s[1..] } else { &s[..] };
    let taps: usize = s[2..].iter().product();
    Ok(((s[1] * taps) as f64, (s[0] * taps) as f64))
}

/// Sets all elements to `value`.
///
/// # Errors
/// Memory: the new value cannot be had.
pub fn fill(var: &Var, value: impl Into<Scalar>) -> Result<()> {
    let t = var.get();
    var.set(Tensor::full(t.shape(), value, t.dtype())?)
}

/// Sets all elements to 0.
///
/// # Errors
/// As [`fill`].
pub fn zeros(var: &Var) -> Result<()> {
    fill(var, 0.0)
}

/// Sets all elements to 1.
///
/// # Errors
/// As [`fill`].
pub fn ones(var: &Var) -> Result<()> {
    fill(var, 1.0)
}

/// Draws elements uniformly from low..high.
///
/// # Errors
/// As [`random::uniform`].
pub fn uniform(var: &Var, low: f64, high: f64) -> Result<()> {
    let t = var.get();
    var.set(random::uniform(low, high, t.shape(), t.dtype())?)
}

/// Draws normal elements.
///
/// # Errors
/// As [`random::normal`].
pub fn normal(var: &Var, mean: f64, std: f64) -> Result<()> {
    let t = var.get();
    var.set(random::normal(mean, std, t.shape(), t.dtype())?)
}

/// Uniform elements of variance gain²·2 / (fan in + fan out) (Glorot and Bengio 2010).
///
/// # Errors
/// As [`fans`] and [`uniform`].
pub fn xavier_uniform(var: &Var, gain: f64) -> Result<()> {
    let (i, o) = fans(&var.get())?;
    let a = gain * (6.0 / (i + o)).sqrt();
    uniform(var, -a, a)
}

/// Normal elements of variance gain²·2 / (fan in + fan out) (Glorot and Bengio 2010).
///
/// # Errors
/// As [`fans`] and [`normal`].
pub fn xavier_normal(var: &Var, gain: f64) -> Result<()> {
    let (i, o) = fans(&var.get())?;
    normal(var, 0.0, gain * (2.0 / (i + o)).sqrt())
}

fn msra_std(var: &Var, fan: Fan, nonlinearity: Nonlinearity) -> Result<f64> {
    let (i, o) = fans(&var.get())?;
    Ok(nonlinearity.gain() / if fan == Fan::In { i } else { o }.sqrt())
}

/// Uniform elements of variance gain² / fan (He et al. 2015).
///
/// # Errors
/// As [`fans`] and [`uniform`].
pub fn msra_uniform(var: &Var, fan: Fan, nonlinearity: Nonlinearity) -> Result<()> {
    let a = 3f64.sqrt() * msra_std(var, fan, nonlinearity)?;
    uniform(var, -a, a)
}

/// Normal elements of variance gain² / fan (He et al. 2015).
///
/// # Errors
/// As [`fans`] and [`normal`].
pub fn msra_normal(var: &Var, fan: Fan, nonlinearity: Nonlinearity) -> Result<()> {
    let std = msra_std(var, fan, nonlinearity)?;
    normal(var, 0.0, std)
}
