//! Random tensors.
//!
//! Numbers come from counter-based streams (Philox): element `i` of a draw depends on the
//! generator's seed, the number of the draw and `i` alone, so it is the same for any number of
//! threads.

use crate::shape::{Shape, broadcast};
use crate::{DType, Element, Result, Tensor, bail, ensure, ops};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use tengen_kernels::pool;
use tengen_kernels::pool::Shared;
use tengen_kernels::random::{self as kernels, Draws, Stream};

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

/// The generator of functions that are not given one; seeded from the system at first.
static GLOBAL: Mutex<Option<State>> = Mutex::new(None);

fn global() -> State {
    let mut state = GLOBAL.lock().unwrap_or_else(PoisonError::into_inner);
    // The standard library seeds its hashers from the system's randomness.
    let s = state.get_or_insert_with(|| State { seed: RandomState::new().hash_one(0), draws: 0 });
    let now = *s;
    s.draws += 1;
    now
}

/// Seeds the global generator: what follows is the same after the same seed.
pub fn seed(seed: u64) {
    *GLOBAL.lock().unwrap_or_else(PoisonError::into_inner) = Some(State { seed, draws: 0 });
}

/// A distribution of two parameters.
#[derive(Clone, Copy)]
struct Distribution {
    name: &'static str,
    parameters: [&'static str; 2],
    draw: fn(&mut Draws, f64, f64) -> f64,
}

const GAMMA: Distribution =
    Distribution { name: "gamma", parameters: ["shape", "scale"], draw: Draws::gamma };
const BETA: Distribution =
    Distribution { name: "beta", parameters: ["alpha", "beta"], draw: Draws::beta };
/// Its parameter is given twice.
const POISSON: Distribution =
    Distribution { name: "poisson", parameters: ["lam"; 2], draw: |d, lam, _| d.poisson(lam) };

/// Elements per task.
const TASK: usize = 16 * 1024;

impl State {
    fn stream(self) -> Stream {
        Stream { seed: self.seed, number: self.draws }
    }

    fn fill<T: Element + Sync>(
        self,
        shape: &[usize],
        f: impl Fn(Stream, u64, &mut [T]) + Sync,
    ) -> Result<Tensor> {
        let t = Tensor::empty(Shape::new(shape)?, T::DTYPE)?;
        let (p, stream) = (Shared(t.ptr::<T>()), self.stream());
        pool::for_ranges(t.numel(), TASK, |from, to| {
            // SAFETY: the tensor is new, its bytes are initialised and numbers of any bits are
            // valid; each task has its own part.
            let part = unsafe { std::slice::from_raw_parts_mut(p.at(from), to - from) };
            f(stream, from as u64, part);
        });
        Ok(t)
    }

    fn uniform(self, low: f64, high: f64, shape: &[usize], dtype: DType) -> Result<Tensor> {
        ensure!(
            low <= high && low.is_finite() && high.is_finite(),
            Value,
            "uniform: {low}..{high} is no range"
        );
        match dtype {
            DType::F64 => {
                self.fill::<f64>(shape, |s, i, out| kernels::fill_uniform(s, i, low, high, out))
            }
            d if d.is_float() => {
                let (low, high) = (low as f32, high as f32);
                let t = self
                    .fill::<f32>(shape, |s, i, out| kernels::fill_uniform(s, i, low, high, out))?;
                ops::cast(&t, d)
            }
            d => bail!(DType, "uniform: numbers are floats, not {d}"),
        }
    }

    fn normal(self, mean: f64, std: f64, shape: &[usize], dtype: DType) -> Result<Tensor> {
        ensure!(std >= 0.0, Value, "normal: the standard deviation {std} is negative");
        match dtype {
            DType::F64 => {
                self.fill::<f64>(shape, |s, i, out| kernels::fill_normal(s, i, mean, std, out))
            }
            d if d.is_float() => {
                let (mean, std) = (mean as f32, std as f32);
                let t = self
                    .fill::<f32>(shape, |s, i, out| kernels::fill_normal(s, i, mean, std, out))?;
                ops::cast(&t, d)
            }
            d => bail!(DType, "normal: numbers are floats, not {d}"),
        }
    }

    fn permutation(self, n: usize) -> Result<Tensor> {
        ensure!(i32::try_from(n).is_ok(), Value, "permutation: {n} elements do not fit i32");
        let mut t = Tensor::empty(Shape::new(&[n])?, DType::I32)?;
        kernels::permutation(self.stream(), t.as_mut_slice::<i32>()?);
        Ok(t)
    }

