//! Random tensors.
//!
//! Numbers come from counter-based streams (Philox): element `i` of a draw depends on the
//! generator's seed, the number of the draw and `i` alone, so it is the same for any number of
//! threads. Every draw is an operator whose input is that state, so that a recorded one can draw
//! again from another state: see [`with_state`].

use crate::ops::draw::{Bernoulli, Distribution, Draw, Normal, Permutation, Uniform};
use crate::shape::Shape;
use crate::{DType, Result, Tensor, apply1, ensure, ops, without_recording};
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

/// A source of random numbers: a seed and the number of draws so far.
///
/// ```
/// use tengen_core::random::Generator;
/// use tengen_core::DType;
/// let (a, b) = (Generator::new(7), Generator::new(7));
/// let draw = |g: &Generator| g.normal(0.0, 1.0, &[4], DType::F32)?.to_vec::<f32>();
/// assert_eq!(draw(&a)?, draw(&b)?);
/// # Ok::<(), tengen_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Generator(Mutex<State>);

#[derive(Clone, Copy, Debug)]
struct State {
    seed: u64,
    draws: u64,
}

impl State {
    /// The state for one draw.
    fn next(&mut self) -> Result<Tensor> {
        self.draws += 1;
        state(self.seed, self.draws - 1)
    }
}

/// The generator of functions that are not given one; seeded from the system at first.
static GLOBAL: Mutex<Option<State>> = Mutex::new(None);

thread_local! {
    /// The state that stands in for the global generator's on this thread, in [`with_state`].
    static SCOPED: RefCell<Option<Tensor>> = const { RefCell::new(None) };
}

/// Seeds the global generator: what follows is the same after the same seed.
pub fn seed(seed: u64) {
    *GLOBAL.lock().unwrap_or_else(PoisonError::into_inner) = Some(State { seed, draws: 0 });
}

/// A generator's state as a tensor, i64 `[2]`: its seed, and how many draws it has made.
///
/// # Errors
/// Memory: it cannot be had.
pub fn state(seed: u64, draws: u64) -> Result<Tensor> {
    Tensor::from_slice(&[seed as i64, draws as i64], &[2])
}

/// Runs `f`, in which functions of this thread draw from `state` instead of the global generator;
/// gives `f`'s result and the state afterwards.
///
/// ```
/// use tengen_core::{DType, random};
/// let draw = || random::uniform(0.0, 1.0, &[2], DType::F32);
/// let (a, after) = random::with_state(&random::state(7, 0)?, draw)?;
/// let (b, _) = random::with_state(&after, draw)?;
/// assert_eq!(after.to_vec::<i64>()?, [7, 1]);
/// assert_ne!(a.to_vec::<f32>()?, b.to_vec::<f32>()?);
/// # Ok::<(), tengen_core::Error>(())
/// ```
///
/// # Errors
/// Shape: `state` is not i64 `[2]`. Otherwise what `f` gives.
pub fn with_state<R>(state: &Tensor, f: impl FnOnce() -> Result<R>) -> Result<(R, Tensor)> {
    /// Puts back what was there before, whatever happens in between.
    struct Restore(Option<Tensor>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SCOPED.replace(self.0.take());
        }
    }
    let fits = *state.shape() == [2] && state.dtype() == DType::I64;
    ensure!(fits, Shape, "with_state: a generator's state is i64[2], not {state}");
    let _restore = Restore(SCOPED.replace(Some(state.detach())));
    let result = f()?;
    let after = SCOPED.take();
    Ok((result, after.unwrap_or_else(|| state.detach())))
}

/// The state for one draw of functions that are not given a generator.
fn next() -> Result<Tensor> {
    let scoped = SCOPED.with_borrow(Option::clone);
    if let Some(now) = scoped {
        let one = Tensor::from_slice(&[0i64, 1], &[2])?;
        let after = without_recording(|| ops::add(&now, &one))?;
        SCOPED.replace(Some(after));
        return Ok(now);
    }
    let mut state = GLOBAL.lock().unwrap_or_else(PoisonError::into_inner);
    // The standard library seeds its hashers from the system's randomness.
    state.get_or_insert_with(|| State { seed: RandomState::new().hash_one(0), draws: 0 }).next()
}

/// The draws, each from a state.
mod draws {
    use super::*;

    pub fn uniform(
        state: &Tensor,
        low: f64,
        high: f64,
        shape: &[usize],
        dtype: DType,
    ) -> Result<Tensor> {
        apply1(Uniform { low, high, shape: Shape::new(shape)?, dtype }, &[state])
    }

    pub fn normal(
        state: &Tensor,
        mean: f64,
        std: f64,
        shape: &[usize],
        dtype: DType,
    ) -> Result<Tensor> {
        apply1(Normal { mean, std, shape: Shape::new(shape)?, dtype }, &[state])
    }

    pub fn of(
        state: &Tensor,
        distribution: Distribution,
        [a, b]: [&Tensor; 2],
        size: &[usize],
    ) -> Result<Tensor> {
        apply1(Draw { distribution, size: Shape::new(size)? }, &[state, &a.detach(), &b.detach()])
    }
}

