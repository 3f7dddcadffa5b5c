//! Normalisation: y = (x − mean) / √(var + ε) · weight + bias, and its gradients.
//!
//! Data is cut into runs of neighbouring elements; a unit of runs shares a mean and a variance.
//! Sums are taken in the element type over short spans and in f64 beyond, and variances around the
//! mean of each span (Chan et al. 1979), so that no bits are lost to a large mean. What threads do
//! depends on the layout alone.

use crate::lanes::{Arch, Float, Kernel, Lane, dispatch};
use crate::pool;
use crate::rows::{Parts, SPAN, read, sums, write};

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

    /// Numbers of scratch space for [`statistics`] and [`backward`].
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
        self.runs.min(16)
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

/// Elements per task.
const TASK: usize = 16 * 1024;

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

    #[inline(always)]
    fn of<L: Lane>(x: &[L::T]) -> Moments {
        let zero = L::splat(L::T::default());
        let mut all = Moments::NONE;
        for x in x.chunks(SPAN) {
            let n = x.len() as f64;
            // Distances from about the mean give the mean itself, and squares without loss.
            let near = L::T::from_f64(sums::<L>(x.len(), |i| [read(x, i), zero])[0] / n);
            let centre = L::splat(near);
            let [d, m2] = sums::<L>(x.len(), |i| {
                let d = Lane::sub(read::<L>(x, i), centre);
                [d, Lane::mul(d, d)]
            });
            all = all.and(Moments { n, mean: near.to_f64() + d / n, m2: m2 - d * d / n });
        }
        all
    }
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

/// The mean and the (population) variance of every unit.
///
/// # Panics
/// If a slice has not the layout's length.
pub fn statistics<T: Float>(
    layout: Layout,
    x: &[T],
    mean: &mut [T],
    var: &mut [T],
    scratch: &mut [f64],
) {
    layout.check(x.len());
    let scratch = &mut scratch[..2 * layout.runs];
    let (len, out) = (layout.len, Parts::new(scratch));
    pool::for_ranges(layout.runs, layout.grain(), |from, to| {
        // SAFETY: tasks have different runs, and `scratch` is not used otherwise meanwhile.
        let out = unsafe { out.part(2 * from, 2 * to) };
        dispatch(RunMoments { x: &x[from * len..to * len], len, out });
    });
    assert!(mean.len() == layout.units() && var.len() == layout.units(), "statistics: length");
    for (u, (mean, var)) in mean.iter_mut().zip(var).enumerate() {
        let all = layout.members(u).fold(Moments::NONE, |all, r| {
            all.and(Moments { n: len as f64, mean: scratch[2 * r], m2: scratch[2 * r + 1] })
        });
        (*mean, *var) = (T::from_f64(all.mean), T::from_f64((all.m2 / all.n).max(0.0)));
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

    /// The mean and 1/√(var + ε) of a unit.
    #[inline(always)]
    fn of(&self, unit: usize) -> (T, f64) {
        (self.mean[unit], 1.0 / (self.var[unit].to_f64() + self.eps).sqrt())
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
            let (mean, scale) = given.of(layout.unit(first + k));
            let splat = |v: f64| <T::Lane<A>>::splat(T::from_f64(v));
            let mean = <T::Lane<A>>::splat(mean);
            let mut i = 0;
            match layout.affine {
                Affine::Runs(n) => {
                    let r = (first + k) % n;
                    let weight = given.weight.map_or(1.0, |w| w[r].to_f64());
                    let scale = splat(scale * weight);
                    let bias = splat(given.bias.map_or(0.0, |b| b[r].to_f64()));
                    while i < x.len() {
                        let d = Lane::sub(read::<T::Lane<A>>(x, i), mean);
                        write(Lane::add(Lane::mul(d, scale), bias), y, i);
                        i += <T::Lane<A> as Lane>::W;
                    }
                }
                Affine::Elements => {
                    let scale = splat(scale);
                    while i < x.len() {
                        let d = Lane::sub(read::<T::Lane<A>>(x, i), mean);
                        let mut v = Lane::mul(d, scale);
                        if let Some(w) = given.weight {
                            v = Lane::mul(v, read(w, i));
                        }
                        if let Some(b) = given.bias {
                            v = Lane::add(v, read(b, i));
                        }
                        write(v, y, i);
                        i += <T::Lane<A> as Lane>::W;
                    }
                }
            }
        }
    }
}

