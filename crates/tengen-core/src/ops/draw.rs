//! Random numbers. The first input of every draw is the state of a generator: its seed and the
//! number of the draw, from which all of its numbers follow.

use super::elementwise::promote;
use crate::op::{Attributes, Described, Entry, Meta, Metas, Op, Saves};
use crate::shape::{Shape, broadcast};
use crate::{DType, Result, bail, ensure};

pub(super) const OPERATORS: &[&[Entry]] = &[&[
    Entry::of::<Uniform>(&["uniform"]),
    Entry::of::<Normal>(&["normal"]),
    Entry::of::<Bernoulli>(&["bernoulli"]),
    Entry::of::<Permutation>(&["permutation"]),
    Entry::of::<Draw>(&["gamma", "beta", "poisson"]),
]];

/// Checks a generator's state: i64 `[2]`.
fn expect_state(name: &str, state: &Described) -> Result<()> {
    let fits = *state.shape() == [2] && state.dtype() == DType::I64;
    ensure!(fits, Shape, "{name}: a generator's state is i64[2], not {state}");
    Ok(())
}

/// Numbers uniform in low..high.
#[derive(Attributes)]
pub(crate) struct Uniform {
    pub low: f64,
    pub high: f64,
    pub shape: Shape,
    pub dtype: DType,
}

impl Op for Uniform {
    fn name(&self) -> &'static str {
        "uniform"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        expect_state(self.name(), x[0])?;
        let (low, high) = (self.low, self.high);
        ensure!(
            low <= high && low.is_finite() && high.is_finite(),
            Value,
            "uniform: {low}..{high} is no range"
        );
        ensure!(self.dtype.is_float(), DType, "uniform: numbers are floats, not {}", self.dtype);
        Ok(Meta::one(self.shape, self.dtype))
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
}

/// Normal numbers.
#[derive(Attributes)]
pub(crate) struct Normal {
    pub mean: f64,
    pub std: f64,
    pub shape: Shape,
    pub dtype: DType,
}

impl Op for Normal {
    fn name(&self) -> &'static str {
        "normal"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        expect_state(self.name(), x[0])?;
        let std = self.std;
        ensure!(std >= 0.0, Value, "normal: the standard deviation {std} is negative");
        ensure!(self.dtype.is_float(), DType, "normal: numbers are floats, not {}", self.dtype);
        Ok(Meta::one(self.shape, self.dtype))
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
}

/// 0 with probability `p`, else `keep`; f32.
#[derive(Attributes)]
pub(crate) struct Bernoulli {
    pub p: f64,
    pub keep: f64,
    pub shape: Shape,
}

impl Op for Bernoulli {
    fn name(&self) -> &'static str {
        "bernoulli"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        expect_state(self.name(), x[0])?;
        ensure!((0.0..=1.0).contains(&self.p), Value, "{} is no probability", self.p);
        Ok(Meta::one(self.shape, DType::F32))
    }
    fn saves(&self, _: DType) -> Saves {
        Saves::NOTHING
    }
}

/// The numbers 0..count in random order; i32.
#[derive(Attributes)]
pub(crate) struct Permutation {
    pub count: usize,
}

impl Op for Permutation {
    fn name(&self) -> &'static str {
        "permutation"
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        expect_state(self.name(), x[0])?;
        let n = self.count;
        ensure!(i32::try_from(n).is_ok(), Value, "permutation: {n} elements do not fit i32");
        Ok(Meta::one(Shape::new(&[n])?, DType::I32))
    }
}

/// A distribution of two parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Attributes)]
pub(crate) enum Distribution {
    /// Of shape and scale.
    Gamma,
    /// Of alpha and beta.
    Beta,
    /// Of lam, which is given twice.
    Poisson,
}

impl Distribution {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Distribution::Gamma => "gamma",
            Distribution::Beta => "beta",
            Distribution::Poisson => "poisson",
        }
    }

    /// The names of the parameters.
    pub(crate) fn parameters(self) -> [&'static str; 2] {
        match self {
            Distribution::Gamma => ["shape", "scale"],
            Distribution::Beta => ["alpha", "beta"],
            Distribution::Poisson => ["lam"; 2],
        }
    }
}

/// State and two parameters, which are broadcast together → numbers, with `size` in front of their
/// shape.
#[derive(Attributes)]
pub(crate) struct Draw {
    pub distribution: Distribution,
    pub size: Shape,
}

impl Op for Draw {
    fn name(&self) -> &'static str {
        self.distribution.name()
    }
    fn takes(&self, inputs: usize) -> bool {
        inputs == 3
    }
    fn infer(&self, x: &[&Described]) -> Result<Metas> {
        expect_state(self.name(), x[0])?;
        let (a, b) = (x[1], x[2]);
        let each = broadcast(self.name(), a.shape(), b.shape())?;
        let shape = Shape::new(&[&self.size[..], &each[..]].concat())?;
        let double = promote([a.dtype(), b.dtype()]) == DType::F64;
        Ok(Meta::one(shape, if double { DType::F64 } else { DType::F32 }))
    }
    fn grad(&self, _: &crate::Gradient) -> Result<crate::Grads> {
        bail!(Unsupported, "{}: no gradient flows to the parameters", self.name())
    }
}
