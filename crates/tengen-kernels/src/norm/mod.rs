//! Normalisation: y = (x − mean) / √(var + ε) · weight + bias, and its gradients.
//!
//! Data is cut into runs of neighbouring elements; a unit of runs shares a mean and a variance.
//! Sums are taken in the element type over short spans and in f64 beyond, and variances around the
//! mean of each span (Chan et al. 1979), so that no bits are lost to a large mean. What threads do
//! depends on the layout alone.

mod backward;
mod forward;
#[cfg(test)]
mod tests;

pub use backward::backward;
pub use forward::forward;

use crate::copy::PAST;
use crate::lanes::Float;

/// Elements per task.
const TASK: usize = 16 * 1024;

/// Which runs share statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// Run r belongs to unit r mod n.
    Interleaved(usize),
    /// So many neighbouring runs are a unit.
    Neighbours(usize),
}

/// What weight and bias are given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affine {
    /// Each element of a run; runs must be units of their own.
    Elements,
    /// Each run: r mod n of them.
    Runs(usize),
}

/// How data is cut into runs and units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Number of runs.
    pub runs: usize,
    /// Elements in each.
    pub len: usize,
    /// Which of them share statistics.
    pub units: Units,
    /// What weight and bias are for.
    pub affine: Affine,
}

impl Layout {
    /// The number of units.
    pub fn units(&self) -> usize {
        match self.units {
            Units::Interleaved(n) => n,
            Units::Neighbours(n) => self.runs / n.max(1),
        }
    }

    /// Elements in a unit.
    pub fn unit_len(&self) -> usize {
        match self.units {
            Units::Interleaved(n) => self.runs / n.max(1) * self.len,
            Units::Neighbours(n) => n * self.len,
        }
    }

    /// Elements of weight and bias.
    pub fn affine_len(&self) -> usize {
        match self.affine {
            Affine::Elements => self.len,
            Affine::Runs(n) => n,
        }
    }

    /// Numbers of scratch space for [`forward`] and [`backward`].
    pub fn scratch_len(&self) -> usize {
        let partial = match self.affine {
            Affine::Elements => 2 * self.blocks() * self.len,
            Affine::Runs(_) => 0,
        };
        2 * self.runs + partial
    }

    fn unit(&self, run: usize) -> usize {
        match self.units {
            Units::Interleaved(n) => run % n,
            Units::Neighbours(n) => run / n,
        }
    }

    /// The runs of a unit: the first, the distance to the next, and how many.
    fn members(&self, unit: usize) -> impl Iterator<Item = usize> + use<> {
        let (first, step, n) = match self.units {
            Units::Interleaved(n) => (unit, n, self.runs / n),
            Units::Neighbours(n) => (unit * n, 1, n),
        };
        (0..n).map(move |i| first + i * step)
    }

    /// Blocks of runs whose gradients to an elementwise weight are summed separately.
    fn blocks(&self) -> usize {
        self.runs.min(32)
    }

    /// Whether a task does all of a unit, so that what it read once is still near when it is needed
    /// again: if units are in one piece, and enough of them. The pieces of interleaved units fall on
    /// few sets of a cache and drive each other out.
    fn by_units(&self) -> bool {
        let whole = matches!(self.units, Units::Neighbours(_));
        self.units() == self.runs || (whole && self.units() >= 16)
    }

    /// Units per task.
    fn unit_grain(&self) -> usize {
        (TASK / self.unit_len().max(1)).max(1)
    }

    fn range(&self, run: usize) -> std::ops::Range<usize> {
        run * self.len..(run + 1) * self.len
    }

    /// Whether results are so many that they go past the caches.
    fn past<T>(&self) -> bool {
        self.runs * self.len * size_of::<T>() >= PAST
    }

    /// Runs per task.
    fn grain(&self) -> usize {
        (TASK / self.len.max(1)).max(1)
    }

    fn check(&self, len: usize) {
        assert_eq!(self.runs * self.len, len, "normalisation: length");
        assert!(
            self.affine != Affine::Elements || self.units == Units::Neighbours(1),
            "normalisation: elementwise weights need runs that are units"
        );
    }
}

/// What normalisation multiplies with and adds.
#[derive(Clone, Copy)]
pub struct Given<'a, T> {
    /// The means of units.
    pub mean: &'a [T],
    /// The variances of units.
    pub var: &'a [T],
    /// ε
    pub eps: f64,
    /// The factors after normalisation.
    pub weight: Option<&'a [T]>,
    /// What is added after them.
    pub bias: Option<&'a [T]>,
}

impl<T: Float> Given<'_, T> {
    fn check(&self, layout: &Layout) {
        let n = layout.affine_len();
        assert!(self.weight.is_none_or(|w| w.len() == n), "normalisation: weight's length");
        assert!(self.bias.is_none_or(|b| b.len() == n), "normalisation: bias's length");
        assert_eq!(self.mean.len(), layout.units(), "normalisation: number of means");
        assert_eq!(self.var.len(), layout.units(), "normalisation: number of variances");
    }

    /// The weight of a run, if weights are for runs, else 1.
    #[inline(always)]
    fn factor(&self, layout: &Layout, run: usize) -> f64 {
        match (layout.affine, self.weight) {
            (Affine::Runs(n), Some(w)) => w[run % n].to_f64(),
            _ => 1.0,
        }
    }

    /// The mean and 1/√(var + ε) of a unit.
    #[inline(always)]
    fn of(&self, unit: usize) -> (T, f64) {
        (self.mean[unit], 1.0 / (self.var[unit].to_f64() + self.eps).sqrt())
    }
}
