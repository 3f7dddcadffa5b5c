//! What becomes of a convolution's sums on their way to memory.

use crate::lanes::{Arch, Float, Kernel, Lane, dispatch};
use crate::pool;
use crate::rows::{Parts, load, store};

/// `activation(sum + bias[channel] + residual)`.
#[derive(Clone, Copy, Debug)]
pub struct Epilogue<'a, T> {
    /// Added, one per channel of the result.
    pub bias: Option<&'a [T]>,
    /// Added, in the places of the result.
    pub residual: Option<&'a [T]>,
    /// Last.
    pub activation: Activation<&'a [T]>,
}

/// What becomes of negative values; `S` are slopes.
#[derive(Clone, Copy, Debug, Default)]
pub enum Activation<S> {
    /// They stay.
    #[default]
    Identity,
    /// They become 0.
    Relu,
    /// They are multiplied by a factor, one per channel of the result.
    Prelu(S),
}

impl<S> Activation<S> {
    /// The same with other slopes.
    pub fn try_map<R, E>(self, f: impl FnOnce(S) -> Result<R, E>) -> Result<Activation<R>, E> {
        Ok(match self {
            Activation::Identity => Activation::Identity,
            Activation::Relu => Activation::Relu,
            Activation::Prelu(slopes) => Activation::Prelu(f(slopes)?),
        })
    }
}

impl<T> Default for Epilogue<'_, T> {
    fn default() -> Self {
        Epilogue { bias: None, residual: None, activation: Activation::Identity }
    }
}

impl<'a, T: Float> Epilogue<'a, T> {
    /// Whether sums are stored as they are.
    pub(crate) fn is_none(&self) -> bool {
        let plain = matches!(self.activation, Activation::Identity);
        self.bias.is_none() && self.residual.is_none() && plain
    }

    /// The same for channels from `channel` on, and results from `at` on.
    pub fn part(&self, channel: usize, at: usize) -> Epilogue<'a, T> {
        Epilogue {
            bias: self.bias.map(|bias| &bias[channel..]),
            residual: self.residual.map(|residual| &residual[at..]),
            activation: match self.activation {
                Activation::Prelu(slope) => Activation::Prelu(&slope[channel..]),
                other => other,
            },
        }
    }

    /// What is stored for `n` sums of a channel, whose places start at `at` and are `pitch` apart.
    #[inline(always)]
    pub(crate) fn apply<L: Lane<T = T>>(
        &self,
        mut v: L,
        channel: usize,
        (at, pitch): (usize, usize),
        n: usize,
    ) -> L {
        if let Some(bias) = self.bias {
            v = v.add(L::splat(bias[channel]));
        }
        if let Some(residual) = self.residual {
            let mut values = [T::default(); 16];
            let values = if pitch == 1 {
                &residual[at..at + n]
            } else {
                let from = residual[at..].iter().step_by(pitch);
                values[..n].iter_mut().zip(from).for_each(|(to, v)| *to = *v);
                &values[..n]
            };
            // SAFETY: as many elements as the slice has.
            v = v.add(unsafe { L::load_n(values.as_ptr(), n) });
        }
        let zero = L::splat(T::default());
        match self.activation {
            Activation::Identity => v,
            Activation::Relu => L::sel(v.lt(zero), zero, v),
            Activation::Prelu(slope) => L::sel(v.lt(zero), v.mul(L::splat(slope[channel])), v),
        }
    }
}

/// Elements per task.
const TASK: usize = 1 << 15;

/// Brings sums that have been stored, planes of so many channels, to their results.
///
/// # Panics
/// If `y` is not whole images of such planes, or the epilogue has less than their elements.
pub fn finish<T: Float>(y: &mut [T], channels: usize, plane: usize, epilogue: &Epilogue<'_, T>) {
    if epilogue.is_none() || y.is_empty() {
        return;
    }
    assert_eq!(y.len() % (channels * plane), 0, "whole images");
    let planes = y.len() / plane;
    let y = Parts::new(y);
    pool::for_ranges(planes, TASK / plane, |from, to| {
        // SAFETY: tasks have different planes.
        let y = unsafe { y.part(from * plane, to * plane) };
        dispatch(Finish { y, first: from, channels, plane, epilogue });
    });
}

struct Finish<'a, T> {
    y: &'a mut [T],
    /// The first plane of all.
    first: usize,
    channels: usize,
    plane: usize,
    epilogue: &'a Epilogue<'a, T>,
}

impl<T: Float> Kernel for Finish<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { y, first, channels, plane, epilogue } = self;
        let w = <T::Lane<A> as Lane>::W;
        for (k, y) in y.chunks_exact_mut(plane).enumerate() {
            let k = first + k;
            for i in (0..plane).step_by(w) {
                let r = w.min(plane - i);
                let v = load::<T::Lane<A>>(y, i, r);
                store(epilogue.apply(v, k % channels, (k * plane + i, 1), r), y, i, r);
            }
        }
    }
}
