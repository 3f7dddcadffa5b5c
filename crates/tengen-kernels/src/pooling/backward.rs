//! Gradients of pooling to its input. Each row of outputs is spread over the columns that its
//! windows cover, and then added to the rows that they cover, which are written when the first
//! output reaches them: nothing is zeroed first.

use super::forward::CountMode;
use super::shares::{Shares, Sums, Ties};
use super::spread::{Columns, Spread};
use super::{Float, Pool2d};
use crate::lanes::{Arch, Kernel, Lane, dispatch};
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
        let (ow, outputs) = (p.output.1, y.len() / p.output.1);
        assert_eq!(src.len(), dx.len(), "as many elements as gradients");
        for c in p.columns() {
            // Nothing equals NaN.
            let nan = T::from_f64(f64::NAN);
            let (maxima, shares) = (Spread::new(nan), Spread::new(T::ZERO));
            let plane = p.input.0 * p.input.1;
            let empty = Ties::<T, TAPS> { src, maxima, shares, taps, plane };
            let (mut a, mut b) = (empty.clone(), empty);
            let (mut next, mut current) = (&mut a, &mut b);
            // A row is spread while the one before it is added, and read when it has settled.
            for output in 0..=outputs {
                if output < outputs {
                    let at = output * ow + c.outputs.start..output * ow + c.outputs.end;
                    next.maxima.put(p, &c, &y[at.clone()], nan);
                    next.shares.put(p, &c, &dy[at], T::ZERO);
                }
                if output > 0 {
                    let rows = Rows::start(p, &c, output - 1, dx);
                    add_rows::<L>(p, &c, rows, current, dx);
                }
                std::mem::swap(&mut next, &mut current);
            }
        }
    }

    /// Windows too wide for taps are done one after the other.
    #[inline(always)]
    fn wide<L: Lane<T = T>>(self) {
        let Self { p, src, y, dy, dx } = self;
        let all = Columns { at: 0..p.input.1, outputs: 0..p.output.1 };
        for output in 0..y.len() / p.output.1 {
            let Rows { plane, rows, fresh } = Rows::start(p, &all, output, dx);
            for row in rows {
                let at = plane + row * p.input.1;
                if row >= fresh {
                    dx[at..at + p.input.1].fill(T::ZERO);
                }
                for ox in all.outputs.clone() {
                    let (w, o) = (p.window(ox), output * p.output.1 + ox);
                    let part = at + w.start..at + w.end;
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
        let outputs = dy.len() / p.output.1;
        for c in p.columns() {
            let (row, shares) = (Spread::new(T::ZERO), Spread::new(T::ZERO));
            let empty = Sums { row, shares, taps: 1 };
            let (mut a, mut b) = (empty.clone(), empty);
            let (mut next, mut current) = (&mut a, &mut b);
            // As in `Max::taps`.
            for output in 0..=outputs {
                if output < outputs {
                    let at = output * p.output.1;
                    let dy = &dy[at + c.outputs.start..at + c.outputs.end];
                    next.put::<T::Lane<A>>(p, mode, &c, output % p.output.0, dy);
                }
                if output > 0 {
                    let rows = Rows::start(p, &c, output - 1, dx);
                    add_rows::<T::Lane<A>>(p, &c, rows, current, dx);
                }
                std::mem::swap(&mut next, &mut current);
            }
        }
    }
}

/// Adds the shares to the elements of the rows in these columns.
#[inline(always)]
fn add_rows<L: Lane>(
    p: &Pool2d,
    c: &Columns,
    rows: Rows,
    shares: &impl Shares<L>,
    dx: &mut [L::T],
) {
    let Rows { plane, rows, fresh } = rows;
    let (w, n) = (p.input.1, c.at.len());
    let start = plane + c.at.start;
    assert!(rows.end > 0 && start + (rows.end - 1) * w + n <= dx.len(), "rows of the input");
    let whole = n - n % L::W;
    // What a whole register at the end of a row has beyond it is later rows': where something is
    // added, they get 0 added; elsewhere they are 0, or yet to be written. So ends come before the
    // rows that follow them.
    if shares.is_cheap() {
        // Memory is then the limit, and likes its order.
        for y in rows {
            let at = start + y * w;
            for i in (0..whole).step_by(L::W) {
                // SAFETY: a register from there on is in `dx` and in the input.
                unsafe { add_register(shares, shares.columns(i), at + i, y < fresh, dx) };
            }
            if whole < n {
                let fits = p.is_narrow();
                let columns = shares.columns(whole);
                // SAFETY: `n - whole` elements from there on are in `dx` and in the input.
                unsafe { add_end(shares, columns, at + whole, n - whole, fits, y < fresh, dx) };
            }
        }
        return;
    }
    if whole < n {
        let columns = shares.columns(whole);
        for y in rows.clone() {
            let (at, fits) = (start + y * w + whole, p.is_narrow());
            // SAFETY: `n - whole` elements from there on are in `dx` and in the input.
            unsafe { add_end(shares, columns, at, n - whole, fits, y < fresh, dx) };
        }
    }
    for i in (0..whole).step_by(L::W) {
        let columns = shares.columns(i);
        for y in rows.clone() {
            // SAFETY: a register from there on is in `dx` and in the input.
            unsafe { add_register(shares, columns, start + y * w + i, y < fresh, dx) };
        }
    }
}

/// Adds a register of shares from `at` on, or writes it where nothing has been `written`.
///
/// # Safety
/// `dx` and the input have a register of elements from there on.
#[inline(always)]
unsafe fn add_register<L: Lane, S: Shares<L>>(
    shares: &S,
    columns: S::Column,
    at: usize,
    written: bool,
    dx: &mut [L::T],
) {
    // SAFETY: by the contract.
    unsafe {
        let to = dx.as_mut_ptr().add(at);
        let mut v = shares.of(columns, at, L::W);
        if written {
            v = Lane::add(L::load(to), v);
        }
        v.store(to);
    }
}

/// [`add_register`] for the last `n` elements of a row; with a whole register, if one `fits` there
/// and in `dx`.
///
/// # Safety
/// `dx` and the input, which are equally long, have `n` elements from `at` on.
#[inline(always)]
unsafe fn add_end<L: Lane, S: Shares<L>>(
    shares: &S,
    columns: S::Column,
    at: usize,
    n: usize,
    fits: bool,
    written: bool,
    dx: &mut [L::T],
) {
    let fits = fits && at + L::W <= dx.len();
    let r = if fits { L::W } else { n };
    // SAFETY: by the contract, and a whole register only where there is one.
    unsafe {
        let mut v = shares.of(columns, at, r).keep(n, L::splat(L::T::default()));
        let to = dx.as_mut_ptr().add(at);
        if fits {
            if written {
                v = Lane::add(L::load(to), v);
            }
            v.store(to);
        } else {
            if written {
                v = Lane::add(L::load_n(to, r), v);
            }
            v.store_n(to, r);
        }
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
}