/// y = (x − mean) / √(var + ε) · weight + bias.
///
/// # Panics
/// If a slice has not the layout's length.
pub fn apply<T: Float>(layout: Layout, given: Given<T>, x: &[T], y: &mut [T]) {
    layout.check(x.len());
    given.check(&layout);
    assert_eq!(x.len(), y.len(), "normalisation: result's length");
    let (len, y) = (layout.len, Parts::new(y));
    pool::for_ranges(layout.runs, layout.grain(), |first, to| {
        // SAFETY: tasks have different runs.
        let y = unsafe { y.part(first * len, to * len) };
        dispatch(Apply { layout, given, first, x: &x[first * len..to * len], y });
    });
}

/// Sums over each run of g and g·(x − mean), where g is dy, times the weight if that is elementwise.
struct RunSums<'a, T> {
    layout: Layout,
    given: Given<'a, T>,
    first: usize,
    x: &'a [T],
    dy: &'a [T],
    out: &'a mut [f64],
}

impl<T: Float> Kernel for RunSums<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let RunSums { layout, given, first, x, dy, out } = self;
        let weight = given.weight.filter(|_| layout.affine == Affine::Elements);
        let runs = x.chunks(layout.len).zip(dy.chunks(layout.len)).zip(out.chunks_mut(2));
        for (k, ((x, dy), out)) in runs.enumerate() {
            let mean = <T::Lane<A>>::splat(given.mean[layout.unit(first + k)]);
            let s = sums::<T::Lane<A>>(x.len(), |i| {
                let mut g: T::Lane<A> = read(dy, i);
                if let Some(w) = weight {
                    g = Lane::mul(g, read(w, i));
                }
                [g, Lane::mul(g, Lane::sub(read(x, i), mean))]
            });
            out.copy_from_slice(&s);
        }
    }
}

/// The gradient to x of [`backward`].
struct ToInput<'a, T> {
    layout: Layout,
    given: Given<'a, T>,
    first: usize,
    x: &'a [T],
    dy: &'a [T],
    /// The unit's sums of g and g·(x − mean), for the runs of each.
    sums: &'a [f64],
    dx: &'a mut [T],
}

impl<T: Float> Kernel for ToInput<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let ToInput { layout, given, first, x, dy, sums, dx } = self;
        let (len, n) = (layout.len, layout.unit_len() as f64);
        let splat = |v: f64| <T::Lane<A>>::splat(T::from_f64(v));
        let runs = x.chunks(len).zip(dy.chunks(len)).zip(dx.chunks_mut(len));
        for (k, ((x, dy), dx)) in runs.enumerate() {
            let unit = layout.unit(first + k);
            let (mean, rstd) = given.of(unit);
            let factor = match (layout.affine, given.weight) {
                (Affine::Runs(m), Some(w)) => w[(first + k) % m].to_f64(),
                _ => 1.0,
            };
            let weight = given.weight.filter(|_| layout.affine == Affine::Elements);
            let [g, gx] = [sums[2 * unit], sums[2 * unit + 1]];
            let (factor, scale) = (splat(factor), splat(rstd));
            let (level, slope) = (splat(g / n), splat(-rstd * rstd * rstd * gx / n));
            let mean = <T::Lane<A>>::splat(mean);
            let mut i = 0;
            while i < x.len() {
                let mut g: T::Lane<A> = read(dy, i);
                if let Some(w) = weight {
                    g = Lane::mul(g, read(w, i));
                }
                let d = Lane::sub(read(x, i), mean);
                let g = Lane::sub(Lane::mul(g, factor), level);
                let v = Lane::add(Lane::mul(scale, g), Lane::mul(slope, d));
                write(v, dx, i);
                i += <T::Lane<A> as Lane>::W;
            }
        }
    }
}

