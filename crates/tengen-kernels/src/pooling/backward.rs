//! Gradients of pooling to its input. Each row of outputs is spread over the columns that its
//! windows cover, and then added to the rows that they cover, which are written when the first
//! output reaches them: nothing is zeroed first.

use super::forward::{CountMode, divide};
use super::spread::{Columns, Spread};
use super::{Float, Pool2d};
use crate::lanes::{Arch, Kernel, Lane, dispatch};
use crate::rows::Terms;
use std::ops::Range;

/// The gradient of max pooling: each `dy` is added to `dx` at every element of its window that
/// equals the maximum `y`. `dx` is overwritten.
///
/// # Panics
/// If the lengths are not those of equally many planes.
pub fn max_pool2d_backward<T: Float>(p: &Pool2d, src: &[T], y: &[T], dy: &[T], dx: &mut [T]) {
    p.planes(src.len(), y.len());
    p.planes(dx.len(), dy.len());
    assert_eq!(src.len(), dx.len(), "max_pool2d_backward: lengths");
    dispatch(Max { p, src, y, dy, dx });
}

/// The gradient of average pooling. `dx` is overwritten.
///
/// # Panics
/// If the lengths are not those of equally many planes.
pub fn avg_pool2d_backward<T: Float>(p: &Pool2d, mode: CountMode, dy: &[T], dx: &mut [T]) {
    p.planes(dx.len(), dy.len());
    dispatch(Average { p, mode, dy, dx });
}

struct Max<'a, T> {
    p: &'a Pool2d,
    src: &'a [T],
    y: &'a [T],
    dy: &'a [T],
    dx: &'a mut [T],
}

impl<T: Float> Kernel for Max<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Some(taps) = self.p.taps() else { return self.wide::<T::Lane<A>>() };
        match taps {
            1 => self.taps::<T::Lane<A>, 1>(taps),
            2 => self.taps::<T::Lane<A>, 2>(taps),
            3 => self.taps::<T::Lane<A>, 3>(taps),
            _ => self.taps::<T::Lane<A>, 0>(taps),
        }
    }
}

impl<T: Float> Max<'_, T> {
    /// `TAPS` is `taps`, or 0 for any number.
    #[inline(always)]
    fn taps<L: Lane<T = T>, const TAPS: usize>(self, taps: usize) {
        let Self { p, src, y, dy, dx } = self;
        let ow = p.output.1;
        for c in p.columns() {
            // Nothing equals NaN.
            let nan = T::from_f64(f64::NAN);
            let (mut maxima, mut shares) = (Spread::new(nan), Spread::new(T::ZERO));
            for output in 0..y.len() / ow {
                let rows = Rows::start(p, &c, output, dx);
                let outputs = output * ow + c.outputs.start..output * ow + c.outputs.end;
                maxima.put(p, &c, &y[outputs.clone()], nan);
                shares.put(p, &c, &dy[outputs], T::ZERO);
                for row in rows.each(p, &c) {
                    let x = &src[row.at..];
                    let terms = Ties::<T, TAPS> { x, maxima: &maxima, shares: &shares, taps };
                    row.add::<L>(p, &terms, dx);
                }
            }
        }
    }

    /// Windows too wide for taps are done one after the other.
    #[inline(always)]
    fn wide<L: Lane<T = T>>(self) {
        let Self { p, src, y, dy, dx } = self;
        let all = Columns { at: 0..p.input.1, outputs: 0..p.output.1 };
        for output in 0..y.len() / p.output.1 {
            for row in Rows::start(p, &all, output, dx).each(p, &all) {
                if row.fresh {
                    dx[row.at..row.at + row.n].fill(T::ZERO);
                }
                for ox in all.outputs.clone() {
                    let (w, o) = (p.window(ox), output * p.output.1 + ox);
                    let part = row.at + w.start..row.at + w.end;
                    let (y, g) = (L::splat(y[o]), L::splat(dy[o]));
                    add_ties(y, g, &src[part.clone()], &mut dx[part]);
                }
            }
        }
    }
}

