//! The gradients of normalisation.

use super::{Affine, Given, Layout};
use crate::lanes::{Arch, Float, Kernel, Lane, dispatch, fence};
use crate::pool;
use crate::rows::{Parts, Terms, load, put, sums};
use std::ops::Range;

/// Runs whose gradients to elementwise weights meet in the element type, and are read again while
/// they are still near.
const ROWS: usize = 8;
/// Registers of neighbouring elements whose gradients are summed side by side.
const SIDE: usize = 4;

/// The gradients to x, weight and bias, given that to y; each is empty if not wanted.
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
    let scratch = &mut scratch[..layout.scratch_len()];
    let data = Data { layout, given, x, dy, to_input: !dx.is_empty() };
    match layout.affine {
        Affine::Runs(_) => to_runs(data, [dx, dw, db], scratch),
        Affine::Elements => to_elements(data, [dx, dw, db], scratch),
    }
}

/// What gradients follow from.
#[derive(Clone, Copy)]
struct Data<'a, T> {
    layout: Layout,
    given: Given<'a, T>,
    x: &'a [T],
    dy: &'a [T],
    /// Whether the gradient to x is wanted.
    to_input: bool,
}

/// With weights for runs.
fn to_runs<T: Float>(data: Data<T>, [dx, dw, db]: [&mut [T]; 3], sums: &mut [f64]) {
    let Data { layout, given, to_input, .. } = data;
    let m = layout.affine_len();
    {
        let (out, dx) = (Parts::new(sums), Parts::new(&mut *dx));
        if layout.by_units() {
            pool::for_ranges(layout.units(), layout.unit_grain(), |from, to| {
                dispatch(Units { data, units: from..to, sums: &out, dx: &dx });
            });
        } else {
            pool::for_ranges(layout.runs, layout.grain(), |from, to| {
                dispatch(RunSums { data, runs: from..to, sums: &out });
            });
        }
    }
    for (c, d) in dw.iter_mut().enumerate() {
        let runs = (c..layout.runs).step_by(m);
        *d = T::from_f64(runs.map(|r| sums[2 * r + 1] * given.of(layout.unit(r)).1).sum());
    }
    for (c, d) in db.iter_mut().enumerate() {
        *d = T::from_f64((c..layout.runs).step_by(m).map(|r| sums[2 * r]).sum());
    }
    if !to_input || layout.by_units() {
        return;
    }
    // The sums of units take the place of those of runs, of which there are no fewer: those of a
    // unit are read before its place is written, and each place is read first by its own unit.
    for unit in 0..layout.units() {
        let mut total = [0.0; 2];
        for r in layout.members(unit) {
            let factor = given.factor(&layout, r);
            total[0] += sums[2 * r] * factor;
            total[1] += sums[2 * r + 1] * factor;
        }
        sums[2 * unit..2 * unit + 2].copy_from_slice(&total);
    }
    let (sums, dx) = (&*sums, Parts::new(dx));
    pool::for_ranges(layout.runs, layout.grain(), |from, to| {
        dispatch(Runs { data, runs: from..to, sums, dx: &dx });
    });
}

/// With weights for the elements of runs, each of which is a unit.
fn to_elements<T: Float>(data: Data<T>, [dx, dw, db]: [&mut [T]; 3], scratch: &mut [f64]) {
    let layout = data.layout;
    let affine = !(dw.is_empty() && db.is_empty());
    let (blocks, len) = (layout.blocks(), layout.len);
    let partial = &mut scratch[2 * layout.runs..];
    {
        let (out, dx) = (Parts::new(partial), Parts::new(dx));
        pool::for_each(blocks, |b| {
            // SAFETY: blocks have different parts.
            let part = unsafe { out.part(2 * b * len, 2 * (b + 1) * len) };
            let (dw, db) = part.split_at_mut(len);
            let runs = b * layout.runs / blocks..(b + 1) * layout.runs / blocks;
            dispatch(Elements { data, runs, affine, dx: &dx, dw, db });
        });
    }
    if !affine {
        return;
    }
    let (total, rest) = partial.split_at_mut((2 * len).min(2 * len * blocks));
    for block in rest.chunks(2 * len.max(1)) {
        for (t, v) in total.iter_mut().zip(block) {
            *t += v;
        }
    }
    for (d, v) in dw.iter_mut().zip(&*total) {
        *d = T::from_f64(*v);
    }
    for (d, v) in db.iter_mut().zip(&total[len.min(total.len())..]) {
        *d = T::from_f64(*v);
    }
}