impl Generator {
    /// A generator whose numbers follow from `seed`.
    pub fn new(seed: u64) -> Generator {
        Generator(Mutex::new(State { seed, draws: 0 }))
    }

    fn next(&self) -> Result<Tensor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).next()
    }

    /// Numbers uniform in low..high (low included); see [`uniform`].
    ///
    /// # Errors
    /// As [`uniform`].
    pub fn uniform(&self, low: f64, high: f64, shape: &[usize], dtype: DType) -> Result<Tensor> {
        draws::uniform(&self.next()?, low, high, shape, dtype)
    }

    /// Normal numbers; see [`normal`].
    ///
    /// # Errors
    /// As [`normal`].
    pub fn normal(&self, mean: f64, std: f64, shape: &[usize], dtype: DType) -> Result<Tensor> {
        draws::normal(&self.next()?, mean, std, shape, dtype)
    }

    /// Gamma-distributed numbers; see [`gamma`].
    ///
    /// # Errors
    /// As [`gamma`].
    pub fn gamma(&self, shape: &Tensor, scale: &Tensor, size: &[usize]) -> Result<Tensor> {
        draws::of(&self.next()?, Distribution::Gamma, [shape, scale], size)
    }

    /// Beta-distributed numbers; see [`beta`].
    ///
    /// # Errors
    /// As [`beta`].
    pub fn beta(&self, alpha: &Tensor, beta: &Tensor, size: &[usize]) -> Result<Tensor> {
        draws::of(&self.next()?, Distribution::Beta, [alpha, beta], size)
    }

    /// Poisson-distributed numbers; see [`poisson`].
    ///
    /// # Errors
    /// As [`poisson`].
    pub fn poisson(&self, lam: &Tensor, size: &[usize]) -> Result<Tensor> {
        draws::of(&self.next()?, Distribution::Poisson, [lam, lam], size)
    }

    /// The numbers 0..n in random order; see [`permutation`].
    ///
    /// # Errors
    /// As [`permutation`].
    pub fn permutation(&self, n: usize) -> Result<Tensor> {
        apply1(Permutation { count: n }, &[&self.next()?])
    }
}

/// Numbers uniform in low..high (low included), from the global generator.
///
/// # Errors
/// Value: low..high is no finite range. DType: `dtype` is no float. Shape: `shape` is impossible.
/// Memory: the result cannot be had.
pub fn uniform(low: f64, high: f64, shape: &[usize], dtype: DType) -> Result<Tensor> {
    draws::uniform(&next()?, low, high, shape, dtype)
}

/// Normal numbers of this mean and standard deviation, from the global generator.
///
/// # Errors
/// As [`uniform`]; Value: the standard deviation is negative.
pub fn normal(mean: f64, std: f64, shape: &[usize], dtype: DType) -> Result<Tensor> {
    draws::normal(&next()?, mean, std, shape, dtype)
}

/// Numbers with the density xᵃ⁻¹·exp(−x/θ) / (Γ(a)·θᵃ) for shapes a and scales θ, from the global
/// generator. The parameters are broadcast together, and the result has `size` in front of their
/// shape; it is f32, or f64 if a parameter is.
///
/// # Errors
/// Value: a parameter is not positive and finite. Shape: they cannot be broadcast together. Memory:
/// the result cannot be had.
///
/// ```
/// use tengen_core::{Tensor, random};
/// let (shape, scale) = (Tensor::from_slice(&[1.0f32, 2.0], &[2])?, Tensor::scalar(1.0f32)?);
/// assert_eq!(*random::gamma(&shape, &scale, &[3])?.shape(), [3, 2]);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn gamma(shape: &Tensor, scale: &Tensor, size: &[usize]) -> Result<Tensor> {
    draws::of(&next()?, Distribution::Gamma, [shape, scale], size)
}

/// Numbers with the density xᵃ⁻¹·(1 − x)ᵇ⁻¹ / B(a, b), from the global generator; shapes as in
/// [`gamma`].
///
/// # Errors
/// As [`gamma`].
pub fn beta(alpha: &Tensor, beta: &Tensor, size: &[usize]) -> Result<Tensor> {
    draws::of(&next()?, Distribution::Beta, [alpha, beta], size)
}

/// Whole numbers k with probability λᵏ·exp(−λ) / k!, from the global generator; shapes as in
/// [`gamma`].
///
/// # Errors
/// As [`gamma`].
pub fn poisson(lam: &Tensor, size: &[usize]) -> Result<Tensor> {
    draws::of(&next()?, Distribution::Poisson, [lam, lam], size)
}

/// The numbers 0..n in random order, as i32, from the global generator.
///
/// # Errors
/// Value: n does not fit i32. Memory: the result cannot be had.
pub fn permutation(n: usize) -> Result<Tensor> {
    apply1(Permutation { count: n }, &[&next()?])
}

/// A tensor of this shape that is 0 with probability `p`, else `keep`, from the global generator.
///
/// # Errors
/// Value: `p` is no probability. Memory: the result cannot be had.
pub fn mask(p: f64, keep: f64, shape: &[usize]) -> Result<Tensor> {
    apply1(Bernoulli { p, keep, shape: Shape::new(shape)? }, &[&next()?])
}