/// Adds `g` to `dx` where `x` equals `y`.
#[inline(always)]
fn add_ties<L: Lane>(y: L, g: L, x: &[L::T], dx: &mut [L::T]) {
    use crate::rows::{load, store};
    let zero = L::splat(L::T::default());
    for i in (0..x.len()).step_by(L::W) {
        let r = L::W.min(x.len() - i);
        let share = L::sel(load::<L>(x, i, r).eq(y), g, zero);
        store(Lane::add(load::<L>(dx, i, r), share), dx, i, r);
    }
}

struct Average<'a, T> {
    p: &'a Pool2d,
    mode: CountMode,
    dy: &'a [T],
    dx: &'a mut [T],
}

impl<T: Float> Kernel for Average<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Self { p, mode, dy, dx } = self;
        for c in p.columns() {
            let mut spread = Spread::new(T::ZERO);
            let mut sums = Spread::new(T::ZERO);
            let mut shares = Spread::new(T::ZERO);
            for output in 0..dy.len() / p.output.1 {
                let rows = Rows::start(p, &c, output, dx);
                let out = output * p.output.1;
                let from = &dy[out + c.outputs.start..out + c.outputs.end];
                let oy = output % p.output.0;
                let terms = match p.taps() {
                    Some(taps) => {
                        let shares = &mut shares.0[..from.len()];
                        shares.copy_from_slice(from);
                        divide(p, mode, oy, c.outputs.start, shares);
                        spread.put(p, &c, shares, T::ZERO);
                        if taps == 1 {
                            &spread
                        } else {
                            add_taps::<T::Lane<A>>(&spread, taps, c.at.len(), &mut sums);
                            &sums
                        }
                    }
                    None => {
                        sums.0.fill(T::ZERO);
                        for (ox, dy) in c.outputs.clone().zip(from) {
                            let mut share = [*dy];
                            divide(p, mode, oy, ox, &mut share);
                            let w = p.window(ox);
                            let w = w.start.max(c.at.start)..w.end.min(c.at.end);
                            let to = &mut sums.0[w.start - c.at.start..w.end - c.at.start];
                            to.iter_mut().for_each(|t| *t = *t + share[0]);
                        }
                        &sums
                    }
                };
                for row in rows.each(p, &c) {
                    row.add::<T::Lane<A>>(p, &Same(terms), dx);
                }
            }
        }
    }
}

/// Adds up the places that each of `n` columns reads.
#[inline(always)]
fn add_taps<L: Lane<T: Float>>(
    spread: &Spread<L::T>,
    taps: usize,
    n: usize,
    sums: &mut Spread<L::T>,
) {
    for i in (0..n).step_by(L::W) {
        // SAFETY: a spread has room for a register that starts at any column, and for its taps.
        unsafe {
            let mut sum = L::load(spread.0.as_ptr().add(i));
            for k in 1..taps {
                sum = Lane::add(sum, L::load(spread.0.as_ptr().add(i + k)));
            }
            sum.store(sums.0.as_mut_ptr().add(i));
        }
    }
}

/// The shares of the outputs that equal an element.
struct Ties<'a, T, const TAPS: usize> {
    x: &'a [T],
    maxima: &'a Spread<T>,
    shares: &'a Spread<T>,
    taps: usize,
}