/// g and g·(x − mean), where g is dy, times the weight if that is elementwise.
struct Products<'a, L: Lane, const WEIGHT: bool> {
    x: &'a [L::T],
    dy: &'a [L::T],
    weight: &'a [L::T],
    mean: L,
}
impl<L: Lane, const WEIGHT: bool> Terms<L, 2> for Products<'_, L, WEIGHT> {
    #[inline(always)]
    fn at(&self, i: usize, r: usize) -> [L; 2] {
        let mut g = load::<L>(self.dy, i, r);
        if WEIGHT {
            g = Lane::mul(g, load(self.weight, i, r));
        }
        [g, Lane::mul(g, Lane::sub(load(self.x, i, r), self.mean))]
    }
}

/// The sums of [`Products`] over a run.
#[inline(always)]
fn products<L: Lane>(mean: L::T, weight: Option<&[L::T]>, x: &[L::T], dy: &[L::T]) -> [f64; 2] {
    let mean = L::splat(mean);
    match weight {
        Some(weight) => sums(x.len(), &Products::<L, true> { x, dy, weight, mean }),
        None => sums(x.len(), &Products::<L, false> { x, dy, weight: &[], mean }),
    }
}

/// dx = scale·(factor·g + level) + slope·(x − mean) for the elements of a run.
struct Line<L> {
    factor: L,
    level: L,
    scale: L,
    slope: L,
    mean: L,
    /// Whether results go past the caches.
    past: bool,
}

impl<L: Lane> Line<L> {
    /// From the unit's mean and 1/√(var + ε), its sums of g and g·(x − mean), and the factor that
    /// makes g of dy.
    #[inline(always)]
    fn new(layout: &Layout, (mean, rstd): (L::T, f64), [g, gx]: [f64; 2], factor: f64) -> Line<L> {
        let n = layout.unit_len() as f64;
        Line {
            past: layout.past::<L::T>(),
            factor: L::splat(L::T::from_f64(factor)),
            level: L::splat(L::T::from_f64(-g / n)),
            scale: L::splat(L::T::from_f64(rstd)),
            slope: L::splat(L::T::from_f64(-rstd * rstd * rstd * gx / n)),
            mean: L::splat(mean),
        }
    }

    #[inline(always)]
    fn write<const WEIGHT: bool>(&self, x: &[L::T], dy: &[L::T], weight: &[L::T], dx: &mut [L::T]) {
        let mut i = 0;
        while i < x.len() {
            let r = L::W.min(x.len() - i);
            let mut g = load::<L>(dy, i, r);
            if WEIGHT {
                g = Lane::mul(g, load(weight, i, r));
            }
            let d = Lane::sub(load::<L>(x, i, r), self.mean);
            // The level is taken from g first: the two cancel.
            let g = Lane::fma(g, self.factor, self.level);
            let v = Lane::fma(g, self.scale, Lane::mul(d, self.slope));
            put(v, dx, i, r, self.past);
            i += r;
        }
    }
}

/// The sums of runs.
struct RunSums<'a, T> {
    data: Data<'a, T>,
    runs: Range<usize>,
    sums: &'a Parts<f64>,
}

impl<T: Float> Kernel for RunSums<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Data { layout, given, x, dy, .. } = self.data;
        for run in self.runs {
            let (at, mean) = (layout.range(run), given.mean[layout.unit(run)]);
            let s = products::<T::Lane<A>>(mean, None, &x[at.clone()], &dy[at]);
            // SAFETY: tasks have different runs.
            unsafe { self.sums.part(2 * run, 2 * run + 2) }.copy_from_slice(&s);
        }
    }
}

/// The gradient to x of runs, with the sums of their units.
struct Runs<'a, T> {
    data: Data<'a, T>,
    runs: Range<usize>,
    sums: &'a [f64],
    dx: &'a Parts<T>,
}

impl<T: Float> Kernel for Runs<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Data { layout, given, x, dy, .. } = self.data;
        for run in self.runs {
            let (unit, at) = (layout.unit(run), layout.range(run));
            let sums = [self.sums[2 * unit], self.sums[2 * unit + 1]];
            let factor = given.factor(&layout, run);
            let line = Line::<T::Lane<A>>::new(&layout, given.of(unit), sums, factor);
            // SAFETY: tasks have different runs.
            let dx = unsafe { self.dx.part(at.start, at.end) };
            line.write::<false>(&x[at.clone()], &dy[at], &[], dx);
        }
        if layout.past::<T>() {
            fence();
        }
    }
}

/// The sums of the runs of units, and their gradient to x.
struct Units<'a, T> {
    data: Data<'a, T>,
    units: Range<usize>,
    sums: &'a Parts<f64>,
    dx: &'a Parts<T>,
}

