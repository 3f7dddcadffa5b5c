//! Random tensors.
//!
//! Numbers come from counter-based streams (Philox): element `i` of a draw depends on the
//! generator's seed, the number of the draw and `i` alone, so it is the same for any number of
//! threads.

use crate::elementwise::Shared;
use crate::shape::Shape;
use crate::{DType, Element, Result, Tensor, bail, ensure, ops};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use tengen_kernels::pool;
use tengen_kernels::random::{self as kernels, Stream};

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
            let part = unsafe { std::slice::from_raw_parts_mut(p.at(from as isize), to - from) };
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