/// Sums over runs of dy·(x − mean)/√(var + ε) and of dy, element by element.
struct ToElements<'a, T> {
    given: Given<'a, T>,
    first: usize,
    len: usize,
    x: &'a [T],
    dy: &'a [T],
    dw: &'a mut [f64],
    db: &'a mut [f64],
}

impl<T: Float> Kernel for ToElements<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let ToElements { given, first, len, x, dy, dw, db } = self;
        // So many runs meet in the element type.
        const ROWS: usize = 32;
        const COLUMNS: usize = 256;
        let rows = x.len() / len;
        dw.fill(0.0);
        db.fill(0.0);
        for from in (0..rows).step_by(ROWS) {
            for at in (0..len).step_by(COLUMNS) {
                let n = COLUMNS.min(len - at);
                let (mut aw, mut ab) = ([T::default(); COLUMNS], [T::default(); COLUMNS]);
                for row in from..rows.min(from + ROWS) {
                    let (mean, rstd) = given.of(first + row);
                    let mean = <T::Lane<A>>::splat(mean);
                    let rstd = <T::Lane<A>>::splat(T::from_f64(rstd));
                    let x = &x[row * len + at..][..n];
                    let dy = &dy[row * len + at..][..n];
                    let mut i = 0;
                    while i < n {
                        let g: T::Lane<A> = read(dy, i);
                        let d = Lane::mul(Lane::sub(read(x, i), mean), rstd);
                        let w = Lane::add(read(&aw[..n], i), Lane::mul(g, d));
                        let b = Lane::add(read(&ab[..n], i), g);
                        write(w, &mut aw[..n], i);
                        write(b, &mut ab[..n], i);
                        i += <T::Lane<A> as Lane>::W;
                    }
                }
                for j in 0..n {
                    dw[at + j] += aw[j].to_f64();
                    db[at + j] += ab[j].to_f64();
                }
            }
        }
    }
}

