//! Statistics, and what is normalised with them.

use super::{Affine, Given, Layout, Units};
use crate::lanes::{Arch, Float, Kernel, Lane, dispatch, fence};
use crate::pool;
use crate::rows::{Parts, Terms, load, put, sums};
use std::ops::Range;

/// Elements that a second pass finds in the nearest cache.
const NEAR: usize = 2048;

/// Number, mean and sum of squared distances from the mean.
#[derive(Clone, Copy)]
struct Moments {
    n: f64,
    mean: f64,
    m2: f64,
}

impl Moments {
    const NONE: Moments = Moments { n: 0.0, mean: 0.0, m2: 0.0 };

    #[inline(always)]
    fn and(self, o: Moments) -> Moments {
        if self.n == 0.0 {
            return o;
        }
        let (n, d) = (self.n + o.n, o.mean - self.mean);
        Moments {
            n,
            mean: self.mean + d * (o.n / n),
            m2: self.m2 + o.m2 + d * d * (self.n * o.n / n),
        }
    }

    /// Mean and variance, rounded.
    fn statistics<T: Float>(&self) -> (T, T) {
        (T::from_f64(self.mean), T::from_f64((self.m2 / self.n).max(0.0)))
    }

    #[inline(always)]
    fn of<L: Lane>(x: &[L::T]) -> Moments {
        let mut all = Moments::NONE;
        for x in x.chunks(NEAR) {
            let n = x.len() as f64;
            // Distances from about the mean give the mean itself, and squares without loss.
            let near = L::T::from_f64(sums::<L, 1>(x.len(), &Plain(x))[0] / n);
            let [d, m2] = sums(x.len(), &Distances { x, from: L::splat(near) });
            all = all.and(Moments { n, mean: near.to_f64() + d / n, m2: m2 - d * d / n });
        }
        all
    }
}

/// The elements.
struct Plain<'a, T>(&'a [T]);
impl<L: Lane> Terms<L, 1> for Plain<'_, L::T> {
    #[inline(always)]
    fn at(&self, i: usize, r: usize) -> [L; 1] {
        [load(self.0, i, r)]
    }
}

/// Distances and their squares.
struct Distances<'a, L: Lane> {
    x: &'a [L::T],
    from: L,
}
impl<L: Lane> Terms<L, 2> for Distances<'_, L> {
    #[inline(always)]
    fn at(&self, i: usize, r: usize) -> [L; 2] {
        let d = Lane::sub(load::<L>(self.x, i, r), self.from);
        [d, Lane::mul(d, d)]
    }
}

/// y = (x − mean) / √(var + ε) · weight + bias, with the mean and the (population) variance of every
/// unit, which are written too.
///
/// `affine` is weight and bias.
///
/// # Panics
/// If a slice has not the layout's length.
pub fn forward<T: Float>(
    layout: Layout,
    x: &[T],
    eps: f64,
    affine: [Option<&[T]>; 2],
    [y, mean, var]: [&mut [T]; 3],
    scratch: &mut [f64],
) {
    layout.check(x.len());
    assert_eq!(x.len(), y.len(), "normalisation: result's length");
    assert!(mean.len() == layout.units() && var.len() == layout.units(), "statistics: length");
    let moments = &mut scratch[..2 * layout.runs];
    if layout.by_units() {
        let (y, mean, var) = (Parts::new(y), Parts::new(mean), Parts::new(var));
        pool::for_ranges(layout.units(), layout.unit_grain(), |from, to| {
            // SAFETY: tasks have different units, and nothing else uses their statistics meanwhile.
            let (mean, var) = unsafe { (mean.part(from, to), var.part(from, to)) };
            dispatch(Whole { layout, x, eps, affine, units: from..to, y: &y, mean, var });
        });
        return;
    }
    let (len, out) = (layout.len, Parts::new(moments));
    pool::for_ranges(layout.runs, layout.grain(), |from, to| {
        // SAFETY: tasks have different runs, and the moments are not used otherwise meanwhile.
        let out = unsafe { out.part(2 * from, 2 * to) };
        dispatch(RunMoments { x: &x[from * len..to * len], len, out });
    });
    for (u, (mean, var)) in mean.iter_mut().zip(&mut *var).enumerate() {
        let all = layout.members(u).fold(Moments::NONE, |all, r| {
            all.and(Moments { n: len as f64, mean: moments[2 * r], m2: moments[2 * r + 1] })
        });
        (*mean, *var) = all.statistics();
    }
    let given = Given { mean, var, eps, weight: affine[0], bias: affine[1] };
    given.check(&layout);
    let y = Parts::new(y);
    pool::for_ranges(layout.runs, layout.grain(), |first, to| {
        // SAFETY: tasks have different runs.
        let y = unsafe { y.part(first * len, to * len) };
        dispatch(Apply { layout, given, first, x: &x[first * len..to * len], y });
    });
}