impl<L: Lane, const TAPS: usize> Terms<L, 1> for Ties<'_, L::T, TAPS> {
    #[inline(always)]
    fn at(&self, i: usize, r: usize) -> [L; 1] {
        let zero = L::splat(L::T::default());
        // SAFETY: the slice has `r` elements from `i`, by `Row::add`; a spread has room for a
        // register that starts at any column, and for its taps.
        unsafe {
            let x = self.x.as_ptr().add(i);
            let x = if r == L::W { L::load(x) } else { L::load_n(x, r) };
            let (maxima, shares) = (self.maxima.0.as_ptr().add(i), self.shares.0.as_ptr().add(i));
            let mut sum = L::sel(x.eq(L::load(maxima)), L::load(shares), zero);
            for k in 1..if TAPS == 0 { self.taps } else { TAPS } {
                let share = L::sel(x.eq(L::load(maxima.add(k))), L::load(shares.add(k)), zero);
                sum = Lane::add(sum, share);
            }
            [sum]
        }
    }
}

/// What each column gets from all outputs.
struct Same<'a, T>(&'a Spread<T>);

impl<L: Lane> Terms<L, 1> for Same<'_, L::T> {
    #[inline(always)]
    fn at(&self, i: usize, _: usize) -> [L; 1] {
        // SAFETY: a spread has room for a register that starts at any column.
        [unsafe { L::load(self.0.0.as_ptr().add(i)) }]
    }
}

/// The rows of the input that a row of outputs reaches.
struct Rows {
    /// The first element of their plane.
    plane: usize,
    rows: Range<usize>,
    /// From this row on, nothing has been written.
    fresh: usize,
}

impl Rows {
    /// Those of a row of outputs, counted through all planes. Zeroes the columns of the rows before
    /// them that no window reaches, and of those after the last ones.
    #[inline(always)]
    fn start<T: Float>(p: &Pool2d, c: &Columns, output: usize, dx: &mut [T]) -> Rows {
        let ((h, w), oy) = (p.input, output % p.output.0);
        let plane = output / p.output.0 * h * w;
        let rows = p.rows(oy);
        let written = if oy == 0 { 0 } else { p.rows(oy - 1).end };
        let after = if oy + 1 == p.output.0 { rows.end..h } else { 0..0 };
        for y in (written..rows.start).chain(after) {
            dx[plane + y * w + c.at.start..plane + y * w + c.at.end].fill(T::ZERO);
        }
        Rows { plane, fresh: written.max(rows.start), rows }
    }

    #[inline(always)]
    fn each(self, p: &Pool2d, c: &Columns) -> impl Iterator<Item = Row> + use<> {
        let (w, from, n) = (p.input.1, c.at.start, c.at.len());
        let Rows { plane, rows, fresh } = self;
        rows.map(move |y| Row { at: plane + y * w + from, n, fresh: y >= fresh })
    }
}

/// Neighbouring columns of one row of the input.
struct Row {
    /// The first element.
    at: usize,
    n: usize,
    /// Whether nothing has been written to it.
    fresh: bool,
}

impl Row {
    /// Adds a term to each element of `dx` that is in this row.
    #[inline(always)]
    fn add<L: Lane>(self, p: &Pool2d, terms: &impl Terms<L, 1>, dx: &mut [L::T]) {
        let Row { at, n, fresh } = self;
        let dx = &mut dx[at..];
        assert!(n <= dx.len(), "a row outside its plane");
        let zero = L::splat(L::T::default());
        let mut i = 0;
        while i < n {
            let left = n - i;
            // What a whole register has beyond the row is later rows': where something is added,
            // they get 0 added; elsewhere they are 0, or yet to be written.
            let whole = left >= L::W || (p.is_narrow() && i + L::W <= dx.len());
            let r = if whole { L::W } else { left };
            let [mut v] = terms.at(i, r);
            if left < L::W {
                v = v.keep(left, zero);
            }
            // SAFETY: `r` elements from `i` are in the slice.
            unsafe {
                let to = dx.as_mut_ptr().add(i);
                if whole {
                    if !fresh {
                        v = Lane::add(L::load(to), v);
                    }
                    v.store(to);
                } else {
                    if !fresh {
                        v = Lane::add(L::load_n(to, r), v);
                    }
                    v.store_n(to, r);
                }
            }
            i += L::W;
        }
    }
}