/// The gradients to x, weight and bias, given that to y; `dw` and `db` are empty if not wanted.
///
/// With x̂ = (x − mean)/√(var + ε) and g = dy·weight, dx = (g − ḡ − x̂·mean(g·x̂))/√(var + ε), the
/// means being over units.
///
/// # Panics
/// If a slice has not the layout's length.
pub fn backward<T: Float>(
    layout: Layout,
    given: Given<T>,
    x: &[T],
    dy: &[T],
    [dx, dw, db]: [&mut [T]; 3],
    scratch: &mut [f64],
) {
    layout.check(x.len());
    given.check(&layout);
    assert!(x.len() == dy.len() && (dx.is_empty() || dx.len() == x.len()), "gradient's length");
    let affine = layout.affine_len();
    assert!(dw.is_empty() || dw.len() == affine, "weight gradient's length");
    assert!(db.is_empty() || db.len() == affine, "bias gradient's length");
    let (sums, partial) = scratch[..layout.scratch_len()].split_at_mut(2 * layout.runs);
    let len = layout.len;
    let range = |from: usize, to: usize| from * len..to * len;
    if !dx.is_empty() || matches!(layout.affine, Affine::Runs(_)) {
        let out = Parts::new(sums);
        pool::for_ranges(layout.runs, layout.grain(), |first, to| {
            // SAFETY: tasks have different runs, and `sums` is not used otherwise meanwhile.
            let out = unsafe { out.part(2 * first, 2 * to) };
            let (x, dy) = (&x[range(first, to)], &dy[range(first, to)]);
            dispatch(RunSums { layout, given, first, x, dy, out });
        });
    }
    match layout.affine {
        Affine::Elements if !(dw.is_empty() && db.is_empty()) => {
            let blocks = layout.blocks();
            let out = Parts::new(partial);
            pool::for_each(blocks, |b| {
                let (first, to) = (b * layout.runs / blocks, (b + 1) * layout.runs / blocks);
                // SAFETY: blocks have different parts.
                let part = unsafe { out.part(2 * b * len, 2 * (b + 1) * len) };
                let (w, b) = part.split_at_mut(len);
                let (x, dy) = (&x[range(first, to)], &dy[range(first, to)]);
                dispatch(ToElements { given, first, len, x, dy, dw: w, db: b });
            });
            let total = |j: usize| T::from_f64((0..blocks).map(|b| partial[2 * b * len + j]).sum());
            dw.iter_mut().enumerate().for_each(|(j, d)| *d = total(j));
            db.iter_mut().enumerate().for_each(|(j, d)| *d = total(len + j));
        }
        Affine::Runs(m) => {
            for (c, d) in dw.iter_mut().enumerate() {
                let term = |r: usize| sums[2 * r + 1] * given.of(layout.unit(r)).1;
                *d = T::from_f64((c..layout.runs).step_by(m).map(term).sum());
            }
            for (c, d) in db.iter_mut().enumerate() {
                *d = T::from_f64((c..layout.runs).step_by(m).map(|r| sums[2 * r]).sum());
            }
        }
        Affine::Elements => {}
    }
    if dx.is_empty() {
        return;
    }
    // The sums of units take the place of those of runs, of which there are no fewer: those of a
    // unit are read before its place is written, and each place is read first by its own unit.
    for unit in 0..layout.units() {
        let mut total = [0.0; 2];
        for r in layout.members(unit) {
            let factor = match (layout.affine, given.weight) {
                (Affine::Runs(m), Some(w)) => w[r % m].to_f64(),
                _ => 1.0,
            };
            total[0] += sums[2 * r] * factor;
            total[1] += sums[2 * r + 1] * factor;
        }
        sums[2 * unit..2 * unit + 2].copy_from_slice(&total);
    }
    let (sums, out) = (&*sums, Parts::new(dx));
    pool::for_ranges(layout.runs, layout.grain(), |first, to| {
        // SAFETY: tasks have different runs.
        let dx = unsafe { out.part(first * len, to * len) };
        let (x, dy) = (&x[range(first, to)], &dy[range(first, to)]);
        dispatch(ToInput { layout, given, first, x, dy, sums, dx });
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{available, with_isa};

    fn noise(n: usize, seed: u64, offset: f64) -> Vec<f64> {
        let mut s = seed;
        std::iter::repeat_with(|| {
            s = s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (s >> 40) as f64 / (1 << 23) as f64 - 1.0 + offset
        })
        .take(n)
        .collect()
    }

    fn layouts() -> Vec<Layout> {
        let new = |runs, len, units, affine| Layout { runs, len, units, affine };
        vec![
            new(6, 5, Units::Interleaved(3), Affine::Runs(3)),
            new(4, 5000, Units::Interleaved(2), Affine::Runs(2)),
            new(12, 9, Units::Neighbours(2), Affine::Runs(6)),
            new(12, 17, Units::Neighbours(1), Affine::Runs(4)),
            new(40, 7, Units::Neighbours(1), Affine::Elements),
            new(3, 6000, Units::Neighbours(1), Affine::Elements),
            new(1, 1, Units::Neighbours(1), Affine::Elements),
        ]
    }

    /// y and the gradients by the definition, in f64.
    fn reference(
        l: Layout,
        x: &[f64],
        dy: &[f64],
        w: &[f64],
        b: &[f64],
        eps: f64,
    ) -> [Vec<f64>; 4] {
        let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let (mut dw, mut db) = (vec![0.0; w.len()], vec![0.0; w.len()]);
        let n = l.unit_len() as f64;
        for u in 0..l.units() {
            let all: Vec<usize> = l.members(u).flat_map(|r| r * l.len..(r + 1) * l.len).collect();
            let at = |i: usize| match l.affine {
                Affine::Elements => i % l.len,
                Affine::Runs(m) => i / l.len % m,
            };
            let mean = all.iter().map(|i| x[*i]).sum::<f64>() / n;
            let var = all.iter().map(|i| (x[*i] - mean).powi(2)).sum::<f64>() / n;
            let rstd = 1.0 / (var + eps).sqrt();
            let hat = |i: usize| (x[i] - mean) * rstd;
            let g = |i: usize| dy[i] * w[at(i)];
            let s = all.iter().map(|i| g(*i)).sum::<f64>() / n;
            let t = all.iter().map(|i| g(*i) * hat(*i)).sum::<f64>() / n;
            for &i in &all {
                y[i] = hat(i) * w[at(i)] + b[at(i)];
                dx[i] = rstd * (g(i) - s - hat(i) * t);
                dw[at(i)] += dy[i] * hat(i);
                db[at(i)] += dy[i];
            }
        }
        [y, dx, dw, db]
    }

    fn run<T: Float>(l: Layout, x: &[f64], dy: &[f64], w: &[f64], b: &[f64]) -> [Vec<f64>; 4] {
        let of = |v: &[f64]| v.iter().map(|v| T::from_f64(*v)).collect::<Vec<T>>();
        let back = |v: Vec<T>| v.into_iter().map(T::to_f64).collect::<Vec<f64>>();
        let (x, dy, w, b) = (of(x), of(dy), of(w), of(b));
        let (mut mean, mut var) = (of(&vec![0.0; l.units()]), of(&vec![0.0; l.units()]));
        let mut scratch = vec![0.0; l.scratch_len()];
        statistics(l, &x, &mut mean, &mut var, &mut scratch);
        let given = Given { mean: &mean, var: &var, eps: 1e-3, weight: Some(&w), bias: Some(&b) };
        let (mut y, mut dx) = (x.clone(), x.clone());
        let (mut dw, mut db) = (w.clone(), w.clone());
        apply(l, given, &x, &mut y);
        backward(l, given, &x, &dy, [&mut dx, &mut dw, &mut db], &mut scratch);
        [back(y), back(dx), back(dw), back(db)]
    }

    fn close(what: &str, got: &[Vec<f64>; 4], want: &[Vec<f64>; 4], tol: f64) {
        for (k, (g, w)) in got.iter().zip(want).enumerate() {
            let scale = w.iter().fold(1e-3f64, |a, v| a.max(v.abs()));
            for (i, (g, w)) in g.iter().zip(w).enumerate() {
                assert!((g - w).abs() <= tol * scale, "{what} {k} {i}: {g} against {w}");
            }
        }
    }

    #[test]
    fn values_and_gradients_follow_their_formulas() {
        for l in layouts() {
            let n = l.runs * l.len;
            let (x, dy) = (noise(n, 1, 3.0), noise(n, 2, 0.1));
            let (w, b) = (noise(l.affine_len(), 3, 1.0), noise(l.affine_len(), 4, 0.0));
            let want = reference(l, &x, &dy, &w, &b, 1e-3);
            for isa in available() {
                with_isa(*isa, || {
                    close("f64", &run::<f64>(l, &x, &dy, &w, &b), &want, 1e-12);
                    close("f32", &run::<f32>(l, &x, &dy, &w, &b), &want, 5e-5);
                });
            }
        }
    }

    #[test]
    fn a_large_mean_costs_no_accuracy() {
        let l =
            Layout { runs: 2, len: 10_000, units: Units::Neighbours(1), affine: Affine::Runs(1) };
        let x: Vec<f32> = noise(20_000, 9, 4096.0).iter().map(|v| *v as f32).collect();
        let (mut mean, mut var) = ([0.0; 2], [0.0; 2]);
        statistics(l, &x, &mut mean, &mut var, &mut vec![0.0; l.scratch_len()]);
        for (u, x) in x.chunks(10_000).enumerate() {
            let m = x.iter().map(|v| *v as f64).sum::<f64>() / 1e4;
            let v = x.iter().map(|v| (*v as f64 - m).powi(2)).sum::<f64>() / 1e4;
            assert!((mean[u] as f64 - m).abs() < 3e-4 && (var[u] as f64 - v).abs() < 1e-5 * v);
        }
    }
}