struct RunMoments<'a, T> {
    x: &'a [T],
    len: usize,
    /// Mean and sum of squares of each run.
    out: &'a mut [f64],
}

impl<T: Float> Kernel for RunMoments<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        for (x, out) in self.x.chunks(self.len).zip(self.out.chunks_mut(2)) {
            let m = Moments::of::<T::Lane<A>>(x);
            (out[0], out[1]) = (m.mean, m.m2);
        }
    }
}

struct Apply<'a, T> {
    layout: Layout,
    given: Given<'a, T>,
    first: usize,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Float> Kernel for Apply<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Apply { layout, given, first, x, y } = self;
        for (k, (x, y)) in x.chunks(layout.len).zip(y.chunks_mut(layout.len)).enumerate() {
            let at = given.of(layout.unit(first + k));
            apply::<T::Lane<A>>(&layout, [given.weight, given.bias], at, first + k, x, y);
        }
        if layout.past::<T>() {
            fence();
        }
    }
}

/// Statistics and results of whole units.
struct Whole<'a, T> {
    layout: Layout,
    x: &'a [T],
    eps: f64,
    affine: [Option<&'a [T]>; 2],
    units: Range<usize>,
    y: &'a Parts<T>,
    /// Those of these units.
    mean: &'a mut [T],
    var: &'a mut [T],
}

impl<T: Float> Kernel for Whole<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Whole { layout, x, eps, affine, units, y, mean, var } = self;
        let [weight, bias] = affine;
        for (k, unit) in units.enumerate() {
            let mut all = Moments::NONE;
            match layout.units {
                Units::Neighbours(_) => {
                    let n = layout.unit_len();
                    all = Moments::of::<T::Lane<A>>(&x[unit * n..(unit + 1) * n]);
                }
                Units::Interleaved(_) => {
                    for run in layout.members(unit) {
                        all = all.and(Moments::of::<T::Lane<A>>(&x[layout.range(run)]));
                    }
                }
            }
            (mean[k], var[k]) = all.statistics();
            let one = Given { mean: &mean[k..=k], var: &var[k..=k], eps, weight, bias };
            for run in layout.members(unit) {
                let Range { start, end } = layout.range(run);
                // SAFETY: tasks have different units, which have different runs.
                let y = unsafe { y.part(start, end) };
                apply::<T::Lane<A>>(&layout, affine, one.of(0), run, &x[start..end], y);
            }
        }
        if layout.past::<T>() {
            fence();
        }
    }
}

/// The results of one run with the mean and 1/√(var + ε) of its unit.
#[inline(always)]
fn apply<L: Lane>(
    layout: &Layout,
    [weight, bias]: [Option<&[L::T]>; 2],
    (mean, scale): (L::T, f64),
    run: usize,
    x: &[L::T],
    y: &mut [L::T],
) {
    let past = layout.past::<L::T>();
    match layout.affine {
        Affine::Runs(n) => {
            let weight = weight.map_or(1.0, |w| w[run % n].to_f64());
            let bias = bias.map_or(0.0, |b| b[run % n].to_f64());
            let scale = L::splat(L::T::from_f64(scale * weight));
            let (mean, bias) = (L::splat(mean), L::splat(L::T::from_f64(bias)));
            let mut i = 0;
            while i < x.len() {
                let r = L::W.min(x.len() - i);
                let d = Lane::sub(load::<L>(x, i, r), mean);
                put(Lane::fma(d, scale, bias), y, i, r, past);
                i += r;
            }
        }
        Affine::Elements => {
            let (mean, scale) = (L::splat(mean), L::splat(L::T::from_f64(scale)));
            match (weight, bias) {
                (Some(w), Some(b)) => elements::<L, true, true>(x, mean, scale, w, b, y, past),
                (Some(w), None) => elements::<L, true, false>(x, mean, scale, w, &[], y, past),
                (None, Some(b)) => elements::<L, false, true>(x, mean, scale, &[], b, y, past),
                (None, None) => elements::<L, false, false>(x, mean, scale, &[], &[], y, past),
            }
        }
    }
}

#[inline(always)]
fn elements<L: Lane, const WEIGHT: bool, const BIAS: bool>(
    x: &[L::T],
    mean: L,
    scale: L,
    weight: &[L::T],
    bias: &[L::T],
    y: &mut [L::T],
    past: bool,
) {
    let mut i = 0;
    while i < x.len() {
        let r = L::W.min(x.len() - i);
        let v = Lane::mul(Lane::sub(load::<L>(x, i, r), mean), scale);
        let v = match (WEIGHT, BIAS) {
            (true, true) => Lane::fma(v, load(weight, i, r), load(bias, i, r)),
            (true, false) => Lane::mul(v, load(weight, i, r)),
            (false, true) => Lane::add(v, load(bias, i, r)),
            (false, false) => v,
        };
        put(v, y, i, r, past);
        i += r;
    }
}