impl<T: Float> Kernel for Units<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Data { layout, given, x, dy, to_input } = self.data;
        for unit in self.units {
            let of = given.of(unit);
            let mut total = [0.0; 2];
            for run in layout.members(unit) {
                let (at, factor) = (layout.range(run), given.factor(&layout, run));
                let s = products::<T::Lane<A>>(of.0, None, &x[at.clone()], &dy[at]);
                total[0] += s[0] * factor;
                total[1] += s[1] * factor;
                // SAFETY: tasks have different units, which have different runs.
                unsafe { self.sums.part(2 * run, 2 * run + 2) }.copy_from_slice(&s);
            }
            if !to_input {
                continue;
            }
            for run in layout.members(unit) {
                let at = layout.range(run);
                let factor = given.factor(&layout, run);
                let line = Line::<T::Lane<A>>::new(&layout, of, total, factor);
                // SAFETY: as above.
                let dx = unsafe { self.dx.part(at.start, at.end) };
                line.write::<false>(&x[at.clone()], &dy[at], &[], dx);
            }
        }
        if layout.past::<T>() {
            fence();
        }
    }
}

/// All gradients of a block of runs that are units, with weights for their elements.
struct Elements<'a, T> {
    data: Data<'a, T>,
    runs: Range<usize>,
    /// Whether gradients to weight or bias are wanted.
    affine: bool,
    dx: &'a Parts<T>,
    /// The block's sums.
    dw: &'a mut [f64],
    db: &'a mut [f64],
}

impl<T: Float> Kernel for Elements<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Elements { data, runs, affine, dx, dw, db } = self;
        let Data { layout, given, x, dy, to_input } = data;
        dw.fill(0.0);
        db.fill(0.0);
        for first in runs.clone().step_by(ROWS) {
            let rows = first..runs.end.min(first + ROWS);
            let mut of = [(T::default(), 0.0); ROWS];
            for run in rows.clone() {
                of[run - first] = given.of(run);
                if !to_input {
                    continue;
                }
                let (at, of) = (layout.range(run), of[run - first]);
                let (x, dy) = (&x[at.clone()], &dy[at.clone()]);
                let sums = products::<T::Lane<A>>(of.0, given.weight, x, dy);
                let line = Line::<T::Lane<A>>::new(&layout, of, sums, 1.0);
                // SAFETY: tasks have different runs.
                let dx = unsafe { dx.part(at.start, at.end) };
                match given.weight {
                    Some(w) => line.write::<true>(x, dy, w, dx),
                    None => line.write::<false>(x, dy, &[], dx),
                }
            }
            if affine {
                let all = rows.start * layout.len..rows.end * layout.len;
                let (x, dy) = (&x[all.clone()], &dy[all]);
                add_columns::<T::Lane<A>>(&of[..rows.len()], layout.len, x, dy, dw, db);
            }
        }
        if layout.past::<T>() {
            fence();
        }
    }
}

/// Adds the sums over rows of dy·(x − mean)/√(var + ε) to `dw`, and those of dy to `db`.
#[inline(always)]
fn add_columns<L: Lane>(
    of: &[(L::T, f64)],
    len: usize,
    x: &[L::T],
    dy: &[L::T],
    dw: &mut [f64],
    db: &mut [f64],
) {
    let zero = L::splat(L::T::default());
    let mut i = 0;
    while i + SIDE * L::W <= len {
        let (mut w, mut b) = ([zero; SIDE], [zero; SIDE]);
        for (row, (mean, rstd)) in of.iter().enumerate() {
            let (mean, rstd) = (L::splat(*mean), L::splat(L::T::from_f64(*rstd)));
            for s in 0..SIDE {
                let at = row * len + i + s * L::W;
                let g = load::<L>(dy, at, L::W);
                let d = Lane::mul(Lane::sub(load(x, at, L::W), mean), rstd);
                w[s] = Lane::fma(g, d, w[s]);
                b[s] = Lane::add(b[s], g);
            }
        }
        for s in 0..SIDE {
            add(w[s], &mut dw[i + s * L::W..][..L::W]);
            add(b[s], &mut db[i + s * L::W..][..L::W]);
        }
        i += SIDE * L::W;
    }
    while i < len {
        let r = L::W.min(len - i);
        let (mut w, mut b) = (zero, zero);
        for (row, (mean, rstd)) in of.iter().enumerate() {
            let (mean, rstd) = (L::splat(*mean), L::splat(L::T::from_f64(*rstd)));
            let g = load::<L>(dy, row * len + i, r);
            let d = Lane::mul(Lane::sub(load(x, row * len + i, r), mean), rstd);
            w = Lane::fma(g, d, w);
            b = Lane::add(b, g);
        }
        add(w, &mut dw[i..i + r]);
        add(b, &mut db[i..i + r]);
        i += r;
    }
}

/// Adds a register's first elements to as many sums.
#[inline(always)]
fn add<L: Lane>(v: L, sums: &mut [f64]) {
    for (s, v) in sums.iter_mut().zip(v.to_array()) {
        *s += v.to_f64();
    }
}
