//! The windows of a convolution as a matrix of taps and positions: gathered from an image, or added
//! back to one. Products with such a matrix are the convolution and its gradients, at the cost of
//! moving every element once for each window that covers it.

#[cfg(test)]
mod tests;

use crate::conv::{Geometry, Real};
use crate::lanes::{Arch, Kernel, dispatch};
use std::ops::Range;

/// How the matrix lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A row for each tap of each channel: what it covers, at one position after the other.
    Taps,
    /// A row for each position: what all taps of all channels cover there.
    Positions,
}

/// The windows of a convolution of one group, at whole rows of positions.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    g: Geometry,
    order: Order,
}

/// A place in the matrix: the block that it is part of.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Positions of the matrix.
    pub all: usize,
    /// The first of the image's positions among them.
    pub at: usize,
}

/// Neighbours in the matrix, and what they are in the image.
struct Run {
    /// The first one's place in the matrix.
    at: usize,
    /// How many.
    n: usize,
    /// Those of them that lie in the image; the others are zeros around it.
    inside: Range<usize>,
    /// Where the first of these lies in the image.
    from: usize,
    /// Elements of the image from one to the next.
    step: usize,
}

impl Windows {
    /// In the order in which neighbours in the image are neighbours in longer runs of the matrix.
    pub fn new(g: &Geometry) -> Windows {
        let run = |step: usize, n: usize| if step == 1 { n } else { n.div_ceil(4) };
        let (taps, positions) = (run(g.stride.1, g.out.1), run(g.dilation.1, g.filter.1));
        Windows::in_order(g, if positions > taps { Order::Positions } else { Order::Taps })
    }

    /// In an order of the caller's.
    pub fn in_order(g: &Geometry, order: Order) -> Windows {
        Windows { g: *g, order }
    }

    /// How the matrix lies.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Elements of the matrix from one tap and from one position to the next, if it has so many
    /// positions.
    pub fn steps(&self, positions: usize) -> (usize, usize) {
        match self.order {
            Order::Taps => (positions, 1),
            Order::Positions => (1, self.g.taps()),
        }
    }

    /// Gathers some channels' part of the windows at some rows of positions of an image.
    ///
    /// # Safety
    /// `image` is readable for an image; `to` is writable for a matrix of `place.all` positions, of
    /// which these rows have a part from `place.at` on; no one else uses that part of the channels.
    pub unsafe fn gather<T: Real>(
        &self,
        image: *const T,
        channels: Range<usize>,
        rows: Range<usize>,
        to: *mut T,
        place: Place,
    ) {
        dispatch(Gather(*self, image, channels, rows, to, place));
    }

    /// Adds some channels' part of the windows at some rows of positions to an image.
    ///
    /// # Safety
    /// `image` is readable and writable for an image, and no one else uses these channels; `from` is
    /// readable for a matrix of `place.all` positions, of which these rows have a part from
    /// `place.at` on.
    pub unsafe fn add<T: Real>(
        &self,
        from: *const T,
        place: Place,
        channels: Range<usize>,
        rows: Range<usize>,
        image: *mut T,
    ) {
        dispatch(Add(*self, from, place, channels, rows, image));
    }

    /// Calls `f` for every run.
    #[inline(always)]
    fn runs(&self, channels: Range<usize>, rows: Range<usize>, p: Place, mut f: impl FnMut(Run)) {
        let g = &self.g;
        let ((h, w), (r, s), ow) = (g.image, g.filter, g.out.1);
        let (tap, position) = self.steps(p.all);
        // A run lies along taps of a row of the filter, or along positions of a row.
        let (n, others, step, hop) = match self.order {
            Order::Taps => (ow, s, g.stride.1, g.dilation.1),
            Order::Positions => (s, ow, g.dilation.1, g.stride.1),
        };
        for (channel, ky) in channels.flat_map(|c| (0..r).map(move |ky| (c, ky))) {
            for other in 0..others {
                let first = (other * hop) as isize - g.padding.1 as isize;
                let inside = within(first, step, n, w);
                let x = first.wrapping_add((inside.start * step) as isize) as usize;
                for row in rows.clone() {
                    let y = (row * g.stride.0 + ky * g.dilation.0).wrapping_sub(g.padding.0);
                    let line = (channel * r + ky) * s;
                    let before = p.at + (row - rows.start) * ow;
                    let at = match self.order {
                        Order::Taps => (line + other) * tap + before,
                        Order::Positions => line + (before + other) * position,
                    };
                    let out = y >= h || inside.is_empty();
                    let (inside, from) =
                        if out { (0..0, 0) } else { (inside.clone(), (channel * h + y) * w + x) };
                    f(Run { at, n, inside, from, step });
                }
            }
        }
    }
}

/// Those of the places `first`, `first + step`, … (`n` of them) that lie in `0..end`.
fn within(first: isize, step: usize, n: usize, end: usize) -> Range<usize> {
    // How many lie before `limit`.
    let before = |limit: isize| {
        let room = limit.saturating_sub(first).max(0) as usize;
        room.div_ceil(step).min(n)
    };
    before(0)..before(end as isize)
}

struct Gather<T>(Windows, *const T, Range<usize>, Range<usize>, *mut T, Place);

impl<T: Real> Kernel for Gather<T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Gather(windows, image, channels, rows, to, place) = self;
        windows.runs(channels, rows, place, |Run { at, n, inside, from, step }| {
            // SAFETY: `gather`'s contract: runs lie in the matrix, and their insides in the image.
            unsafe {
                let to = to.add(at);
                (0..inside.start).for_each(|i| *to.add(i) = T::default());
                let (image, to_inside) = (image.add(from), to.add(inside.start));
                if step == 1 {
                    (0..inside.len()).for_each(|i| *to_inside.add(i) = *image.add(i));
                } else {
                    (0..inside.len()).for_each(|i| *to_inside.add(i) = *image.add(i * step));
                }
                (inside.end..n).for_each(|i| *to.add(i) = T::default());
            }
        });
    }
}

struct Add<T>(Windows, *const T, Place, Range<usize>, Range<usize>, *mut T);

impl<T: Real> Kernel for Add<T> {
    type Output = ();
    #[inline(always)]
    fn run<A: Arch>(self) {
        let Add(windows, matrix, place, channels, rows, image) = self;
        windows.runs(channels, rows, place, |Run { at, inside, from, step, .. }| {
            // SAFETY: `add`'s contract: runs lie in the matrix, and their insides in the image.
            unsafe {
                let (image, from) = (image.add(from), matrix.add(at + inside.start));
                if step == 1 {
                    (0..inside.len()).for_each(|i| *image.add(i) = *image.add(i) + *from.add(i));
                } else {
                    for i in 0..inside.len() {
                        let to = image.add(i * step);
                        *to = *to + *from.add(i);
                    }
                }
            }
        });
    }
}