    /// Numbers of `distribution` with parameters `a` and `b`; see [`gamma`].
    fn distributed(
        self,
        distribution: Distribution,
        [a, b]: [&Tensor; 2],
        size: &[usize],
    ) -> Result<Tensor> {
        let name = distribution.name;
        for (x, what) in [a, b].into_iter().zip(distribution.parameters) {
            if let Some(v) = x.to_f64_vec()?.into_iter().find(|v| !(*v > 0.0 && v.is_finite())) {
                bail!(Value, "{name}: {what} is {v}; it must be positive and finite");
            }
        }
        let each = broadcast(name, a.shape(), b.shape())?;
        let shape = Shape::new(&[size, &each[..]].concat())?;
        let double = a.dtype() == DType::F64 || b.dtype() == DType::F64;
        let values = |x: &Tensor| {
            ops::cast(&ops::broadcast_to(&x.detach(), &each)?, DType::F64)?.contiguous()
        };
        let (a, b) = (values(a)?, values(b)?);
        let (a, b, n) = (a.as_slice::<f64>()?, b.as_slice::<f64>()?, each.numel().max(1));
        let draw = |stream: Stream, i: u64| {
            let at = i as usize % n;
            (distribution.draw)(&mut stream.draws(i), a[at], b[at])
        };
        if double {
            return self.fill::<f64>(&shape, |s, start, out| {
                out.iter_mut().zip(start..).for_each(|(v, i)| *v = draw(s, i));
            });
        }
        self.fill::<f32>(&shape, |s, start, out| {
            out.iter_mut().zip(start..).for_each(|(v, i)| *v = draw(s, i) as f32);
        })
    }

    /// 0 with probability `p`, else `keep`.
    fn mask(self, p: f64, keep: f32, shape: &[usize]) -> Result<Tensor> {
        self.fill::<f32>(shape, |s, i, out| kernels::fill_bernoulli(s, i, p, 0.0, keep, out))
    }
}

impl Generator {
    /// A generator whose numbers follow from `seed`.
    pub fn new(seed: u64) -> Generator {
        Generator(Mutex::new(State { seed, draws: 0 }))
    }

    fn next(&self) -> State {
        let mut s = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = *s;
        s.draws += 1;
        now
    }

    /// Numbers uniform in low..high (low included); see [`uniform`].
    ///
    /// # Errors
    /// As [`uniform`].
    pub fn uniform(&self, low: f64, high: f64, shape: &[usize], dtype: DType) -> Result<Tensor> {
        self.next().uniform(low, high, shape, dtype)
    }

    /// Normal numbers; see [`normal`].
    ///
    /// # Errors
    /// As [`normal`].
    pub fn normal(&self, mean: f64, std: f64, shape: &[usize], dtype: DType) -> Result<Tensor> {
        self.next().normal(mean, std, shape, dtype)
    }

    /// Gamma-distributed numbers; see [`gamma`].
    ///
    /// # Errors
    /// As [`gamma`].
    pub fn gamma(&self, shape: &Tensor, scale: &Tensor, size: &[usize]) -> Result<Tensor> {
        self.next().distributed(GAMMA, [shape, scale], size)
    }

    /// Beta-distributed numbers; see [`beta`].
    ///
    /// # Errors
    /// As [`beta`].
    pub fn beta(&self, alpha: &Tensor, beta: &Tensor, size: &[usize]) -> Result<Tensor> {
        self.next().distributed(BETA, [alpha, beta], size)
    }

    /// Poisson-distributed numbers; see [`poisson`].
    ///
    /// # Errors
    /// As [`poisson`].
    pub fn poisson(&self, lam: &Tensor, size: &[usize]) -> Result<Tensor> {
        self.next().distributed(POISSON, [lam, lam], size)
    }

    /// The numbers 0..n in random order; see [`permutation`].
    ///
    /// # Errors
    /// As [`permutation`].
    pub fn permutation(&self, n: usize) -> Result<Tensor> {
        self.next().permutation(n)
    }
}

/// Numbers uniform in low..high (low included), from the global generator.
///
/// # Errors
/// Value: low..high is no finite range. DType: `dtype` is no float. Shape: `shape` is impossible.
/// Memory: the result cannot be had.
pub fn uniform(low: f64, high: f64, shape: &[usize], dtype: DType) -> Result<Tensor> {
    global().uniform(low, high, shape, dtype)
}

/// Normal numbers of this mean and standard deviation, from the global generator.
///
/// # Errors
/// As [`uniform`]; Value: the standard deviation is negative.
pub fn normal(mean: f64, std: f64, shape: &[usize], dtype: DType) -> Result<Tensor> {
    global().normal(mean, std, shape, dtype)
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
    global().distributed(GAMMA, [shape, scale], size)
}

/// Numbers with the density xᵃ⁻¹·(1 − x)ᵇ⁻¹ / B(a, b), from the global generator; shapes as in
/// [`gamma`].
///
/// # Errors
/// As [`gamma`].
pub fn beta(alpha: &Tensor, beta: &Tensor, size: &[usize]) -> Result<Tensor> {
    global().distributed(BETA, [alpha, beta], size)
}

/// Whole numbers k with probability λᵏ·exp(−λ) / k!, from the global generator; shapes as in
/// [`gamma`].
///
/// # Errors
/// As [`gamma`].
pub fn poisson(lam: &Tensor, size: &[usize]) -> Result<Tensor> {
    global().distributed(POISSON, [lam, lam], size)
}

/// The numbers 0..n in random order, as i32, from the global generator.
///
/// # Errors
/// Value: n does not fit i32. Memory: the result cannot be had.
pub fn permutation(n: usize) -> Result<Tensor> {
    global().permutation(n)
}

/// A tensor of this shape that is 0 with probability `p`, else `keep`, from the global generator.
///
/// # Errors
/// Value: `p` is no probability. Memory: the result cannot be had.
pub fn mask(p: f64, keep: f64, shape: &[usize]) -> Result<Tensor> {
    ensure!((0.0..=1.0).contains(&p), Value, "{p} is no probability");
    global().mask(p, keep as f32, shape)
}
